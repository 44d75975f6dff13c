"""What the docks ask for: one dataclass a form, free of Qt.

The defaults fill the widgets, ``as_core_arguments`` is what the core is called with, and
``script`` is that call as a line of Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from dsfunet_core.symmetry import LAUE_CLASSES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dsfunet_core.factorization import CancelToken
    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
    from dsfunet_core.refine.sro import SroProblem
    from dsfunet_core.refine.unit_cell_map import UnitCellMap

__all__ = ["FactorizeForm", "Form", "SliceForm", "SroFitForm", "UnitCellForm", "from_stored"]

#: Laue classes by symbol, as the core spells them; "" leaves the choice to the file.
LAUE_CHOICES = {"": "as the file says", **{symbol: symbol for symbol in LAUE_CLASSES}}


def _entry(default: Any, label: str, tip: str, **layout: Any) -> Any:
    """Field of a form with its label, explanation, and limits where it has such."""
    return field(default=default, metadata={"label": label, "tip": tip, **layout})


@dataclass(frozen=True)
class Form:
    """What every form can do."""

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the core."""
        raise NotImplementedError

    def _call(self, *first: str) -> str:
        """Arguments of a call, as Python."""
        named = (f"{name}={value!r}" for name, value in self.as_core_arguments().items())
        return ", ".join([*first, *named])


@dataclass(frozen=True)
class SliceForm(Form):
    """A plane to cut out of a volume."""

    plane: str = _entry(
        "hk1",
        "Plane",
        "Three indices, letters free and numbers fixed: hk1, h0l, hhl, h-hl, hk0.5. With "
        "commas also sums: h, h+1, l.",
    )
    grid: str = _entry(
        "native",
        "Grid",
        "The voxels as they are, or square pixels in Å⁻¹.",
        choices={"native": "native: voxels as they are", "cartesian": "cartesian: square"},
    )
    thickness: float = _entry(
        0.0,
        "Thickness",
        "Full thickness of the slab that is averaged, in r.l.u. of the fixed index.",
        high=100.0,
        step=0.1,
        unit=" r.l.u.",
        special="one layer",
    )
    size: int = _entry(
        256,
        "Pixels",
        "Pixels along each edge of a cartesian grid.",
        low=16,
        high=4096,
        step=64,
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :meth:`~dsfunet_core.ReciprocalVolume.section`."""
        arguments: dict[str, Any] = {"grid": self.grid, "thickness": self.thickness}
        if self.grid == "cartesian":
            arguments["size"] = self.size
        return arguments

    def compute(self, volume: ReciprocalVolume) -> ReciprocalPlane:
        """Cut the plane."""
        return volume.section(self.plane.strip(), **self.as_core_arguments())

    def script(self) -> tuple[str, ...]:
        """``plane`` from ``volume``."""
        return (f"plane = volume.section({self._call(repr(self.plane.strip()))})",)


@dataclass(frozen=True)
class FactorizeForm(Form):
    """How to take a plane apart."""

    method: str = _entry(
        "lattice",
        "Method",
        "With the reciprocal lattice of the file, or by a trained network that needs none.",
        choices={
            "lattice": "lattice: from cell and axes of the file",
            "network": "network: blind, no lattice needed",
        },
    )
    model: str = _entry(
        "",
        "Model",
        "Trained weights of the network; the bundled ones where nothing is chosen.",
        choices={"": "bundled"},
        open=True,
    )
    device: str = _entry(
        "auto",
        "Compute on",
        "A graphics card where torch sees one, else the processor.",
        choices={"auto": "the quickest there is"},
        open=True,
    )
    support: float = _entry(
        0.0,
        "Support",
        "Radius in real space that holds the autocorrelation of the difference of the "
        "two molecules: about one molecule's diameter. Auto chooses by cross-validation.",
        high=200.0,
        step=0.5,
        unit=" Å",
        special="auto",
    )
    background: bool = _entry(
        False, "Background", "Refine a smooth additive background beside the two factors."
    )
    robust: bool = _entry(
        True, "Reject outliers", "Give pixels far off the model no weight, such as Bragg tails."
    )
    bragg_radius: float = _entry(
        0.0,
        "Bragg radius",
        "Spheres of this radius around the reciprocal-lattice points are left out. "
        "Plugins > Diffuse Scattering > Mask artefacts does it with more care.",
        high=5.0,
        step=0.02,
        decimals=3,
        unit=" Å⁻¹",
        special="no masking",
        advanced=True,
    )
    order: int = _entry(
        5,
        "Order",
        "Largest in-plane index of the short-range order: correlations up to so many "
        "cells away along each axis.",
        low=1,
        high=12,
        advanced=True,
    )

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`dsfunet_core.factorize`."""
        arguments: dict[str, Any] = {"method": self.method}
        if self.method == "network":
            if self.model:
                arguments["weights"] = self.model
        else:
            arguments |= {
                "support": self.support if self.support > 0 else "auto",
                "background": self.background,
                "robust": self.robust,
                "order": self.order,
            }
        if self.device != "auto":
            arguments["device"] = self.device
        return arguments

    def compute(
        self, plane: ReciprocalPlane, callback: Any = None, cancel: CancelToken | None = None
    ) -> Factorization:
        """Mask the Bragg peaks and factorize."""
        from dsfunet_core import devices, factorize, mask_bragg

        if self.bragg_radius > 0:
            plane = mask_bragg(plane, self.bragg_radius)
        arguments = {"device": devices.best(), **self.as_core_arguments()}
        return factorize(plane, **arguments, callback=callback, cancel=cancel)

    def script(self) -> tuple[str, ...]:
        """``result`` from ``plane``."""
        lines: tuple[str, ...] = ()
        if self.bragg_radius > 0:
            lines = (f"plane = dsfunet_core.mask_bragg(plane, {self.bragg_radius!r})",)
        call = self._call("plane")
        if self.device == "auto":
            lines = ("from dsfunet_core import devices", *lines)
            call += ", device=devices.best()"
        return (*lines, f"result = dsfunet_core.factorize({call})")


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


def from_stored(kind: type[Form], stored: dict[str, Any]) -> Form:
    """Form with the stored values that still fit its fields; defaults for the others.

    Parameters
    ----------
    kind : type
        Which form.
    stored : dict
        Name → value.
    """
    defaults = {f.name: f.default for f in fields(kind)}
    fitting = {
        name: value
        for name, value in stored.items()
        if name in defaults and type(value) is type(defaults[name])
    }
    return kind(**fitting)
