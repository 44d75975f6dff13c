"""Fourier bases of the two factors, and their normal matrices from a few sums.

Products of two cosines are cosines of sums and differences, so every element of the normal
matrix of Gauss and Newton is a sum or difference of two values of one trigonometric sum:

    Σ g cos(x·q) cos(y·q) = ½ [R(x − y) + R(x + y)],   R(x) = Σ g cos(x·q).

Form factor and order share one grid of real-space points with spacing 1/K, on which lattice
vectors are every K-th point; three sums over the voxels give the whole matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.symmetry import Orbit
    from dsfunet_core.volume_factorization.grid import VolumeGrid

__all__ = ["FormFactorBasis", "OrderBasis", "cross_matrix"]

#: Correlation lengths of the form factor, 1/(2·radius), beyond the volume's faces, and the
#: smallest such gap in reciprocal-lattice units.
CORRELATION_LENGTHS, SMALLEST_GAP = 2.4, 0.9
#: Rows of a normal matrix gathered at a time.
ROWS = 256


@dataclass(frozen=True, eq=False)
class FormFactorBasis:
    """1 and √2 cos(2π (j/K)·q) for the points j/K inside a radius, one of j and −j.

    Parameters
    ----------
    grid : VolumeGrid
        Voxels.
    divisions : ndarray of int, shape (3,)
        K: points per lattice vector along each axis.
    indices : ndarray of int, shape (n, 3)
        j; the first is 0.
    radius : ndarray, shape (n,)
        Distance of the points from the origin [Å], ascending.
    """

    grid: VolumeGrid
    divisions: NDArray[np.int64]
    indices: NDArray[np.int64]
    radius: NDArray[np.float64]

    @classmethod
    def build(cls, grid: VolumeGrid, cell: gemmi.UnitCell, radius: float) -> FormFactorBasis:
        """Basis of all points within a radius.

        Parameters
        ----------
        grid : VolumeGrid
            Voxels.
        cell : gemmi.UnitCell
            For distances.
        radius : float
            Largest distance [Å].
        """
        to_cartesian, reach, divisions = _spacing(grid, cell, radius)
        box = np.floor(reach * divisions).astype(np.int64)
        axes = [np.arange(-b, b + 1) for b in box]
        j = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        # One of j and −j: the later half of the box, whose middle is 0.
        j = j[len(j) // 2 :]
        r = np.linalg.norm((j / divisions) @ to_cartesian.T, axis=1)
        order = np.argsort(r, kind="stable")
        order = order[r[order] <= radius]
        return cls(grid, divisions, j[order], r[order])

    @classmethod
    def about(cls, grid: VolumeGrid, cell: gemmi.UnitCell, radius: float) -> int:
        """Roughly how many points :meth:`build` would list, without listing them.

        Parameters
        ----------
        grid, cell, radius : VolumeGrid, gemmi.UnitCell, float
            As in :meth:`build`.
        """
        to_cartesian, _, divisions = _spacing(grid, cell, radius)
        a_point = abs(np.linalg.det(to_cartesian)) / np.prod(divisions, dtype=float)
        return 1 + round(2 / 3 * np.pi * radius**3 / a_point)

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return len(self.indices)

    @property
    def reach(self) -> NDArray[np.int64]:
        """Largest |j| along each axis, shape (3,)."""
        return np.asarray(np.abs(self.indices).max(axis=0))

    @property
    def amplitude(self) -> NDArray[np.float64]:
        """1, √2, √2, … shape (n,)."""
        found = np.full(self.size, np.sqrt(2.0))
        found[0] = 1.0
        return found

    def synthesize(self, coefficients: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values on the voxels, shape (n,) → (n0, n1, n2)."""
        reach = self.reach
        box = np.zeros(2 * reach + 1)
        half = coefficients * self.amplitude / 2
        box[tuple((reach + self.indices).T)] += half
        box[tuple((reach - self.indices).T)] += half
        return self.grid.synthesize(box, self.divisions)

    def analyze(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sums of the voxels' values times each function, shape (n,)."""
        reach = self.reach
        box = self.grid.analyze(field, self.divisions, reach)
        return np.asarray(box[tuple((reach + self.indices).T)] * self.amplitude)

    def gram(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Σ weights φ_i φ_j over the voxels, shape (n, n)."""
        reach = 2 * self.reach
        box = self.grid.analyze(weights, self.divisions, reach)
        a = self.amplitude
        return _gathered(box, reach, self.indices, self.indices, a, a)


@dataclass(frozen=True, eq=False)
class OrderBasis:
    """Σ cos(2π v·hkl) over the vectors of each orbit: S = 1 + Σ α_orbit ψ_orbit.

    Parameters
    ----------
    grid : VolumeGrid
        Voxels.
    orbits : tuple of Orbit
        Vectors that share an α.
    indices : ndarray of int, shape (m, 3)
        One of v and −v of all orbits, in the components of the grid.
    members : ndarray, shape (m, n)
        2 where a vector belongs to an orbit (it stands for −v as well).
    """

    grid: VolumeGrid
    orbits: tuple[Orbit, ...]
    indices: NDArray[np.int64]
    members: NDArray[np.float64]

    @classmethod
    def build(cls, grid: VolumeGrid, orbits: list[Orbit]) -> OrderBasis:
        """Basis of some orbits.

        Parameters
        ----------
        grid : VolumeGrid
            Voxels.
        orbits : list of Orbit
            Without (0, 0, 0).
        """
        vectors, owner = [], []
        for number, orbit in enumerate(orbits):
            # tolist: comparison of tuples, first component first.
            half = [v for v in orbit.members.tolist() if v > [0, 0, 0]]
            vectors += half
            owner += [number] * len(half)
        members = np.zeros((len(vectors), len(orbits)))
        members[np.arange(len(vectors)), owner] = 2.0
        return cls(grid, tuple(orbits), grid.indices(np.array(vectors)), members)

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return len(self.orbits)

    @property
    def reach(self) -> NDArray[np.int64]:
        """Largest component of a vector along each axis of the grid, shape (3,)."""
        return np.asarray(np.abs(self.indices).max(axis=0))

    def synthesize(self, alpha: NDArray[np.float64]) -> NDArray[np.float32]:
        """S on the voxels, shape (n,) → (n0, n1, n2)."""
        reach = self.reach
        box = np.zeros(2 * reach + 1)
        half = self.members @ alpha / 2
        box[tuple((reach + self.indices).T)] += half
        box[tuple((reach - self.indices).T)] += half
        box[tuple(reach)] += 1.0
        return self.grid.synthesize(box, np.ones(3, np.int64))

    def analyze(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sums of the voxels' values times each ψ, shape (n,)."""
        reach = self.reach
        box = self.grid.analyze(field, np.ones(3, np.int64), reach)
        return np.asarray(box[tuple((reach + self.indices).T)] @ self.members)

    def gram(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Σ weights ψ_i ψ_j over the voxels, shape (n, n)."""
        reach = 2 * self.reach
        box = self.grid.analyze(weights, np.ones(3, np.int64), reach)
        one = np.ones(len(self.indices))
        full = _gathered(box, reach, self.indices, self.indices, one, one)
        return np.asarray(self.members.T @ full @ self.members)


def _spacing(
    grid: VolumeGrid, cell: gemmi.UnitCell, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Matrix to Å, reach of a sphere along each axis, and points per lattice vector K."""
    # r = A x with x = M⁻ᵀ y for v·hkl = y·q.
    to_cartesian = np.array(cell.orth.mat.tolist()) @ np.linalg.inv(grid.directions).T
    reach = radius * np.linalg.norm(np.linalg.inv(to_cartesian), axis=1)
    # The basis repeats after K: the gap to the next repeat is to hold two correlation
    # lengths of F, or opposite faces of the volume, which know nothing of each other,
    # are forced together. Too wide a support would mend that, so it does not narrow it.
    gap = np.maximum(CORRELATION_LENGTHS / (2 * reach), SMALLEST_GAP)
    divisions = np.ceil(grid.extent + gap).astype(np.int64)
    return to_cartesian, reach, divisions


def cross_matrix(
    form_factor: FormFactorBasis, order: OrderBasis, weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Σ weights φ_i ψ_j over the voxels.

    Parameters
    ----------
    form_factor, order : FormFactorBasis, OrderBasis
        Bases of the two factors.
    weights : ndarray, shape (n0, n1, n2)
        Real.

    Returns
    -------
    ndarray, shape (n_P, n_α)
        Rows: unknowns of the form factor.
    """
    vectors = order.indices * form_factor.divisions
    reach = form_factor.reach + order.reach * form_factor.divisions
    box = form_factor.grid.analyze(weights, form_factor.divisions, reach)
    one = np.ones(len(vectors))
    full = _gathered(box, reach, form_factor.indices, vectors, form_factor.amplitude, one)
    return np.asarray(full @ order.members)


def _gathered(
    box: NDArray[np.float64],
    reach: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    left_amplitude: NDArray[np.float64],
    right_amplitude: NDArray[np.float64],
) -> NDArray[np.float64]:
    """½ a b [R(left − right) + R(left + right)] from the box of R, 0 in its middle."""
    strides = np.array([box.shape[1] * box.shape[2], box.shape[2], 1])
    flat = np.ascontiguousarray(box).ravel()
    rows = (left + reach) @ strides
    columns = right @ strides
    result = np.empty((len(left), len(right)))
    for start in range(0, len(left), ROWS):
        part = rows[start : start + ROWS, None]
        block = np.take(flat, part - columns)
        block += np.take(flat, part + columns)
        block *= left_amplitude[start : start + ROWS, None] / 2
        block *= right_amplitude
        result[start : start + ROWS] = block
    return result
