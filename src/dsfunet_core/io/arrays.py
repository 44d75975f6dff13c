"""What an HDF5 file of unknown layout offers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import h5py

from dsfunet_core.io.files import existing_file
from dsfunet_core.io.hdf5_file import open_hdf5

if TYPE_CHECKING:
    import os

__all__ = ["arrays", "described"]

#: Nodes that are looked at; a file can hold any number.
MAX_NODES = 10_000
#: Shortest of the two longest axes of what may be a plane or a volume. Metrics and
#: orientation matrices are smaller.
MIN_POINTS = 4


def arrays(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Arrays of an HDF5 file that may be intensities: real numbers on two or three axes.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    dict
        Path in the file → shape, the largest first. What is behind links to other files
        is left out.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or not HDF5.
    """
    found = {
        name: shape
        for name, (shape, kind) in _datasets(existing_file(path)).items()
        if kind in "iuf" and 2 <= len(shape) <= 3 and sorted(shape)[-2] >= MIN_POINTS
    }
    size = {name: math.prod(shape) for name, shape in found.items()}
    return dict(sorted(found.items(), key=lambda item: -size[item[0]]))


def described(path: str | os.PathLike[str]) -> str:
    """What a file holds, for an error text: its candidates, or everything.

    Parameters
    ----------
    path : path-like
        The file.
    """
    found = arrays(path) or {n: s for n, (s, _) in _datasets(existing_file(path)).items()}
    listed = [f"{name} {shape}" for name, shape in found.items()]
    return ", ".join(listed[:10]) + (", …" if len(listed) > 10 else "") or "no arrays"


def _datasets(path: os.PathLike[str]) -> dict[str, tuple[tuple[int, ...], str]]:
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    looked_at = 0

    def collect(name: str, node: h5py.HLObject) -> bool | None:
        nonlocal looked_at
        looked_at += 1
        if isinstance(node, h5py.Dataset):
            found[f"/{name}"] = (node.shape or (), node.dtype.kind)
        return True if looked_at >= MAX_NODES else None

    with open_hdf5(path) as h5:
        h5.visititems(collect)
    return found
