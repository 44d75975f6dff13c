"""Yell 1.0 files: what Yell, DensityViewer and their relatives open.

Array axes are always [h, k, l] with rising indices. Yell itself reads ``data`` alone; what
else we know stands beside it, where only we look for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.io.json_exact import to_json
from dsfunet_core.io.slabs import fill
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["write_yell"]

#: Voxels by which hkl = 0 may miss the centre of one.
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class _Box:
    """Part of a volume, and how its array axes become h, k, l.

    Parameters
    ----------
    order : tuple of int
        Array axis that each of h, k, l runs along.
    falls : tuple of bool
        Whether each of them falls along it.
    first, steps : ndarray, shape (3,)
        Lowest index, and step, of h, k, l.
    start, stop : ndarray of int, shape (3,)
        Which voxels to write, counted from ``first``.
    """

    order: tuple[int, ...]
    falls: tuple[bool, ...]
    first: NDArray[np.float64]
    steps: NDArray[np.float64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.stop - self.start)

    def slices(self, part: slice, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
        """Where a slab of h lies in the volume's own array."""
        start, stop = self.start.copy(), self.stop.copy()
        start[0], stop[0] = self.start[0] + part.start, self.start[0] + part.stop
        own = [slice(None)] * 3
        for index, axis in enumerate(self.order):
            n = shape[axis]
            ends = (int(start[index]), int(stop[index]))
            own[axis] = slice(n - ends[1], n - ends[0]) if self.falls[index] else slice(*ends)
        return (own[0], own[1], own[2])

    def turned(self, block: Any) -> NDArray[Any]:
        """Block of the volume's array with axes [h, k, l], all rising."""
        turned = np.transpose(block, self.order)
        return np.flip(turned, tuple(i for i in range(3) if self.falls[i]))


