"""TIFF: grey-scale images of any program, and planes of ours that come back whole.

Ours hold the intensities on the first page, NaN where masked, so that every viewer opens
them; weights on further pages; and cell, axes and the rest as JSON in ImageDescription.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.io.grid import unit_cell
from dsfunet_core.io.json_exact import from_json, to_json
from dsfunet_core.io.measured import plane_arrays
from dsfunet_core.io.place import Unplaced
from dsfunet_core.io.stack import ImageStack
from dsfunet_core.plane import ReciprocalPlane

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["is_placed", "pixels", "read", "recognises", "write_tiff"]

_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
#: Largest page [bytes], and how often smaller than its pixels a packed one may be.
MAX_BYTES, MAX_PACKING = 2**33, 2000
_MARK = "dsfunet plane"


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file is a TIFF by its first bytes.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Not needed to tell.
    """
    del dataset
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def is_placed(path: Path) -> bool:
    """Whether a TIFF says where its pixels lie, as those of :func:`write_tiff` do.

    Parameters
    ----------
    path : Path
        A TIFF.
    """
    import tifffile

    with tifffile.TiffFile(path) as tif:
        return _record(getattr(tif.pages.first, "description", "")) is not None


def read(path: Path, dataset: str | None = None) -> ReciprocalPlane | Unplaced:
    """Read a grey-scale TIFF.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        Number of the page, from 0, in a file with several.

    Returns
    -------
    ReciprocalPlane or Unplaced
        A plane, with cell and weights if we wrote it, else without a cell; or the pages
        as layers of a volume, which waits for :func:`dsfunet_core.io.place.place`.

    Raises
    ------
    FileFormatError
        If the file is damaged, or in colours.
    """
    with _opened(path) as tif:
        description = getattr(tif.pages.first, "description", "")
        record = _record(description) if dataset is None else None
        if record is not None:
            ours = [_page(path, tif, i) for i in range(len(record["pages"]))]
            return _ours(path, record, ours)
        pages = len(tif.pages)
        image = _page(path, tif, _number(path, dataset, pages))
    provenance = {"file": str(path.resolve()), "format": "TIFF"}
    if dataset is None and pages > 1:
        return Unplaced(
            intensity=ImageStack(
                [f"page {i} of {path}" for i in range(pages)], lambda i: pixels(path, i), image
            ),
            lacks=(
                f'{path} has {pages} pages; say which, as dataset="0" to '
                f'dataset="{pages - 1}", or how they are layers of a volume, as cell=(a, b, c, '
                'α, β, γ), axes="lkh" (l from page to page) and limits=(first and last l, k, '
                "h)."
            ),
            name=path.stem,
            provenance=provenance,
        )
    return ReciprocalPlane(
        **plane_arrays(image, mask=_dead(image)), name=path.stem, provenance=provenance
    )


def pixels(path: Path, page: int = 0) -> tuple[np.ndarray[Any, Any], Any]:
    """Pixels of one page, and which of them carry the mark of dead ones.

    Parameters
    ----------
    path : Path
        The file.
    page : int
        Number of the page.
    """
    with _opened(path) as tif:
        image = _page(path, tif, page)
    return image, _dead(image)


