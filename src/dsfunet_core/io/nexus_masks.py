"""Mask layers in files of ours: added a slab at a time, and found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import HDF5Array, text
from dsfunet_core.io.json_exact import from_json, to_json
from dsfunet_core.io.slabs import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["LayerGroup", "mask_layers"]


def mask_layers(path: Path, group: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Why pixels are masked, in the order in which the layers were made; lazy for volumes.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        Path of the group with ``mask_names`` and ``masks``.
    shape : tuple of int
        That of the intensities.

    Returns
    -------
    dict of str to array-like of bool
        Layers by reason.

    Raises
    ------
    FileFormatError
        If a layer is missing or has another shape.
    """
    names = from_json(text(path, f"{group}/mask_names") or "[]")
    layers = {str(n): HDF5Array(path, f"{group}/masks/{n}") for n in names}
    for name, layer in layers.items():
        if layer.shape != shape:
            raise FileFormatError(
                f"the mask {name!r} in {path} has shape {layer.shape}, but the intensities "
                f"have {shape}; the file is damaged."
            )
    if len(shape) == 3:
        return dict(layers)
    return {name: layer[...].astype(bool) for name, layer in layers.items()}


class LayerGroup:
    """Layers of the mask of a volume in a file that is open for writing.

    Parameters
    ----------
    h5 : h5py.File
        As :func:`dsfunet_core.io.nexus_output.write_nexus` left it.
    names : iterable of str
        Layers that it holds already.
    """

    def __init__(self, h5: h5py.File, names: Iterable[str] = ()) -> None:
        self.group = h5["entry/data"]
        masks = self.group.require_group("masks")
        masks.attrs["NX_class"] = "NXcollection"
        self.layers: dict[str, h5py.Dataset] = {name: masks[name] for name in names}

    def layer(self, name: str) -> h5py.Dataset:
        """Layer to write into; an empty one unless it is there already.

        Parameters
        ----------
        name : str
            Why voxels are out.
        """
        if name not in self.layers:
            shape = self.group["intensity"].shape
            chunks = tuple(min(n, 32) for n in shape)
            self.layers[name] = self.group["masks"].create_dataset(
                name, shape, bool, chunks=chunks, compression="gzip", shuffle=True
            )
        return self.layers[name]

    def finish(
        self, out: Callable[[slice], NDArray[np.bool_]] | None, provenance: dict[str, Any]
    ) -> None:
        """Write what all layers hold together as the mask, and what was done.

        Parameters
        ----------
        out : callable or None
            What is out of a slab of the first axis anyway, if anything is.
        provenance : dict
            Of the masked volume.
        """

        def every(part: slice) -> NDArray[np.bool_]:
            held = np.zeros((part.stop - part.start, *shape[1:]), dtype=bool)
            if out is not None:
                held |= out(part)
            for layer in self.layers.values():
                held |= layer[part]
            return held

        shape = self.group["intensity"].shape
        for name in ("mask", "mask_names", "provenance"):
            if name in self.group:
                del self.group[name]
        fill(self.group, "mask", shape, bool, every)
        self.group["mask_names"] = to_json(list(self.layers))
        self.group["provenance"] = to_json(provenance)
