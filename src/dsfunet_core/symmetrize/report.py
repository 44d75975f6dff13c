"""What an average over equivalents says about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SymmetryReport"]


@dataclass(frozen=True)
class SymmetryReport:
    """Agreement of the equivalents, and what the average filled.

    Parameters
    ----------
    laue_class : str
        Hermann–Mauguin symbol.
    operations : int
        How many operations there are; on a plane those that keep it.
    permuting : int
        How many of them carry voxels to voxels; the others interpolate.
    r_int : float
        Σ|I − ⟨I⟩| / Σ|I| over all orbits observed twice or more, rejected observations left
        out; NaN if there are none. It grows with redundancy.
    r_meas : float
        The same with every orbit's deviations times √(n/(n − 1)), n its observations: to be
        compared between Laue classes, as redundancy does not change it.
    redundancy : float
        Mean number of observations an orbit that was observed at all has.
    rejected : float
        Share of the observations that were rejected as outliers.
    coverage_before, coverage_after : float
        Share of the voxels with data.
    """

    laue_class: str
    operations: int
    permuting: int
    r_int: float
    r_meas: float
    redundancy: float
    rejected: float
    coverage_before: float
    coverage_after: float

    @classmethod
    def from_sums(
        cls,
        laue_class: str,
        exact: NDArray[np.bool_],
        sums: NDArray[np.float64],
        voxels: int,
    ) -> SymmetryReport:
        """Report from the sums of :mod:`dsfunet_core.symmetrize.kernels`.

        Parameters
        ----------
        laue_class : str
            Hermann–Mauguin symbol.
        exact : ndarray of bool, shape (n,)
            Which operations carry voxels to voxels.
        sums : ndarray, shape (8,)
            As the compiled loops add them up.
        voxels : int
            Voxels of the array.
        """
        size = float(sums[2]) or float("nan")
        return cls(
            laue_class=laue_class,
            operations=len(exact),
            permuting=int(exact.sum()),
            r_int=float(sums[0]) / size,
            r_meas=float(sums[1]) / size,
            redundancy=float(sums[4]) / float(sums[3]) if sums[3] else 0.0,
            rejected=float(sums[5]) / float(sums[4]) if sums[4] else 0.0,
            coverage_before=float(sums[6]) / voxels,
            coverage_after=float(sums[7]) / voxels,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict, for JSON and provenance; NaN becomes None."""
        return {
            k: None if isinstance(v, float) and np.isnan(v) else v
            for k, v in asdict(self).items()
        }

    def __str__(self) -> str:
        agreement = "no voxel was observed twice"
        if not np.isnan(self.r_int):
            agreement = f"R_int = {self.r_int:.4f} (R_meas = {self.r_meas:.4f})"
        text = (
            f"{self.laue_class}: {agreement}, {self.redundancy:.2f} observations a voxel, "
            f"measured {self.coverage_before:.1%} → {self.coverage_after:.1%}"
        )
        if self.rejected:
            text += f", {self.rejected:.2%} rejected as outliers"
        if self.permuting < self.operations:
            text += f", {self.operations - self.permuting} of {self.operations} interpolated"
        return text
