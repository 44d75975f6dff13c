"""Layers from the factorization of a volume: form factor, short-range order, residual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dsfunet.layers import (
    HIGH,
    UNIT,
    _axis_name,
    _note,
    array_axes,
    first_layer,
    object_layers,
    shades,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari.types import LayerData
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization import VolumeFactorization

__all__ = [
    "VOLUME_ROLES",
    "map_of",
    "opened_volume_result",
    "volume_map_layer",
    "volume_result_layers",
]

#: Role of a layer → what is behind the volume's name. Docks for planes take none of them.
VOLUME_ROLES = {
    "volume form factor": "form factor",
    "volume SRO": "SRO",
    "volume residual": "residual",
}


def volume_result_layers(
    result: VolumeFactorization,
    script: tuple[str, ...] = (),
    axes: tuple[int, int, int] | None = None,
) -> list[LayerData]:
    """Form factor, short-range order and residual, on the voxels of the volume.

    Parameters
    ----------
    result : VolumeFactorization
        What to show.
    script : tuple of str
        Python that makes ``result``.
    axes : tuple of int, optional
        Array axes in the order in which the volume's own layer has them.

    Returns
    -------
    list of tuple
        Data, options, "image".
    """
    return [volume_map_layer(result, role, script, axes) for role in VOLUME_ROLES]


def volume_map_layer(
    result: VolumeFactorization,
    role: str,
    script: tuple[str, ...] = (),
    axes: tuple[int, int, int] | None = None,
) -> LayerData:
    """Image of one map of a result; parameters as in :func:`volume_result_layers`.

    Parameters
    ----------
    result : VolumeFactorization
        What to show.
    role : str
        One of :data:`VOLUME_ROLES`.
    script : tuple of str
        Python that makes ``result``.
    axes : tuple of int, optional
        Array axes in the order in which the layer is to have them.
    """
    from napari_dsfunet.lazy import LazyVolume
    from napari_dsfunet.view import layer_affine

    volume = result.volume
    axes = array_axes(volume) if axes is None else axes
    values = map_of(result, role)
    start = first_layer(LazyVolume(volume, axes))
    options: dict[str, Any] = {
        "name": f"{volume.name} {VOLUME_ROLES[role]}",
        "affine": layer_affine(volume, axes, (1, 2), start),
        "contrast_limits": _limits(result, role, values),
        "colormap": shades(
            {"volume form factor": "inferno", "volume SRO": "viridis"}.get(role, "RdBu_r")
        ),
        "axis_labels": tuple(_axis_name(volume.steps[:, axis]) for axis in axes),
        "units": (UNIT,) * 3,
        "metadata": _note(result, role, script, axes=axes, start=start),
    }
    return values.transpose(axes), options, "image"


def opened_volume_result(path: Path) -> list[LayerData]:
    """Layers of a written result: the volume, and the maps hidden above it.

    Parameters
    ----------
    path : Path
        From :func:`dsfunet_core.volume_factorization.write_volume_factorization`.
    """
    from dsfunet_core.volume_factorization import read_volume_factorization

    source = repr(str(path))
    result = read_volume_factorization(path)
    (below,) = object_layers(result.volume, source, (str(path), {}))
    script = (
        "from dsfunet_core.volume_factorization import read_volume_factorization",
        f"result = read_volume_factorization({source})",
    )
    above = volume_result_layers(result, script)
    # Only the topmost is seen, so the others need no drawing.
    for _, shown, _ in above:
        shown["visible"] = False
    return [below, *above]


def map_of(result: VolumeFactorization, role: str) -> NDArray[np.float32]:
    """Values of one map in the volume's own order of axes.

    Parameters
    ----------
    result : VolumeFactorization
        What was found.
    role : str
        One of :data:`VOLUME_ROLES`.
    """
    if role == "volume form factor":
        return result.form_factor
    return result.sro_volume() if role == "volume SRO" else result.residual()


def _limits(
    result: VolumeFactorization, role: str, values: NDArray[np.float32]
) -> tuple[float, float]:
    from dsfunet_core.overview import display_range

    if role == "volume SRO":
        return 0.0, display_range(values, high=99.9)[1]
    if role == "volume residual":
        top = display_range(np.abs(values), high=99.5)[1]
        return -top, top
    # Where nothing was measured the form factor is a guess, which can be far too large.
    valid = result.volume.block((slice(None),) * 3)["valid"]
    assert valid is not None
    return 0.0, display_range(np.where(valid, values, np.nan), high=HIGH)[1]
