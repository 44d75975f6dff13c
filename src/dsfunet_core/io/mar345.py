"""Image plates of mar research (MAR345), packed as CCP4 does.

Unpacked here and not by fabio, whose decoder writes beyond its arrays where a file is
damaged. The format is described in "The mar345 image formats" (marresearch GmbH); the
packing is J. P. Abrahams'.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.compiled import compiled
from dsfunet_core.errors import FileFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["outside_the_plate", "read_mar345"]

#: First four bytes, the number 1234 in either byte order.
_KINDS = {b"\xd2\x04\x00\x00": "<i4", b"\x00\x00\x04\xd2": ">i4"}
#: Length of the header, and of a record of eight bright pixels [bytes]; longest edge [pixels].
HEADER, RECORD, MAX_EDGE = 4096, 64, 2**14
#: A chunk of 128 pixels that do not differ from their neighbours takes six bits.
MAX_PER_BYTE = 128 * 8 // 6 + 1
_PACKED = re.compile(rb"\nCCP4 packed image( V2)?, X: *(\d{1,6}), Y: *(\d{1,6})\n")
#: Bits of a difference, by the three bits at the beginning of a chunk.
_WIDTHS = (0, 4, 5, 6, 7, 8, 16, 32)


def read_mar345(path: Path) -> NDArray[np.int32]:
    """Pixels of a MAR345 image.

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
        If it is damaged, truncated or packed in another way.
    """
    raw = path.read_bytes()
    if len(raw) < HEADER:
        raise _damaged(path, f"ends after {len(raw)} of the {HEADER} bytes of its header")
    kind = _KINDS[raw[:4]]
    columns, bright, packing, _, pixels = (int(n) for n in np.frombuffer(raw, kind, 5, 4))
    if packing == 2:
        raise FileFormatError(
            f"{path} is a spiral MAR345 image, as the scanner reads it, without rows and "
            "columns. Convert it with marcvt first."
        )
    rows = pixels // columns if columns > 0 else 0
    if (
        not 3 <= columns <= MAX_EDGE
        or not 1 <= rows <= MAX_EDGE
        or rows * columns != pixels
        or pixels > len(raw) * MAX_PER_BYTE
    ):
        raise _damaged(path, f"claims {pixels} pixels, {columns} a row, in {len(raw)} bytes")
    records = -(-bright // 8)
    if bright < 0 or HEADER + records * RECORD > len(raw):
        raise _damaged(path, f"claims {bright} pixels above 65535 in {len(raw)} bytes")
    found = _PACKED.search(raw, HEADER + records * RECORD)
    if found is None:
        raise _damaged(path, "has no packed image behind its header")
    if found[1] or (int(found[2]), int(found[3])) != (columns, rows):
        raise FileFormatError(
            f"{path} (MAR345) says {found[0].decode().strip()!r}, but {columns} × {rows} "
            "pixels in the first version of the packing were expected. It is damaged, or was "
            "made by a program that writes the second; convert it to CBF."
        )
    image, done = _unpacked(np.frombuffer(raw, np.uint8, -1, found.end()), columns, pixels)
    if done < pixels:
        raise _damaged(path, f"unpacks to {done} of {pixels} pixels")
    _put_bright(path, image, np.frombuffer(raw, kind, records * 16, HEADER).reshape(-1, 2))
    return image.reshape(rows, columns)


def outside_the_plate(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Corners of the image, where there is no plate and the scanner writes 0.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        The image; the plate is the circle in it.
    """
    rows, columns = values.shape
    y, x = np.ogrid[:rows, :columns]
    squared = (2 * y + 1 - rows) ** 2 + (2 * x + 1 - columns) ** 2
    return (values == 0) & (squared > max(rows, columns) ** 2)


def _damaged(path: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path} (MAR345) {what}; it is truncated or damaged: copy it again."
    )


def _put_bright(path: Path, image: NDArray[np.int32], records: NDArray[Any]) -> None:
    """Pixels above 65535 stand apart: where, counted from 1, and how bright; 0 is a filler."""
    used = records[records[:, 0] != 0]
    at = used[:, 0].astype(np.int64) - 1
    if at.size and (at.min() < 0 or at.max() >= image.size or used[:, 1].min() < 0):
        raise _damaged(path, "lists bright pixels outside the image")
    image[at] = used[:, 1]


@compiled
def _unpacked(packed, columns, pixels):  # type: ignore[no-untyped-def]
    """Image, and how many of its pixels there were bits for.

    A chunk begins with log2 of its number of pixels and the bits that each of them takes.
    What is stored is the difference from the mean of four neighbours before, in whole numbers
    of 16 bits with sign.
    """
    image = np.zeros(pixels, np.int32)
    window: Any = 0
    bits, at, done, left, width = 0, 0, 0, 0, 0
    while done < pixels:
        needed = width if left else 6
        while bits < needed:
            if at == packed.size:
                return image, done
            window |= np.int64(packed[at]) << bits
            at += 1
            bits += 8
        if left == 0:
            left, width = 1 << (window & 7), _WIDTHS[(window >> 3) & 7]
            window >>= 6
            bits -= 6
            continue
        step = window & ((1 << width) - 1)
        if width and step >> (width - 1):
            step -= 1 << width
        window >>= width
        bits -= width
        before: Any = 0
        if done > columns:
            total: Any = 2
            for i in (done - 1, done - columns + 1, done - columns, done - columns - 1):
                total += image[i] - 65536 if image[i] > 32767 else image[i]
            before = total // 4 if total >= 0 else -(-total // 4)  # towards 0, as C divides
        elif done:
            before = image[done - 1]
        image[done] = (before + step) & 0xFFFF
        done += 1
        left -= 1
    return image, done
