"""NeXus files: any NXdata group whose axes are named after h, k and l.

CHESS writes such files, NXRefine others of the kind (see :mod:`dsfunet_core.io.nxrefine`),
and so do we. Coordinates may be bin centres or edges; array axes in any order become
columns of ``steps``, and nothing is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gemmi
import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import HDF5Array, numbers, text
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.io.json_exact import from_json
from dsfunet_core.io.measured import Inverted, Squared, plane_arrays
from dsfunet_core.io.nexus_masks import mask_layers
from dsfunet_core.io.nxdata import (
    Axis,
    attribute,
    axis,
    axis_names,
    default_group,
    groups,
    signal_of,
)
from dsfunet_core.io.place import Unplaced
from dsfunet_core.io.sample import sample_cell, sample_laue_class
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["choose", "lay_out", "placed_by_axes", "read", "recognises"]

_LETTERS = "hkl"


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file has an NXdata group with a signal of two or three axes.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path of the group, or of a dataset in it, that the user named.
    """
    if not h5py.is_hdf5(path):
        return False
    found = candidates(path)
    if dataset is None:
        return bool(found)
    asked = "/" + dataset.strip("/")
    return asked in found or asked.rpartition("/")[0] in found


def candidates(path: Path) -> dict[str, str]:
    """NXdata groups that can be read, and the path of the signal of each.

    Parameters
    ----------
    path : Path
        The file.
    """
    found = {}
    for group in groups(path):
        signal = signal_of(path, group)
        if signal is not None and len(axis_names(path, group, signal) or ["", ""]) in (2, 3):
            found[group] = signal
    return found


def choose(path: Path, dataset: str | None, found: dict[str, str]) -> tuple[str, str]:
    """NXdata group and signal that are meant.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        What the user named: a group, or a dataset in one.
    found : dict
        As :func:`candidates` gives.

    Raises
    ------
    FileFormatError
        If the file leaves a choice and nothing tells which.
    """
    if dataset is not None:
        asked = "/" + dataset.strip("/")
        if asked in found:
            return asked, found[asked]
        return asked.rpartition("/")[0], asked
    if len(found) == 1:
        return next(iter(found.items()))
    default = default_group(path)
    if default in found:
        return default, found[default]
    raise FileFormatError(
        f"{path} holds {len(found)} sets of data and names none as the default: "
        f"{', '.join(list(found)[:12])}.",
        python=f"Say which, as dataset={next(iter(found))!r}.",
        terminal=f"Say which, as --dataset {next(iter(found))}.",
        napari="Choose one in Plugins > Diffuse Scattering > Open file.",
    )


def read(
    path: Path, dataset: str | None = None
) -> ReciprocalVolume | ReciprocalPlane | Unplaced:
    """Read an NXdata group.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        Path of the group or of a dataset in it; the file's default when left out.

    Returns
    -------
    ReciprocalVolume, ReciprocalPlane or Unplaced
        Volumes are read lazily. Without a unit cell in the file, or without coordinates
        named after h, k and l, it waits for :func:`dsfunet_core.io.place.place`.

    Raises
    ------
    FileFormatError
        If the signal or its coordinates cannot be used.
    """
    group, signal = choose(path, dataset, candidates(path))
    array = HDF5Array(path, signal)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise FileFormatError(
            f"{signal} in {path} has shape {array.shape}; two axes (a plane) or three (a "
            "volume) were expected, none of them empty."
        )
    entry = group.rpartition("/")[0]
    parts: dict[str, Any] = {
        "intensity": array,
        **_beside(path, group, signal, array.shape),
        "laue_class": text(path, f"{group}/laue_class")
        or sample_laue_class(path, f"{entry}/sample"),
        "name": text(path, f"{group}/name") or path.stem,
        "provenance": _provenance(path, group, signal),
    }
    if "mask_names" in children(path, group):
        parts["masks"] = mask_layers(path, group, array.shape)
    cell = sample_cell(path, f"{entry}/sample") or sample_cell(path, group)
    origin = numbers(path, f"{entry}/geometry/origin", 3)
    steps = numbers(path, f"{entry}/geometry/steps", 3 * array.ndim)
    if cell is not None and origin is not None and steps is not None:
        return finished(parts, cell, origin, steps.reshape(3, array.ndim), path)
    if cell is None and array.ndim == 2 and "provenance" in children(path, group):
        # Written by us for a plane without a lattice: nothing is missing.
        return ReciprocalPlane(**_in_memory(parts))
    return placed_by_axes(path, parts, lay_out(path, group, signal, array.shape), cell)


def lay_out(path: Path, group: str, signal: str, shape: tuple[int, ...]) -> list[Axis | None]:
    """Coordinates along each array axis; None where the group has none.

    Parameters
    ----------
    path : Path
        The file.
    group, signal : str
        Paths of the NXdata group and the signal.
    shape : tuple of int
        Voxels along each axis of the signal.

    Raises
    ------
    FileFormatError
        If the group names another number of axes, or one that is missing.
    """
    names = axis_names(path, group, signal) or ["."] * len(shape)
    if len(names) != len(shape):
        raise FileFormatError(
            f"{group} in {path} names {len(names)} axes ({', '.join(names)}), but {signal} "
            f"has the shape {shape}. The attribute axes must name one for each."
        )
    return [
        None if name in (".", "") else axis(path, f"{group}/{name}", n)
        for name, n in zip(names, shape, strict=True)
    ]


