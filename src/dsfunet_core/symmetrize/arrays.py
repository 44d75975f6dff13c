"""Voxels in memory while they are averaged, and results kept in a file meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import h5py
import numpy as np

from dsfunet_core.io.hdf5 import HDF5Array

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["LABELS", "ArrayTarget", "FileTarget", "Target", "Voxels", "in_threads", "load"]

LABELS = ("intensity", "counts", "variance")
#: Bytes a voxel takes while it is averaged: three numbers in single precision.
BYTES = 12
#: Voxels read at once, in the double precision of ReciprocalVolume.block.
PIECE = 2**21


@dataclass(frozen=True, eq=False)
class Voxels:
    """Intensity (NaN = not to be used), counts and variance, flat arrays of one length."""

    intensity: NDArray[np.floating]
    counts: NDArray[np.floating]
    variance: NDArray[np.floating]

    @classmethod
    def empty(cls, size: int, dtype: DTypeLike = np.float32) -> Voxels:
        """Room for so many."""
        return cls(np.full(size, np.nan, dtype), np.zeros(size, dtype), np.zeros(size, dtype))

    def reshaped(self, start: int, shape: tuple[int, ...]) -> dict[str, NDArray[np.floating]]:
        """Views of the voxels of one box."""
        part = slice(start, start + int(np.prod(shape)))
        return {label: getattr(self, label)[part].reshape(shape) for label in LABELS}


def load(
    volume: ReciprocalVolume,
    low: tuple[int, ...],
    target: dict[str, NDArray[np.floating]],
) -> None:
    """Read a box of a volume into arrays, a few layers at a time.

    Parameters
    ----------
    volume : ReciprocalVolume
        Where from.
    low : tuple of int
        First voxel.
    target : dict of str to ndarray
        ``intensity``, ``counts`` and ``variance`` of the box's shape. Intensities become NaN
        where they must not be used.
    """
    shape = target["intensity"].shape
    if 0 in shape:
        return
    chunks = getattr(volume.intensity, "chunks", None)
    # Whole chunks, as far as they are told: each is unpacked once.
    deep = chunks[0] if chunks and isinstance(chunks[0], int) else 1
    layers = max(PIECE // max(shape[1] * shape[2], 1) // deep, 1) * deep
    begin, end = low[0], low[0] + shape[0]
    first = begin
    while first < end:
        last = min((first // layers + 1) * layers, end)
        block = volume.block(
            (
                slice(first, last),
                slice(low[1], low[1] + shape[1]),
                slice(low[2], low[2] + shape[2]),
            )
        )
        part = slice(first - begin, last - begin)
        intensity, valid = block["intensity"], block["valid"]
        assert intensity is not None
        assert valid is not None
        target["intensity"][part] = np.where(valid, intensity, np.nan)
        for label in ("counts", "variance"):
            given = block[label]
            if given is not None:
                target[label][part] = np.where(valid, given, 0)
        first = last


class Target(Protocol):
    """Where averages go."""

    def put(self, low: tuple[int, ...], part: dict[str, NDArray[np.floating]]) -> None:
        """Keep the averages of one box that begins at voxel ``low``."""

    def arrays(self) -> dict[str, Any]:
        """What was kept, as arrays or what slices like them."""


class ArrayTarget:
    """Averages kept in memory.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._arrays = Voxels.empty(int(np.prod(shape))).reshaped(0, shape)

    def put(self, low: tuple[int, ...], part: dict[str, NDArray[np.floating]]) -> None:
        """Keep the averages of one box.

        Parameters
        ----------
        low : tuple of int
            First voxel.
        part : dict of str to ndarray
            ``intensity``, ``counts``, ``variance``.
        """
        for label, values in part.items():
            self._arrays[label][_box(low, values.shape)] = values

    def arrays(self) -> dict[str, Any]:
        """The arrays."""
        return self._arrays


class FileTarget:
    """Averages kept in an uncompressed HDF5 file, which is quick to write in any order.

    Parameters
    ----------
    path : Path
        The file; it is replaced.
    shape : tuple of int
        Voxels along each axis.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path = path
        with h5py.File(path, "w") as h5:
            chunks = tuple(min(n, 32) for n in shape)
            for label in LABELS:
                fill = 0.0 if label == "counts" else np.nan
                h5.create_dataset(label, shape, "f4", chunks=chunks, fillvalue=fill)

    def put(self, low: tuple[int, ...], part: dict[str, NDArray[np.floating]]) -> None:
        """Write the averages of one box.

        Parameters
        ----------
        low : tuple of int
            First voxel.
        part : dict of str to ndarray
            ``intensity``, ``counts``, ``variance``.
        """
        if 0 in part["intensity"].shape:
            return
        with h5py.File(self.path, "r+", rdcc_nbytes=2**26) as h5:
            for label, values in part.items():
                h5[label][_box(low, values.shape)] = values

    def arrays(self) -> dict[str, Any]:
        """The datasets, read where they are sliced."""
        return {label: HDF5Array(self.path, label) for label in LABELS}


def _box(low: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))


def in_threads(
    work: Callable[[int, int], NDArray[np.float64]], size: int, pieces_each: int = 4
) -> NDArray[np.float64]:
    """Do work on pieces of a range in threads, and add up what it returns.

    Parameters
    ----------
    work : callable
        (first, last) → sums. It must release the interpreter to gain anything.
    size : int
        Length of the range.
    pieces_each : int
        Pieces a core gets, for cores that are slower than others.
    """
    cores = os.cpu_count() or 1
    edges = np.linspace(0, size, min(cores * pieces_each, max(size, 1)) + 1).astype(int)
    spans: Iterator[tuple[int, int]] = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    with ThreadPoolExecutor(cores) as pool:
        return np.sum(list(pool.map(lambda span: work(*span), spans)), axis=0)
