"""Folders of images, each of them a layer of one volume."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io import images, tiff
from dsfunet_core.io.place import Unplaced
from dsfunet_core.io.stack import ImageStack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read"]


def read(folder: Path, dataset: str | None = None) -> Unplaced:
    """Stack the images of a folder, in the order of the numbers in their names.

    Parameters
    ----------
    folder : Path
        The folder; hidden files are passed over, and so is what is no image.
    dataset : str, optional
        Folders have none; an error if given.

    Returns
    -------
    Unplaced
        A volume whose first axis runs from image to image, read where it is sliced; it waits
        for :func:`dsfunet_core.io.place.place`.

    Raises
    ------
    FileFormatError
        If there are not two images at least.
    """
    files = sorted(
        (p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")), key=_order
    )
    if (folder / "set.json").exists():
        raise FileFormatError(
            f"{folder} is a set of simulated planes.",
            python="Read one of its shard-….h5, and a plane by its number as dataset.",
            terminal=f"Name one of its files, {folder}/shard-00000.h5 --dataset 0, or take all "
            f"of it: dsfunet evaluate {folder}.",
            napari="Open one of its shard-….h5.",
        )
    layers = [p for p in files if tiff.recognises(p, None) or images.recognises(p, None)]
    if len(layers) < 2 or dataset is not None:
        raise FileFormatError(
            f"{folder} is a folder with {len(layers)} images; name one file in it, or put two "
            "images or more there to have them as layers of a volume."
        )
    first = _pixels(layers[0])[0]
    others = [p.name for p in files if p not in layers]
    provenance: dict[str, Any] = {
        "file": str(folder.resolve()),
        "format": f"folder of {len(layers)} images",
        "images": [layers[0].name, layers[-1].name],
    }
    if others:
        provenance["notes"] = [f"no images, passed over: {', '.join(others[:12])}"]
    return Unplaced(
        intensity=ImageStack([str(p) for p in layers], lambda i: _pixels(layers[i]), first),
        lacks=(
            f"{folder} is a folder of {len(layers)} images, {layers[0].name} to "
            f"{layers[-1].name}. Name one of them, or say how they are layers of a volume, as "
            'cell=(a, b, c, α, β, γ), axes="lkh" (l from image to image) and limits=(first and '
            "last l, k, h)."
        ),
        name=folder.resolve().name,
        provenance=provenance,
    )


def _order(path: Path) -> list[Any]:
    """Key by which 2 comes before 10, and −2 before −1."""
    parts = re.split(r"((?:(?<![0-9A-Za-z])-)?\d+)", path.name)
    return [int(p) if i % 2 else p for i, p in enumerate(parts)]


def _pixels(path: Path) -> tuple[NDArray[Any], Any]:
    return tiff.pixels(path) if tiff.recognises(path, None) else images.pixels(path)[:2]
