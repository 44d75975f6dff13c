"""Arrays of HDF5 files, read where they are sliced."""

from __future__ import annotations

import math
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.hdf5_file import check_dataset, children, listed, locate, open_hdf5

if TYPE_CHECKING:
    import os

    from numpy.typing import DTypeLike, NDArray

__all__ = ["HDF5Array", "LazyArray", "numbers", "selection", "text"]

#: Largest piece read at once [bytes]; a file can declare any size it likes.
MAX_READ_BYTES = 16 * 2**30
#: Longest text read from a file [bytes].
MAX_TEXT = 2**24


class LazyArray:
    """What looks like an array and is read where it is sliced.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    dtype : dtype
        Native data type of what slicing returns.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in memory, were it read as a whole [bytes]."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        raise NotImplementedError

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self!r} is read from a file, so it is always a copy.")
        return np.asarray(self[...], dtype=dtype)


class HDF5Array(LazyArray):
    """A dataset of an HDF5 file, opened at every access and never kept open.

    Parameters
    ----------
    path : path-like
        The file.
    name : str
        Path of the dataset in it. Soft and external links are followed, external
        ones only inside the folder of ``path``.

    Raises
    ------
    FileFormatError
        If the dataset is missing, not numeric, unreasonably large, compressed with
        a filter that is not installed, or kept in a file outside the folder.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        path = Path(path)
        root = path.resolve().parent
        self.path, self.name = locate(path, name, root)
        with open_hdf5(self.path) as h5:
            dataset = h5[self.name]
            if not isinstance(dataset, h5py.Dataset):
                raise FileFormatError(
                    f"{self.name} in {path} is a group, not an array; it holds "
                    f"{listed(dataset)}."
                )
            if dataset.shape is None or dataset.dtype.kind not in "biuf":
                raise FileFormatError(
                    f"{self.name} in {path} has type {dataset.dtype}; real numbers "
                    "were expected."
                )
            check_dataset(dataset, self.path, root)
            super().__init__(dataset.shape, dataset.dtype)
            self.chunks: tuple[int, ...] | None = dataset.chunks

    def __repr__(self) -> str:
        return f"HDF5Array({str(self.path)!r}, {self.name!r}, {self.shape}, {self.dtype})"

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part of the array: integers, slices and ``...`` are understood."""
        wanted, flips, count = selection(key, self.shape)
        if count * self.dtype.itemsize > MAX_READ_BYTES:
            raise ParameterError(
                f"reading {count * self.dtype.itemsize / 2**30:.0f} GiB of {self.name} in "
                f"{self.path} at once is refused (limit {MAX_READ_BYTES / 2**30:.0f} GiB): "
                'take a part, for example volume.section("hk1").'
            )
        with open_hdf5(self.path) as h5:
            block = np.asarray(h5[self.name][wanted])
        return np.asarray(block, dtype=self.dtype)[flips]


def numbers(path: Path, name: str, size: int) -> NDArray[np.float64] | None:
    """Read a few numbers that belong to a file's geometry.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Path of the dataset.
    size : int
        How many numbers there must be, in whatever shape.

    Returns
    -------
    ndarray, shape (size,), or None
        None where the file has no such dataset.
    """
    group, _, leaf = name.rpartition("/")
    if leaf not in children(path, group):
        return None
    array = HDF5Array(path, name)
    if array.size != size:
        raise FileFormatError(
            f"{name} in {path} has shape {array.shape}; {size} number"
            f"{'s were' if size > 1 else ' was'} expected."
        )
    values = array[...].reshape(size)
    if values.dtype == np.float32:
        # 0.08 stored in single precision means 0.08, not 0.0799999982.
        return np.array([float(str(value)) for value in values])
    return values.astype(np.float64)


def text(path: Path, name: str) -> str | None:
    """Read one string.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Path of the dataset.

    Returns
    -------
    str or None
        None where there is no such dataset, or it is no single string.
    """
    group, _, leaf = name.rpartition("/")
    if leaf not in children(path, group):
        return None
    file, name = locate(path, name, path.resolve().parent)
    with open_hdf5(file) as h5:
        dataset = h5[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.size != 1:
            return None
        string = h5py.check_string_dtype(dataset.dtype)
        if string is None or (string.length or 0) > MAX_TEXT:
            return None
        value = dataset.asstr(errors="replace")[()]
    return str(np.ravel(value)[0]).rstrip("\x00")


def selection(
    key: Any, shape: tuple[int, ...]
) -> tuple[tuple[int | slice, ...], tuple[slice, ...], int]:
    """Turn a key into one that h5py understands.

    Parameters
    ----------
    key : object
        Integers, slices and ``...``.
    shape : tuple of int
        Shape of the array.

    Returns
    -------
    selection : tuple of int or slice
        Rising, one for each axis.
    flips : tuple of slice
        To apply afterwards, one for each axis that is left.
    count : int
        Number of elements.
    """
    keys = key if isinstance(key, tuple) else (key,)
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        fill = len(shape) - (len(keys) - 1)
        keys = (*keys[:at], *[slice(None)] * fill, *keys[at + 1 :])
    keys = (*keys, *[slice(None)] * (len(shape) - len(keys)))
    if len(keys) != len(shape):
        raise IndexError(f"{len(keys)} indices for an array of {len(shape)} axes: {key!r}")
    chosen: list[int | slice] = []
    flips: list[slice] = []
    count = 1
    for k, n in zip(keys, shape, strict=True):
        if isinstance(k, slice):
            wanted = range(n)[k]
            backwards = wanted.step < 0
            rising = wanted[::-1] if backwards else wanted
            chosen.append(slice(rising.start, max(rising.stop, rising.start), rising.step))
            flips.append(slice(None, None, -1 if backwards else 1))
            count *= len(wanted)
        else:
            chosen.append(range(n)[operator.index(k)])
    return tuple(chosen), tuple(flips), count
