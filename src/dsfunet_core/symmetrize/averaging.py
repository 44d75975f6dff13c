"""Averages of voxels that are in memory: whole orbits, or tiles of interpolated images."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dsfunet_core.interpolation import MIN_WEIGHT
from dsfunet_core.symmetrize.arrays import Voxels, in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.symmetrize.operations import BoxSet, IndexOperations

__all__ = ["Source", "average_boxes", "average_tile", "tile_images"]


class Source(Protocol):
    """Voxels to interpolate between."""

    @property
    def counted(self) -> bool:
        """Whether counts are known."""

    @property
    def known(self) -> bool:
        """Whether variances are known."""

    def box(
        self, low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.floating]]]:
        """First voxel and arrays of at least what there is between two corners."""


def average_boxes(
    boxes: BoxSet,
    operations: IndexOperations,
    data: Voxels,
    counted: bool,
    known: bool,
    cut_off: float,
) -> NDArray[np.float64]:
    """Average the orbits of a closed set of boxes in place.

    Parameters
    ----------
    boxes : BoxSet
        Where the voxels lie.
    operations : IndexOperations
        All of which permute voxels.
    data : Voxels
        Those of the boxes, one after the other; overwritten.
    counted, known : bool
        Whether counts and variances were given.
    cut_off : float
        For outliers; 0 keeps all.

    Returns
    -------
    ndarray, shape (8,)
        Sums for :meth:`SymmetryReport.from_sums`.
    """
    from dsfunet_core.symmetrize.kernels import average_orbits

    matrices = np.rint(operations.matrices).astype(np.int64)
    shifts = np.rint(operations.shifts).astype(np.int64)
    starts, sums = boxes.starts, np.zeros(8)
    for box, (n0, n1, n2) in enumerate(boxes.shape.tolist()):
        if n2 == 0 or n0 * n1 == 0:
            continue

        def rows(first: int, last: int, box: int = box) -> NDArray[np.float64]:
            return average_orbits(
                box, first, last, boxes.low, boxes.shape, starts, boxes.table, matrices, shifts,
                data.intensity, data.counts, data.variance, counted, known, cut_off,
            )  # fmt: skip

        sums += in_threads(rows, n0 * n1)
    return sums


def average_tile(
    source: Source,
    operations: IndexOperations,
    low: tuple[int, ...],
    shape: tuple[int, ...],
    cut_off: float,
    dtype: Any = np.float32,
) -> tuple[dict[str, NDArray[np.floating]], NDArray[np.float64]]:
    """Average the interpolated images of a tile of voxels.

    Parameters
    ----------
    source : Source
        Where the images are taken from.
    operations : IndexOperations
        Any.
    low, shape : tuple of int
        First voxel of the tile, and voxels along each axis.
    cut_off : float
        For outliers; 0 keeps all.
    dtype : dtype
        Of the values.

    Returns
    -------
    part : dict of str to ndarray
        ``intensity``, ``counts``, ``variance`` of the tile.
    sums : ndarray, shape (8,)
        For :meth:`SymmetryReport.from_sums`.
    """
    from dsfunet_core.symmetrize.kernels import merge_images

    size = math.prod(shape)
    corner, extent = np.array(low, dtype=np.int64), np.array(shape, dtype=np.int64)
    images = tile_images(source, operations, low, shape, dtype)
    merged = Voxels.empty(size, dtype)

    def some(first: int, last: int) -> NDArray[np.float64]:
        return merge_images(
            first, last, corner, extent, operations.matrices, operations.shifts, *images,
            source.counted, source.known, cut_off,
            merged.intensity, merged.counts, merged.variance,
        )  # fmt: skip

    sums = in_threads(some, size)
    return merged.reshaped(0, tuple(shape)), sums


def tile_images(
    source: Source,
    operations: IndexOperations,
    low: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: Any = np.float32,
) -> list[NDArray[np.floating]]:
    """Interpolate all images of a tile of voxels.

    Parameters
    ----------
    source : Source
        Where the images are taken from.
    operations : IndexOperations
        Any.
    low, shape : tuple of int
        First voxel of the tile, and voxels along each axis.
    dtype : dtype
        Of the values.

    Returns
    -------
    list of ndarray, shape (n, voxels of the tile)
        Intensity (NaN where there is none), counts, variance.
    """
    from dsfunet_core.symmetrize.kernels import interpolate_images

    corner, extent = np.array(low, dtype=np.int64), np.array(shape, dtype=np.int64)
    size = len(operations), math.prod(shape)
    images = [np.full(size, start, dtype) for start in (np.nan, 0, 0)]
    corners = corner + np.array(list(product((0, 1), repeat=3))) * (extent - 1)

    def some(first: int, last: int) -> NDArray[np.float64]:
        for o in range(first, last):
            matrix, shift = operations.matrices[o], operations.shifts[o]
            ends = corners @ matrix.T + shift
            start, part = source.box(
                np.floor(ends.min(axis=0) - 1e-6).astype(np.int64),
                np.ceil(ends.max(axis=0) + 1e-6).astype(np.int64) + 1,
            )
            if 0 in part["intensity"].shape:
                continue
            interpolate_images(
                corner, extent, matrix, shift, start, *part.values(),
                source.counted, source.known, MIN_WEIGHT, *(values[o] for values in images),
            )  # fmt: skip
        return np.zeros(1)

    in_threads(some, len(operations))
    return images
