"""Shards of sets of simulated planes: each plane is a dataset by its number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gemmi
import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5_file import open_hdf5
from dsfunet_core.plane import ReciprocalPlane

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read", "recognises"]


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file is a shard, and a plane of it may be meant.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Number of a plane; the arrays of a shard are read by their names as those of any file.
    """
    if not h5py.is_hdf5(path) or not (dataset is None or dataset.strip().isdigit()):
        return False
    with open_hdf5(path) as h5:
        return {"plan", "shard"} <= set(h5.attrs) and {"intensity", "steps"} <= set(h5)


def read(path: Path, dataset: str | None = None) -> ReciprocalPlane:
    """Read one plane of a shard.

    Parameters
    ----------
    path : Path
        Written by :func:`dsfunet_core.simulate.sets.write_set_shards`.
    dataset : str, optional
        Number of the plane, from 0.

    Returns
    -------
    ReciprocalPlane
        As it would have been measured; what it was made of is in ``provenance``.

    Raises
    ------
    FileFormatError
        If no plane is named, or there is none of that number.
    """
    with open_hdf5(path) as h5:
        n = len(h5["intensity"])
        if dataset is None or int(dataset) >= n:
            raise FileFormatError(
                f"{path} holds {n} simulated planes with their true factors, numbers 0 to "
                f"{n - 1}." + ("" if dataset is None else f" There is no plane {dataset}."),
                python='Say which, as dataset="0".',
                terminal="Say which, as --dataset 0; dsfunet evaluate takes a set as a whole.",
                napari="Choose one as Dataset in Plugins > Diffuse Scattering > Open file.",
            )
        i = int(dataset)
        description = json.loads(h5["description"].asstr()[i])
        return ReciprocalPlane(
            intensity=h5["intensity"][i].astype(float),
            valid=h5["valid"][i] > 0,
            cell=gemmi.UnitCell(*np.asarray(h5["cell"][i]).tolist()),
            origin=np.asarray(h5["origin"][i]),
            steps=np.asarray(h5["steps"][i]),
            name=f"{path.stem} {i}",
            provenance={
                "file": str(path.resolve()),
                "format": "simulated set",
                "dataset": str(i),
                "description": description,
            },
        )
