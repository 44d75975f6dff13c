"""Keep volumes undistorted while the viewer turns its axes, and tell *hkl* at the cursor."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from napari_dsfunet.layers import core_object, entry, volume_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

__all__ = ["Follower", "follow", "hkl_at", "layer_affine", "read_out"]


def layer_affine(
    volume: ReciprocalVolume,
    axes: tuple[int, int, int],
    displayed: Sequence[int],
    layer: float = 0.0,
) -> NDArray[np.float64]:
    """Affine of a volume's layer for one way of looking at it.

    napari cuts a sheared volume along world planes, not along its layers. So only in three
    dimensions the affine is the full one; for two displayed axes it is exact for the layer
    looked at, without shear along the slider.

    Parameters
    ----------
    volume : ReciprocalVolume
        What is looked at.
    axes : tuple of int
        Array axes in the order in which the napari layer has them.
    displayed : sequence of int
        Displayed axes of the napari layer: vertical and horizontal, or all three.
    layer : float
        Index along the axis that is not displayed.

    Returns
    -------
    ndarray, shape (4, 4)
        Index → Q in Å⁻¹.
    """
    from dsfunet_core.frames import view_affine, volume_affine

    steps = np.asarray(volume.steps, float)[:, list(axes)]
    if len(displayed) == 3:
        return volume_affine(volume.cell, volume.origin, steps, upright=2)
    vertical, horizontal = displayed
    return view_affine(
        volume.cell,
        volume.origin,
        steps,
        vertical=vertical,
        horizontal=horizontal,
        layer=layer,
    )


def hkl_at(layer: Layer, position: Sequence[float]) -> NDArray[np.float64] | None:
    """*hkl* of a point of the world, as a layer shows it.

    Parameters
    ----------
    layer : napari.layers.Layer
        Any.
    position : sequence of float
        World coordinates of the viewer.

    Returns
    -------
    ndarray, shape (3,), or None
        None off the layer's pixels, and where *hkl* is not known.
    """
    shown = core_object(layer)
    noted = entry(layer)
    if shown is None or noted is None:
        return None
    index = np.asarray(layer.world_to_data(np.asarray(position)))
    shape = np.array(layer.data.shape)
    if np.any(index < -0.5) or np.any(index > shape - 0.5):
        return None
    volume = volume_of(layer)
    if volume is not None:
        unordered = np.empty(3)
        unordered[list(noted["axes"])] = index
        return volume.hkl(unordered)
    column, row = index
    if noted["role"] == "cell":
        assert not isinstance(shown, Factorization | ReciprocalPlane | ReciprocalVolume)
        inside = (np.array([row, column]) + 0.5) / shown.bins
        hkl = shown.lattice.offset + inside @ shown.lattice.directions.T
        return None if shown.cell is None else hkl
    plane = shown.plane if isinstance(shown, Factorization) else shown
    assert isinstance(plane, ReciprocalPlane)
    return plane.hkl(row, column) if plane.has_geometry else None


def read_out(layer: Layer, position: Sequence[float]) -> str:
    """*hkl* and length of Q in words; empty where they are not known.

    Parameters
    ----------
    layer : napari.layers.Layer
        Any.
    position : sequence of float
        World coordinates of the viewer.
    """
    from dsfunet_core.lattice import q_matrix

    hkl = hkl_at(layer, position)
    if hkl is None:
        return ""
    shown = core_object(layer)
    plane = volume_of(layer) or (shown.plane if isinstance(shown, Factorization) else shown)
    assert plane is not None
    assert plane.cell is not None
    q = float(np.linalg.norm(q_matrix(plane.cell) @ hkl))
    # Adding 0 turns −0 into 0.
    h, k, ell = np.round(hkl, 3) + 0.0
    return f"hkl = ({h:.3f}, {k:.3f}, {ell:.3f})   |Q| = {q:.3f} Å⁻¹"


class Follower:
    """Follows a viewer: affines of volumes, start of the slider, and the read-out.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Use :func:`follow`, which makes one a viewer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._busy = False
        self._written = ""
        # A layer comes with an affine for the slice it starts at. While it is inserted napari
        # goes through other slices, which would all be read for nothing.
        self._placed: WeakSet[Layer] = WeakSet(viewer.layers)
        # napari's own listeners come first: it slices once with the affine of the view
        # before, warns about that, and slices again with the right one.
        warnings.filterwarnings(
            "ignore", "Non-orthogonal slicing", UserWarning, r"napari\.layers"
        )
        viewer.dims.events.order.connect(self._turned, position="last")
        viewer.dims.events.ndisplay.connect(self._turned, position="last")
        viewer.dims.events.current_step.connect(self._stepped, position="last")
        viewer.layers.events.inserted.connect(self._inserted, position="last")
        viewer.mouse_move_callbacks.append(self.mouse_moved)
        # What stood under the cursor need not do so any more.
        for changed in (
            viewer.dims.events.ndisplay,
            viewer.dims.events.current_step,
            viewer.layers.selection.events.active,
        ):
            changed.connect(self._view_moved, position="last")
        self._update()

    def mouse_moved(self, viewer: Any = None, event: Any = None) -> None:
        """Show *hkl* and |Q| under the cursor in the canvas's lower left corner."""
        layer = self.viewer.layers.selection.active
        text = ""
        if layer is not None and self.viewer.dims.ndisplay == 2:
            text = read_out(layer, self.viewer.cursor.position)
        overlay = self.viewer.canvas.overlays.text
        if overlay.text not in ("", self._written):
            return  # somebody else writes there
        if text and not self._written:
            overlay.position = "bottom_left"
        if text != overlay.text:
            self._written = overlay.text = text
            overlay.visible = bool(text)

    def _view_moved(self, event: Any = None) -> None:
        # A mouse that was never over the canvas has nothing under it.
        if self._written:
            self.mouse_moved()

    def _inserted(self, event: Any) -> None:
        layer = event.value
        self._placed.add(layer)
        noted = entry(layer)
        if noted is None:
            return
        if len(self.viewer.layers) == 1:
            # Indices grow to the right and upwards, as on paper.
            camera = self.viewer.scene.camera
            camera.orientation2d = ("up", "right")
        if "start" in noted and self._volumes() == [layer]:
            slider = self.viewer.dims.ndim - 3
            start = layer.data_to_world([noted["start"], 0, 0])[-3]
            self.viewer.dims.set_point(slider, float(start))
        self._update()

    def _stepped(self, event: Any = None) -> None:
        self._update()

    def _turned(self, event: Any = None) -> None:
        """Stay at the same voxel when the world's axes change their meaning."""
        volumes = self._volumes()
        if self._busy or not volumes:
            return
        index = volumes[0].world_to_data(np.array(self.viewer.dims.point))
        self._update(index)
        offset = self.viewer.dims.ndim - 3
        at = np.asarray(volumes[0].data_to_world(index))[-3:]
        self.viewer.dims.set_point(range(offset, offset + 3), [float(x) for x in at])

    def _volumes(self) -> list[Layer]:
        placed = [x for x in self.viewer.layers if x in self._placed]
        return [x for x in placed if volume_of(x) is not None]

    def _update(self, index: Any = None) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            for layer in self._volumes():
                self._place(layer, index)
        finally:
            self._busy = False

    def _place(self, layer: Layer, index: Any) -> None:
        """Give a layer the affine that is right for what the viewer shows of it."""
        noted = entry(layer)
        volume = volume_of(layer)
        assert noted is not None
        assert volume is not None
        dims = self.viewer.dims
        displayed = [axis - (dims.ndim - 3) for axis in dims.displayed]
        if min(displayed) < 0 or len(displayed) < 2:
            return
        axes = noted["axes"]
        at = 0.0
        if len(displayed) == 2:
            (sliced,) = {0, 1, 2} - set(displayed)
            if index is None:
                # The slider's own coordinate does not depend on the layer.
                affine = layer_affine(volume, axes, displayed)
                height = dims.point[sliced + dims.ndim - 3]
                at = (height - affine[sliced, 3]) / affine[sliced, sliced]
            else:
                at = float(index[sliced])
            at = float(np.clip(np.rint(at), 0, layer.data.shape[sliced] - 1))
        affine = layer_affine(volume, axes, displayed, at)
        if not np.allclose(affine, layer.affine.affine_matrix, rtol=0, atol=1e-12):
            layer.affine = affine


def follow(viewer: Any) -> Follower:
    """Follower of a viewer, made on the first call.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        The viewer, or what napari hands to plugins in its place.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    for callback in viewer.mouse_move_callbacks:
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, Follower):
            return owner
    return Follower(viewer)
