"""Dock that cuts a plane out of a volume, and shows where it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLineEdit

from dsfunet_core.errors import DsfunetError
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from dsfunet_core.sections import Section
from napari_dsfunet.forms import SliceForm
from napari_dsfunet.layers import MARK, core_object, entry, plane_layer, script_of
from napari_dsfunet.placing import add_above
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.workers import Compute

__all__ = ["SlicePlane"]

#: Planes that are offered; others can be typed.
PRESETS = ("hk0", "hk1", "h0l", "h1l", "0kl", "1kl", "hhl", "h-hl", "hkh", "hkk")


class SlicePlane(Dock):
    """Cut a plane out of a volume and show it as a layer of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where volumes are and planes go.
    """

    title = "Plane"
    page = "getting-started"
    first = (
        "There is no volume to cut. Open a reconstruction (Meerkat or Yell .h5, .npz with a "
        "unit cell), or File > Open Sample > Diffuse Scattering."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            SliceForm,
            "Cut a plane out of a volume. It is drawn at its true angles; an orange line "
            "shows where it runs through the volume.",
            "Cut",
        )
        self._drawing = False
        self._outlined_layer: Any = None
        self.volumes = self.add_layer_choice(
            "Volume", lambda layer: isinstance(core_object(layer), ReciprocalVolume)
        )
        self.presets = QComboBox()
        self.presets.addItems(["choose, or type below", *PRESETS])
        self.presets.activated.connect(self._preset_chosen)
        self.form.lines.insertRow(1, "Preset", self.presets)
        self.level = QDoubleSpinBox()
        self.level.setDecimals(3)
        self.level.setToolTip("Value of the fixed index; the outline moves along.")
        self.level.valueChanged.connect(self._level_changed)
        self.form.lines.insertRow(3, "Level", self.level)
        self.outlined = QCheckBox("Show where it runs")
        self.outlined.setChecked(True)
        self.outlined.toggled.connect(self.show_outline)
        self.form.lines.addRow("", self.outlined)
        self.keep(outlined=self.outlined)
        self.form.changed.connect(self._form_changed)
        self.volumes.currentIndexChanged.connect(self._layer_changed)
        dims = self.viewer.dims.events
        for event in (dims.current_step, dims.ndisplay, dims.order):
            # After the one that gives volumes the affine for the view.
            event.connect(self._viewed, position="last")
        viewer = self.viewer
        self.destroyed.connect(lambda: _remove_outline(viewer))
        self._form_changed()

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

    def show_outline(self, *_: Any) -> None:
        """Draw where the plane runs: in three dimensions all round, else on the slice."""
        layer, section = self.volumes.layer(), self._section()
        if layer is None or section is None or not self.outlined.isChecked():
            _remove_outline(self.viewer)
            return
        if self._drawing:
            return
        self._drawing = True
        try:
            self._draw_outline(layer, self._path(layer, section))
        finally:
            self._drawing = False

    def _viewed(self, event: Any = None) -> None:
        """Follow the view, as long as there is an outline.

        One made here, while the viewer takes all layers away, would never let that end.
        """
        if _outline(self.viewer) is not None:
            self.show_outline()

    def _draw_outline(self, layer: Any, path: Any) -> None:
        outline = _outline(self.viewer)
        if outline is not None and outline.metadata[MARK]["on"] is not layer:
            _remove_outline(self.viewer)
            outline = None
        if outline is None:
            active = self.viewer.layers.selection.active
            outline = self.viewer.add_vectors(
                _sides(path),
                vector_style="line",
                name="plane to cut",
                edge_color="#ff9f1c",
                edge_width=max(layer.data.shape) / 150,
                affine=layer.affine.affine_matrix,
                units=layer.units,
                axis_labels=layer.axis_labels,
                metadata={MARK: {"what": "outline", "on": layer}},
            )
            self.viewer.layers.selection.active = active
            return
        outline.affine = layer.affine.affine_matrix
        outline.data = _sides(path)

    def _path(self, layer: Any, section: Section) -> Any:
        """Line to draw, in indices of the layer's data."""
        from dsfunet_core.outline import section_outline, section_trace

        volume, noted = core_object(layer), entry(layer)
        assert isinstance(volume, ReciprocalVolume)
        assert noted is not None
        axes = list(noted["axes"])
        corners = section_outline(volume, section)[:, axes]
        dims = self.viewer.dims
        if len(corners) and dims.ndisplay == 2:
            (sliced,) = {0, 1, 2} - {axis - (dims.ndim - 3) for axis in dims.displayed}
            at = layer.world_to_data(np.array(dims.point))[-3:][sliced]
            corners = section_trace(corners, sliced, float(np.rint(at)))
            if len(corners):
                corners[:, sliced] = np.rint(at)
        if len(corners) > 2:
            corners = np.concatenate([corners, corners[:1]])
        return corners

    def _section(self) -> Section | None:
        try:
            return Section.parse(self.form.value().plane)
        except DsfunetError:
            return None

    def _fixed(self) -> int | None:
        """Which index is a number and nothing else, where the two others are free."""
        section = self._section()
        if section is None:
            return None
        fixed = np.flatnonzero(~section.directions.any(axis=1))
        return int(fixed[0]) if len(fixed) == 1 else None

    def _layer_changed(self, *_: Any) -> None:
        """Another volume; layers that come and go are no reason to draw again."""
        layer = self.volumes.layer()
        if layer is not self._outlined_layer:
            self._outlined_layer = layer
            self._form_changed()

    def _form_changed(self, *_: Any) -> None:
        fixed, section = self._fixed(), self._section()
        self.form.lines.setRowVisible(self.level, fixed is not None)
        layer = self.volumes.layer()
        if fixed is not None and section is not None:
            self.level.blockSignals(True)
            low, high, step = -1000.0, 1000.0, 1.0
            if layer is not None:
                low, high, step = _range(core_object(layer), fixed)
            self.level.setRange(low, high)
            self.level.setSingleStep(step)
            self.level.setPrefix(f"{'hkl'[fixed]} = ")
            self.level.setValue(float(section.origin[fixed]))
            self.level.blockSignals(False)
        self.show_outline()

    def _level_changed(self, value: float) -> None:
        fixed = self._fixed()
        if fixed is None:
            return
        letters = list("hkl")
        letters[fixed] = f"{value:.4g}"
        # A sign, or digits beside each other, need the commas.
        self._write(", ".join(letters) if value < 0 else "".join(letters))

    def _preset_chosen(self, index: int) -> None:
        if index:
            self._write(PRESETS[index - 1])

    def _write(self, text: str) -> None:
        line = self.form.editors["plane"]
        assert isinstance(line, QLineEdit)
        line.setText(text)

    def _volume(self) -> tuple[Any, ReciprocalVolume]:
        layer, volume = self.source()
        assert isinstance(volume, ReciprocalVolume)
        return layer, volume


def _sides(path: Any) -> Any:
    """Start and direction of every side of a line, shape (n, 2, 3)."""
    if not len(path):
        return np.empty((0, 2, 3))
    return np.stack([path[:-1], np.diff(path, axis=0)], axis=1)


def _range(volume: Any, index: int) -> tuple[float, float, float]:
    """Lowest and highest value of an index in a volume, and its step."""
    corners = np.array(np.meshgrid(*((0, n - 1) for n in volume.shape))).reshape(3, -1)
    values = (np.asarray(volume.origin)[:, None] + np.asarray(volume.steps) @ corners)[index]
    steps = np.abs(np.asarray(volume.steps, float)[index])
    return float(values.min()), float(values.max()), float(steps[steps > 1e-9].min())


def _outline(viewer: Any) -> Any:
    for layer in viewer.layers:
        if layer.metadata.get(MARK, {}).get("what") == "outline":
            return layer
    return None


def _remove_outline(viewer: Any) -> None:
    layer = _outline(viewer)
    if layer is not None:
        viewer.layers.remove(layer)
