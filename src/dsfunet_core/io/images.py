"""Detector images and CrysAlisPro's unwarped planes: CBF, MAR345, and others through fabio.

An image has pixels and no cell: factorize it without a lattice, or place it
(:func:`dsfunet_core.io.place.place`). Row 0 is the file's first row.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.cbf import read_cbf
from dsfunet_core.io.measured import plane_arrays
from dsfunet_core.plane import ReciprocalPlane

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["pixels", "read", "recognises"]

#: First bytes → fabio's name of the format, and what to call it.
_FORMATS = (
    (b"OD SAPPHIRE", "oxdimage", "CrysAlisPro image"),
    (b"###CBF:", "cbf", "CBF"),
    (b"ESPERANTO FORMAT", "esperantoimage", "Esperanto"),
    (b"{\nHEADER_BYTES", "dtrekimage", "ADSC / d*TREK"),
    (b"FORMAT :100", "bruker100image", "Bruker"),
    (b"FORMAT :        86", "brukerimage", "Bruker"),
    (b"R-AXIS", "raxisimage", "R-AXIS"),
    (b"{", "edfimage", "EDF"),
    (b"\n{", "edfimage", "EDF"),
    (b"\r\n{", "edfimage", "EDF"),
    (b"\xd2\x04\x00\x00", "mar345", "MAR345"),
    (b"\x00\x00\x04\xd2", "mar345", "MAR345"),
)
#: Numbers of pixels that the text headers of these formats claim.
_CLAIM = re.compile(
    rb"(?:Dim_[12]|SIZE[12]|NX|NY|NROWS|NCOLS)\s*[=:]\s*(\d+)",
    re.IGNORECASE,
)
#: Longest edge of an image [pixels], and most pixels that a byte of a file may hold. The
#: tightest packing in use, CrysAlisPro's, needs a bit for a pixel.
MAX_EDGE, MAX_PER_BYTE = 2**16, 8
#: Formats that store every pixel in full, so that too short a file is a truncated one.
_UNPACKED = ("edfimage", "dtrekimage")


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file is an image by its first bytes.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Not needed to tell.
    """
    del dataset
    return _format(path) is not None


def read(path: Path, dataset: str | None = None) -> ReciprocalPlane:
    """Read an image.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        Images have none; an error if given.

    Returns
    -------
    ReciprocalPlane
        Without cell. In images of whole numbers, negative values and the largest of an
        unsigned type are marks of dead pixels, and masked; so are the corners beside an
        image plate.

    Raises
    ------
    FileFormatError
        If the file is damaged, claims more pixels than it can hold, or has none that were
        measured.
    """
    if dataset is not None:
        raise FileFormatError(
            f"{path} is one image, so it has no dataset {dataset!r}; leave it out."
        )
    values, dead, provenance = pixels(path)
    return ReciprocalPlane(
        **plane_arrays(values, mask=dead), name=path.stem, provenance=provenance
    )


def pixels(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_] | None, dict[str, Any]]:
    """Pixels of an image, whether any of them was measured or not.

    Parameters
    ----------
    path : Path
        An image that :func:`recognises` knows.

    Returns
    -------
    values : ndarray, shape (n_rows, n_columns)
        As stored.
    dead : ndarray of bool, shape (n_rows, n_columns), or None
        True where there is no pixel, or a dead one.
    provenance : dict
        File, format, and how many are dead.

    Raises
    ------
    FileFormatError
        If the file is damaged, or claims more pixels than it can hold.
    """
    found = _format(path)
    assert found is not None
    codec, kind = found
    values = _values(path, codec, kind)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "iuf":
        raise FileFormatError(
            f"{path} ({kind}) holds an array of shape {values.shape} and type {values.dtype}; "
            "one image of real numbers was expected."
        )
    size = path.stat().st_size
    if codec in _UNPACKED and size < values.nbytes:
        raise FileFormatError(
            f"{path} ({kind}) ends before its {values.shape} pixels do ({size} bytes, "
            f"{values.nbytes} needed); it is truncated: copy it again."
        )
    dead, note = _dead(values), "carry the mark of dead ones"
    if codec == "mar345":
        from dsfunet_core.io.mar345 import outside_the_plate

        dead, note = outside_the_plate(values), "lie beside the round plate"
    provenance: dict[str, Any] = {"file": str(path.resolve()), "format": kind}
    if dead is not None and dead.any():
        provenance["notes"] = [f"{int(dead.sum())} pixels {note}; masked"]
    return values, dead, provenance


def _format(path: Path) -> tuple[str, str] | None:
    with path.open("rb") as file:
        start = file.read(64)
    return next(
        ((codec, kind) for magic, codec, kind in _FORMATS if start.startswith(magic)), None
    )


def _values(path: Path, codec: str, kind: str) -> NDArray[Any]:
    if codec == "mar345":
        from dsfunet_core.io.mar345 import read_mar345  # compiles; not for every start

        return read_mar345(path)
    _check_claims(path, kind)
    return read_cbf(path) if codec == "cbf" else _load(path, codec, kind)


def _check_claims(path: Path, kind: str) -> None:
    """Refuse what a header claims before fabio makes room for it."""
    with path.open("rb") as file:
        claims = [int(n) for n in _CLAIM.findall(file.read(2**16))]
    pixels = int(np.prod([float(n) for n in claims[:2]])) if len(claims) > 1 else 0
    room = path.stat().st_size * MAX_PER_BYTE
    if any(n > MAX_EDGE for n in claims) or pixels > room:
        raise FileFormatError(
            f"{path} ({kind}) claims {' × '.join(map(str, claims[:2]))} pixels in "
            f"{path.stat().st_size} bytes; it is damaged or truncated: copy it again."
        )


def _load(path: Path, codec: str, kind: str) -> NDArray[Any]:
    from fabio import fabioformats

    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # fabio logs what is raised below, and more
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fabioformats.factory(codec).read(str(path)) as image:
                return np.array(image.data)
    except Exception as error:  # fabio raises whatever its parsers run into
        raise FileFormatError(
            f"{path} begins as {kind}, but cannot be read ({type(error).__name__}: {error}). "
            "It is truncated or damaged: copy it again, or export the image anew."
        ) from error
    finally:
        logging.disable(level)


def _dead(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    if values.dtype.kind == "i":
        return values < 0
    if values.dtype.kind == "u":
        return values == np.iinfo(values.dtype).max
    return None
