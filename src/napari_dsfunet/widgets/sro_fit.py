"""Dock that refines Warren–Cowley parameters to a factorization, live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider
from superqt.utils import qdebounced

from dsfunet_core.applicability import assess
from dsfunet_core.errors import DsfunetError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.refine.unit_cell_map import UnitCellMap
from napari_dsfunet.forms_order import SroFitForm
from napari_dsfunet.layers import entry, script_of
from napari_dsfunet.widgets.exporting import ExportingDock
from napari_dsfunet.widgets.fit_canvas import AlphaPlot, CellMaps, CorrelationMap
from napari_dsfunet.widgets.sro_table import SroTable
from napari_dsfunet.workers import Compute

if TYPE_CHECKING:
    from dsfunet_core.refine import SroProblem
    from dsfunet_core.refine.reference import Reference
    from dsfunet_core.refine.result import SroRefinement

__all__ = ["SroFit"]

#: What α can be compared with, before files.
NOTHING, PUBLISHED, FILE = "nothing", "tris-amide, published", "a file…"


class SroFit(ExportingDock):
    """Refine α to a factorization; every change of table or form is followed at once.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where factorizations are.
    """

    title = "SRO fit"
    page = "plugin"
    exports = {
        ".csv": "Table",
        ".json": "Everything, covariance included",
        ".txt": "Correlations for a Yell model",
        ".png": "Figure",
        ".pdf": "Figure",
        ".h5": "Result file: factorization and refinement",
    }
    proposed = "alpha.csv"
    first = (
        "There is no factorization to fit. Make one with Plugins > Diffuse Scattering > "
        "Factorize, or open a saved one."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            SroFitForm,
            "Refine Warren–Cowley parameters α to the short-range order of a factorization. "
            "After the first fit, everything you change is followed at once.",
            "Fit",
        )
        self.problem: SroProblem | None = None
        self.fit: SroRefinement | None = None
        self.reference: Reference | None = None
        self._reference_path = ""
        self._row = 0
        self._fitted_layer: Any = None
        self.results = self.add_layer_choice("Result", _shows_order)
        #: What the factorization's verdict says against its order.
        self._careful = ""
        self.table = SroTable()
        self.table.edited.connect(self.refit)
        self.table.currentCellChanged.connect(self._row_chosen)
        self.slider_label = QLabel()
        self.slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(-1.0, 1.0)
        self.slider.setDecimals(3)
        self.slider.valueChanged.connect(self._dragged)
        self.free_button = QPushButton("Refine all, no bounds")
        self.free_button.clicked.connect(self.table.free_all)
        self.compare = QComboBox()
        self.compare.addItems([NOTHING, PUBLISHED, FILE])
        self.compare.activated.connect(lambda _: self._compare_chosen())
        self.maps = CellMaps(self.viewer)
        self.plot = AlphaPlot(self.viewer)
        self.correlations = CorrelationMap(self.viewer)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.plot, "α against distance")
        self.tabs.addTab(self.correlations, "Correlations")
        self.panel = self._panel()
        self.add_below(self.panel, shown=False)
        self.form.changed.connect(self._form_changed)
        self.results.currentIndexChanged.connect(self._layer_changed)

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, result = self._result()
        form: SroFitForm = self.form.value()

        def compute(callback: Any, cancel: Any) -> tuple[SroProblem, str]:
            problem = form.compute(result)
            if not isinstance(result, Factorization):
                return problem, ""
            verdict = assess(result)
            return problem, "" if verdict.holds else f"\nCareful: {verdict.verdict}"

        def apply(found: tuple[SroProblem, str]) -> str:
            self.problem, self._careful = found
            self._fitted_layer = layer
            return self._show(self._refine(self.problem))

        return compute, apply

    def script(self) -> tuple[str, ...]:
        """Python that fits; see :meth:`Dock.script`."""
        layer, _ = self._result()
        known = script_of(layer)
        form: SroFitForm = self.form.value()
        orbits = () if self.fit is None else self.fit.orbits
        lines = form.script(
            self.table.fixed(orbits),
            self.table.bounds(orbits),
            folded=isinstance(self._result()[1], UnitCellMap),
        )
        return (*known, *lines) if known else ()

    def refit(self) -> None:
        """Refine again with what the table holds and bounds."""
        if self.problem is None:
            return
        try:
            fit = self._refine(self.problem)
        except DsfunetError as error:
            self.show_error(error)
            return
        self.message.setText(self._show(fit))

    def load_reference(self, path: str) -> None:
        """Read known parameters to stand beside the refined ones.

        Parameters
        ----------
        path : str
            CSV or JSON, see :func:`dsfunet_core.refine.reference.read_reference`.
        """
        from dsfunet_core.refine.reference import read_reference

        try:
            self.reference = read_reference(path)
        except DsfunetError as error:
            self.compare.setCurrentText(NOTHING)
            self.show_error(error)
            return
        self._reference_path = path
        if self.compare.findText(self.reference.label) < 0:
            self.compare.insertItem(2, self.reference.label)
        self.compare.setCurrentText(self.reference.label)
        self._show_again()

    def state(self) -> dict[str, Any]:
        """What is filled in; see :meth:`Dock.state`."""
        return {
            **super().state(),
            **self.table.constraints(),
            "reference": self._reference_path or self.compare.currentText(),
            "fitted": self.fit is not None,
            "row": self.table.currentRow(),
            "tab": self.tabs.currentIndex(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in a state and fit again; see :meth:`Dock.restore_state`."""
        super().restore_state(state)
        self.table.set_constraints(state)
        self.tabs.setCurrentIndex(int(state.get("tab", 0)))
        self._row = int(state.get("row", 0))
        reference = state.get("reference", NOTHING)
        if reference == PUBLISHED:
            self.compare.setCurrentText(PUBLISHED)
            self._compare_chosen()
        elif reference != NOTHING and Path(reference).is_file():
            self.load_reference(reference)
        if state.get("fitted") and self.results.layer() is not None and not self.running:
            self.run_or_cancel()

    def reset(self) -> None:
        """Fill in the defaults, free and unbound all."""
        super().reset()
        self.table.free_all()

    # Parts.

    def _panel(self) -> QWidget:
        panel = QWidget()
        column = QVBoxLayout(panel)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.maps)
        column.addWidget(self.slider_label)
        column.addWidget(self.slider)
        column.addWidget(self.table)
        buttons, compared = QHBoxLayout(), QHBoxLayout()
        buttons.addWidget(self.free_button, 1)
        buttons.addWidget(self.export_button, 1)
        compared.addWidget(QLabel("Compare with"))
        compared.addWidget(self.compare, 1)
        column.addLayout(buttons)
        column.addLayout(compared)
        column.addWidget(self.tabs)
        return panel

    def _refine(self, problem: SroProblem) -> SroRefinement:
        bounds = self.table.bounds(problem.orbits)
        return problem.refine(
            fixed=self.table.fixed(problem.orbits), bounds=False if bounds is None else bounds
        )

    def _show(self, fit: SroRefinement) -> str:
        same = self.fit is not None and self.fit.observed is fit.observed
        self.fit = fit
        noted = None if self._fitted_layer is None else entry(self._fitted_layer)
        if noted is not None:
            noted["fit"] = fit
        self.panel.setVisible(True)
        # The maps first: they are painted at once, what else changed with the next event.
        if same:
            self.maps.follow(fit)
        else:
            self.maps.show_content(fit)
        self.table.show_fit(fit, self._known(fit))
        self._draw_later()
        if self.table.currentRow() < 0 and len(fit.orbits):
            self.table.setCurrentCell(min(max(self._row, 0), len(fit.orbits) - 1), 1)
        self._row_chosen()
        # The foot of the core's table says how good the fit is.
        foot = fit.table().splitlines()[2 + len(fit.orbits) :]
        forced = np.asarray(fit.fixed, bool) | np.asarray(fit.at_bound, bool)
        refined = len(fit.alpha) - int(forced.sum())
        text = f"{refined} of {len(fit.alpha)} parameters refined. " + "\n".join(foot)
        return text + self._careful

    @qdebounced(timeout=120)
    def _draw_later(self) -> None:
        """Plots wait until nothing moves any more."""
        if self.fit is None:
            return
        label = "" if self.reference is None else self.reference.label
        self.plot.show_content((self.fit, self._known(self.fit), label))
        self.correlations.show_content(self.fit)

    def _known(self, fit: SroRefinement) -> Any:
        return None if self.reference is None else self.reference.matched(fit.orbits)

    def _show_again(self) -> None:
        if self.fit is not None:
            self.message.setText(self._show(self.fit))

    def _row_chosen(self, *_: Any) -> None:
        row = self.table.currentRow()
        chosen = self.fit is not None and 0 <= row < len(self.fit.orbits)
        self.slider.setEnabled(chosen)
        if self.fit is None or not chosen:
            self.slider_label.setText("Choose a line of the table to drag its α.")
            return
        self.slider_label.setText(f"Drag α of {self.fit.orbits[row].label}; it is held then:")
        self.slider.blockSignals(True)
        self.slider.setValue(float(np.clip(self.fit.alpha[row], -1, 1)))
        self.slider.blockSignals(False)

    def _dragged(self, value: float) -> None:
        row = self.table.currentRow()
        if self.fit is not None and 0 <= row < len(self.fit.orbits):
            self.table.hold(row, value)

    def _compare_chosen(self) -> None:
        chosen = self.compare.currentText()
        if chosen == FILE:
            path, _ = QFileDialog.getOpenFileName(
                self, "Known parameters", "", "Table or refinement (*.csv *.json)"
            )
            if path:
                self.load_reference(path)
            else:
                self.compare.setCurrentText(NOTHING)
                self._compare_chosen()
            return
        if chosen == NOTHING:
            self.reference, self._reference_path = None, ""
        elif chosen == PUBLISHED:
            from dsfunet_core.refine.reference import Reference
            from dsfunet_core.simulate.tris_amide import YELL_ALPHA

            self.reference, self._reference_path = Reference(YELL_ALPHA), ""
        self._show_again()

    @qdebounced(timeout=150)
    def _form_changed(self, *_: Any) -> None:
        """Once there is a fit, it follows the form."""
        if self.running:
            self.later = self._form_changed
        elif self.problem is not None and self.results.layer() is not None:
            self.run_or_cancel()

    def _layer_changed(self, *_: Any) -> None:
        layer = self.results.layer()
        if self.problem is None or layer is self._fitted_layer:
            return
        self.problem = self.fit = self._fitted_layer = None
        self.panel.setVisible(False)
        self.table.clear_rows()
        self.message.setText("")
        if layer is not None:
            self._follow_layer()

    @qdebounced(timeout=50)
    def _follow_layer(self) -> None:
        if self.running:
            self.later = self._follow_layer
        elif self.results.layer() is not None:
            self.run_or_cancel()

    def nothing_yet(self) -> str:
        """See :meth:`ExportingDock.nothing_yet`."""
        return "there is no fit to export yet; press Fit first." if self.fit is None else ""

    def write(self, path: Path, suffix: str) -> None:
        """Write the fit; see :meth:`ExportingDock.write`."""
        from dsfunet_core import save_result
        from dsfunet_core.io.files import replacing
        from dsfunet_core.refine.figures import fit_figure

        fit = self.fit
        assert fit is not None
        if suffix == ".csv":
            fit.to_csv(path, overwrite=True)
        elif suffix == ".json":
            fit.to_json(path, overwrite=True)
        elif suffix == ".h5":
            result = self._result()[1]
            if isinstance(result, UnitCellMap):
                raise ParameterError(
                    "the fit is to a map of one cell; a result file holds a factorization. "
                    "Fit the factorization's SRO layer, or export .json."
                )
            save_result(path, result, fit, overwrite=True)
        else:
            with replacing(path, overwrite=True) as temporary:
                if suffix == ".txt":
                    temporary.write_text(fit.yell_snippet(), encoding="utf-8")
                else:
                    label = "" if self.reference is None else self.reference.label
                    figure = fit_figure(fit, reference=self._known(fit), label=label)
                    figure.savefig(temporary, format=suffix[1:], dpi=200)

    def _result(self) -> tuple[Any, Factorization | UnitCellMap]:
        layer, result = self.source()
        assert isinstance(result, Factorization | UnitCellMap)
        return layer, result


def _shows_order(layer: Any) -> bool:
    noted = entry(layer)
    return noted is not None and noted["role"] in ("SRO", "cell")
