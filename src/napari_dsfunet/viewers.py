"""What the plugin does to a viewer: true geometry of volumes, and *hkl* at the cursor."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.frames import view_affine, volume_affine
from dsfunet_core.lattice import q_matrix
from napari_dsfunet.layers import about, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Attachment", "attach", "attach_current", "read_out"]

_attached: weakref.WeakKeyDictionary[Any, Attachment] = weakref.WeakKeyDictionary()


def attach(viewer: ViewerModel) -> Attachment:
    """Keep the geometry of a viewer's volumes right, and show *hkl* at the cursor.

    Parameters
    ----------
    viewer : napari.Viewer
        A viewer that is attached already is left as it is.

    Returns
    -------
    Attachment
        One for each viewer.
    """
    # Docks are handed a proxy of the viewer; all proxies stand for one viewer.
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _attached:
        _attached[viewer] = Attachment(viewer)
    return _attached[viewer]


def attach_current() -> None:
    """Attach to the window in front, if there is one."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        attach(viewer)


class Attachment:
    """Listeners on one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Its vertical axis is turned to point up, as in every drawing of reciprocal space.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        viewer.scene.camera.orientation2d = ("up", "right")
        dims = viewer.dims.events
        for event in (dims.ndisplay, dims.order, dims.point, viewer.layers.events.inserted):
            event.connect(self._set_affines)
        viewer.cursor.events.position.connect(self._show_position)

    def _set_affines(self) -> None:
        for layer in self._volumes():
            affine = self._affine(layer)
            if not np.allclose(affine, layer.affine.affine_matrix, rtol=0, atol=1e-12):
                layer.affine = affine

    def _volumes(self) -> list[Layer]:
        viewer = self._viewer()
        if viewer is None:
            return []
        return [layer for layer in viewer.layers if kind_of(layer) == "volume"]

    def _affine(self, layer: Layer) -> np.ndarray:
        viewer = self._viewer()
        kept = about(layer)
        assert viewer is not None
        assert kept is not None
        import gemmi

        cell = gemmi.UnitCell(*kept["unit_cell"])
        origin, steps = np.array(kept["origin"]), np.array(kept["steps"])
        dims = viewer.dims
        # The viewer may have more axes than the volume, which takes the last three.
        order = [axis - (dims.ndim - 3) for axis in dims.order]
        sliced, vertical, horizontal = (axis for axis in order if axis >= 0)
        if dims.ndisplay == 3:
            # napari goes back to two dimensions with this affine, and cuts before it asks.
            return volume_affine(cell, origin, steps, upright=sliced)
        height = dims.point[dims.order[-3]] if dims.ndim >= 3 else 0.0
        options = {"vertical": vertical, "horizontal": horizontal}
        flat = view_affine(cell, origin, steps, **options, layer=0.0)
        index = (height - flat[sliced, 3]) / flat[sliced, sliced]
        index = float(np.clip(np.rint(index), 0, layer.data.shape[sliced] - 1))
        return view_affine(cell, origin, steps, **options, layer=index)

    def _show_position(self) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        layer = _looked_at(viewer)
        overlay = viewer.canvas.overlays.text
        if layer is None:
            return
        overlay.text = read_out(layer, viewer.cursor.position)
        overlay.position = "top_left"
        overlay.visible = True


def read_out(layer: Layer, position: Any) -> str:
    """*hkl*, |Q| and value of a layer at a place.

    Parameters
    ----------
    layer : napari.layers.Layer
        One of ours, with a lattice.
    position : array_like
        World coordinates.

    Returns
    -------
    str
        Two lines; the second tells the layer and its value.
    """
    import gemmi

    kept = about(layer)
    if kept is None or "unit_cell" not in kept:
        return ""
    index = np.asarray(layer.world_to_data(position), float)
    hkl = np.array(kept["origin"]) + np.array(kept["steps"]) @ index
    q = float(np.linalg.norm(q_matrix(gemmi.UnitCell(*kept["unit_cell"])) @ hkl))
    h, k, l = (f"{x:.3f}".replace("-", "−") for x in hkl + 0.0)  # noqa: E741
    return f"h {h}   k {k}   l {l}   |Q| {q:.3f} Å⁻¹\n{layer.name}: {_value(layer, index)}"


def _value(layer: Layer, index: np.ndarray) -> str:
    nearest = np.rint(index).astype(int)
    if np.any(nearest < 0) or np.any(nearest >= layer.data.shape):
        return "outside"
    value = layer.get_value(index)
    if value is None or not np.isscalar(value) or not np.isfinite(value):
        return "not measured"
    return f"{value:.4g}".replace("-", "−")


def _looked_at(viewer: ViewerModel) -> Layer | None:
    """The active layer if it is ours, else the topmost visible one of ours."""
    active = viewer.layers.selection.active
    ours = [layer for layer in viewer.layers if "unit_cell" in (about(layer) or {})]
    if active in ours:
        return active
    return next((layer for layer in reversed(ours) if layer.visible), None)
