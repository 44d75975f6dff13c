"""Trigonometric sums over the voxels of a volume, axis by axis.

Voxels lie at hkl = M q with M a small integer matrix and every component of q stepped along
one array axis, so that exp(2πi v·hkl) is an outer product of three one-dimensional
exponentials. Sums over voxels for a whole box of frequencies are three small matrix
products, exact for any step and origin: no FFT, no grid that lattice vectors must fall on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["VolumeGrid"]

#: Largest integer accepted in the direction of an array axis.
MAX_INDEX = 6
#: Voxels whose partial sums are kept at a time.
SLAB = 2**19


@dataclass(frozen=True, eq=False)
class VolumeGrid:
    """Where the voxels of a volume lie.

    Parameters
    ----------
    directions : ndarray of int, shape (3, 3)
        M: columns are the directions [hkl] of the array axes.
    pitch : ndarray, shape (3,)
        Step of q along each array axis.
    coordinates : tuple of ndarray
        q along each array axis; hkl = M q.
    """

    directions: NDArray[np.int64]
    pitch: NDArray[np.float64]
    coordinates: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def of(cls, volume: ReciprocalVolume) -> VolumeGrid:
        """Grid of a volume.

        Parameters
        ----------
        volume : ReciprocalVolume
            With steps along small-integer directions.

        Raises
        ------
        GeometryError
            If a step is not along such a direction.
        """
        steps = np.asarray(volume.steps, dtype=np.float64)
        columns = [_integer_direction(column, axis) for axis, column in enumerate(steps.T)]
        directions = np.stack(columns, axis=1)
        to_q = np.linalg.inv(directions)
        start, pitch = to_q @ np.asarray(volume.origin, float), np.diag(to_q @ steps)
        a, b, c = (
            s + p * np.arange(n) for s, p, n in zip(start, pitch, volume.shape, strict=True)
        )
        return cls(directions, pitch, (a, b, c))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        a, b, c = self.coordinates
        return len(a), len(b), len(c)

    @property
    def extent(self) -> NDArray[np.float64]:
        """Length of the volume along each component of q, shape (3,)."""
        return np.abs(self.pitch) * self.shape

    def indices(self, vectors: NDArray[np.int64]) -> NDArray[np.int64]:
        """Components n with v·hkl = n·q of direct lattice vectors, (..., 3) → (..., 3)."""
        return np.asarray(vectors, dtype=np.int64) @ self.directions

    def analyze(
        self,
        field: NDArray[np.floating],
        divisions: NDArray[np.int64],
        reach: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Σ field · cos(2π (j/K)·q) over the voxels, for all |j| ≤ reach.

        Parameters
        ----------
        field : ndarray, shape (n0, n1, n2)
            Real.
        divisions : ndarray of int, shape (3,)
            K.
        reach : ndarray of int, shape (3,)
            Largest j along each axis.

        Returns
        -------
        ndarray, shape (2·reach + 1, ...)
            j = 0 in the middle.
        """
        first, second, third = self._waves(divisions, reach)
        third = third[:, reach[2] :]
        parts = np.concatenate([third.real, third.imag], axis=1)
        half = len(third[0])
        total = np.zeros((len(first[0]), len(second[0]), half), np.complex128)
        n0, n1, n2 = self.shape
        slab = max(1, SLAB // (n1 * n2))
        for start in range(0, n0, slab):
            piece = np.asarray(field[start : start + slab], dtype=np.float64)
            along = (piece.reshape(-1, n2) @ parts).reshape(len(piece), n1, 2 * half)
            spectrum = along[..., :half] + 1j * along[..., half:]
            spectrum = np.matmul(second.T, spectrum)
            wave = first[start : start + slab].T
            total += (wave @ spectrum.reshape(len(piece), -1)).reshape(total.shape)
        real = total.real
        # cos is even: the half with j2 < 0 is the other one turned round.
        return np.concatenate([real[::-1, ::-1, :0:-1], real], axis=2)

    def synthesize(
        self, values: NDArray[np.float64], divisions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Σ_j values_j · cos(2π (j/K)·q) on the voxels; the adjoint of :meth:`analyze`.

        Parameters
        ----------
        values : ndarray, shape (2·reach + 1, ...)
            j = 0 in the middle, even: values at j and −j agree.
        divisions : ndarray of int, shape (3,)
            K.

        Returns
        -------
        ndarray of float32, shape (n0, n1, n2)
            Summed in double precision.
        """
        reach = (np.array(values.shape) - 1) // 2
        first, second, third = self._waves(divisions, reach)
        # Even values: the half with j2 > 0 counts twice.
        half = np.array(values[..., reach[2] :])
        half[..., 1:] *= 2
        third = third[:, reach[2] :]
        n0, n1, n2 = self.shape
        result = np.empty(self.shape, np.float32)
        slab = max(1, SLAB // (n1 * n2))
        flat = half.reshape(len(half), -1)
        for start in range(0, n0, slab):
            wave = first[start : start + slab]
            rows = (wave @ flat).reshape(len(wave), *half.shape[1:])
            rows = np.matmul(second, rows)
            pairs = np.concatenate([rows.real, -rows.imag], axis=-1)
            waves = np.concatenate([third.real, third.imag], axis=1)
            result[start : start + slab] = pairs @ waves.T
        return result

    def _waves(
        self, divisions: NDArray[np.int64], reach: NDArray[np.int64]
    ) -> list[NDArray[np.complex128]]:
        """exp(2πi j q / K) along each axis, shape (n, 2·reach + 1) each."""
        return [
            np.exp(2j * np.pi * np.outer(q, np.arange(-r, r + 1) / k))
            for q, k, r in zip(self.coordinates, divisions, reach, strict=True)
        ]


def _integer_direction(step: NDArray[np.float64], axis: int) -> NDArray[np.int64]:
    scaled = step / np.abs(step).max()
    for factor in range(1, MAX_INDEX + 1):
        candidate = np.rint(scaled * factor)
        if np.allclose(candidate / factor, scaled, atol=1e-6):
            found = candidate.astype(np.int64)
            return np.asarray(found // gcd(*found.tolist()))
    raise GeometryError(
        f"array axis {axis} of the volume steps along "
        f"[{', '.join(f'{x:.4f}' for x in scaled)}] in hkl, which is no small-integer "
        "direction, so the short-range order cannot be summed along it. Reconstruct the volume "
        "on axes along reciprocal-lattice vectors."
    )
