"""Dock that refines Warren–Cowley parameters to a factorization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
)

from dsfunet_core.errors import DsfunetError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.refine.result import SroRefinement, with_uncertainty
from napari_dsfunet.forms import SroFitForm
from napari_dsfunet.layers import core_object, entry, script_of
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.widgets.fit_canvas import FitCanvas
from napari_dsfunet.workers import Compute

__all__ = ["SroFit"]

#: Headings of the table.
COLUMNS = ("vector", "mult.", "|v| (Å)", "α", "σ")


class SroFit(Dock):
    """Refine α to a factorization; table, drawings, export.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where factorizations are.
    """

    title = "SRO fit"
    page = "plugin"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            SroFitForm,
            "Refine Warren–Cowley parameters α to the short-range order of a factorization.",
            "Fit",
        )
        self.fit: SroRefinement | None = None
        self.results = self.add_layer_choice("Result", _shows_order)
        self.table = _table()
        self.export_button = QPushButton("Export CSV…")
        self.export_button.clicked.connect(self.ask_and_export)
        self.canvas = FitCanvas(self.viewer)
        self.add_below(self.table, self.export_button, self.canvas, shown=False)

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        _, result = self._result()
        form: SroFitForm = self.form.value()
        return lambda callback, cancel: form.compute(result), self._show

    def script(self) -> tuple[str, ...]:
        """Python that fits; see :meth:`Dock.script`."""
        layer, _ = self._result()
        known = script_of(layer)
        return (*known, *self.form.value().script()) if known else ()

    def export(self, path: str) -> None:
        """Write the table as CSV, replacing what the user agreed to replace."""
        if self.fit is None:
            self.show_error("There is no fit to export yet; press Fit first.")
            return
        try:
            written = self.fit.to_csv(path, overwrite=True)
        except (DsfunetError, OSError) as error:
            self.show_error(f"The table was not written: {error}")
            return
        self.message.setText(f"Written: {written}")

    def ask_and_export(self) -> None:
        """Ask for a file and write the table there."""
        path, _ = QFileDialog.getSaveFileName(
            self, "Export α", "alpha.csv", "Comma-separated values (*.csv)"
        )
        if path:
            self.export(path)

    def _result(self) -> tuple[Any, Factorization]:
        layer = self.results.layer()
        if layer is None:
            raise ParameterError(
                "There is no factorization to fit. Make one with Plugins > Diffuse "
                "Scattering > Factorize, or open a saved one."
            )
        result = core_object(layer)
        assert isinstance(result, Factorization)
        return layer, result

    def _show(self, fit: SroRefinement) -> str:
        self.fit = fit
        self.table.setRowCount(len(fit.orbits))
        rows = zip(fit.orbits, fit.alpha, fit.sigma, fit.at_bound, strict=True)
        for i, (orbit, alpha, sigma, bound) in enumerate(rows):
            cells = (
                orbit.label,
                str(orbit.multiplicity),
                "–" if orbit.length != orbit.length else f"{orbit.length:.2f}",
                with_uncertainty(alpha, sigma) + (" at its bound" if bound else ""),
                f"{sigma:.4f}",
            )
            for j, text in enumerate(cells):
                self.table.setItem(i, j, QTableWidgetItem(text))
        for widget in (self.table, self.export_button, self.canvas):
            widget.setVisible(True)
        self.canvas.show_content(fit)
        # The foot of the core's table says how good the fit is.
        foot = fit.table().splitlines()[2 + len(fit.orbits) :]
        return f"{len(fit.alpha)} parameters. " + "\n".join(foot)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(COLUMNS))
    table.setHorizontalHeaderLabels(COLUMNS)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setMinimumHeight(150)
    rows, columns = table.verticalHeader(), table.horizontalHeader()
    assert rows is not None
    assert columns is not None
    rows.setVisible(False)
    rows.setDefaultSectionSize(22)
    columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    columns.setStretchLastSection(True)
    return table


def _shows_order(layer: Any) -> bool:
    noted = entry(layer)
    return noted is not None and noted["role"] == "SRO"
