"""Factorizations of volumes as NeXus files.

``/entry/data`` is the volume as :func:`dsfunet_core.write` has it, so that
``dsfunet_core.read`` and every dock open it; ``/entry/form_factor`` is an NXdata group with F
on the same axes, and ``/entry/warren_cowley`` holds vectors, α, errors and covariance.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

import dsfunet_core
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import existing_file, replacing
from dsfunet_core.io.hdf5 import HDF5Array, text
from dsfunet_core.io.json_exact import from_json, to_json
from dsfunet_core.io.nexus_output import write_nexus
from dsfunet_core.io.volume_results import VOLUME_ORDER, holds_volume_factorization
from dsfunet_core.plane import ReciprocalVolume
from dsfunet_core.symmetry import Orbit
from dsfunet_core.volume_factorization.result import VolumeFactorization

if TYPE_CHECKING:
    import os

__all__ = [
    "check_suffix",
    "holds_volume_factorization",
    "read_volume_factorization",
    "write_volume_factorization",
]

#: Raised when a file written by the new version cannot be read by the old one.
FORMAT_VERSION = 1
_SUFFIXES = (".h5", ".hdf5", ".nxs")


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse a name that does not say NeXus.

    Parameters
    ----------
    path : path-like
        Of a result.

    Raises
    ------
    ParameterError
        If its suffix is none of ``.h5``, ``.hdf5`` and ``.nxs``.
    """
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise ParameterError(
            f"{path}: a result is a NeXus file; end its name in {', '.join(_SUFFIXES)}."
        )


def write_volume_factorization(
    path: str | os.PathLike[str], result: VolumeFactorization, *, overwrite: bool = False
) -> None:
    """Write a factorization of a volume, with the volume it was made from.

    Parameters
    ----------
    path : path-like
        File to write, ``.h5`` or ``.nxs``.
    result : VolumeFactorization
        What to write.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If the file exists and ``overwrite`` is False, or the provenance cannot be stored.
    """
    check_suffix(path)
    choices = to_json(result.choices)
    with replacing(path, overwrite=overwrite) as temporary:
        write_nexus(temporary, result.volume, overwrite=True)
        with h5py.File(temporary, "a") as h5:
            entry, data = h5["entry"], h5["entry/data"]
            entry["program_name"] = "dsfunet_core"
            entry["program_name"].attrs["version"] = dsfunet_core.__version__
            group = entry.create_group("form_factor")
            group.attrs.update(NX_class="NXdata", signal="form_factor", axes=data.attrs["axes"])
            group.create_dataset(
                "form_factor",
                data=result.form_factor,
                dtype="f4",
                chunks=tuple(min(n, 32) for n in result.form_factor.shape),
                compression="gzip",
                shuffle=True,
            )
            for name in data.attrs["axes"]:
                group[name] = data[name]
            _write_parameters(entry, result, choices)


def _write_parameters(entry: h5py.Group, result: VolumeFactorization, choices: str) -> None:
    group = entry.create_group(VOLUME_ORDER)
    group.attrs.update(NX_class="NXdata", signal="alpha")
    group["format_version"] = FORMAT_VERSION
    group["laue_class"] = result.laue_class
    group["choices"] = choices
    group["v"] = result.vectors
    group["multiplicity"] = np.array([orbit.multiplicity for orbit in result.orbits])
    group["members"] = np.concatenate([orbit.members for orbit in result.orbits])
    group["length"] = np.array([orbit.length for orbit in result.orbits])
    group["length"].attrs["units"] = "angstrom"
    group["alpha"], group["alpha_errors"] = result.alpha, result.sigma
    group["covariance"] = result.covariance
    group["table"] = result.table()


def read_volume_factorization(
    path: str | os.PathLike[str], *, in_memory: bool = False
) -> VolumeFactorization:
    """Read what :func:`write_volume_factorization` wrote.

    Parameters
    ----------
    path : path-like
        The file.
    in_memory : bool
        Read the intensities, too; the file may go then.

    Returns
    -------
    VolumeFactorization
        Equal to what was written; the intensities stay in the file until they are needed.

    Raises
    ------
    FileFormatError
        If the file is something else, is damaged, or was written by a newer version.
    """
    from dsfunet_core.io import read

    found = existing_file(path)
    if not holds_volume_factorization(found):
        raise FileFormatError(
            f"{found} is no factorization of a volume (no group /entry/{VOLUME_ORDER}); it is "
            "made by dsfunet factorize-volume. Planes' results are read with load_result."
        )
    version = int(_array(found, "format_version"))
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{found} has format version {version}; this dsfunet reads up to "
            f"{FORMAT_VERSION}. Install the newer version it was written with."
        )
    volume = read(found)
    form_factor = HDF5Array(found, "/entry/form_factor/form_factor")[...]
    if not isinstance(volume, ReciprocalVolume) or form_factor.shape != volume.shape:
        raise FileFormatError(
            f"the form factor in {found} has shape {form_factor.shape}, which is not that of "
            "the volume; the file is damaged."
        )
    if in_memory:
        volume = _loaded(volume)
    ends = np.cumsum(_array(found, "multiplicity"))
    members = np.split(_array(found, "members"), ends[:-1])
    vectors, lengths = _array(found, "v"), _array(found, "length")
    return VolumeFactorization(
        volume=volume,
        form_factor=form_factor,
        orbits=tuple(
            Orbit((int(v[0]), int(v[1]), int(v[2])), m, float(length))
            for v, m, length in zip(vectors, members, lengths, strict=True)
        ),
        alpha=_array(found, "alpha"),
        covariance=_array(found, "covariance"),
        laue_class=_text(found, "laue_class"),
        choices=from_json(_text(found, "choices")),
    )


def _loaded(volume: ReciprocalVolume) -> ReciprocalVolume:
    names = ("intensity", "counts", "variance", "mask")
    arrays = {name: getattr(volume, name) for name in names}
    masks = {name: np.asarray(layer[...]) for name, layer in volume.masks.items()}
    return volume.replace(
        **{name: None if x is None else np.asarray(x[...]) for name, x in arrays.items()},
        masks=masks,
    )


def _array(path: Path, name: str) -> np.ndarray:
    return np.asarray(HDF5Array(path, f"/entry/{VOLUME_ORDER}/{name}")[...])


def _text(path: Path, name: str) -> str:
    value = text(path, f"/entry/{VOLUME_ORDER}/{name}")
    if value is None:
        raise FileFormatError(f"{path} has no text {name}; the file is damaged.")
    return value
