"""Volumes written a slab at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import h5py
    from numpy.typing import DTypeLike

__all__ = ["fill", "slabs"]

#: What a slab holds at most, more or less [bytes].
SLAB_BYTES = 2**26


def slabs(shape: tuple[int, ...], itemsize: int, depth: int = 1) -> Iterator[slice]:
    """Cut the first axis into pieces of some 64 MiB.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    itemsize : int
        Bytes of an element.
    depth : int
        Pieces are multiples of this deep, so that no chunk is packed twice.
    """
    layer = max(math.prod(shape[1:]) * itemsize, 1)
    deep = max(SLAB_BYTES // layer // depth, 1) * depth
    for start in range(0, shape[0], deep):
        yield slice(start, min(start + deep, shape[0]))


def fill(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    part: Callable[[slice], Any],
) -> h5py.Dataset:
    """Write a packed dataset, asking for a slab at a time.

    Parameters
    ----------
    group : h5py.Group
        Where to write.
    name : str
        Name of the dataset.
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its type.
    part : callable
        Gives the values of a slice of the first axis.

    Returns
    -------
    h5py.Dataset
        What was written.
    """
    kind = np.dtype(dtype)
    # Cubes of chunks let every section be read without unpacking the rest.
    chunks = tuple(min(n, 32 if len(shape) == 3 else 256) for n in shape)
    dataset = group.create_dataset(
        name, shape, kind, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True
    )
    for piece in slabs(shape, kind.itemsize, chunks[0]):
        dataset[piece] = part(piece)
    return dataset
