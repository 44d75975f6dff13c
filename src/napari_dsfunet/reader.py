"""Files that napari opens through the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.types import LayerData

__all__ = ["get_reader", "read_file"]


def get_reader(path: str | list[str]) -> Callable[..., list[LayerData]] | None:
    """Reader for a file whose content is known, by its layout and not by its name.

    Parameters
    ----------
    path : str or list of str
        What was opened; of several files none is claimed.

    Returns
    -------
    callable or None
        None for files of others. Never raises.
    """
    try:
        if isinstance(path, list):
            if len(path) != 1:
                return None
            path = path[0]
        if not Path(path).is_file():
            return None
        from dsfunet_core.io import (
            chess,
            mantid,
            meerkat,
            nexus,
            numpy,
            nxrefine,
            results,
            yell,
        )

        # Pictures are left to napari's own readers: few of them are scattering.
        formats = (meerkat, mantid, nxrefine, chess, nexus, yell, numpy)
        claimed = any(module.recognises(Path(path), None) for module in formats)
        return read_file if claimed or results.recognises(Path(path)) else None
    except Exception:  # whatever a damaged file raises, it is not ours to open
        return None


def read_file(path: str | list[str]) -> list[LayerData]:
    """Layers of a file.

    Parameters
    ----------
    path : str or list of str
        A volume, a plane, or a saved factorization.

    Returns
    -------
    list of tuple
        Data, options, "image".

    Raises
    ------
    FileFormatError
        If the file is damaged; the text says what to change.
    """
    from dsfunet_core.io import read, results
    from napari_dsfunet.layers import factorization_layers, object_layers, plane_layer

    found = Path(path[0] if isinstance(path, list) else path)
    source = repr(str(found))
    follow_current()
    if results.recognises(found):
        result = results.load_result(found)
        script = (f"result = dsfunet_core.load_result({source})",)
        plane = plane_layer(result.plane, (*script, "plane = result.plane"))
        return [plane, *factorization_layers(result, script)]
    return object_layers(read(found), source)


def follow_current() -> None:
    """Follow the viewer that is open, if one is."""
    import napari

    from napari_dsfunet.view import follow

    viewer = napari.current_viewer()
    if viewer is not None:
        follow(viewer)
