"""Files of the CHESS beamlines, as nxs-analysis-tools reads them.

``entry/data/counts`` with the axes [H, K, L]. The attributes that NeXus asks for are often
missing, and so is the unit cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import HDF5Array
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.io.nexus import placed_by_axes
from dsfunet_core.io.nxdata import axis, axis_names
from dsfunet_core.io.sample import sample_cell, sample_laue_class

if TYPE_CHECKING:
    from pathlib import Path

    from dsfunet_core.io.place import Unplaced
    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["read", "recognises"]

_GROUP, _SIGNAL, _AXES = "/entry/data", "/entry/data/counts", ["H", "K", "L"]


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file has ``entry/data/counts`` beside H, K and L.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path of the dataset that the user named.
    """
    if dataset is not None and f"/{dataset.strip('/')}" not in (_GROUP, _SIGNAL):
        return False
    return h5py.is_hdf5(path) and {"counts", *_AXES} <= set(children(path, _GROUP))


def read(
    path: Path, dataset: str | None = None
) -> ReciprocalVolume | ReciprocalPlane | Unplaced:
    """Read a volume of CHESS.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        ``entry/data/counts`` or nothing.

    Returns
    -------
    ReciprocalVolume or Unplaced
        Read lazily; it waits for a unit cell where the file has none.

    Raises
    ------
    FileFormatError
        If the array does not fit its coordinates.
    """
    del dataset
    array = HDF5Array(path, _SIGNAL)
    if array.ndim != 3 or 0 in array.shape:
        raise FileFormatError(
            f"{_SIGNAL} in {path} has shape {array.shape}; three axes (H, K, L) were expected, "
            "none of them empty."
        )
    names = axis_names(path, _GROUP, _SIGNAL) or _AXES
    if sorted(names) != _AXES:
        raise FileFormatError(
            f"{_GROUP} in {path} names the axes {', '.join(names)}; H, K and L were expected."
        )
    axes = [
        axis(path, f"{_GROUP}/{n}", size) for n, size in zip(names, array.shape, strict=True)
    ]
    parts = {
        "intensity": array,
        "counts": None,
        "variance": None,
        "mask": None,
        "laue_class": sample_laue_class(path, "/entry/sample"),
        "name": path.stem,
        "provenance": {
            "file": str(path.resolve()),
            "dataset": _SIGNAL,
            "format": "CHESS",
            "writer": "CHESS",
        },
    }
    return placed_by_axes(path, parts, list(axes), sample_cell(path, "/entry/sample"))
