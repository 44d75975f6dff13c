"""Two-dimensional reciprocal lattices of planes, and Q from *hkl*."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PlaneLattice", "index_box", "next_cell", "plane_lattice", "q_matrix"]

#: Largest integer accepted as a component of a plane's direct-space normal [uvw].
MAX_NORMAL_INDEX = 12


def q_matrix(cell: gemmi.UnitCell) -> NDArray[np.float64]:
    """Matrix from *hkl* to Cartesian Q in Å⁻¹ (2π included), shape (3, 3).

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space unit cell.

    Returns
    -------
    ndarray, shape (3, 3)
        2π times the transposed fractionalization matrix; its columns are a*, b*
        and c* in the frame in which a is along x and b lies in the xy plane.
    """
    return 2 * np.pi * np.array(cell.frac.mat.tolist()).T


def next_cell(cell: gemmi.UnitCell) -> float:
    """Distance to the nearest equivalent point of the crystal, in Å.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space unit cell.
    """
    box = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    lengths = np.linalg.norm(box @ np.array(cell.orth.mat.tolist()).T, axis=1)
    return float(lengths[lengths > 0].min())


@dataclass(frozen=True, eq=False)
class PlaneLattice:
    """Reciprocal lattice of a plane, expressed in its pixels.

    Parameters
    ----------
    basis : ndarray, shape (2, 2)
        Columns: the two in-plane reciprocal-lattice vectors in pixels (row,
        column).
    origin : ndarray, shape (2,)
        Pixel (row, column) of the point the in-plane indices are counted from.
    directions : ndarray of int, shape (3, 2)
        Columns: *hkl* of the two in-plane vectors. On a plane ``hk1`` these are
        (1, 0, 0) and (0, 1, 0).
    offset : ndarray, shape (3,)
        *hkl* of ``origin``; (0, 0, 1) on a plane ``hk1``.
    """

    basis: NDArray[np.float64]
    origin: NDArray[np.float64]
    directions: NDArray[np.int64]
    offset: NDArray[np.float64]

    @property
    def direct_basis(self) -> NDArray[np.float64]:
        """R: direct basis in cycles per pixel, shape (2, 2); ``basis.T @ R = 1``."""
        return np.asarray(np.linalg.inv(self.basis).T, dtype=np.float64)

    def plane_indices(self, v: ArrayLike) -> NDArray[np.int64]:
        """In-plane indices (u₁, u₂) of direct-space lattice vectors v, (..., 3) → (..., 2)."""
        return np.asarray(v, dtype=np.int64) @ self.directions

    def phase(self, v: ArrayLike) -> NDArray[np.complex128]:
        """Factor exp(2πi offset·v) with which α_v enters the plane's C, shape (...)."""
        return np.exp(2j * np.pi * (np.asarray(v, float) @ self.offset))


def index_box(order: int) -> NDArray[np.int64]:
    """All pairs (u₁, u₂) with components up to ±order, shape ((2·order + 1)², 2)."""
    return np.moveaxis(np.indices((2 * order + 1,) * 2), 0, -1).reshape(-1, 2) - order


def plane_lattice(
    cell: gemmi.UnitCell, origin: NDArray[np.float64], steps: NDArray[np.float64]
) -> PlaneLattice:
    """Find the reciprocal lattice of a plane given by its affine map.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space unit cell; used to choose the shortest basis.
    origin : ndarray, shape (3,)
        *hkl* of pixel (0, 0).
    steps : ndarray, shape (3, 2)
        *hkl* per row and per column.

    Returns
    -------
    PlaneLattice
        Crystal axes are kept as basis where they lie in the plane; otherwise the
        two shortest vectors.

    Raises
    ------
    GeometryError
        If no integer normal [uvw] with components up to 12 fits the plane.
    """
    normal = _integer_normal(np.cross(steps[:, 0], steps[:, 1]))
    directions = _in_plane_basis(normal, cell)
    offset = _offset(normal, float(normal @ origin))
    to_pixel = np.linalg.pinv(steps)
    # The affine map is exact in hkl, so least squares loses nothing here.
    return PlaneLattice(
        basis=to_pixel @ directions,
        origin=to_pixel @ (offset - origin),
        directions=directions,
        offset=offset,
    )


def _integer_normal(normal: NDArray[np.float64]) -> NDArray[np.int64]:
    scaled = normal / np.abs(normal).max()
    for factor in range(1, MAX_NORMAL_INDEX + 1):
        candidate = np.rint(scaled * factor)
        if np.allclose(candidate / factor, scaled, atol=1e-4):
            integers = candidate.astype(np.int64)
            integers //= np.gcd.reduce(integers)
            first = integers[np.flatnonzero(integers)[-1]]
            return integers if first > 0 else -integers
    raise GeometryError(
        "the plane is irrational: its direct-space normal "
        f"[{', '.join(f'{x:.4f}' for x in scaled)}] is not a small-integer direction, "
        "so the short-range order is not periodic on it. Choose a plane spanned by "
        "two reciprocal-lattice vectors."
    )


def _in_plane_basis(normal: NDArray[np.int64], cell: gemmi.UnitCell) -> NDArray[np.int64]:
    """Primitive basis (3, 2) of the reciprocal-lattice points with normal·hkl = 0."""
    axes = np.flatnonzero(normal == 0)
    if len(axes) == 2:
        return np.eye(3, dtype=np.int64)[:, axes]
    reach = range(-MAX_NORMAL_INDEX, MAX_NORMAL_INDEX + 1)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    points = grid[(grid @ normal == 0) & np.any(grid != 0, axis=1)]
    lengths = np.linalg.norm(points @ q_matrix(cell).T, axis=1)
    # Prefer short vectors; among equals positive leading index, for a stable choice.
    order = np.lexsort((-points[:, 2], -points[:, 1], -points[:, 0], lengths.round(9)))
    first = points[order[0]]
    # first × v = ±normal exactly when (first, v) is a primitive basis.
    crosses = np.cross(first, points[order])
    primitive = np.all(np.abs(crosses) == np.abs(normal), axis=1)
    second = points[order][primitive][0]
    return np.stack([first, second], axis=1)


def _offset(normal: NDArray[np.int64], level: float) -> NDArray[np.float64]:
    """Short point of the plane normal·hkl = level that is integer where level is."""
    nearest = Fraction(level).limit_denominator(48)
    if abs(float(nearest) - level) < 1e-5:
        level = float(nearest)
    axes = np.flatnonzero(np.abs(normal) == 1)
    offset = np.zeros(3)
    if len(axes):
        offset[axes[-1]] = level * normal[axes[-1]]
        return offset
    reach = range(-MAX_NORMAL_INDEX, MAX_NORMAL_INDEX + 1)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    units = grid[grid @ normal == 1]
    return level * units[np.argmin(np.abs(units).sum(axis=1))]
