"""Dock that folds short-range order into one reciprocal cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QPushButton
from superqt.utils import qdebounced

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane
from napari_dsfunet.forms_order import UnitCellForm
from napari_dsfunet.layers import cell_layer, entry, script_of
from napari_dsfunet.placing import add_above, zoom_to
from napari_dsfunet.widgets.canvas import Canvas
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.workers import Compute

if TYPE_CHECKING:
    from dsfunet_core.refine.unit_cell_map import UnitCellMap

__all__ = ["UnitCell"]

#: What of a map is drawn.
SHOWN = ("mean of a bin", "its standard uncertainty", "pixels in a bin")


class UnitCell(Dock):
    """Fold the observed short-range order into one cell; changes are followed at once.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where factorizations are and maps go.
    """

    title = "Unit cell"
    page = "plugin"
    first = (
        "There is nothing to fold. Factorize a plane first with Plugins > Diffuse Scattering > "
        "Factorize, or open a saved factorization."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            UnitCellForm,
            "Fold the short-range order of a whole plane into one reciprocal unit cell. "
            "After the first time, what you change is followed at once.",
            "Fold",
        )
        self.map: UnitCellMap | None = None
        self._source: Any = None
        self._of = ""
        self._script: tuple[str, ...] = ()
        self.sources = self.add_layer_choice("Result or plane", _can_be_folded, _is_order)
        self.shown = QComboBox()
        for text in SHOWN:
            self.shown.addItem(text, text)
        self.keep(shown=self.shown)
        self.shown.currentIndexChanged.connect(self._draw)
        self.canvas = _CellCanvas(self.viewer)
        self.add_button = QPushButton("Add to the viewer")
        self.add_button.setToolTip("As a layer, to save it or to fit it with SRO fit.")
        self.add_button.clicked.connect(self.add_to_viewer)
        self.add_below(self.shown, self.canvas, self.add_button, shown=False)
        self.form.changed.connect(self._form_changed)
        self.sources.currentIndexChanged.connect(self._layer_changed)

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, target = self._target()
        form: UnitCellForm = self.form.value()
        script = self.script()
        order = isinstance(target, Factorization)

        def apply(cell: UnitCellMap) -> str:
            self.map, self._source, self._script = cell, layer, script
            self._of = "short-range order" if order else "intensity (arb. units)"
            for widget in (self.shown, self.canvas, self.add_button):
                widget.setVisible(True)
            self._draw()
            return _words(cell, order)

        return lambda callback, cancel: form.compute(target), apply

    def script(self) -> tuple[str, ...]:
        """Python that folds; see :meth:`Dock.script`."""
        layer, target = self._target()
        known = script_of(layer)
        name = "result" if isinstance(target, Factorization) else "plane"
        return (*known, *self.form.value().script(name)) if known else ()

    def state(self) -> dict[str, Any]:
        """What is filled in, and whether there is a map; see :meth:`Dock.state`."""
        return {**super().state(), "folded": self.map is not None}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in a state and fold again; see :meth:`Dock.restore_state`."""
        super().restore_state(state)
        if state.get("folded") and self.sources.layer() is not None and not self.running:
            self.run_or_cancel()

    def add_to_viewer(self) -> None:
        """Add the map as a layer."""
        if self.map is None:
            return
        self.viewer.canvas.grid.enabled = False
        for layer in self.viewer.layers:
            layer.visible = False
        source = self._source
        name = f"{source.name} in one cell"
        (layer,) = add_above(self.viewer, [cell_layer(self.map, self._script, name)], source)
        zoom_to(self.viewer, layer)

    def _target(self) -> tuple[Any, Factorization | ReciprocalPlane]:
        layer, target = self.source()
        assert isinstance(target, Factorization | ReciprocalPlane)
        return layer, target

    def _draw(self, *_: Any) -> None:
        if self.map is not None:
            shown = self.shown.currentIndex()
            title = SHOWN[shown] if shown else self._of
            self.canvas.show_content((self.map, shown, title))

    @qdebounced(timeout=150)
    def _form_changed(self, *_: Any) -> None:
        if self.running:
            self.later = self._form_changed
        elif self.map is not None and self.sources.layer() is not None:
            self.run_or_cancel()

    def _layer_changed(self, *_: Any) -> None:
        layer = self.sources.layer()
        if self.map is None or layer is self._source:
            return
        self.map = self._source = None
        for widget in (self.shown, self.canvas, self.add_button):
            widget.setVisible(False)
        self.message.setText("")


class _CellCanvas(Canvas):
    """One oblique cell."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=300)

    def paint(self, figure: Any, content: tuple[UnitCellMap, int, str]) -> None:
        from dsfunet_core.frames import map_frame
        from dsfunet_core.plots import INTENSITY, ORDER, panel
        from dsfunet_core.refine.figures import spread_out

        cell, shown, title = content
        values = (
            spread_out(cell.values),
            spread_out(np.sqrt(cell.variance)),
            np.where(cell.count > 0, cell.count, np.nan),
        )[shown]
        axes = figure.subplots()
        panel(axes, values, map_frame(cell), title, INTENSITY if shown else ORDER)


def _words(cell: UnitCellMap, order: bool) -> str:
    filled = cell.count > 0
    text = (
        f"{filled.mean():.0%} of {cell.values.size:,} bins of the cell hold pixels, "
        f"{np.median(cell.count[filled]):.0f} each (median); the map shows the nearest of them "
        f"in the others. Mean {cell.mean():.4f}"
    )
    text += (
        "; 1 is expected of short-range order."
        if order
        else ". These are intensities, form factor and order in one: factorize the plane and "
        "fold its SRO for the order alone."
    )
    sigma = np.sqrt(cell.variance[filled])
    if np.isfinite(sigma).any():
        text += f" Standard uncertainty of a bin: {np.nanmedian(sigma):.2g} (median)."
    laue = cell.laue_class or "none"
    return f"{text} Laue class imposed: {laue}."


def _is_order(layer: Any) -> bool:
    noted = entry(layer)
    return (
        noted is not None
        and noted["role"] == "SRO"
        and isinstance(noted["object"], Factorization)
    )


def _can_be_folded(layer: Any) -> bool:
    noted = entry(layer)
    shown = None if noted is None else noted["object"]
    return _is_order(layer) or (isinstance(shown, ReciprocalPlane) and shown.has_geometry)
