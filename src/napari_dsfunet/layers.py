"""Layers from what the core knows, and back.

Every layer keeps its core object under one versioned key of its metadata. Arrays are shown
transposed where that puts the first index to the right and the second one upwards.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.types import LayerData
    from numpy.typing import NDArray

    from dsfunet_core.refine.result import SroRefinement
    from dsfunet_core.refine.unit_cell_map import UnitCellMap
    from napari_dsfunet.lazy import LazyVolume

__all__ = [
    "KEY",
    "MARK",
    "VERSION",
    "array_axes",
    "cell_layer",
    "core_object",
    "entry",
    "factorization_layers",
    "first_layer",
    "object_layers",
    "plane_layer",
    "script_of",
    "shades",
    "volume_layer",
    "volume_of",
]

#: Key of the layers' metadata, and the version of what stands there.
KEY, VERSION = "dsfunet", 1
#: Key of the metadata of layers on which something is marked, and on which layer.
MARK = "dsfunet mask"
#: Unit of world coordinates; 2π included.
UNIT = "1/angstrom"
#: Layers of a volume that are looked at for one with data.
TRIES = 9
#: Colour of pixels without a value.
UNSEEN = (0.32, 0.34, 0.38, 1.0)
#: Percentile that is drawn brightest.
HIGH = 99.3


def entry(layer: Layer) -> dict[str, Any] | None:
    """What the plugin noted on a layer; None on layers of others.

    Parameters
    ----------
    layer : napari.layers.Layer
        Any.
    """
    noted = layer.metadata.get(KEY)
    if not isinstance(noted, dict) or noted.get("version") != VERSION:
        return None
    return noted


def core_object(
    layer: Layer,
) -> ReciprocalVolume | ReciprocalPlane | Factorization | UnitCellMap | None:
    """Volume, plane, factorization or map that a layer shows; None on layers of others."""
    noted = entry(layer)
    return None if noted is None else noted["object"]


def volume_of(layer: Layer) -> ReciprocalVolume | None:
    """Volume whose voxels a layer shows, or what was found on them; else None."""
    shown = core_object(layer)
    # The factorization of a volume; its class brings h5py along.
    volume = getattr(shown, "volume", shown)
    return volume if isinstance(volume, ReciprocalVolume) else None


def script_of(layer: Layer) -> tuple[str, ...]:
    """Lines of Python that make the layer's object; empty where nobody knows."""
    noted = entry(layer)
    return () if noted is None else tuple(noted["script"])


def object_layers(
    data: ReciprocalVolume | ReciprocalPlane,
    source: str | None = None,
    read_from: tuple[str, dict[str, Any]] | None = None,
) -> list[LayerData]:
    """Layers for what was read from a file.

    Parameters
    ----------
    data : ReciprocalVolume or ReciprocalPlane
        From :func:`dsfunet_core.read`.
    source : str, optional
        The path, and options if any, as a Python expression, for scripts.
    read_from : tuple of str and dict, optional
        Path and options of :func:`dsfunet_core.read`; sessions keep them instead of a
        volume's data.
    """
    volume = isinstance(data, ReciprocalVolume)
    name = "volume" if volume else "plane"
    script = () if source is None else (f"{name} = dsfunet_core.read({source})",)
    if not isinstance(data, ReciprocalVolume):
        return [plane_layer(data, script)]
    layer = volume_layer(data, script)
    layer[1]["metadata"][KEY]["read_from"] = read_from
    return [layer]


def array_axes(volume: ReciprocalVolume) -> tuple[int, int, int]:
    """Order in which the array's axes are shown: slider, vertical, horizontal.

    The last axis (l) gets the slider, unless another one has far fewer layers.

    Parameters
    ----------
    volume : ReciprocalVolume
        Of any shape.
    """
    shape = np.array(volume.shape)
    slider = 2
    if 4 * shape.min() <= np.sort(shape)[1]:
        slider = int(np.flatnonzero(shape == shape.min())[-1])
    horizontal, vertical = (axis for axis in range(3) if axis != slider)
    return slider, vertical, horizontal


def first_layer(shown: LazyVolume) -> int:
    """Index of the layer with data nearest the middle.

    Parameters
    ----------
    shown : LazyVolume
        A few layers along its first axis are read; the last one read is that one.
    """
    n = shown.shape[0]
    nearest = sorted(range(n), key=lambda i: abs(i - (n - 1) / 2))
    for index in nearest[:TRIES]:
        if np.isfinite(shown[index]).any():
            return index
    return nearest[0]


@cache
def shades(name: str) -> Any:
    """Colour map in which what was not measured is grey, unlike zero.

    Parameters
    ----------
    name : str
        One of napari's.
    """
    from napari.utils.colormaps import Colormap, ensure_colormap

    known = ensure_colormap(name)
    return Colormap(
        colors=known.colors,
        controls=known.controls,
        interpolation=known.interpolation,
        nan_color=UNSEEN,
        name=f"{name}, gaps grey",
    )


