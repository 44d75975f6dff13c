"""Laue rotations as maps of an array's indices, and boxes of voxels that they keep together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError
from dsfunet_core.symmetry import laue_rotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["BoxSet", "IndexOperations", "closed_boxes", "plane_maps", "volume_maps"]

#: Voxels by which an image may miss a voxel's centre and still be taken for that voxel.
MISS = 0.02
#: Slabs thinner than this [voxels] are read slowly; more axes are cut before it comes to that.
MIN_WIDTH = 8


@dataclass(frozen=True, eq=False)
class IndexOperations:
    """Operations of a point group on the indices of an array, i → M·i + t.

    Parameters
    ----------
    matrices : ndarray, shape (n, 3, 3)
        M, the identity first.
    shifts : ndarray, shape (n, 3)
        t [voxels].
    exact : ndarray of bool, shape (n,)
        True where voxels go to voxels: M and t hold whole numbers then.
    """

    matrices: NDArray[np.float64]
    shifts: NDArray[np.float64]
    exact: NDArray[np.bool_]

    @property
    def permuting(self) -> bool:
        """Whether every operation carries voxels to voxels, so that nothing is interpolated."""
        return bool(self.exact.all())

    def __len__(self) -> int:
        return len(self.matrices)


def volume_maps(
    volume: ReciprocalVolume, rotations: str | NDArray[np.int64]
) -> IndexOperations:
    """Operations of a Laue class on the voxels of a volume.

    The intensity at h (a row) equals that at h·W. With h = o + S·i an image has the index
    i' = S⁻¹·Wᵀ·S·i + S⁻¹·(Wᵀ − 1)·o.

    Parameters
    ----------
    volume : ReciprocalVolume
        Only its geometry is used.
    rotations : str or ndarray of int, shape (n, 3, 3)
        Hermann–Mauguin symbol, or matrices W as of :func:`laue_rotations`.
    """
    origin, steps = np.asarray(volume.origin, float), np.asarray(volume.steps, float)
    turned = _matrices(rotations).transpose(0, 2, 1)
    matrices = np.linalg.solve(steps, turned @ steps)
    shifts = np.linalg.solve(steps, ((turned - np.eye(3)) @ origin).T).T
    return _snapped(matrices, shifts, volume.shape)


def plane_maps(plane: ReciprocalPlane, rotations: str | NDArray[np.int64]) -> IndexOperations:
    """Operations of a Laue class that keep a plane, on its pixels.

    Parameters
    ----------
    plane : ReciprocalPlane
        With geometry. A plane off Q = 0 loses the operations that carry it to −Q.
    rotations : str or ndarray of int, shape (n, 3, 3)
        Hermann–Mauguin symbol, or matrices W as of :func:`laue_rotations`.

    Returns
    -------
    IndexOperations
        On (row, column, 0), so that a plane is a volume of one layer.
    """
    _, origin, steps = plane.geometry()
    to_pixel = np.linalg.pinv(steps)
    # Largest departure from the plane, in hkl, over the whole image.
    allowed = MISS * np.abs(steps).max()
    matrices: list[NDArray[np.float64]] = []
    shifts: list[NDArray[np.float64]] = []
    reach = np.asarray(plane.shape, dtype=float)
    for rotation in _matrices(rotations):
        turned, moved = rotation.T @ steps, rotation.T @ origin - origin
        matrix, shift = to_pixel @ turned, to_pixel @ moved
        off = np.abs(turned - steps @ matrix) @ reach + np.abs(moved - steps @ shift)
        if off.max() > allowed:
            continue
        full = np.eye(3)
        full[:2, :2] = matrix
        full_shift = np.array([*shift, 0.0])
        # Operations that differ off the plane only are one on it.
        known = zip(matrices, shifts, strict=True)
        if not any(np.allclose(full, m) and np.allclose(full_shift, t) for m, t in known):
            matrices.append(full)
            shifts.append(full_shift)
    return _snapped(np.array(matrices), np.array(shifts), (*plane.shape, 1))


def _matrices(rotations: str | NDArray[np.int64]) -> NDArray[np.int64]:
    return laue_rotations(rotations) if isinstance(rotations, str) else rotations


def _snapped(
    matrices: NDArray[np.float64], shifts: NDArray[np.float64], shape: tuple[int, ...]
) -> IndexOperations:
    """Round the operations that carry voxels to voxels."""
    whole, start = np.rint(matrices), np.rint(shifts)
    corners = np.array(list(product(*[(0, n - 1) for n in shape])), dtype=float)
    miss = np.abs(
        np.einsum("oab,cb->oca", matrices - whole, corners) + (shifts - start)[:, None]
    )
    exact = miss.max(axis=(1, 2)) < MISS
    exact &= np.abs(np.abs(np.linalg.det(whole)) - 1) < 1e-9
    return IndexOperations(
        np.where(exact[:, None, None], whole, matrices),
        np.where(exact[:, None], start, shifts),
        exact,
    )


@dataclass(frozen=True, eq=False)
class BoxSet:
    """Boxes of voxels that a group maps onto each other.

    Parameters
    ----------
    low : ndarray of int, shape (b, 3)
        First voxel of each.
    shape : ndarray of int, shape (b, 3)
        Voxels along each axis; 0 where a box lies outside the array.
    table : ndarray of int, shape (b, n)
        Box in which the images of a box's voxels lie, for every operation.
    """

    low: NDArray[np.int64]
    shape: NDArray[np.int64]
    table: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the boxes begin in one buffer that holds them all, shape (b + 1,)."""
        return np.concatenate([[0], np.cumsum(self.shape.prod(axis=1))])