def _dead(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Negative whole numbers, which detectors write where they have no pixel."""
    return image < 0 if image.dtype.kind == "i" else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            yield tif
    except FileFormatError:
        raise
    except Exception as error:  # tifffile and its codecs raise whatever they run into
        raise FileFormatError(
            f"{path} begins as a TIFF, but cannot be read ({type(error).__name__}: {error}). "
            "It is truncated or damaged: copy it again."
        ) from error


def write_tiff(
    path: str | os.PathLike[str],
    data: ReciprocalPlane | ReciprocalVolume,
    *,
    overwrite: bool = False,
) -> None:
    """Write a plane as TIFF.

    Parameters
    ----------
    path : path-like
        File to write.
    data : ReciprocalPlane
        What to write. Of masked pixels only those in a mask layer keep their value.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If it is a volume, or the file exists and ``overwrite`` is False.
    """
    import tifffile

    if not isinstance(data, ReciprocalPlane):
        raise ParameterError(
            f"a TIFF holds one plane, not the volume {data.name!r}. Cut a plane first "
            '(volume.section("hk1")), or write .nxs.'
        )
    intensity = np.asarray(data.intensity)
    kept = intensity.astype(intensity.dtype if intensity.dtype.kind == "f" else np.float64)
    pages = {"intensity": np.where(data.valid, kept, kept.dtype.type(np.nan))}
    if data.masks:  # what stands under them can be taken back
        pages["unmasked"] = kept
    weights = {"variance": data.variance, "counts": data.counts}
    pages |= {k: np.asarray(v) for k, v in weights.items() if v is not None}
    pages |= {f"mask {k}": np.asarray(v, dtype=np.uint8) for k, v in data.masks.items()}
    record = {
        "kind": _MARK,
        "pages": list(pages),
        "unit_cell": None if data.cell is None else data.cell.parameters,
        "origin": None if data.origin is None else np.asarray(data.origin).tolist(),
        "steps": None if data.steps is None else np.asarray(data.steps).tolist(),
        "laue_class": data.laue_class,
        "name": data.name,
        "provenance": data.provenance,
    }
    description = to_json(record)
    with (
        replacing(path, overwrite=overwrite) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=False) as tif,
    ):
        for number, page in enumerate(pages.values()):
            tif.write(
                page,
                description=description if number == 0 else None,
                photometric="minisblack",
                metadata=None,
                contiguous=False,
            )


def _number(path: Path, dataset: str | None, pages: int) -> int:
    if dataset is None:
        return 0
    if not dataset.isdecimal() or int(dataset) >= pages:
        raise FileFormatError(
            f'{path} has {pages} pages; say which, as dataset="0" to dataset="{pages - 1}".'
        )
    return int(dataset)


def _page(path: Path, tif: Any, number: int) -> np.ndarray[Any, Any]:
    """Pixels of a page whose header promises no more than is there."""
    page = tif.pages[number]
    if len(page.shape) != 2 or page.dtype is None or page.dtype.kind not in "iuf":
        raise FileFormatError(
            f"page {number} of {path} has shape {page.shape} and type {page.dtype}; a "
            "grey-scale image was expected. Colours are no intensities: export the numbers."
        )
    size = page.size * page.dtype.itemsize
    stored = min(sum(page.databytecounts), path.stat().st_size)
    if size > min(stored * (1 if page.compression == 1 else MAX_PACKING), MAX_BYTES):
        raise FileFormatError(
            f"page {number} of {path} claims the shape {page.shape} ({size} bytes), but "
            f"{stored} bytes are stored; it is truncated or damaged: copy it again."
        )
    if max(o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)) > (
        path.stat().st_size
    ):
        raise FileFormatError(
            f"{path} ends before page {number} does; it is truncated: copy it again."
        )
    return page.asarray()


def _record(description: str) -> dict[str, Any] | None:
    """What our writer put into the description; None for files of others."""
    if not description.startswith('{"kind": "' + _MARK):
        return None
    record = from_json(description)
    keys = {"pages", "unit_cell", "origin", "steps", "laue_class", "name", "provenance"}
    if not isinstance(record, dict) or not keys <= record.keys():
        raise FileFormatError(
            "the description of the TIFF is one of ours, but misses "
            f"{', '.join(sorted(keys - set(record)))}; the file was changed."
        )
    return record


def _ours(path: Path, record: dict[str, Any], pages: list[Any]) -> ReciprocalPlane:
    arrays = dict(zip(record["pages"], pages, strict=True))
    cell = record["unit_cell"]
    return ReciprocalPlane(
        intensity=arrays["unmasked" if "unmasked" in arrays else "intensity"],
        valid=np.isfinite(arrays["intensity"]),
        variance=arrays.get("variance"),
        counts=arrays.get("counts"),
        cell=None if cell is None else unit_cell(cell, f"unit_cell in {path}"),
        origin=None if record["origin"] is None else np.array(record["origin"]),
        steps=None if record["steps"] is None else np.array(record["steps"]),
        laue_class=record["laue_class"],
        name=record["name"],
        provenance=record["provenance"],
        masks={
            name.removeprefix("mask "): page.astype(bool)
            for name, page in arrays.items()
            if name.startswith("mask ")
        },
    )
