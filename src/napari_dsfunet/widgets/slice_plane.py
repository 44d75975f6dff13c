"""Dock that cuts a plane out of a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsfunet_core.errors import ParameterError
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from napari_dsfunet.forms import SliceForm
from napari_dsfunet.layers import core_object, plane_layer, script_of
from napari_dsfunet.placing import add_above
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.workers import Compute

__all__ = ["SlicePlane"]


class SlicePlane(Dock):
    """Cut a plane out of a volume and show it as a layer of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where volumes are and planes go.
    """

    title = "Plane"
    page = "getting-started"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            SliceForm,
            "Cut a plane out of a volume. It is drawn at its true angles.",
            "Slice",
        )
        self.volumes = self.add_layer_choice(
            "Volume", lambda layer: isinstance(core_object(layer), ReciprocalVolume)
        )

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, volume = self._volume()
        form: SliceForm = self.form.value()
        script = self.script()

        def apply(plane: ReciprocalPlane) -> str:
            add_above(self.viewer, [plane_layer(plane, script)], layer)
            rows, columns = plane.shape
            return (
                f"Plane {plane.name}: {rows} × {columns} pixels, {plane.valid.mean():.0%} of "
                "them measured."
            )

        return lambda callback, cancel: form.compute(volume), apply

    def script(self) -> tuple[str, ...]:
        """Python that cuts the plane; see :meth:`Dock.script`."""
        layer, _ = self._volume()
        known = script_of(layer)
        return (*known, *self.form.value().script()) if known else ()

    def _volume(self) -> tuple[Any, ReciprocalVolume]:
        layer = self.volumes.layer()
        if layer is None:
            raise ParameterError(
                "There is no volume to cut. Open a reconstruction (Meerkat or Yell .h5, .npz "
                "with a unit cell), or File > Open Sample > Diffuse Scattering."
            )
        volume = core_object(layer)
        assert isinstance(volume, ReciprocalVolume)
        return layer, volume
