"""A volume as an array that napari can show: read where it is looked at, and no further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["LazyVolume"]


class LazyVolume:
    """Intensities of a volume, NaN where a voxel may not be used, in single precision.

    A chunked array of a large file would be a graph of 100,000 chunks before anything is
    seen. This reads the voxels that are indexed from the file, without a graph. The layer
    that was read last is kept: napari asks for it anew with every change of the view.

    Parameters
    ----------
    volume : ReciprocalVolume
        What is shown.
    axes : tuple of int
        Array axes of the volume in the order in which this array has them.
    """

    def __init__(self, volume: ReciprocalVolume, axes: tuple[int, int, int]) -> None:
        self._volume, self._axes = volume, axes
        self.shape = tuple(volume.shape[axis] for axis in axes)
        self.dtype = np.dtype(np.float32)
        self.ndim = 3
        self._kept: tuple[tuple[int, ...], NDArray[np.float32]] | None = None

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        if not isinstance(index, tuple):
            index = (index,)
        if any(i is Ellipsis for i in index):
            at = next(k for k, i in enumerate(index) if i is Ellipsis)
            missing = 3 - (len(index) - 1)
            index = (*index[:at], *(slice(None),) * missing, *index[at + 1 :])
        index = (*index, *(slice(None),) * (3 - len(index)))
        if len(index) != 3 or not all(isinstance(i, slice | int | np.integer) for i in index):
            raise IndexError(
                f"{index!r}: three whole numbers or slices were expected; "
                "np.asarray(layer.data) reads all of it."
            )
        # The box that holds what is wanted, in the volume's own order of axes.
        slices = [slice(None)] * 3
        within: list[Any] = []
        for axis, i in zip(self._axes, index, strict=True):
            n = self._volume.shape[axis]
            if not isinstance(i, slice):
                if not -n <= i < n:
                    raise IndexError(f"index {i} is outside an axis of {n}")
                slices[axis] = slice(int(i) % n, int(i) % n + 1)
                within.append(0)
                continue
            wanted = range(n)[i]
            low, high = (min(wanted), max(wanted) + 1) if len(wanted) else (0, 0)
            slices[axis] = slice(low, high)
            first = wanted.start - low
            # A slice that runs down to the first voxel has no number for its end.
            stop = None if wanted.step < 0 and wanted.stop < low else wanted.stop - low
            within.append(slice(first, stop, wanted.step))
        values = self._read((slices[0], slices[1], slices[2])).transpose(self._axes)
        return values[tuple(within)]

    def _read(self, box: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        place = tuple(int(x) for part in box for x in (part.start, part.stop))
        if self._kept is not None and self._kept[0] == place:
            return self._kept[1]
        values = self._read_from_file(box)
        # Whoever writes into a view of it would change what others see.
        values.flags.writeable = False
        if 1 in values.shape:
            self._kept = place, values
        return values

    def _read_from_file(self, box: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        volume = self._volume
        values = np.array(volume.intensity[box], dtype=np.float32)
        if volume.counts is not None:
            values[np.asarray(volume.counts[box]) <= 0] = np.nan
        if volume.mask is not None:
            values[np.asarray(volume.mask[box], dtype=bool)] = np.nan
        return values
