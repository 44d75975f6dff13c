"""Read and write what other programs do, one module per format.

A format is a module with ``recognises(path, dataset) -> bool`` and
``read(path, dataset)``; listing it in ``_FORMATS`` is all it takes to add one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io import (
    chess,
    folder,
    images,
    mantid,
    meerkat,
    nexus,
    numpy,
    nxrefine,
    results,
    simulated_set,
    tiff,
    yell,
)
from dsfunet_core.io.arrays import arrays, described
from dsfunet_core.io.files import existing_file
from dsfunet_core.io.measured import check_measured
from dsfunet_core.io.place import place, placed
from dsfunet_core.io.writing import write

if TYPE_CHECKING:
    import os

    import gemmi
    from numpy.typing import ArrayLike

    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
    from dsfunet_core.sections import Section

__all__ = ["arrays", "place", "read", "write"]

#: Asked in this order; the more particular layout comes first.
_FORMATS = (
    simulated_set,
    meerkat,
    mantid,
    nxrefine,
    chess,
    nexus,
    yell,
    numpy,
    tiff,
    images,
)


def read(
    path: str | os.PathLike[str],
    dataset: str | None = None,
    *,
    cell: gemmi.UnitCell | ArrayLike | None = None,
    section: str | Section | None = None,
    axes: str | None = None,
    limits: ArrayLike | None = None,
) -> ReciprocalVolume | ReciprocalPlane:
    """Read a reconstruction, whoever wrote it.

    The format is told by the file's content, not by its name. Volumes in HDF5 are
    read only where they are sliced.

    Parameters
    ----------
    path : path-like
        The file, or a folder of images that are layers of a volume.
    dataset : str, optional
        Path of the intensities in an HDF5 file, their key in an ``.npz``, or the number
        of a page in a TIFF or of a plane in a simulated set, where the file leaves a choice.
    cell, section, axes, limits
        Where the pixels lie, for files that do not say: as in
        :func:`dsfunet_core.io.place.place`. What is given here goes before the file.

    Returns
    -------
    ReciprocalVolume or ReciprocalPlane
        A volume from files with three axes, a plane from those with two.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, in a layout that is not known, or holds nothing that
        was measured (of a large volume only parts are looked at).
    ParameterError
        If ``axes`` or ``limits`` do not fit the array.
    """
    where = {"cell": cell, "section": section, "axes": axes, "limits": limits}
    if Path(path).expanduser().is_dir():
        return _with_data(placed(folder.read(Path(path).expanduser(), dataset), **where))
    found = existing_file(path)
    if dataset is None and results.recognises(found):
        raise FileFormatError(
            f"{found} is the result of a factorization; read it with "
            "dsfunet_core.load_result(path), whose .plane is what was factorized."
        )
    for module in _FORMATS:
        if module.recognises(found, dataset):
            return _with_data(placed(module.read(found, dataset), **where))
    if dataset is None and h5py.is_hdf5(found):
        candidates = arrays(found)
        if len(candidates) == 1:
            return _with_data(placed(yell.read(found, next(iter(candidates))), **where))
        raise FileFormatError(
            f"{found} is HDF5 in a layout that is not known; it holds {described(found)}. Name "
            'the intensities with dataset="…".'
        )
    raise FileFormatError(
        f"{found} is, by its content, neither HDF5 (Meerkat, Yell, DISCUS, NXRefine, CHESS, "
        "Mantid, NeXus) nor NumPy (.npy, .npz), TIFF or a detector image that fabio knows "
        "(.img, .cbf, .edf). If it should be one of these, it is damaged: copy it again."
    )


def _with_data(data: ReciprocalVolume | ReciprocalPlane) -> ReciprocalVolume | ReciprocalPlane:
    if len(data.shape) == 3:
        check_measured(data)
    return data
