"""Read what other programs write, one module per format.

A format is a module with ``recognises(path, dataset) -> bool`` and
``read(path, dataset)``; listing it in ``_FORMATS`` is all it takes to add one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io import meerkat, numpy, results, yell
from dsfunet_core.io.files import existing_file
from dsfunet_core.io.hdf5_file import datasets

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["read"]

#: Asked in this order; the more particular layout comes first.
_FORMATS = (meerkat, yell, numpy)


def read(
    path: str | os.PathLike[str], dataset: str | None = None
) -> ReciprocalVolume | ReciprocalPlane:
    """Read a reconstruction, whoever wrote it.

    The format is told by the file's content, not by its name. Volumes in HDF5 are
    read only where they are sliced.

    Parameters
    ----------
    path : path-like
        The file.
    dataset : str, optional
        Path of the intensities in an HDF5 file, or their key in an ``.npz``, where
        the format leaves a choice.

    Returns
    -------
    ReciprocalVolume or ReciprocalPlane
        A volume from files with three axes, a plane from those with two.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or in a layout that is not known.
    """
    found = existing_file(path)
    if dataset is None and results.recognises(found):
        raise FileFormatError(
            f"{found} is the result of a factorization; read it with "
            "dsfunet_core.load_result(path), whose .plane is what was factorized."
        )
    for module in _FORMATS:
        if module.recognises(found, dataset):
            return module.read(found, dataset)
    raise FileFormatError(_unknown(found))


def _unknown(path: Path) -> str:
    if h5py.is_hdf5(path):
        holds = [f"{name} {shape}" for name, shape in datasets(path).items()]
        listed = ", ".join(holds[:10]) + (", …" if len(holds) > 10 else "")
        return (
            f"{path} is HDF5 in a layout that is not known; it holds {listed or 'no arrays'}. "
            'Name the intensities with dataset="…".'
        )
    return (
        f"{path} is neither HDF5 (Meerkat, Meerkat2, Yell, gemmi-disorder, DISCUS) nor NumPy "
        "(.npy, .npz) by its content. If it should be one of these, it is damaged: copy it "
        "again."
    )
