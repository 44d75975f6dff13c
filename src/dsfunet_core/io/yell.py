"""Yell-family HDF5 files: one ``data`` array beside its cell, limits and steps.

Written by Meerkat 0.4, Meerkat2, Meerkat2-average, Yell, gemmi-disorder and DISCUS.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.grid import OBLIQUE_STEPS, read_grid
from dsfunet_core.io.hdf5 import HDF5Array, text
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.io.json_exact import from_json
from dsfunet_core.io.nexus_masks import mask_layers
from dsfunet_core.io.place import Unplaced
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

if TYPE_CHECKING:
    from dsfunet_core.io.grid import Grid

__all__ = ["provenance_of", "read", "recognises"]


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether this module reads the file: HDF5 with ``data``, or with a named dataset.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path of the dataset that the user named.
    """
    return h5py.is_hdf5(path) and (dataset is not None or "data" in children(path))


def read(
    path: Path, dataset: str | None = None
) -> ReciprocalVolume | ReciprocalPlane | Unplaced:
    """Read a Yell-family file.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        Path of the intensities; ``data`` when left out.

    Returns
    -------
    ReciprocalVolume, ReciprocalPlane or Unplaced
        A volume, read lazily; arrays of rank 1 and 2 are padded with axes of one
        voxel, as Yell does. Without any geometry a plane without a cell, or a volume
        that waits for :func:`dsfunet_core.io.place.place`.

    Raises
    ------
    FileFormatError
        If the array or its geometry cannot be used.
    """
    array = HDF5Array(path, dataset or "data")
    if not 1 <= array.ndim <= 3 or 0 in array.shape:
        raise FileFormatError(
            f"{array.name} in {path} has shape {array.shape}; a volume with three axes "
            "(h, k, l) was expected, none of them empty."
        )
    shape = (*array.shape, 1, 1)[:3]
    intensity: Any = array if array.ndim == 3 else array[...].reshape(shape)
    folder = f"/{dataset or ''}".rpartition("/")[0].rstrip("/")
    grid = read_grid(path, shape, folder)
    if grid is None and folder:
        grid = read_grid(path, shape)
    if grid is None:
        return _bare(path, array, shape)
    return ReciprocalVolume(
        cell=grid.cell,
        origin=grid.origin,
        steps=grid.steps,
        **{"intensity": intensity, **_ours(path, folder, array)},
        laue_class=text(path, f"{folder}/laue_class") or grid.laue_class,
        name=text(path, f"{folder}/name") or path.stem,
        provenance=provenance_of(path, array.name, grid),
    )


def _ours(path: Path, folder: str, array: HDF5Array) -> dict[str, Any]:
    """What our writer puts beside the data for us alone: weights, the mask with its layers."""
    found: dict[str, Any] = {}
    names = set(children(path, folder))
    for name in {"counts", "variance", "mask"} & names:
        weights = HDF5Array(path, f"{folder}/{name}")
        if weights.shape == array.shape and array.ndim == 3:
            found[name] = weights
    if "mask" in found and "unmasked" in names:  # with what can be taken back
        whole = HDF5Array(path, f"{folder}/unmasked")
        if whole.shape == array.shape:
            found["intensity"] = whole
            found["masks"] = (
                mask_layers(path, folder, array.shape) if "mask_names" in names else {}
            )
    return found


def provenance_of(path: Path, dataset: str, grid: Grid | None) -> dict[str, Any]:
    """Where a volume came from: file, dataset, format, writer, notes.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str
        Path of the intensities in it.
    grid : Grid or None
        Geometry, with the notes taken while it was read.

    Returns
    -------
    dict
        JSON-able.
    """
    stored = text(path, f"{dataset.rpartition('/')[0]}/provenance")
    if stored is not None:
        record = from_json(stored)
        if isinstance(record, dict):
            return record
    provenance: dict[str, Any] = {
        "file": str(path.resolve()),
        "dataset": dataset,
        "format": text(path, "format") or "without a format entry",
        "writer": _writer(path),
    }
    if grid is not None and grid.crystal_cell is not None:
        provenance["crystal_cell"] = list(grid.crystal_cell)
    if grid is not None and grid.notes:
        provenance["notes"] = list(grid.notes)
    return provenance


def _writer(path: Path) -> str:
    """Program that wrote a file, told by what only that program writes."""
    names = set(children(path))
    if "PROGRAM" in names:
        return text(path, "PROGRAM") or "DISCUS"
    if names & set(OBLIQUE_STEPS):
        return "DISCUS"
    if "maxind" in names:
        return "Meerkat before 2017"
    if names & {"rebinned_data", "metric_tensor", "meerkat_provenance"}:
        return "Meerkat"
    return "Yell, Meerkat2 or gemmi-disorder"


def _bare(path: Path, array: HDF5Array, shape: tuple[int, ...]) -> ReciprocalPlane | Unplaced:
    if shape[2] != 1:
        return Unplaced(
            intensity=array,
            lacks=(
                f"{array.name} in {path} has shape {array.shape}, but nothing says where its "
                'voxels are. Give cell=(a, b, c, α, β, γ), axes="hkl" and limits=(first and '
                "last h, k, l), or add unit_cell, lower_limits and step_sizes beside it."
            ),
            name=path.stem,
            provenance=provenance_of(path, array.name, None),
        )
    intensity = array[...].reshape(shape[:2]).astype(np.float64)
    return ReciprocalPlane(
        intensity=intensity,
        valid=np.isfinite(intensity),
        name=path.stem,
        provenance=provenance_of(path, array.name, None),
    )
