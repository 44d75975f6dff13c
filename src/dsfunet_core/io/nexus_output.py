"""Planes and volumes as NXdata in HDF5: they open in silx, NeXpy and h5web.

``/entry/data`` is the NXdata group with signal, coordinates, mask and weights;
``/entry/sample`` holds the unit cell and ``/entry/geometry`` the exact map to *hkl*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

import dsfunet_core
from dsfunet_core.errors import GeometryError
from dsfunet_core.io.files import replacing
from dsfunet_core.io.json_exact import to_json
from dsfunet_core.io.slabs import fill
from dsfunet_core.plane import ReciprocalPlane

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["write_nexus"]


def write_nexus(
    path: str | os.PathLike[str],
    data: ReciprocalPlane | ReciprocalVolume,
    *,
    overwrite: bool = False,
) -> None:
    """Write a plane or a volume so that :func:`dsfunet_core.read` gives it back.

    Parameters
    ----------
    path : path-like
        File to write, ``.nxs`` or ``.h5``.
    data : ReciprocalPlane or ReciprocalVolume
        What to write. Volumes are read a slab at a time.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    GeometryError
        If nothing was measured.
    ParameterError
        If the file exists and ``overwrite`` is False, or the provenance cannot be stored.
    """
    provenance = to_json(data.provenance)
    with replacing(path, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as h5:
        # Not the mark of a factorization, which is another layout.
        h5.attrs.update(NX_class="NXroot", default="entry", creator="dsfunet")
        h5.attrs["creator_version"] = dsfunet_core.__version__
        entry = _group(h5, "entry", "NXentry", default="data")
        entry["title"] = data.name
        group = _group(entry, "data", "NXdata", signal="intensity")
        _write_arrays(group, data)
        axes = _axes(data)
        for name, (values, unit) in axes.items():
            group[name] = values
            group[name].attrs["units"] = unit
        group.attrs["axes"] = list(axes)
        if data.masks:
            # HDF5 lists members by name; the order of the layers is kept beside them.
            group["mask_names"] = to_json(list(data.masks))
            layers = _group(group, "masks", "NXcollection")
            for name, layer in data.masks.items():
                fill(layers, name, data.shape, bool, lambda part, layer=layer: layer[part])  # type: ignore[misc]
        group["name"], group["provenance"] = data.name, provenance
        if data.laue_class is not None:
            group["laue_class"] = data.laue_class
        if data.cell is not None:
            sample = _group(entry, "sample", "NXsample")
            sample["unit_cell"] = np.array(data.cell.parameters)
            sample["unit_cell"].attrs["units"] = "angstrom, degree"
            geometry = _group(entry, "geometry", "NXcollection")
            geometry["origin"] = np.asarray(data.origin, dtype=np.float64)
            geometry["steps"] = np.asarray(data.steps, dtype=np.float64)


def _write_arrays(group: h5py.Group, data: ReciprocalPlane | ReciprocalVolume) -> None:
    measured = False

    def values(part: slice) -> NDArray[np.floating]:
        nonlocal measured
        block = np.asarray(data.intensity[part])
        measured = measured or bool(np.isfinite(block).any())
        return block

    fill(group, "intensity", data.shape, data.intensity.dtype, values)
    if not measured:
        raise GeometryError(f"{data.name!r} has no measured point to write: all are NaN.")
    marks = "valid" if isinstance(data, ReciprocalPlane) else "mask"
    for name in ("variance", "counts", marks):
        array: Any = getattr(data, name)
        if array is not None:
            kind = bool if name == marks else array.dtype
            fill(group, name, data.shape, kind, lambda part, array=array: array[part])  # type: ignore[misc]


def _axes(
    data: ReciprocalPlane | ReciprocalVolume,
) -> dict[str, tuple[NDArray[np.float64], str]]:
    """Coordinates along each array axis: h, k or l where one index tells them."""
    if data.steps is not None and data.origin is not None:
        steps = np.asarray(data.steps)
        index = [np.flatnonzero(column) for column in steps.T]
        if all(len(i) == 1 for i in index) and len({int(i[0]) for i in index}) == len(index):
            return {
                "hkl"[i[0]]: (data.origin[i[0]] + steps[i[0], axis] * np.arange(n), "r.l.u.")
                for axis, (i, n) in enumerate(zip(index, data.shape, strict=True))
            }
    names = ("row", "column") if len(data.shape) == 2 else ("axis_0", "axis_1", "axis_2")
    return {
        name: (np.arange(n, dtype=float), "pixel")
        for name, n in zip(names, data.shape, strict=True)
    }


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    group.attrs.update(attributes)
    return group
