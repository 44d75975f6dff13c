"""What a refinement of Warren–Cowley parameters returns, and how it is written down."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.refine.alpha_table import AlphaByOrbit, aligned, with_uncertainty
from dsfunet_core.refine.unit_cell_map import UnitCellMap
from dsfunet_core.refine.yell import correlations
from dsfunet_core.symmetry import Orbit

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["SroRefinement"]

#: Version of the layout that ``to_dict`` writes.
_LAYOUT = 1


@dataclass(frozen=True, eq=False)
class SroRefinement(AlphaByOrbit):
    """Warren–Cowley parameters α_v of eq. (3), refined with α_000 = 1.

    Parameters
    ----------
    orbits : tuple of Orbit
        Symmetry-equivalent vectors that share a parameter.
    alpha : ndarray, shape (n,)
        α_v, one an orbit.
    covariance : ndarray, shape (n, n)
        Covariance of ``alpha``; rows and columns of parameters held at a bound are zero.
    scale : float
        k: the map is k·Σ α_v cos(Q·v).
    scale_sigma : float
        Standard uncertainty of ``scale``; 0 where it was not refined.
    at_bound : ndarray of bool, shape (n,)
        True where α was held at a bound.
    laue_class : str
        Laue class imposed on α.
    normal : tuple of int, optional
        Direction [uvw] of the columns whose pairs the vectors connect, where only vectors
        in the plane were refined.
    basis : str
        What was fitted: ``"coefficients"`` (Fourier coefficients of the factorization,
        with their full covariance) or ``"map"`` (bins of one reciprocal cell).
    chi2 : float
        Weighted sum of squared residuals; NaN where the variances of the data are not
        known. ``covariance`` is then scaled so that χ² per degree of freedom is 1.
    dof : float
        Degrees of freedom. Not a whole number where symmetry makes bins share pixels.
    r_factor, weighted_r_factor : float
        Σ|o − c|/Σ|o| and [Σw(o − c)²/Σwo²]^½ over the bins of the map.
    observed, calculated : UnitCellMap
        One reciprocal cell, observed and calculated in the same bins.
    fixed : ndarray of bool, shape (n,)
        True where α was given and not refined.
    """

    orbits: tuple[Orbit, ...]
    alpha: NDArray[np.float64]
    covariance: NDArray[np.float64]
    scale: float
    scale_sigma: float
    at_bound: NDArray[np.bool_]
    laue_class: str
    normal: tuple[int, int, int] | None
    basis: str
    chi2: float
    dof: float
    r_factor: float
    weighted_r_factor: float
    observed: UnitCellMap
    calculated: UnitCellMap
    fixed: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Nothing was fixed unless it is said."""
        if self.fixed is None:
            object.__setattr__(self, "fixed", np.zeros(len(self.alpha), bool))

    @property
    def correlation(self) -> NDArray[np.float64]:
        """Correlation matrix of ``alpha``, shape (n, n); zero beside parameters at a bound."""
        sigma = np.where(self.sigma > 0, self.sigma, 1.0)
        return self.covariance / np.outer(sigma, sigma)

    @property
    def reduced_chi2(self) -> float:
        """χ² per degree of freedom; NaN where χ² is not known."""
        return self.chi2 / self.dof if self.dof > 0 else float("nan")

    @property
    def inflation(self) -> float:
        """Factor on σ that would make χ² per degree of freedom 1; never below 1."""
        reduced = self.reduced_chi2
        return float(np.sqrt(reduced)) if reduced > 1 else 1.0

    @property
    def difference(self) -> UnitCellMap:
        """Observed minus calculated, NaN in empty bins."""
        return replace(self.observed, values=self.observed.values - self.calculated.values)

    def table(self) -> str:
        """Aligned text: vectors, multiplicities, lengths [Å] and α with uncertainties."""
        marks = np.where(
            self.at_bound, " (at its bound)", np.where(np.asarray(self.fixed), " (fixed)", "")
        )
        values = [
            with_uncertainty(alpha, sigma) + str(mark)
            for alpha, sigma, mark in zip(self.alpha, self.sigma, marks, strict=True)
        ]
        lines = aligned(zip(self.orbits, values, strict=True))
        return "\n".join([*lines, *self._footer()])

    def _footer(self) -> list[str]:
        k = with_uncertainty(self.scale, self.scale_sigma)
        k = k if self.scale_sigma > 0 else f"{k} (fixed)"
        lines = [
            f"Laue class {self.laue_class}; scale {k}; "
            f"R {self.r_factor:.4f}, wR {self.weighted_r_factor:.4f}"
        ]
        if self.normal is not None:
            lines.append(
                "Vectors in the plane only; order along [{} {} {}], if there is any, is in "
                "these α.".format(*self.normal)
            )
        if np.isnan(self.chi2):
            lines.append("Uncertainties from the residuals of the fit: no variances known.")
            return lines
        if self.dof <= 0:
            lines.append("As many parameters as data: the fit tests nothing.")
            return lines
        lines.append(
            f"χ² {self.chi2:.1f} for {self.dof:.1f} degrees of freedom: {self.reduced_chi2:.2f}"
        )
        # χ² has the variance 2·dof.
        if self.chi2 > self.dof + 2 * np.sqrt(2 * self.dof):
            forced = np.asarray(self.fixed, dtype=bool) | np.asarray(self.at_bound, dtype=bool)
            lines.append(
                "χ² is larger than by chance: α that are held or at a bound contradict the "
                f"data ({', '.join(self.orbits[i].label for i in np.flatnonzero(forced)[:5])})."
                if forced.any()
                else "χ² is larger than by chance: Laue class, shells or variances are not "
                "right. To allow for it, multiply the uncertainties by "
                f"{self.inflation:.2f}."
            )
        return lines

    def _columns(self) -> dict[str, Any]:
        flags = {"at_bound": self.at_bound, "fixed": np.asarray(self.fixed, dtype=bool)}
        return {**super()._columns(), **flags}

    def to_json(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write everything as JSON, for :meth:`from_json`.

        Parameters
        ----------
        path : path-like
            File to write.
        overwrite : bool
            Whether a file that is there may be replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ParameterError
            If it exists and ``overwrite`` is False.
        """
        from dsfunet_core.io.files import replacing

        with replacing(path, overwrite=overwrite) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), allow_nan=False), encoding="utf-8")
        return Path(path).expanduser()

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> SroRefinement:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        path : path-like
            File to read.

        Raises
        ------
        FileFormatError
            If it is missing or something else.
        """
        from dsfunet_core.io.files import existing_file

        found = existing_file(path)
        try:
            content = json.loads(found.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{found} is not JSON: {error}") from error
        return cls.from_dict(content)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, NaN as None, for :meth:`from_dict`."""
        return {
            "layout": _LAYOUT,
            "orbits": [
                {
                    "representative": list(orbit.representative),
                    "members": orbit.members.tolist(),
                    "length": _number(orbit.length),
                }
                for orbit in self.orbits
            ],
            "alpha": self.alpha.tolist(),
            "covariance": self.covariance.tolist(),
            "at_bound": self.at_bound.tolist(),
            "fixed": np.asarray(self.fixed).tolist(),
            "normal": None if self.normal is None else list(self.normal),
            "laue_class": self.laue_class,
            "basis": self.basis,
            **{name: _number(getattr(self, name)) for name in _NUMBERS},
            "observed": self.observed.to_dict(),
            "calculated": self.calculated.values.tolist(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> SroRefinement:
        """Refinement that :meth:`to_dict` wrote, exactly.

        Parameters
        ----------
        content : dict
            What :meth:`to_dict` returned, or its JSON read back.

        Raises
        ------
        FileFormatError
            If it is something else, or from a newer version.
        """
        layout = content.get("layout") if isinstance(content, dict) else None
        if layout != _LAYOUT:
            raise FileFormatError(
                f"this is no short-range-order refinement of layout {_LAYOUT} (found "
                f"{layout!r}); read it with the version of dsfunet that wrote it."
            )
        n = len(content["orbits"])
        observed = UnitCellMap.from_dict(content["observed"])
        numbers = {name: content[name] for name in _NUMBERS}
        return cls(
            orbits=tuple(
                Orbit(
                    tuple(entry["representative"]),
                    np.array(entry["members"], dtype=np.int64),
                    float("nan") if entry["length"] is None else entry["length"],
                )
                for entry in content["orbits"]
            ),
            alpha=np.array(content["alpha"], dtype=np.float64),
            covariance=np.array(content["covariance"], dtype=np.float64).reshape(n, n),
            at_bound=np.array(content["at_bound"], dtype=bool),
            # Refinements were written without before.
            fixed=np.array(content.get("fixed", [False] * n), dtype=bool),
            normal=None if content["normal"] is None else tuple(content["normal"]),
            laue_class=content["laue_class"],
            basis=content["basis"],
            **{k: float("nan") if x is None else x for k, x in numbers.items()},
            observed=observed,
            calculated=replace(
                observed, values=np.array(content["calculated"], dtype=np.float64)
            ),
        )

    def yell_snippet(self, *, variant: str = "Site", concentration: float = 0.5) -> str:
        """Correlations of a model for Yell, with joint probabilities from α.

        Parameters
        ----------
        variant : str
            Name of the Variant of two chemical units A and B in Yell's UnitCell.
        concentration : float
            m_A, the probability of A (the first unit of the Variant).

        Returns
        -------
        str
            ``Correlations [ … ]``. By eq. (4) the joint probability of A and A at a
            distance v is m_A² + m_A·m_B·α_v; the others follow from it in Yell.

        Raises
        ------
        ParameterError
            If the concentration is not between 0 and 1, or the name not one for Yell.
        """
        return correlations(
            self.orbits,
            self.alpha,
            self.laue_class,
            variant=variant,
            concentration=concentration,
        )


_NUMBERS = ("scale", "scale_sigma", "chi2", "dof", "r_factor", "weighted_r_factor")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
