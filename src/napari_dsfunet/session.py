"""Everything on the screen in one file, and back: layers, docks, view.

A session is a ZIP archive with ``session.json`` and one file for every object shown. Volumes
that were read from a file stay there; the session keeps their path.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from napari_dsfunet.layers import (
    MARK,
    cell_layer,
    entry,
    factorization_layers,
    object_layers,
    plane_layer,
    volume_layer,
)
from napari_dsfunet.session_docks import docks_state, restore_docks
from napari_dsfunet.volume_layers import VOLUME_ROLES, volume_map_layer

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["is_session", "open_session", "save_session"]

FORMAT, VERSION = "dsfunet session", 1
#: Layers of others that are kept as they are; painted masks and drawn polygons are work.
PLAIN = ("image", "labels", "points", "shapes", "vectors")
#: What of a layer's looks is kept, where the layer has it.
LOOKS = ("visible", "opacity", "blending", "gamma", "contrast_limits", "interpolation2d")


def is_session(path: Path) -> bool:
    """Whether a file is a session.

    Parameters
    ----------
    path : Path
        The file.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "session.json" in archive.namelist()


def save_session(viewer: Any, path: str | Path, *, overwrite: bool = False) -> list[str]:
    """Write layers, docks and view.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose.
    path : path-like
        File to write; ``.dsfunet`` is added where it has no suffix.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    list of str
        Names of layers that could not be kept.

    Raises
    ------
    ParameterError
        If the file exists and ``overwrite`` is False.
    """
    from dsfunet_core.io.files import replacing

    path = Path(path)
    path = path if path.suffix else path.with_suffix(".dsfunet")
    viewer = getattr(viewer, "__wrapped__", viewer)
    with (
        replacing(path, overwrite=overwrite) as temporary,
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        store = _Store(Path(folder), archive, path.resolve().parent)
        layers, lost = [], []
        for layer in viewer.layers:
            if layer.metadata.get(MARK, {}).get("what") in ("overlay", "outline"):
                continue  # its dock makes it again
            kept = store.layer(layer)
            if kept is None:
                lost.append(layer.name)
            else:
                layers.append(kept)
        active = viewer.layers.selection.active
        content = {
            "format": FORMAT,
            "version": VERSION,
            "objects": store.objects,
            "layers": layers,
            "active": None if active is None else active.name,
            "docks": docks_state(viewer),
            "view": _view(viewer),
        }
        archive.writestr("session.json", json.dumps(content, indent=1))
    return lost


def open_session(viewer: Any, path: str | Path) -> None:
    """Add a session's layers, open its docks, and restore its view.

    Parameters
    ----------
    viewer : napari.Viewer
        Layers that are there stay.
    path : path-like
        File that :func:`save_session` wrote.

    Raises
    ------
    FileFormatError
        If it is something else, is damaged, or a volume it names is gone. Nothing is added
        then.
    """
    from napari.layers import Layer

    from dsfunet_core.io.files import existing_file
    from napari_dsfunet.view import follow

    found = existing_file(path)
    viewer = getattr(viewer, "__wrapped__", viewer)
    with tempfile.TemporaryDirectory() as folder:
        content, layers = _load(found, Path(folder))
    follow(viewer)
    made = {about["name"]: Layer.create(*data) for data, about in layers}
    for _, about in layers:
        layer = made[about["name"]]
        mark = about.get("mark")
        if mark is not None and mark["on"] in made:
            layer.metadata[MARK] = {"what": mark["what"], "on": made[mark["on"]]}
        viewer.add_layer(layer)
        for name, value in about["looks"].items():
            # A colour map that somebody made and napari does not know by name is not missed.
            with suppress(KeyError):
                setattr(layer, name, value)
        layer.name_overlay.visible = bool(about.get("named"))
    _restore_view(viewer, content["view"])
    if content.get("active") in viewer.layers:
        viewer.layers.selection.active = viewer.layers[content["active"]]
    names = {name: layer.name for name, layer in made.items()}
    restore_docks(viewer, content["docks"], names)


class _Store:
    """Objects of the layers, each once."""

    def __init__(self, folder: Path, archive: zipfile.ZipFile, beside: Path) -> None:
        self.folder, self.archive, self.beside = folder, archive, beside
        self.objects: list[dict[str, Any]] = []
        self._known: list[Any] = []

    def layer(self, layer: Layer) -> dict[str, Any] | None:
        """What is written about a layer; None where it cannot be kept."""
        looks = {name: getattr(layer, name) for name in LOOKS if hasattr(layer, name)}
        if "contrast_limits" in looks:
            looks["contrast_limits"] = [float(x) for x in looks["contrast_limits"]]
            looks["colormap"] = layer.colormap.name
        looks = {
            k: v if isinstance(v, bool | list | float) else str(v) for k, v in looks.items()
        }
        kept: dict[str, Any] = {
            "name": layer.name,
            "looks": looks,
            "named": bool(layer.name_overlay.visible),
        }
        noted = entry(layer)
        if noted is not None and noted["role"] in _ROLES:
            number = self.object(noted["object"], noted)
            if noted["role"] in VOLUME_ROLES:
                kept["axes"] = noted["axes"]
            return {**kept, "object": number, "role": noted["role"], "script": noted["script"]}
        data, options, kind = layer.as_layer_data_tuple()
        if kind not in PLAIN:
            return None
        arrays = data if isinstance(data, list) else [data]
        name = f"layer-{len(self.archive.namelist())}.npz"
        named: dict[str, Any] = {str(i): np.asarray(x) for i, x in enumerate(arrays)}
        np.savez_compressed(self.folder / name, **named)
        self.archive.write(self.folder / name, name)
        plain = {"affine": np.asarray(layer.affine.affine_matrix).tolist()}
        for option in ("scale", "translate"):
            plain[option] = [float(x) for x in getattr(layer, option)]
        for option in ("shape_type", "size"):
            if option in options:
                plain[option] = np.asarray(options[option]).tolist()
        mark = layer.metadata.get(MARK)
        if mark is not None:
            kept["mark"] = {"what": mark["what"], "on": mark["on"].name}
        return {
            **kept,
            "kind": kind,
            "file": name,
            "several": isinstance(data, list),
            "options": plain,
        }

    def object(self, shown: Any, noted: dict[str, Any]) -> int:
        """Number of an object, which is written when it comes for the first time."""
        for number, known in enumerate(self._known):
            if known is shown:
                return number
        number = len(self._known)
        self._known.append(shown)
        self.objects.append({})
        self.objects[number] = self._write(shown, noted, number)
        return number

    def _write(self, shown: Any, noted: dict[str, Any], number: int) -> dict[str, Any]:
        from dsfunet_core import save_result
        from dsfunet_core.io.numpy import write_npz

        read_from = noted.get("read_from")
        if isinstance(shown, ReciprocalVolume) and read_from is not None:
            file, options = Path(read_from[0]).resolve(), read_from[1]
            beside = file.relative_to(self.beside) if file.is_relative_to(self.beside) else None
            return {
                "type": "file",
                "path": str(file),
                "beside": None if beside is None else beside.as_posix(),
                "options": options,
            }
        if isinstance(shown, Factorization):
            name, kind = f"object-{number}.h5", "factorization"
            save_result(self.folder / name, shown, noted.get("fit"))
        elif noted["role"] in VOLUME_ROLES:
            from dsfunet_core.volume_factorization import write_volume_factorization

            name, kind = f"object-{number}.h5", "volume factorization"
            write_volume_factorization(self.folder / name, shown)
        elif isinstance(shown, ReciprocalPlane | ReciprocalVolume):
            name = f"object-{number}.npz"
            kind = "plane" if isinstance(shown, ReciprocalPlane) else "volume"
            write_npz(self.folder / name, shown)
        else:
            name, kind = f"object-{number}.json", "cell"
            (self.folder / name).write_text(json.dumps(shown.to_dict()), encoding="utf-8")
        self.archive.write(self.folder / name, name)
        return {"type": kind, "file": name}


#: Roles of layers that can be made again from their object.
_ROLES = (
    "volume",
    "plane",
    "cell",
    "form factor",
    "SRO",
    "product",
    "residual",
    "background",
    *VOLUME_ROLES,
)


def _load(path: Path, folder: Path) -> tuple[dict[str, Any], list[tuple[Any, dict[str, Any]]]]:
    """Content of a session, and its layers with what is kept about each."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read("session.json"))
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise FileFormatError(f"{path} is no session of this plugin.")
            if content["version"] > VERSION:
                raise FileFormatError(
                    f"{path} was saved by a newer version of the plugin; install that."
                )
            files = [
                x["file"] for x in (*content["objects"], *content["layers"]) if "file" in x
            ]
            for name in files:
                # Names are ours: bare, so that nothing is written elsewhere.
                (folder / Path(name).name).write_bytes(archive.read(name))
            objects = [_object(o, folder, path) for o in content["objects"]]
            layers = [_layer(x, objects, folder) for x in content["layers"]]
    except (zipfile.BadZipFile, json.JSONDecodeError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"{path} is damaged ({type(error).__name__}: {error}); copy it again."
        ) from error
    return content, layers


def _object(about: dict[str, Any], folder: Path, session: Path) -> tuple[Any, dict[str, Any]]:
    """Object, and what is to be noted with it."""
    from dsfunet_core import read
    from dsfunet_core.io.results import load_fit, load_result
    from dsfunet_core.refine import UnitCellMap

    kind = about["type"]
    if kind == "file":
        file = Path(about["path"])
        if about["beside"] is not None and not file.is_file():
            file = session.parent / about["beside"]
        if not file.is_file():
            raise FileFormatError(
                f"{session.name} shows {about['path']}, which is gone. Put it back, or beside "
                "the session where it was when that was saved."
            )
        return read(file, **about["options"]), {"read_from": (str(file), about["options"])}
    file = folder / Path(about["file"]).name
    if kind == "factorization":
        return load_result(file), {"fit": load_fit(file)}
    if kind == "volume factorization":
        from dsfunet_core.volume_factorization import read_volume_factorization

        return read_volume_factorization(file, in_memory=True), {}
    if kind == "cell":
        return UnitCellMap.from_dict(json.loads(file.read_text(encoding="utf-8"))), {}
    return read(file), {}


def _layer(
    about: dict[str, Any], objects: list[tuple[Any, dict[str, Any]]], folder: Path
) -> tuple[Any, dict[str, Any]]:
    if "kind" in about:
        with np.load(folder / Path(about["file"]).name, allow_pickle=False) as stored:
            arrays = [stored[str(i)] for i in range(len(stored.files))]
        data = arrays if about["several"] else arrays[0]
        made: Any = (data, {**about["options"], "name": about["name"]}, about["kind"])
        return made, about
    shown, noted = objects[about["object"]]
    script, role = tuple(about["script"]), about["role"]
    if role == "cell":
        made = cell_layer(shown, script, about["name"])
    elif isinstance(shown, ReciprocalVolume):
        if noted.get("read_from"):
            made = object_layers(shown, None, noted["read_from"])[0]
            made[1]["metadata"]["dsfunet"]["script"] = script
        else:
            made = volume_layer(shown, script)
    elif role in VOLUME_ROLES:
        made = volume_map_layer(shown, role, script, about.get("axes"))
    elif isinstance(shown, Factorization):
        # In the order in which they are made.
        roles = ("form factor", "SRO", "product", "residual", "background")
        made = factorization_layers(shown, script, noted.get("fit"))[roles.index(role)]
    else:
        made = plane_layer(shown, script)
    made[1]["name"] = about["name"]
    return made, about


def _view(viewer: Any) -> dict[str, Any]:
    camera, grid = viewer.scene.camera, viewer.canvas.grid
    return {
        "ndisplay": viewer.dims.ndisplay,
        "order": list(viewer.dims.order),
        "point": [float(x) for x in viewer.dims.point],
        "camera": {
            "center": [float(x) for x in camera.center],
            "zoom": float(camera.zoom),
            "angles": [float(x) for x in camera.angles],
        },
        "grid": {
            "enabled": grid.enabled,
            "stride": grid.stride,
            "shape": list(grid.shape),
            "spacing": float(grid.spacing),
        },
    }


def _restore_view(viewer: Any, view: dict[str, Any]) -> None:
    if len(view["order"]) == viewer.dims.ndim:
        viewer.dims.ndisplay = view["ndisplay"]
        viewer.dims.order = tuple(view["order"])
        viewer.dims.set_point(range(viewer.dims.ndim), view["point"])
    for name, value in view["grid"].items():
        setattr(viewer.canvas.grid, name, tuple(value) if name == "shape" else value)
    for name, value in view["camera"].items():
        setattr(viewer.scene.camera, name, value if name == "zoom" else tuple(value))
