"""Where new layers go in the viewer, and how they are laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane
from napari_dsfunet.layers import core_object

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.types import LayerData
    from numpy.typing import NDArray

__all__ = ["add_above", "side_by_side", "zoom_to", "zoom_to_measured"]


def add_above(viewer: Any, layers: list[LayerData], source: Layer | None) -> list[Layer]:
    """Add layers right above the one they came from, the last one on top.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layers : list of tuple
        Data, options, "image".
    source : napari.layers.Layer, optional
        They go on top where it is gone.

    Returns
    -------
    list of napari.layers.Layer
        What was added.
    """
    from napari.layers import Layer

    added = [Layer.create(*layer) for layer in layers]
    held = list(viewer.layers)
    at = next((i + 1 for i, layer in enumerate(held) if layer is source), len(held))
    for offset, layer in enumerate(added):
        viewer.layers.insert(at + offset, layer)
    viewer.layers.selection.active = added[-1]
    return added


def side_by_side(viewer: Any, shown: list[Layer]) -> None:
    """Show some layers in a grid and hide the others.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    shown : list of napari.layers.Layer
        In the order of the viewer's list.
    """
    for layer in viewer.layers:
        layer.visible = any(layer is other for other in shown)
    grid = viewer.canvas.grid
    grid.stride = 1
    grid.shape = (-1, -1)
    grid.spacing = 0.03
    grid.enabled = True
    for layer in shown:
        layer.name_overlay.visible = True
    zoom_to_measured(viewer, shown)


def zoom_to_measured(viewer: Any, shown: list[Layer]) -> None:
    """Fit the view to where planes were measured; models reach further.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    shown : list of napari.layers.Layer
        Layers of planes and factorizations.
    """
    viewer.reset_view()
    corners = [c for c in (_measured_box(layer) for layer in shown) if c is not None]
    if not corners or viewer.dims.ndisplay == 3:
        return
    low = np.min([c[0] for c in corners], axis=0)
    high = np.max([c[1] for c in corners], axis=0)
    _zoom_to_box(viewer, low, high)


def zoom_to(viewer: Any, layer: Layer) -> None:
    """Fit the view to one plane's layer, whatever else is there.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : napari.layers.Layer
        With two dimensions.
    """
    viewer.dims.ndisplay = 2
    low, high = layer.extent.world
    _zoom_to_box(viewer, low, high)


def _zoom_to_box(viewer: Any, low: NDArray, high: NDArray) -> None:
    # Canvas pixels per Å⁻¹, in every cell of the grid.
    cells = viewer.canvas.grid.actual_shape(viewer.layers)
    room = np.array(viewer.canvas.size) / cells
    camera = viewer.scene.camera
    camera.center = (0.0, *(float(x) for x in (low + high) / 2))
    camera.zoom = 0.9 * float((room / (high - low)).min())


def _measured_box(layer: Layer) -> tuple[NDArray, NDArray] | None:
    """Lowest and highest world coordinates of the valid pixels of a plane's layer."""
    shown = core_object(layer)
    plane = shown.plane if isinstance(shown, Factorization) else shown
    if not isinstance(plane, ReciprocalPlane) or not plane.has_geometry:
        return None
    rows, columns = np.nonzero(plane.valid)
    if not len(rows):
        return None
    matrix = layer.affine.affine_matrix
    world = np.stack([columns, rows], axis=1) @ matrix[:2, :2].T + matrix[:2, 2]
    return world.min(axis=0), world.max(axis=0)
