"""What the docks for short-range order ask for, free of Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_dsfunet.forms import LAUE_CHOICES, Form, _entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.refine.sro import SroProblem
    from dsfunet_core.refine.unit_cell_map import UnitCellMap

__all__ = ["SroFitForm", "UnitCellForm"]


@dataclass(frozen=True)
class UnitCellForm(Form):
    """How to fold short-range order into one reciprocal cell."""

    laue_class: str = _entry(
        "",
        "Laue class",
        "Every sample then counts at all equivalent places of the cell.",
        choices=LAUE_CHOICES,
    )
    threshold: float = _entry(
        0.05,
        "Threshold",
        "Pixels whose form factor is below this fraction of its maximum are left out: there "
        "the ratio is noise.",
        high=0.9,
        step=0.01,
    )
    bins: int = _entry(
        48,
        "Bins",
        "Along each edge of the cell; take at least eight per shell of neighbours.",
        low=4,
        high=400,
        step=8,
    )
    source: str = _entry(
        "auto",
        "Fold",
        "The observation divided by the form factor, or the image of the short-range order.",
        choices={
            "auto": "ratio; image for factors from a network",
            "ratio": "ratio: measured / form factor",
            "sro": "image of the short-range order",
        },
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`dsfunet_core.project`."""
        return {
            "laue_class": self.laue_class or None,
            "threshold": self.threshold,
            "bins": (self.bins, self.bins),
            "source": self.source,
        }

    def compute(self, target: Factorization | ReciprocalPlane) -> UnitCellMap:
        """Fold."""
        from dsfunet_core import project

        return project(target, **self.as_core_arguments())

    def script(self, target: str) -> tuple[str, ...]:
        """``cell`` from ``result`` or ``plane``.

        Parameters
        ----------
        target : str
            Which of the two.
        """
        return (f"cell = dsfunet_core.project({self._call(target)})",)


@dataclass(frozen=True)
class SroFitForm(Form):
    """How to refine Warren–Cowley parameters."""

    laue_class: str = _entry(
        "",
        "Laue class",
        "Makes vectors equivalent, so that they share one parameter.",
        choices=LAUE_CHOICES,
    )
    shells: int = _entry(5, "Shells", "Largest in-plane index of a vector.", low=1, high=12)
    in_plane_only: bool = _entry(
        True,
        "In-plane vectors only",
        "Leave out vectors with a component along the plane's normal.",
        advanced=True,
    )
    basis: str = _entry(
        "",
        "Fit",
        "The Fourier coefficients of the factorization carry the full covariance, with the "
        "form factor marginalised. The map of one cell is the way of the paper, and the only "
        "one for factors from a network.",
        choices={"": "coefficients, where there are such", "map": "the map of one cell"},
        advanced=True,
    )
    threshold: float = _entry(
        0.05,
        "Threshold",
        "Pixels whose form factor is below this fraction of its maximum are left out of the "
        "observed map.",
        high=0.9,
        step=0.01,
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :class:`dsfunet_core.refine.SroProblem`."""
        return {
            "laue_class": self.laue_class or None,
            "shells": self.shells,
            "in_plane_only": self.in_plane_only,
        }

    def compute(self, target: Factorization | UnitCellMap) -> SroProblem:
        """Prepare the refinement."""
        from dsfunet_core import project
        from dsfunet_core.refine import SroProblem, UnitCellMap

        arguments = self.as_core_arguments()
        if isinstance(target, UnitCellMap):
            return SroProblem(target, **arguments)
        if self.basis == "map":
            laue = self.laue_class or None
            cell = project(target, threshold=self.threshold, laue_class=laue)
            return SroProblem(cell, **arguments)
        return SroProblem(target, threshold=self.threshold, **arguments)

    def script(
        self,
        fixed: dict[tuple[int, int, int], float] | None = None,
        bounds: NDArray[np.float64] | None = None,
        folded: bool = False,
    ) -> tuple[str, ...]:
        """``fit`` from ``result``, or from ``cell``.

        Parameters
        ----------
        fixed : dict, optional
            Vector → α that is held.
        bounds : ndarray, shape (n, 2), optional
            Lowest and highest α of every orbit.
        folded : bool
            Whether there is a map ``cell`` already.
        """
        lines = ["from dsfunet_core.refine import SroProblem"]
        if self.basis == "map" and not folded:
            laue = self.laue_class or None
            lines.append(
                f"cell = dsfunet_core.project(result, threshold={self.threshold!r}, "
                f"laue_class={laue!r})"
            )
            folded = True
        target = (
            self._call("cell")
            if folded
            else (f"{self._call('result')}, threshold={self.threshold!r}")
        )
        options = []
        if fixed:
            options.append(f"fixed={fixed!r}")
        if bounds is not None:
            limits = repr(bounds.tolist()).replace("inf", "float('inf')")
            options.append(f"bounds={limits}")
        lines += [
            f"problem = SroProblem({target})",
            f"fit = problem.refine({', '.join(options)})",
            "print(fit.table())",
        ]
        return tuple(lines)
