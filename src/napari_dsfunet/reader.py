"""Files that napari opens through the plugin."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.types import LayerData

__all__ = ["get_reader", "read_file", "read_files"]

#: End of the name of saved sessions.
SESSION = ".dsfunet"
#: Nothing but HDF5 is called so.
HDF5_SUFFIXES = (".h5", ".hdf5", ".nxs")
#: How NumPy's files begin.
NUMPY_MAGIC = {".npy": b"\x93NUMPY", ".npz": b"PK"}
#: Files of a folder that are opened; more would bury the viewer.
MOST_FILES = 200


def _told(reader: Callable[..., list[LayerData]]) -> Callable[..., list[LayerData]]:
    """Reader whose errors name menus and fields, where the core would name arguments."""

    @functools.wraps(reader)
    def read(path: str | list[str], **options: Any) -> list[LayerData]:
        from dsfunet_core.errors import DsfunetError

        try:
            return reader(path, **options)
        except DsfunetError as error:
            raise type(error)(error.told("napari")) from error

    return read


def get_reader(path: str | list[str]) -> Callable[..., list[LayerData]] | None:
    """Reader for files and folders whose content is known, by layout and not by name.

    Parameters
    ----------
    path : str or list of str
        What was opened. A folder, or a list, is claimed if every file that may be data is.

    Returns
    -------
    callable or None
        None for files of others. For a damaged file one that says what is wrong with it.
        Never raises.
    """
    from dsfunet_core.errors import FileFormatError

    try:
        paths = [Path(p) for p in (path if isinstance(path, list) else [path])]
        if len(paths) == 1 and paths[0].is_dir():
            found = [p for p in _files(paths[0]) if _ours(p)]
            return read_files if found else None
        if len(paths) == 1 and _says_why(paths[0]):
            return read_file
        if not paths or not all(p.is_file() and _ours(p) for p in paths):
            return None
        return read_file if len(paths) == 1 else read_files
    except FileFormatError:  # it says why once it is read
        return read_file if len(paths) == 1 and paths[0].is_file() else read_files
    except Exception:  # whatever else a file raises, it is not ours to open
        return None


def _says_why(path: Path) -> bool:
    """Whether a file is damaged, or HDF5 of any layout with arrays to choose from."""
    import h5py

    from dsfunet_core.io import arrays

    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in (*HDF5_SUFFIXES, *NUMPY_MAGIC):
        return False
    if suffix in NUMPY_MAGIC:
        with path.open("rb") as file:
            return not file.read(8).startswith(NUMPY_MAGIC[suffix])
    return not h5py.is_hdf5(path) or bool(arrays(path))


@_told
def read_files(path: str | list[str]) -> list[LayerData]:
    """Layers of a folder's files, or of several files.

    Parameters
    ----------
    path : str or list of str
        Folder or files; those of others in a folder are passed over.

    Returns
    -------
    list of tuple
        Data, options, "image".

    Raises
    ------
    FileFormatError
        If a file is damaged, or there are too many.
    """
    from dsfunet_core.errors import FileFormatError

    paths = [Path(p) for p in (path if isinstance(path, list) else [path])]
    if len(paths) == 1 and paths[0].is_dir():
        paths = [p for p in _files(paths[0]) if _ours(p)]
    if len(paths) > MOST_FILES:
        raise FileFormatError(
            f"{len(paths)} files at once: at most {MOST_FILES} are opened as layers. Open some "
            "of them, or work through the folder with the dsfunet command."
        )
    return [layer for found in paths for layer in read_file(str(found))]


@_told
def read_file(path: str | list[str], **options: Any) -> list[LayerData]:
    """Layers of a file.

    Parameters
    ----------
    path : str or list of str
        A volume, a plane, a saved factorization, or a saved session.
    **options
        For :func:`dsfunet_core.read`: dataset, cell, section, axes, limits.

    Returns
    -------
    list of tuple
        Data, options, "image".

    Raises
    ------
    FileFormatError
        If the file is damaged; the text says what to change.
    """
    from dsfunet_core.errors import FileFormatError
    from dsfunet_core.io import read, results
    from dsfunet_core.io.volume_results import holds_volume_factorization
    from napari_dsfunet.layers import factorization_layers, object_layers, plane_layer

    found = Path(path[0] if isinstance(path, list) else path)
    source = repr(str(found))
    follow_current()
    if found.suffix == SESSION:
        import napari

        from napari_dsfunet.session import open_session

        viewer = napari.current_viewer()
        if viewer is not None:
            open_session(viewer, found)
        # What napari takes for "opened, and there is nothing to add".
        return [(None,)]
    if not options and results.recognises(found):
        from dsfunet_core.io.results import load_fit

        result, fit = results.load_result(found), load_fit(found)
        script = (f"result = dsfunet_core.load_result({source})",)
        plane = plane_layer(result.plane, (*script, "plane = result.plane"))
        layers = factorization_layers(result, script, fit)
        # One map above the other: only the topmost is seen, so the others need no drawing.
        for _, shown, _ in layers:
            shown["visible"] = False
        return [plane, *layers]
    if not options and holds_volume_factorization(found):
        from napari_dsfunet.volume_layers import opened_volume_result

        return opened_volume_result(found)
    try:
        data = read(found, **options)
    except FileFormatError:
        chosen = None if options.get("dataset") else _picked(found)
        if chosen is None:
            raise
        options["dataset"] = chosen
        data = read(found, **options)
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    return object_layers(data, f"{source}{given}", (str(found), options))


def follow_current() -> None:
    """Follow the viewer that is open, if one is."""
    import napari

    from napari_dsfunet.view import follow

    viewer = napari.current_viewer()
    if viewer is not None:
        follow(viewer)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _ours(path: Path) -> bool:
    """Whether a file's content is diffuse scattering for sure."""
    from dsfunet_core.io import (
        chess,
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

    if path.suffix == SESSION:
        from napari_dsfunet.session import is_session

        return is_session(path)
    formats = (simulated_set, meerkat, mantid, nxrefine, chess, nexus, yell, numpy, images)
    if any(module.recognises(path, None) for module in formats):
        return True
    # Of TIFFs only those that say where their pixels lie: few of them are scattering.
    return results.recognises(path) or (tiff.recognises(path, None) and tiff.is_placed(path))


def _picked(path: Path) -> str | None:
    """Array that the user chose from a file that holds several."""
    import h5py

    from dsfunet_core.io import arrays

    found = arrays(path) if h5py.is_hdf5(path) else {}
    if len(found) < 2:
        return None
    from napari_dsfunet.widgets.dataset_picker import pick

    return pick(path, found)
