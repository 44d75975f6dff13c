"""Dock that takes out of a plane what is no diffuse scattering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QListWidget, QListWidgetItem, QPushButton
from superqt.utils import qdebounced

from dsfunet_core.errors import ParameterError
from dsfunet_core.plane import ReciprocalPlane
from napari_dsfunet.forms_mask import ByHand, MaskForm
from napari_dsfunet.layers import MARK, core_object, plane_layer, script_of
from napari_dsfunet.placing import add_above
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.workers import Compute

__all__ = ["MaskArtefacts"]

#: Colours of the reasons, told apart on dark and light ground and on the intensities.
COLOURS = (
    "#4cc9f0",
    "#80ed99",
    "#f72585",
    "#ffd166",
    "#b388ff",
    "#ff9f1c",
    "#ffffff",
    "#8d99ae",
)


class MaskArtefacts(Dock):
    """Mask artefacts, take off background, average; the user's layer stays as it is.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where planes are.
    """

    title = "Mask artefacts"
    page = "masks"
    first = (
        "There is no plane to mask. Cut one with Plugins > Diffuse Scattering > Plane, open a "
        "file with one, or a sample."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            MaskForm,
            "Take out of a plane what is no diffuse scattering. Preview shows what goes, in "
            "a colour for every reason; Apply makes a new layer and leaves the old one alone.",
            "Apply",
        )
        self.masked: ReciprocalPlane | None = None
        self._shown_for: Any = None
        self._previewing = False
        # Of a session, until its preview is there again.
        self._ticks_off: list[str] = []
        self._overlay_hidden = False
        self.planes = self.add_layer_choice(
            "Plane", lambda layer: isinstance(core_object(layer), ReciprocalPlane)
        )
        self.paint_button = QPushButton("Paint…")
        self.paint_button.setToolTip("Make a Labels layer; what you paint there goes out.")
        self.polygon_button = QPushButton("Polygons…")
        self.polygon_button.setToolTip("Make a Shapes layer; what you draw there goes out.")
        self.paint_button.clicked.connect(lambda: self.mark("painted"))
        self.polygon_button.clicked.connect(lambda: self.mark("polygons"))
        by_hand = QHBoxLayout()
        by_hand.addWidget(self.paint_button)
        by_hand.addWidget(self.polygon_button)
        self.form.lines.addRow("By hand", by_hand)
        self.preview_button = QPushButton("Preview")
        self.preview_button.clicked.connect(self.preview)
        self.live = QCheckBox("Preview follows what is changed")
        self.live.setChecked(True)
        self.keep(live=self.live)
        self.reasons = QListWidget()
        self.reasons.setToolTip("Take a tick away to take the pixels of a reason back.")
        self.reasons.setFixedHeight(150)
        self.reasons.itemChanged.connect(self._ticked)
        below = self.column.indexOf(self.form) + 1
        self.column.insertWidget(below, self.preview_button)
        self.column.insertWidget(below + 1, self.live)
        self.add_below(self.reasons, shown=False)
        self.form.changed.connect(self._form_changed)
        self.form.changed.connect(self._show_what_counts)
        self.planes.currentIndexChanged.connect(self._layer_changed)
        self._show_what_counts()
        viewer = self.viewer
        # The dock is gone then; the viewer may be, too.
        self.destroyed.connect(lambda: _remove(viewer, "overlay"))

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, plane = self._plane()
        form: MaskForm = self.form.value()
        form.steps()
        by_hand = self.by_hand(layer, plane)
        previewing, self._previewing = self._previewing, False
        if previewing:
            return lambda callback, cancel: form.mask(plane, by_hand), self._preview_of(layer)
        back = self.taken_back() if self._shown_for is layer else []
        script = self.script()

        def compute(callback: Any, cancel: Any) -> Any:
            masked = form.mask(plane, by_hand)
            return masked, form.finish(masked, [r for r in back if r in masked.masks])

        def apply(found: Any) -> str:
            masked, (finished, words) = found
            finished = finished.replace(name=f"{plane.name} masked")
            _remove(self.viewer, "overlay")
            limits = layer.contrast_limits
            (added,) = add_above(self.viewer, [plane_layer(finished, script)], layer)
            added.contrast_limits = limits
            layer.visible = False
            self._show_reasons(masked, back)
            self._shown_for = None
            before, after = plane.valid.mean(), finished.valid.mean()
            return " ".join([f"Used: {after:.1%} of the pixels, {before:.1%} before.", *words])

        return compute, apply

    def script(self) -> tuple[str, ...]:
        """Python that masks; see :meth:`Dock.script`."""
        layer, plane = self._plane()
        known = script_of(layer)
        back = self.taken_back() if self._shown_for is layer else []
        lines = self.form.value().script(self.by_hand(layer, plane), back)
        return (*known, *lines) if known else ()

    def state(self) -> dict[str, Any]:
        """What is filled in, previewed, and taken back; see :meth:`Dock.state`."""
        overlay = _found(self.viewer, "overlay")
        return {
            **super().state(),
            "previewed": self._shown_for is not None,
            "taken back": self.taken_back(),
            "hidden": overlay is not None and not overlay.visible,
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in a state and show the preview again; see :meth:`Dock.restore_state`."""
        super().restore_state(state)
        if state.get("previewed") and self.planes.layer() is not None:
            self._ticks_off = [str(reason) for reason in state.get("taken back", [])]
            self._overlay_hidden = bool(state.get("hidden"))
            self.preview()

    def preview(self) -> None:
        """Show what would go out."""
        if self.running:
            return
        self._previewing = True
        self.run_or_cancel()
        self._previewing = False

    def mark(self, what: str) -> None:
        """Make a layer to paint or to draw on, or choose the one that is there.

        Parameters
        ----------
        what : {"painted", "polygons"}
            Labels or shapes.
        """
        try:
            layer, plane = self._plane()
        except ParameterError as error:
            self.show_error(error)
            return
        found = self._marked(layer, what)
        if found is None:
            options = {
                "name": f"{plane.name}: {what}",
                "metadata": {MARK: {"what": what, "on": layer}},
                "affine": layer.affine.affine_matrix,
                "units": layer.units,
                "axis_labels": layer.axis_labels,
            }
            if what == "painted":
                found = self.viewer.add_labels(np.zeros(layer.data.shape, np.uint8), **options)
                found.brush_size = 12
                found.events.paint.connect(self._form_changed)
            else:
                found = self.viewer.add_shapes(
                    None, ndim=2, face_color="#ff9f1c80", edge_color="#ff9f1c", **options
                )
                found.events.data.connect(self._form_changed)
        self.viewer.layers.selection.active = found
        found.mode = "paint" if what == "painted" else "add_polygon"
        self.message.setText(
            "Paint what is to go out, then Preview or Apply."
            if what == "painted"
            else "Click the corners, double-click the last one; then Preview or Apply."
        )

    def by_hand(self, layer: Any, plane: ReciprocalPlane) -> ByHand:
        """What was painted and drawn on a plane, in its own order of axes.

        Parameters
        ----------
        layer : napari.layers.Image
            The plane's layer.
        plane : ReciprocalPlane
            What it shows.
        """
        labels, shapes = (self._marked(layer, what) for what in ("painted", "polygons"))
        painted = None
        if labels is not None:
            painted = np.asarray(labels.data) > 0
            # Planes with a lattice are shown transposed.
            painted = painted.T if plane.has_geometry else painted
        polygons: list[list[list[float]]] = []
        if shapes is not None:
            for corners in shapes.data:
                ordered = corners[:, ::-1] if plane.has_geometry else corners
                polygons.append(np.asarray(ordered, float).tolist())
        return ByHand(painted, polygons)

    def taken_back(self) -> list[str]:
        """Reasons whose tick was taken away."""
        items = [self.reasons.item(i) for i in range(self.reasons.count())]
        return [
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Unchecked
        ]

    def _preview_of(self, layer: Any) -> Callable[[Any], str]:
        def apply(masked: ReciprocalPlane) -> str:
            back = self.taken_back() if self._shown_for is layer else self._ticks_off
            self._ticks_off = []
            self.masked, self._shown_for = masked, layer
            self._show_reasons(masked, back)
            self._show_overlay()
            overlay = _found(self.viewer, "overlay")
            if self._overlay_hidden and overlay is not None:
                overlay.visible = self._overlay_hidden = False
            return self._words()

        return apply

    def _show_reasons(self, masked: ReciprocalPlane, back: Sequence[str]) -> None:
        self.reasons.blockSignals(True)
        self.reasons.clear()
        for number, (reason, layer) in enumerate(masked.masks.items()):
            pixels = int(layer.sum())
            share = pixels / max(int(masked.measured.sum()), 1)
            item = QListWidgetItem(f"{reason}: {pixels:,} pixels, {share:.1%} of the measured")
            item.setData(Qt.ItemDataRole.UserRole, reason)
            swatch = QPixmap(14, 14)
            swatch.fill(QColor(COLOURS[number % len(COLOURS)]))
            item.setIcon(QIcon(swatch))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            kept = Qt.CheckState.Unchecked if reason in back else Qt.CheckState.Checked
            item.setCheckState(kept)
            self.reasons.addItem(item)
        self.reasons.setVisible(bool(masked.masks))
        self.reasons.blockSignals(False)

    def _show_overlay(self) -> None:
        """Draw what goes out above its plane."""
        masked, layer = self.masked, self._shown_for
        if masked is None or not any(layer is x for x in self.viewer.layers):
            _remove(self.viewer, "overlay")
            return
        from napari.utils.colormaps import DirectLabelColormap

        values = np.zeros(masked.shape, np.uint8)
        back = self.taken_back()
        for number, (reason, out) in enumerate(masked.masks.items()):
            if reason not in back:
                values[out] = number % len(COLOURS) + 1
        values = values.T if masked.has_geometry else values
        overlay = _found(self.viewer, "overlay")
        if overlay is not None and overlay.metadata[MARK]["on"] is layer:
            overlay.data = values
            return
        _remove(self.viewer, "overlay")
        active = self.viewer.layers.selection.active
        colours: dict[Any, Any] = {i + 1: c for i, c in enumerate(COLOURS)}
        self.viewer.add_labels(
            values,
            name="what goes out",
            affine=layer.affine.affine_matrix,
            units=layer.units,
            axis_labels=layer.axis_labels,
            opacity=0.75,
            colormap=DirectLabelColormap(
                color_dict={None: "transparent", 0: "transparent", **colours}
            ),
            metadata={MARK: {"what": "overlay", "on": layer}},
        )
        self.viewer.layers.selection.active = active

    def _words(self) -> str:
        masked = self.masked
        assert masked is not None
        out = np.zeros(masked.shape, bool)
        for reason in set(masked.masks) - set(self.taken_back()):
            out |= masked.masks[reason]
        measured = masked.measured
        if not out.any():
            return "Nothing goes out."
        return (
            f"{out.sum() / max(measured.sum(), 1):.1%} of the measured pixels go out. Take a "
            "tick away to keep those of a reason."
        )

    def _ticked(self, *_: Any) -> None:
        if self.masked is not None and self._shown_for is not None:
            self._show_overlay()
            self.message.setText(self._words())

    def _show_what_counts(self) -> None:
        form = self.form.value()
        self.form.lines.setRowVisible(self.form.editors["radius"], form.bragg == "radius")

    @qdebounced(timeout=300)
    def _form_changed(self, *_: Any) -> None:
        """Once there is a preview, it follows."""
        # Who deletes the overlay has seen enough.
        shown = _found(self.viewer, "overlay") is not None
        shown &= self._shown_for is not None and self._shown_for is self.planes.layer()
        if self.running:
            self.later = self._form_changed
        elif shown and self.live.isChecked():
            self.preview()

    def _layer_changed(self, *_: Any) -> None:
        if self._shown_for is None or self.planes.layer() is self._shown_for:
            return
        self.masked = self._shown_for = None
        self.reasons.setVisible(False)
        self.message.setText("")
        _remove(self.viewer, "overlay")

    def _marked(self, layer: Any, what: str) -> Any:
        """Layer on which something was marked for a plane's layer; None if there is none."""
        for other in self.viewer.layers:
            noted = other.metadata.get(MARK)
            if noted and noted["what"] == what and noted["on"] is layer:
                return other
        return None

    def _plane(self) -> tuple[Any, ReciprocalPlane]:
        layer, plane = self.source()
        assert isinstance(plane, ReciprocalPlane)
        return layer, plane


def _found(viewer: Any, what: str) -> Any:
    for layer in viewer.layers:
        noted = layer.metadata.get(MARK)
        if noted and noted["what"] == what:
            return layer
    return None


def _remove(viewer: Any, what: str) -> None:
    layer = _found(viewer, what)
    if layer is not None:
        viewer.layers.remove(layer)
