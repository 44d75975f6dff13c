"""Crystallographic binary files with byte-offset compression (CBF, miniCBF).

Read here and not through fabio, whose parser does not come to an end on some damaged
headers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import FileFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_cbf"]

_SECTION, _START = b"--CIF-BINARY-FORMAT-SECTION--", b"\x0c\x1a\x04\xd5"
#: Longest header [bytes], and longest edge of an image [pixels].
MAX_HEADER, MAX_EDGE = 2**20, 2**16


def read_cbf(path: Path) -> NDArray[np.int64]:
    """Pixels of the first image in a CBF.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    ndarray of int, shape (n_rows, n_columns)
        As stored; the first row of the file is row 0.

    Raises
    ------
    FileFormatError
        If it is damaged, truncated or compressed in another way.
    """
    raw = path.read_bytes()
    section = raw.find(_SECTION)
    start = raw.find(_START, section, section + MAX_HEADER) if section >= 0 else -1
    if start < 0:
        raise FileFormatError(
            f"{path} begins as CBF, but has no binary section; it is truncated or damaged: "
            "copy it again."
        )
    header = raw[section:start].decode("ascii", errors="replace")
    if "x-cbf_byte_offset" not in header.lower():
        raise FileFormatError(
            f"{path} is a CBF compressed otherwise than by byte offset. Write it again with "
            "byte-offset compression (x-CBF_BYTE_OFFSET), or as EDF or TIFF."
        )
    columns, rows = (
        _number(path, header, f"Size-{n}-Dimension") for n in ("Fastest", "Second")
    )
    size = _number(path, header, "Size")
    start += len(_START)
    if max(columns, rows) > MAX_EDGE or rows * columns > len(raw) or min(columns, rows) == 0:
        raise FileFormatError(
            f"{path} (CBF) claims {rows} × {columns} pixels in {len(raw)} bytes; it is damaged "
            "or truncated: copy it again."
        )
    if len(raw) < start + size:
        raise FileFormatError(
            f"{path} (CBF) ends after {len(raw) - start} of the {size} bytes of its image; it "
            "is truncated: copy it again."
        )
    steps = _steps(np.frombuffer(raw, np.uint8, size, start))
    if len(steps) < rows * columns:
        raise FileFormatError(
            f"{path} (CBF) unpacks to {len(steps)} of {rows * columns} pixels; it is truncated "
            "or damaged: copy it again."
        )
    return np.cumsum(steps[: rows * columns]).reshape(rows, columns)


def _number(path: Path, header: str, name: str) -> int:
    found = re.search(rf"X-Binary-{name}:\s*(\d{{1,15}})\s", header, re.IGNORECASE)
    if not found:
        raise FileFormatError(
            f"{path} (CBF) has no X-Binary-{name} in the header of its image; it is damaged: "
            "copy it again."
        )
    return int(found[1])


def _steps(packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Differences between neighbouring pixels.

    A byte holds one; 0x80 says that two bytes with it follow, 0x8000 there that four do, and
    0x80000000 there that eight do.
    """
    end = len(packed)
    keep = np.ones(end, dtype=bool)
    places: list[int] = []
    values: list[int] = []
    free = 0
    for place in np.flatnonzero(packed == 0x80).tolist():
        if place < free:  # part of a number, no mark
            continue
        at, value = place + 1, -(2**7)
        for width in (2, 4, 8):
            if at + width > end:
                return _unpacked(packed[:place], keep[:place], places, values)
            value = int.from_bytes(packed[at : at + width].tobytes(), "little", signed=True)
            at += width
            if value != -(2 ** (8 * width - 1)) or width == 8:
                break
        free = at
        keep[place + 1 : at] = False
        places.append(place)
        values.append(value)
    return _unpacked(packed, keep, places, values)


def _unpacked(
    packed: NDArray[np.uint8], keep: NDArray[np.bool_], places: list[int], values: list[int]
) -> NDArray[np.int64]:
    steps = packed.view(np.int8)[keep].astype(np.int64)
    steps[np.cumsum(keep)[places] - 1] = values
    return steps