def closed_boxes(
    operations: IndexOperations, shape: tuple[int, int, int], voxels: int
) -> Iterator[BoxSet]:
    """Cut an array into sets of boxes, each closed under a group and small enough.

    An axis can be cut if every operation takes it to itself, or to another axis that is
    cut, up to its direction: c of the hexagonal classes, all three of the cubic ones. Cuts
    lie symmetrically about Q = 0.

    Parameters
    ----------
    operations : IndexOperations
        All of which permute voxels.
    shape : tuple of int
        Voxels along each axis.
    voxels : int
        At most so many in a set.

    Yields
    ------
    BoxSet
        Every voxel of the array is in exactly one of them.

    Raises
    ------
    GeometryError
        If no axis can be cut.
    """
    if np.prod(shape) <= voxels:
        table = np.zeros((1, len(operations)), dtype=np.int64)
        yield BoxSet(np.zeros((1, 3), np.int64), np.array([shape]), table)
        return
    cut, width = _cuts(operations, shape, voxels)
    matrices = np.rint(operations.matrices).astype(np.int64)[
        np.ix_(range(len(operations)), cut, cut)
    ]
    twice_centre = _twice_centre(operations)
    ranges = []
    for axis in cut:
        ends = [_tile_of(i, int(twice_centre[axis]), width) for i in (0, shape[axis] - 1)]
        ranges.append(range(ends[0], ends[1] + 1))
    seen: set[tuple[int, ...]] = set()
    for tile in product(*ranges):
        if tile in seen:
            continue
        images: list[tuple[int, ...]] = []
        for image in (matrices @ np.array(tile)).tolist():
            if tuple(image) not in images:
                images.append(tuple(image))
        seen.update(images)
        place = {image: number for number, image in enumerate(images)}
        table = np.array(
            [[place[tuple(x)] for x in (matrices @ np.array(b)).tolist()] for b in images]
        )
        low = np.zeros((len(images), 3), dtype=np.int64)
        size = np.tile(np.array(shape, dtype=np.int64), (len(images), 1))
        for number, image in enumerate(images):
            for axis, index in zip(cut, image, strict=True):
                first, last = _span(index, int(twice_centre[axis]), width)
                first, last = max(first, 0), min(last, shape[axis] - 1)
                low[number, axis] = first
                size[number, axis] = max(last - first + 1, 0)
        yield BoxSet(low, size, table)


def _twice_centre(operations: IndexOperations) -> NDArray[np.int64]:
    """Twice the index of Q = 0, from the inversion that every Laue class has."""
    inversion = np.all(operations.matrices == -np.eye(3), axis=(1, 2))
    return np.rint(operations.shifts[inversion][0]).astype(np.int64)


def _cuts(
    operations: IndexOperations, shape: tuple[int, int, int], voxels: int
) -> tuple[list[int], int]:
    """Axes to cut, and the width of the pieces along them."""
    best: tuple[list[int], int] = ([], 0)
    for number in (1, 2, 3):
        for chosen in combinations(range(3), number):
            cut = list(chosen)
            rows = operations.matrices[:, cut]
            inside = rows[:, :, cut]
            if not np.allclose(np.abs(rows).sum(axis=2), 1) or not np.allclose(
                np.abs(inside).sum(axis=2), 1
            ):
                continue
            images = len(np.unique(inside.reshape(len(operations), -1), axis=0))
            others = np.prod([shape[i] for i in range(3) if i not in cut])
            width = int((voxels / (images * others)) ** (1 / number))
            if width >= MIN_WIDTH:
                return cut, width
            if width > best[1]:
                best = cut, width
    if not best[1]:
        raise GeometryError(
            f"an array of {' × '.join(map(str, shape))} voxels cannot be averaged in pieces "
            "under this Laue class within max_memory; allow more of it."
        )
    return best


def _tile_of(index: int, twice_centre: int, width: int) -> int:
    distance = 2 * index - twice_centre
    if abs(distance) <= width:
        return 0
    tile = 1 + (abs(distance) - width - 1) // (2 * width)
    return tile if distance > 0 else -tile


def _span(tile: int, twice_centre: int, width: int) -> tuple[int, int]:
    """First and last voxel of a tile; the middle one lies about Q = 0."""
    if tile < 0:
        first, last = _span(-tile, twice_centre, width)
        return twice_centre - last, twice_centre - first
    last = (twice_centre + width + 2 * width * tile) // 2
    if tile == 0:
        return twice_centre - last, last
    return (twice_centre + width + 2 * width * (tile - 1)) // 2 + 1, last
