"""Cartesian frames in which planes are drawn undistorted, oblique cells included.

A reconstruction has its axes along a*, b* and c*; drawn as a plain array it is sheared.
The frames here give every pixel its true place in Å⁻¹ (2π included): x along one axis
of the array, y in the plane and perpendicular to x, n along the plane's normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.lattice import q_matrix

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.refine.unit_cell_map import UnitCellMap

__all__ = ["PlaneFrame", "map_frame", "plane_frame", "view_affine", "volume_affine"]

_AXES = ("a*", "b*", "c*")


@dataclass(frozen=True, eq=False)
class PlaneFrame:
    """Cartesian axes of a plane, and where its pixels lie in them.

    Parameters
    ----------
    affine : ndarray, shape (3, 3)
        (row, column, 1) → (x, y, 1) in Å⁻¹, measured from the foot of Q = 0.
    x_label, y_label : str
        What the axes are, unit included.
    """

    affine: NDArray[np.float64]
    x_label: str
    y_label: str

    def xy(self, row: NDArray, column: NDArray) -> NDArray[np.float64]:
        """Place of pixels (fractions allowed) in Å⁻¹, shape (..., 2)."""
        index = np.stack(np.broadcast_arrays(row, column), axis=-1)
        return index @ self.affine[:2, :2].T + self.affine[:2, 2]


def plane_frame(plane: ReciprocalPlane) -> PlaneFrame:
    """Frame of a plane: x along its rows' axis (h on hk1), y perpendicular to it.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell and geometry.

    Returns
    -------
    PlaneFrame
        x and y point towards increasing *hkl*.

    Raises
    ------
    GeometryError
        If the plane has no unit cell.
    """
    return _frame(*plane.geometry())


def map_frame(cell_map: UnitCellMap) -> PlaneFrame:
    """Frame of a map of one reciprocal cell; bins take the place of pixels.

    Parameters
    ----------
    cell_map : UnitCellMap
        Map; without a cell its two vectors are drawn as unit vectors at right angles.
    """
    lattice, bins = cell_map.lattice, np.array(cell_map.bins)
    if cell_map.cell is None:
        affine = np.eye(3)
        affine[:2, :2] = np.diag(1 / bins)
        affine[:2, 2] = 0.5 / bins
        return PlaneFrame(affine, "first in-plane index", "second in-plane index")
    steps = lattice.directions / bins
    origin = lattice.offset + steps @ np.array([0.5, 0.5])
    return _frame(cell_map.cell, origin, steps)


def view_affine(
    cell: gemmi.UnitCell,
    origin: NDArray[np.float64],
    steps: NDArray[np.float64],
    *,
    vertical: int,
    horizontal: int,
    layer: float,
) -> NDArray[np.float64]:
    """Affine of a volume for looking at one layer of it, undistorted in that layer.

    The displayed axes are sheared as they are in reality. The third column is kept
    free of shear, so that a viewer cuts along the layers; instead the in-plane origin is
    that of the layer looked at.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space unit cell [Å, °].
    origin : ndarray, shape (3,)
        *hkl* of voxel (0, 0, 0).
    steps : ndarray, shape (3, 3)
        Columns: *hkl* per step along each array axis.
    vertical, horizontal : int
        Array axes that are displayed.
    layer : float
        Index along the third axis for which the in-plane coordinates are exact.

    Returns
    -------
    ndarray, shape (4, 4)
        Index (i₀, i₁, i₂, 1) → Q in Å⁻¹: x stands at the place of the horizontal axis, y
        at that of the vertical one, and the height n at that of the third.
    """
    sliced = ({0, 1, 2} - {vertical, horizontal}).pop()
    to_q = q_matrix(cell)
    step_q = to_q @ np.asarray(steps, float)
    x, y, n = _basis(to_q, steps[:, horizontal], steps[:, vertical], steps[:, sliced])
    corner = to_q @ np.asarray(origin, float)
    affine = np.eye(4)
    for row, axis in ((horizontal, x), (vertical, y), (sliced, n)):
        affine[row, :3] = axis @ step_q
        affine[row, 3] = axis @ corner
    # Shear along the sliced axis becomes a shift that is right for this layer.
    for row in (horizontal, vertical):
        affine[row, 3] += affine[row, sliced] * layer
        affine[row, sliced] = 0
    affine[np.abs(affine) < 1e-12 * np.abs(affine).max()] = 0
    return affine


def volume_affine(
    cell: gemmi.UnitCell,
    origin: NDArray[np.float64],
    steps: NDArray[np.float64],
    *,
    upright: int = 0,
) -> NDArray[np.float64]:
    """Affine of a volume in three dimensions, oblique axes and all.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space unit cell [Å, °].
    origin : ndarray, shape (3,)
        *hkl* of voxel (0, 0, 0).
    steps : ndarray, shape (3, 3)
        Columns: *hkl* per step along each array axis.
    upright : int
        Array axis that keeps its direction; the others lean against theirs.

    Returns
    -------
    ndarray, shape (4, 4)
        Index → Q in Å⁻¹, in a Cartesian frame whose axes are near the array's.
    """
    to_q = q_matrix(cell)
    order = [upright, *(axis for axis in (2, 1, 0) if axis != upright)]
    x, y, n = _basis(to_q, *(steps[:, axis] for axis in order))
    frame = np.empty((3, 3))
    frame[order] = x, y, n
    affine = np.eye(4)
    affine[:3, :3] = frame @ to_q @ np.asarray(steps, float)
    affine[:3, 3] = frame @ to_q @ np.asarray(origin, float)
    affine[np.abs(affine) < 1e-12 * np.abs(affine).max()] = 0
    return affine


def _frame(
    cell: gemmi.UnitCell, origin: NDArray[np.float64], steps: NDArray[np.float64]
) -> PlaneFrame:
    to_q = q_matrix(cell)
    x, y, _ = _basis(to_q, steps[:, 0], steps[:, 1])
    frame = np.stack([x, y]) @ to_q
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = frame @ steps, frame @ origin
    along = _direction(steps[:, 0])
    across = f"Q in the plane, ⊥ {along} (Å⁻¹)"
    if abs(affine[0, 1]) < 1e-9 * abs(affine[1, 1]):
        across = f"Q along {_direction(steps[:, 1])} (Å⁻¹)"
    return PlaneFrame(affine, f"Q along {along} (Å⁻¹)", across)


def _basis(
    to_q: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    third: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal x ∥ first, y towards second, n towards third; all in *hkl*."""
    x = to_q @ _positive(first)
    x /= np.linalg.norm(x)
    second = to_q @ _positive(second)
    y = second - (second @ x) * x
    y /= np.linalg.norm(y)
    n = np.cross(x, y)
    if third is not None and n @ (to_q @ _positive(third)) < 0:
        n = -n
    return x, y, n


def _positive(step: NDArray[np.float64]) -> NDArray[np.float64]:
    """The step, turned round where it goes towards smaller indices."""
    step = np.asarray(step, float)
    return step * np.sign(step[np.flatnonzero(np.abs(step) > 1e-12)[0]])


def _direction(step: NDArray[np.float64]) -> str:
    """Name of a direction in reciprocal space: a*, or (1 1 0)* in small integers."""
    step = _positive(step) / np.abs(step).max()
    for factor in range(1, 13):
        indices = np.rint(step * factor)
        if np.allclose(indices / factor, step, atol=1e-4):
            if np.abs(indices).sum() == 1:
                return _AXES[int(np.argmax(np.abs(indices)))]
            return "({})*".format(" ".join(f"{i:.0f}" for i in indices))
    return "the rows"
