"""Short-range order folded into one reciprocal unit cell of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import PlaneLattice, q_matrix

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["UnitCellMap"]


@dataclass(frozen=True, eq=False)
class UnitCellMap:
    """I_SRO in one reciprocal unit cell of a plane, in bins.

    In-plane coordinates u = (u₁, u₂) count the two reciprocal-lattice vectors of the
    plane from its offset; bin (i, j) covers [i/n₁, (i+1)/n₁) × [j/n₂, (j+1)/n₂).

    Parameters
    ----------
    values : ndarray, shape (n1, n2)
        Weighted mean I_SRO of the samples in a bin; NaN where there are none.
    count : ndarray of int, shape (n1, n2)
        Number of different pixels in a bin. A pixel that symmetry puts there twice
        counts once.
    weight : ndarray, shape (n1, n2)
        Sum of the weights of the samples, each shared evenly among its
        symmetry-equivalent copies: what the bin adds to a fit over the whole map.
    coordinates : ndarray, shape (n1, n2, 2)
        Weighted mean in-plane coordinates of the samples; NaN where there are none.
    spread : ndarray, shape (n1, n2, 2, 2)
        Covariance of the samples' coordinates within the bin. With ``coordinates`` it
        corrects a fit for the width of the bins.
    variance : ndarray, shape (n1, n2)
        Variance of ``values``, from the weights and ``scatter``; NaN where unknown.
    scatter : float
        Variance of a sample of unit weight, from the scatter of samples about their bin's
        mean and slope, pooled over the map; NaN where no bin holds two samples.
    independent : float
        Number of independent values in the map: the filled bins, less what symmetry
        copied.
    lattice : PlaneLattice
        Reciprocal lattice of the plane.
    cell : gemmi.UnitCell, optional
        Direct-space cell, where it is known [Å, °].
    laue_class : str, optional
        Laue class that was imposed; None for none.
    threshold : float
        Pixels with a form factor below this fraction of its maximum were left out.
    source : str
        ``"ratio"``, ``"sro"``, ``"intensity"`` or ``"values"``: what was folded.
    """

    values: NDArray[np.float64]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    spread: NDArray[np.float64]
    variance: NDArray[np.float64]
    scatter: float
    independent: float
    lattice: PlaneLattice
    cell: gemmi.UnitCell | None = None
    laue_class: str | None = None
    threshold: float = 0.0
    source: str = "values"

    @classmethod
    def from_values(
        cls,
        values: ArrayLike,
        lattice: PlaneLattice,
        *,
        cell: gemmi.UnitCell | None = None,
        variance: ArrayLike | None = None,
        laue_class: str | None = None,
    ) -> UnitCellMap:
        """Map from values at the centres of its bins, for example a published one.

        Parameters
        ----------
        values : array_like, shape (n1, n2)
            I_SRO at u = ((i + ½)/n₁, (j + ½)/n₂); NaN where unknown.
        lattice : PlaneLattice
            Reciprocal lattice of the plane.
        cell : gemmi.UnitCell, optional
            Direct-space cell [Å, °].
        variance : array_like, shape (n1, n2), optional
            Variances of the values; without them all count alike.
        laue_class : str, optional
            Laue class the values obey.

        Returns
        -------
        UnitCellMap
            With every value counted as independent of the others.

        Raises
        ------
        GeometryError
            If the shapes do not fit.
        """
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2:
            raise GeometryError(
                f"values has shape {array.shape}; a map of one cell has two axes."
            )
        known = np.isfinite(array)
        noise = np.full(array.shape, np.nan)
        weight = known.astype(float)
        if variance is not None:
            noise = np.where(known, np.asarray(variance, dtype=np.float64), np.nan)
            if noise.shape != array.shape or not np.all(noise[known] > 0):
                raise GeometryError(
                    "variance must have the shape of values and be positive wherever a "
                    f"value is known; shapes are {np.shape(variance)} and {array.shape}."
                )
            weight[known] = 1 / noise[known]
        centres = np.where(known[..., None], _centres(array.shape), np.nan)
        return cls(
            values=array,
            count=known.astype(np.int64),
            weight=weight,
            coordinates=centres,
            spread=np.zeros((*array.shape, 2, 2)),
            variance=noise,
            scatter=float("nan") if variance is None else 1.0,
            independent=float(known.sum()),
            lattice=lattice,
            cell=cell,
            laue_class=laue_class,
        )

    @property
    def bins(self) -> tuple[int, int]:
        """Bins along the two in-plane vectors."""
        rows, columns = self.values.shape
        return rows, columns

    def centres(self) -> NDArray[np.float64]:
        """In-plane coordinates of the bin centres, shape (n1, n2, 2), in [0, 1)."""
        return _centres(self.bins)

    def hkl(self) -> NDArray[np.float64]:
        """*hkl* of the bin centres, shape (n1, n2, 3), in reciprocal-lattice units."""
        return self.lattice.offset + self.centres() @ self.lattice.directions.T

    def q(self) -> NDArray[np.float64]:
        """Scattering vector of the bin centres, Cartesian.

        Returns
        -------
        ndarray, shape (n1, n2, 3)
            Q in Å⁻¹ (2π included).

        Raises
        ------
        GeometryError
            If the cell is not known.
        """
        if self.cell is None:
            raise GeometryError(
                "the map has no unit cell, so its bins have no Q in Å⁻¹; give the plane "
                "its cell, origin and steps before it is factorized."
            )
        return self.hkl() @ q_matrix(self.cell).T

    def mean(self) -> float:
        """Mean over the filled bins: 1 for a properly scaled I_SRO in a complete cell."""
        if not np.isfinite(self.values).any():
            raise ParameterError("the map is empty; lower the threshold or mask less.")
        return float(np.nanmean(self.values))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, NaN as None, for :meth:`from_dict`."""
        arrays = {name: _listed(getattr(self, name)) for name in _ARRAYS}
        lattice = {name: getattr(self.lattice, name).tolist() for name in _LATTICE}
        return {
            **arrays,
            "count": self.count.tolist(),
            "scatter": None if np.isnan(self.scatter) else float(self.scatter),
            "independent": float(self.independent),
            "lattice": lattice,
            "cell": None if self.cell is None else list(self.cell.parameters),
            "laue_class": self.laue_class,
            "threshold": float(self.threshold),
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> UnitCellMap:
        """Map that :meth:`to_dict` wrote, exactly.

        Parameters
        ----------
        content : dict
            What :meth:`to_dict` returned, or its JSON read back.
        """
        stored = content["lattice"]
        lattice = PlaneLattice(
            basis=np.array(stored["basis"], dtype=np.float64),
            origin=np.array(stored["origin"], dtype=np.float64),
            directions=np.array(stored["directions"], dtype=np.int64),
            offset=np.array(stored["offset"], dtype=np.float64),
        )
        scatter = content["scatter"]
        return cls(
            **{name: np.array(content[name], dtype=np.float64) for name in _ARRAYS},
            count=np.array(content["count"], dtype=np.int64),
            scatter=float("nan") if scatter is None else scatter,
            independent=content["independent"],
            lattice=lattice,
            cell=None if content["cell"] is None else gemmi.UnitCell(*content["cell"]),
            laue_class=content["laue_class"],
            threshold=content["threshold"],
            source=content["source"],
        )


_ARRAYS = ("values", "weight", "coordinates", "spread", "variance")
_LATTICE = ("basis", "origin", "directions", "offset")


def _centres(bins: tuple[int, ...]) -> NDArray[np.float64]:
    i, j = np.mgrid[: bins[0], : bins[1]]
    return np.stack([(i + 0.5) / bins[0], (j + 0.5) / bins[1]], axis=-1)


def _listed(array: NDArray[np.float64]) -> list[Any]:
    """Nested lists with None for NaN, so that JSON can hold them."""
    objects = array.astype(object)
    objects[np.isnan(array)] = None
    return objects.tolist()