def placed_by_axes(
    path: Path, parts: dict[str, Any], axes: Sequence[Axis | None], cell: gemmi.UnitCell | None
) -> ReciprocalVolume | ReciprocalPlane | Unplaced:
    """Place an array by the coordinates in its file, as far as they go.

    Parameters
    ----------
    path : Path
        The file.
    parts : dict
        Fields of a volume other than its geometry.
    axes : list of Axis or None
        Along each array axis.
    cell : gemmi.UnitCell or None
        Unit cell [Å, °].
    """
    shape = parts["intensity"].shape
    known = [(a, a.direction) for a in axes if a is not None and a.direction is not None]
    if len(known) < len(shape):
        named = ", ".join("no name" if a is None else a.name for a in axes)
        lacks = (
            f"{path}: the axes of {shape} points ({named}) are not named after h, k and l, so "
            'nothing says where the voxels are. Give cell=(…), axes="hkl" (a plane: '
            'section="hk0") and limits=(…).'
        )
        return Unplaced(**parts, lacks=lacks, cell=cell)
    if cell is not None and len(shape) == 3:
        origin = sum((a.first * d for a, d in known), np.zeros(3))
        steps = np.stack([a.step * d for a, d in known], axis=1)
        return finished(parts, cell, origin, steps, path)
    letters = "".join(_LETTERS[int(np.argmax(np.abs(d)))] for _, d in known)
    simple = all(np.count_nonzero(d) == 1 and d.max() == 1 for _, d in known)
    ends = [
        (a.first, a.first + a.step * (n - 1)) for (a, _), n in zip(known, shape, strict=True)
    ]
    what = "no unit cell; give it, as cell=(a, b, c, α, β, γ) in Å and degrees"
    if len(shape) == 2:
        what = f'not the third index of its plane; give section="{letters}0" or as it is'
        what += "" if cell is not None else ", and cell=(a, b, c, α, β, γ)"
    return Unplaced(
        **parts,
        lacks=f"{path} tells {what}.",
        cell=cell,
        axes=letters if simple else None,
        limits=[x for pair in ends for x in pair] if simple else None,
    )


def finished(
    parts: dict[str, Any],
    cell: gemmi.UnitCell,
    origin: NDArray[np.float64],
    steps: NDArray[np.float64],
    path: Path,
) -> ReciprocalVolume | ReciprocalPlane:
    """Plane or volume, by the number of steps.

    Parameters
    ----------
    parts : dict
        Fields other than the geometry.
    cell : gemmi.UnitCell
        Unit cell [Å, °].
    origin, steps : ndarray, shape (3,) and (3, 2) or (3, 3)
        *hkl* of the first voxel, and per voxel along each array axis.
    path : Path
        The file, for errors.

    Raises
    ------
    FileFormatError
        If the steps do not span the plane or the volume.
    """
    if (
        not np.isfinite(origin).all()
        or not np.isfinite(steps).all()
        or (np.linalg.matrix_rank(steps) < steps.shape[1])
    ):
        raise FileFormatError(
            f"the axes in {path} do not span reciprocal space: hkl changes by "
            f"{steps.T.tolist()} along them. Two of them may be named alike."
        )
    geometry: dict[str, Any] = {"cell": cell, "origin": origin, "steps": steps}
    if steps.shape[1] == 3:
        return ReciprocalVolume(**parts, **geometry)
    return ReciprocalPlane(**_in_memory(parts), **geometry)


def _in_memory(parts: dict[str, Any]) -> dict[str, Any]:
    """Fields of a plane, its arrays read."""
    arrays = {k: parts[k] for k in ("intensity", "variance", "counts", "mask")}
    return {**{k: v for k, v in parts.items() if k not in arrays}, **plane_arrays(**arrays)}


def _beside(
    path: Path, group: str, signal: str, shape: tuple[int, ...]
) -> dict[str, HDF5Array | Inverted | Squared | None]:
    """Mask and weights that stand beside the signal and have its shape."""
    names = children(path, group)

    def same(*wanted: Any) -> HDF5Array | None:
        for name in wanted:
            if name in names and f"{group}/{name}" != signal:
                array = HDF5Array(path, f"{group}/{name}")
                if array.shape == shape:
                    return array
        return None

    leaf = signal.rpartition("/")[2]
    sigma = same(f"{leaf}_errors", attribute(path, signal, "uncertainties"), "errors")
    variance = same("variance") or (None if sigma is None else Squared(sigma))
    valid = same("valid")
    mask = same("mask", attribute(path, signal, "mask"), f"{leaf}_mask")
    return {
        "variance": variance,
        "counts": same("counts") if leaf != "counts" else None,
        "mask": Inverted(valid) if valid is not None else mask,
    }


def _provenance(path: Path, group: str, signal: str) -> dict[str, Any]:
    stored = text(path, f"{group}/provenance")
    if stored is not None:
        record = from_json(stored)
        if isinstance(record, dict):
            return record
    creator = attribute(path, "/", "creator")
    return {
        "file": str(path.resolve()),
        "dataset": signal,
        "format": "NeXus NXdata",
        **({"writer": str(creator)} if creator else {}),
    }