def write_yell(
    path: str | os.PathLike[str],
    data: ReciprocalPlane | ReciprocalVolume,
    *,
    for_fft: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a volume, or a plane as a volume of one layer, in the format Yell 1.0.

    Parameters
    ----------
    path : path-like
        File to write.
    data : ReciprocalPlane or ReciprocalVolume
        What to write; read a slab at a time. Masked voxels become NaN.
    for_fft : bool
        Write what Yell needs for its Fourier transform: an even number of voxels along
        every axis with the origin at N/2, cut off where it is not so, and 0 for NaN, which
        makes Yell stop.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    GeometryError
        If the array's axes are not along h, k and l, or nothing was measured.
    ParameterError
        If ``for_fft`` is asked of a grid without the origin, or the file exists and
        ``overwrite`` is False.
    """
    volume = _as_volume(data) if isinstance(data, ReciprocalPlane) else data
    box = _aligned(volume)
    if for_fft:
        box = _even(box)
    record = dict(volume.provenance)
    if for_fft:
        record["cut_for_fft"] = {"first": box.start.tolist(), "beyond": box.stop.tolist()}
    provenance = to_json(record)
    measured = False

    def block(part: slice) -> dict[str, NDArray[Any] | None]:
        return volume.block(box.slices(part, volume.shape))

    def values(part: slice) -> NDArray[np.float64]:
        nonlocal measured
        found = block(part)
        valid, intensity = found["valid"], found["intensity"]
        assert valid is not None
        assert intensity is not None
        measured = measured or bool(valid.any())
        return box.turned(np.where(valid, intensity, 0.0 if for_fft else np.nan))

    with replacing(path, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as h5:
        fill(h5, "data", box.shape, np.float64, values)
        if not measured:
            raise GeometryError(
                f"volume {volume.name!r} has no measured voxel to write (all NaN or masked)."
            )
        if for_fft and volume.mask is None:  # there, 0 does not tell what was not measured
            fill(h5, "mask", box.shape, bool, lambda part: ~box.turned(block(part)["valid"]))
        _write_ours(h5, volume, box)
        h5["format"], h5["is_direct"] = "Yell 1.0", False
        h5["lower_limits"] = box.first + box.start * box.steps
        h5["step_sizes"] = box.steps
        h5["unit_cell"] = np.array(volume.cell.parameters)
        h5["name"], h5["provenance"] = volume.name, provenance
        if volume.laue_class is not None:
            h5["laue_class"] = volume.laue_class


def _write_ours(h5: h5py.File, volume: ReciprocalVolume, box: _Box) -> None:
    """Write what only we look for: weights, the mask with its layers, what stands under it."""

    def put(group: h5py.Group, name: str, array: Any, kind: Any = None) -> None:
        kind = kind or array.dtype

        def part_of(part: slice) -> NDArray[Any]:
            return box.turned(np.asarray(array[box.slices(part, volume.shape)], dtype=kind))

        fill(group, name, box.shape, kind, part_of)

    arrays: dict[str, Any] = {"counts": volume.counts, "variance": volume.variance}
    if volume.mask is not None:
        put(h5, "mask", volume.mask, bool)
        arrays["unmasked"] = volume.intensity
    for name, array in arrays.items():
        if array is not None:
            put(h5, name, array)
    if volume.masks:
        h5["mask_names"] = to_json(list(volume.masks))
        layers = h5.create_group("masks")
        for name, layer in volume.masks.items():
            put(layers, name, layer, bool)


def _as_volume(plane: ReciprocalPlane) -> ReciprocalVolume:
    """Volume of one layer."""
    cell, origin, steps = plane.geometry()
    across = np.cross(*steps.T)
    third = np.eye(3)[int(np.argmax(np.abs(across)))]
    deep: dict[str, Any] = {}
    for name in ("counts", "variance"):
        values = getattr(plane, name)
        deep[name] = None if values is None else np.asarray(values)[..., None]
    return ReciprocalVolume(
        intensity=np.asarray(plane.intensity)[..., None],
        cell=cell,
        origin=origin,
        steps=np.column_stack([steps, third]),
        mask=~np.asarray(plane.valid, dtype=bool)[..., None],
        masks={name: np.asarray(v, dtype=bool)[..., None] for name, v in plane.masks.items()},
        laue_class=plane.laue_class,
        name=plane.name,
        provenance=plane.provenance,
        **deep,
    )


def _aligned(volume: ReciprocalVolume) -> _Box:
    """The whole volume, if every array axis runs along one index."""
    steps = np.asarray(volume.steps, dtype=np.float64)
    index = [np.flatnonzero(np.abs(c) > 1e-9 * np.abs(c).max()) for c in steps.T]
    if any(len(i) != 1 for i in index) or len({int(i[0]) for i in index}) < 3:
        raise GeometryError(
            f"{volume.name!r} has axes along {steps.T.tolist()} (hkl per voxel), but the "
            "format Yell 1.0 knows only grids along h, k and l. Write .nxs, which keeps "
            "oblique axes, or index the data by a cell in which they are straight."
        )
    order = tuple([int(i[0]) for i in index].index(j) for j in range(3))
    own = np.array([steps[j, order[j]] for j in range(3)])
    last = np.array([volume.shape[order[j]] - 1 for j in range(3)])
    falls = tuple(bool(s < 0) for s in own)
    origin = np.asarray(volume.origin, dtype=np.float64)
    first = np.where(own < 0, origin + own * last, origin)
    return _Box(order, falls, first, np.abs(own), np.zeros(3, dtype=np.int64), last + 1)


def _even(box: _Box) -> _Box:
    """Largest part with an even number of voxels and the origin at N/2."""
    start, stop = box.start.copy(), box.stop.copy()
    for axis, letter in enumerate("hkl"):
        n = int(stop[axis])
        zero = -box.first[axis] / box.steps[axis]
        at = round(zero)
        if n == 1 and at == 0:
            continue
        half = min(at, n - at)
        if abs(zero - at) > TOLERANCE or half < 1:
            last = box.first[axis] + box.steps[axis] * (n - 1)
            raise ParameterError(
                f"for_fft=True: Yell's Fourier transform needs {letter} = 0 on a voxel with "
                f"others on both sides of it, but {letter} runs from {box.first[axis]:g} to "
                f"{last:g} in steps of {box.steps[axis]:g}. Write without for_fft, or "
                "reconstruct on a grid around the origin."
            )
        start[axis], stop[axis] = at - half, at + half
    return _Box(box.order, box.falls, box.first, box.steps, start, stop)
