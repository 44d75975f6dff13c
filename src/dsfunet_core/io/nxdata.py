"""NXdata groups: which dataset is the signal, and where its voxels lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import HDF5Array
from dsfunet_core.io.hdf5_file import children, locate, open_hdf5

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "Axis",
    "attribute",
    "axis",
    "axis_names",
    "default_group",
    "direction",
    "groups",
    "signal_of",
]

#: Largest deviation of a coordinate from even spacing, in steps.
TOLERANCE = 1e-2
#: Groups deeper than this, or more than so many, are not searched for NXdata.
MAX_DEPTH, MAX_GROUPS = 6, 2000


@dataclass(frozen=True, eq=False)
class Axis:
    """Coordinates along one array axis.

    Parameters
    ----------
    name : str
        Name of its dataset.
    direction : ndarray, shape (3,), or None
        *hkl* per unit of the coordinate; None where the name does not tell.
    first, step : float
        Coordinate of the first voxel's centre, and between neighbours.
    """

    name: str
    direction: NDArray[np.float64] | None
    first: float
    step: float


def attribute(path: Path, node: str, key: str) -> Any:
    """Attribute of a node as plain Python: text, list or number.

    Parameters
    ----------
    path : Path
        The file.
    node : str
        Path of the group or dataset.
    key : str
        Name of the attribute.

    Returns
    -------
    object
        None where there is none.
    """
    file, name = locate(path, node, path.resolve().parent)
    with open_hdf5(file) as h5:
        attributes = h5[name].attrs
        if key not in attributes or attributes.get_id(key).get_storage_size() > 2**16:
            return None
        value = attributes[key]
    if isinstance(value, h5py.Empty):
        return None
    return _plain(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def groups(path: Path) -> list[str]:
    """Paths of the NXdata groups of a file, ``default`` attributes first.

    Parameters
    ----------
    path : Path
        The file.
    """
    found: list[str] = []

    def search(node: h5py.Group, where: str, depth: int) -> None:
        for name in sorted(node):
            if len(found) >= MAX_GROUPS or depth > MAX_DEPTH:
                return
            # Links would be followed out of the file, or in circles.
            if not isinstance(node.get(name, getlink=True), h5py.HardLink):
                continue
            child = node[name]
            if isinstance(child, h5py.Group):
                kind = child.attrs.get("NX_class")
                if _plain(kind) == "NXdata":
                    found.append(f"{where}/{name}")
                else:
                    search(child, f"{where}/{name}", depth + 1)

    with open_hdf5(path) as h5:
        search(h5, "", 0)
    chosen = _default(path)
    return [chosen, *(g for g in found if g != chosen)] if chosen in found else found


def default_group(path: Path) -> str | None:
    """NXdata group that the ``default`` attributes of a file lead to, if there is one.

    Parameters
    ----------
    path : Path
        The file.
    """
    chosen = _default(path)
    return chosen if chosen in groups(path) else None


def _default(path: Path) -> str:
    where = ""
    for _ in range(MAX_DEPTH):
        name = attribute(path, where or "/", "default")
        if not isinstance(name, str) or name.strip("/") not in children(path, where or "/"):
            break
        where = f"{where}/{name.strip('/')}"
    return where


def signal_of(path: Path, group: str) -> str | None:
    """Path of the signal of an NXdata group; None where nothing tells it.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        Path of the group.
    """
    names = children(path, group)
    name = attribute(path, group, "signal")
    if isinstance(name, str) and name in names:
        return f"{group}/{name}"
    for name in names:
        if attribute(path, f"{group}/{name}", "signal") in (1, "1"):  # before 2014
            return f"{group}/{name}"
    return None


def axis_names(path: Path, group: str, signal: str) -> list[str] | None:
    """Names of the coordinates along each array axis, ``"."`` where there are none.

    Parameters
    ----------
    path : Path
        The file.
    group, signal : str
        Paths of the NXdata group and of its signal.
    """
    for node in (group, signal):
        value = attribute(path, node, "axes")
        if isinstance(value, str):
            value = re.split(r"[:,]", value.strip("[]"))
        if isinstance(value, list):
            return [str(name).strip() for name in value]
    return None


def axis(path: Path, node: str, points: int) -> Axis:
    """Read evenly spaced coordinates.

    Parameters
    ----------
    path : Path
        The file.
    node : str
        Path of a dataset of ``points`` bin centres, or one more bin edges.
    points : int
        Voxels along the array axis.

    Raises
    ------
    FileFormatError
        If the dataset does not fit, or its steps are uneven.
    """
    array = HDF5Array(path, node)
    if array.ndim != 1 or array.size not in (points, points + 1):
        raise FileFormatError(
            f"{node} in {path} has shape {array.shape}; {points} bin centres or "
            f"{points + 1} bin edges were expected."
        )
    values = array[...]
    # 0.08 in single precision means 0.08; see io.hdf5.numbers.
    ends = [float(str(v)) for v in values[[0, -1]]]
    coordinates = values.astype(np.float64)
    step = (ends[1] - ends[0]) / max(len(coordinates) - 1, 1)
    even = ends[0] + step * np.arange(len(coordinates))
    if not np.isfinite(coordinates).all() or np.any(
        np.abs(coordinates - even) > TOLERANCE * abs(step)
    ):
        raise FileFormatError(
            f"the coordinates {node} in {path} are not finite and evenly spaced, so they are "
            "no grid. Bin or interpolate the data on even steps first."
        )
    if points > 1 and step == 0:
        raise FileFormatError(f"the coordinates {node} in {path} are all {ends[0]:g}.")
    first = ends[0] + step / 2 if array.size == points + 1 else ends[0]
    return Axis(node.rpartition("/")[2], axis_direction(path, node), first, step or 1.0)


def axis_direction(path: Path, node: str) -> NDArray[np.float64] | None:
    """*hkl* per unit of a coordinate, by its ``long_name`` or its own name.

    Parameters
    ----------
    path : Path
        The file.
    node : str
        Path of the dataset.
    """
    name = direction(node.rpartition("/")[2])
    return direction(attribute(path, node, "long_name")) if name is None else name


def direction(label: Any) -> NDArray[np.float64] | None:
    """*hkl* that a name of a coordinate stands for.

    Parameters
    ----------
    label : object
        Such as ``"H"``, ``"Qk"``, ``"L (r.l.u.)"``, ``"[H,-H,0]"``, ``"[0,0.5K,0]"``.

    Returns
    -------
    ndarray, shape (3,), or None
        None for what is no such name.
    """
    if not isinstance(label, str):
        return None
    text = label.strip().lower()
    single = re.fullmatch(r"q?_?([hkl])(?:\s*[(\[].*)?", text)
    if single:
        return np.eye(3)["hkl".index(single[1])]
    bracket = re.match(r"\[([^\]]*)\]", text)
    terms = bracket[1].split(",") if bracket else []
    values, letters = [], set()
    for term in terms:
        match = re.fullmatch(r"\s*([+-]?\d*\.?\d*)\s*\*?\s*([a-z]?)\s*", term)
        if not match or not (match[1] or match[2]):
            return None
        number = float(match[1] + ("1" if match[1] in ("", "+", "-") else ""))
        if not match[2] and number:
            return None
        values.append(number if match[2] else 0.0)
        letters |= {match[2]} - {""}
    return np.array(values) if len(values) == 3 and len(letters) == 1 else None