def volume_layer(volume: ReciprocalVolume, script: tuple[str, ...] = ()) -> LayerData:
    """Image of a volume, read where it is looked at.

    Parameters
    ----------
    volume : ReciprocalVolume
        Masked and unmeasured voxels are shown as NaN.
    script : tuple of str
        Python that makes ``volume``.

    Returns
    -------
    tuple
        Data, options, "image".
    """
    from dsfunet_core.overview import sample_blocks
    from napari_dsfunet.lazy import LazyVolume
    from napari_dsfunet.view import layer_affine

    axes = array_axes(volume)
    sampled = sample_blocks(volume)
    shown = LazyVolume(volume, axes)
    start = first_layer(shown)
    options = {
        "name": volume.name,
        "affine": layer_affine(volume, axes, (1, 2), start),
        "contrast_limits": (min(0.0, sampled.low), sampled.high),
        "colormap": shades("inferno"),
        "axis_labels": tuple(_axis_name(volume.steps[:, axis]) for axis in axes),
        "units": (UNIT,) * 3,
        "metadata": _note(volume, "volume", script, axes=axes, start=start),
    }
    return shown, options, "image"


def plane_layer(plane: ReciprocalPlane, script: tuple[str, ...] = ()) -> LayerData:
    """Image of a plane at its true place, oblique axes and all.

    Parameters
    ----------
    plane : ReciprocalPlane
        Invalid pixels are shown as NaN.
    script : tuple of str
        Python that makes ``plane``.

    Returns
    -------
    tuple
        Data, options, "image".
    """
    return _image(
        plane,
        _measured(plane),
        plane.name,
        _note(plane, "plane", script),
        colormap=shades("inferno"),
        contrast_limits=_shades(plane),
    )


def factorization_layers(
    result: Factorization, script: tuple[str, ...] = (), fit: SroRefinement | None = None
) -> list[LayerData]:
    """Form factor, short-range order, product and residual of a factorization.

    Parameters
    ----------
    result : Factorization
        What to show.
    script : tuple of str
        Python that makes ``result``.
    fit : SroRefinement, optional
        What was refined to it, to be saved along.

    Returns
    -------
    list of tuple
        Data, options, "image"; a background comes last where one was refined.
    """
    from dsfunet_core.overview import display_range

    plane = result.plane
    intensity = _shades(plane)
    seen = np.where(plane.valid, result.form_factor, np.nan)
    residual = display_range(np.abs(result.residual), high=99.5)[1]
    parts: list[tuple[str, NDArray, str, tuple[float, float]]] = [
        (
            "form factor",
            result.form_factor,
            "inferno",
            (0.0, display_range(seen, high=HIGH)[1]),
        ),
        ("SRO", result.sro, "viridis", (0.0, display_range(result.sro, high=99.9)[1])),
        ("product", result.product, "inferno", intensity),
        ("residual", result.residual, "RdBu_r", (-residual, residual)),
    ]
    if result.background is not None:
        parts.append(("background", result.background, "inferno", intensity))
    return [
        _image(
            plane,
            values,
            f"{plane.name} {role}",
            _note(result, role, script, fit=fit),
            colormap=shades(colormap),
            contrast_limits=limits,
        )
        for role, values, colormap, limits in parts
    ]


def cell_layer(
    cell: UnitCellMap, script: tuple[str, ...] = (), name: str = "one cell"
) -> LayerData:
    """Image of one reciprocal cell, oblique as it is.

    Parameters
    ----------
    cell : UnitCellMap
        Bins without samples show the nearest sample; wide holes stay empty.
    script : tuple of str
        Python that makes ``cell``.
    name : str
        Name of the layer.

    Returns
    -------
    tuple
        Data, options, "image".
    """
    from dsfunet_core.frames import map_frame
    from dsfunet_core.overview import display_range
    from dsfunet_core.refine.figures import spread_out

    values = spread_out(cell.values)
    swap = [1, 0, 2]
    options = {
        "name": name,
        "metadata": _note(cell, "cell", script),
        "affine": map_frame(cell).affine[swap][:, swap],
        "units": (UNIT,) * 2,
        "colormap": shades("viridis"),
        "contrast_limits": (min(0.0, float(np.nanmin(values))), display_range(values)[1]),
    }
    return np.asarray(values.T, dtype=np.float32), options, "image"


def _image(
    plane: ReciprocalPlane, values: NDArray, name: str, metadata: dict[str, Any], **options: Any
) -> LayerData:
    options |= {"name": name, "metadata": metadata}
    if plane.has_geometry:
        from dsfunet_core.frames import plane_frame

        _, _, steps = plane.geometry()
        swap = [1, 0, 2]
        options["affine"] = plane_frame(plane).affine[swap][:, swap]
        options["axis_labels"] = (_axis_name(steps[:, 1]), _axis_name(steps[:, 0]))
        options["units"] = (UNIT,) * 2
        values = values.T
    return np.asarray(values, dtype=np.float32), options, "image"


def _note(shown: Any, role: str, script: tuple[str, ...], **more: Any) -> dict[str, Any]:
    noted = {"version": VERSION, "object": shown, "role": role, "script": script}
    return {KEY: {**noted, **more}}


def _measured(plane: ReciprocalPlane) -> NDArray:
    return np.where(plane.valid, plane.intensity, np.nan)


def _shades(plane: ReciprocalPlane) -> tuple[float, float]:
    from dsfunet_core.overview import display_range

    low, high = display_range(_measured(plane), high=HIGH)
    return min(0.0, low), high


def _axis_name(step: NDArray[np.float64]) -> str:
    """h, k or l for a step along one of them, else the direction in small integers."""
    step = np.asarray(step, float) / np.abs(step).max()
    along = np.flatnonzero(np.abs(step) > 1e-6)
    if len(along) == 1:
        return "hkl"[along[0]]
    return "(" + " ".join(f"{x:.3g}" for x in step) + ")"
