"""What the factorization of a volume leaves, weighted: what its checks look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.volume_factorization.grid import VolumeGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization.result import VolumeFactorization

__all__ = ["VolumeEvidence"]

#: Variance floor of weights from counting statistics, in units of the mean product.
FLOOR = 0.03
#: Residuals beyond so many standard deviations are left out.
OUTLIER = 6.0
#: Points along each edge of the cell at which the order is looked at.
POINTS = 20


@dataclass(frozen=True, eq=False)
class VolumeEvidence:
    """Residual of a factorization in units of its standard deviation.

    Parameters
    ----------
    result : VolumeFactorization
        What was found; its volume is read.
    """

    result: VolumeFactorization

    @cached_property
    def grid(self) -> VolumeGrid:
        """Where the voxels lie."""
        return VolumeGrid.of(self.result.volume)

    @cached_property
    def order(self) -> NDArray[np.float32]:
        """S on the voxels."""
        return self.result.sro_volume()

    @cached_property
    def product(self) -> NDArray[np.float32]:
        """F·S on the voxels."""
        return self.result.form_factor * self.order

    @cached_property
    def _weighted(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        parts = self.result.volume.block((slice(None),) * 3)
        valid, intensity = parts["valid"], parts["intensity"]
        variance, counts = parts["variance"], parts["counts"]
        assert valid is not None
        assert intensity is not None
        if variance is None:
            variance = self.product + FLOOR * float(self.product[valid].mean())
            if counts is not None:
                variance = variance / np.maximum(counts, 1e-9)
        known = valid & np.isfinite(variance) & (variance > 0)
        weights = np.where(known, 1 / np.where(known, variance, 1), 0)
        z = np.where(known, intensity - self.product, 0) * np.sqrt(weights)
        for _ in range(3):
            spread = float(np.sqrt(np.mean(z[weights > 0] ** 2))) or 1.0
            far = np.abs(z) > OUTLIER * spread
            z[far], weights[far] = 0, 0
        return (weights / spread**2).astype(np.float32), (z / spread).astype(np.float32)

    @property
    def weights(self) -> NDArray[np.float32]:
        """1/variance, scaled so that the mean square of ``z`` is 1; 0 where not used."""
        return self._weighted[0]

    @property
    def z(self) -> NDArray[np.float32]:
        """Weighted residual; 0 where not used."""
        return self._weighted[1]

    def power_at_vectors(self, low: float, high: float) -> tuple[float, int]:
        """Power of the residual's Fourier transform near lattice vectors over that elsewhere.

        Parameters
        ----------
        low, high : float
            Largest component of the vectors that count, in cells.

        Returns
        -------
        power : float
            1 where only noise is left, or a little less: the fit took some of it.
        number : int
            Points that were averaged, half of them independent; 0 where the voxels are too
            coarse to tell.
        """
        power, off, reach = self._transform
        at = (off < 0.25) & (reach > low) & (reach < high)
        far = (off > 0.3) & (reach > 2.5)
        noise = float(power[far].mean()) if far.any() else 0.0
        if not at.any() or noise <= 0:
            return 1.0, 0
        return float(power[at].mean()) / noise, int(at.sum())

    @cached_property
    def _transform(self) -> tuple[NDArray, NDArray, NDArray]:
        """Power, distance from a lattice vector and largest component, in cells."""
        power = np.abs(np.fft.fftn(self.z)) ** 2
        cells = [
            np.fft.fftfreq(n, p) for n, p in zip(power.shape, self.grid.pitch, strict=True)
        ]
        # v·hkl = y·q for v = M⁻ᵀ y.
        y = np.stack(np.meshgrid(*cells, indexing="ij"), -1).astype(np.float32)
        v = y @ np.linalg.inv(self.grid.directions).astype(np.float32)
        return power, np.abs(v - np.rint(v)).max(axis=-1), np.abs(v).max(axis=-1)

    def lowest_order(self) -> tuple[float, float]:
        """Lowest S over a reciprocal cell, and its standard uncertainty there."""
        axis = np.arange(POINTS) / POINTS
        hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        values = self.result.sro(hkl)
        at = int(np.argmin(values))
        return float(values[at]), float(self.result.sro_sigma(hkl[at : at + 1])[0])
