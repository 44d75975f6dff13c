"""Dock that turns a group of a structure and compares every angle with the form factor."""

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
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from dsfunet_core.errors import CancelledError, DsfunetError
from dsfunet_core.factorization.result import Factorization
from napari_dsfunet.forms_scan import ScanForm
from napari_dsfunet.layers import core_object, entry, script_of
from napari_dsfunet.widgets.exporting import ExportingDock
from napari_dsfunet.widgets.molecule_window import MoleculeWindow
from napari_dsfunet.widgets.scan_canvas import ScanCurve, ScanMaps
from napari_dsfunet.widgets.texts import told
from napari_dsfunet.workers import Compute

if TYPE_CHECKING:
    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.scan import Scan, Scanner

__all__ = ["RotationScan"]


class RotationScan(ExportingDock):
    """Scan a torsion; a cursor on the curve shows what that angle calculates.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where factorizations are.
    """

    title = "Rotation scan"
    page = "structures"
    exports = {
        ".csv": "Curve",
        ".png": "Figure of the curve",
        ".pdf": "Figure of the curve",
        ".xyz": "Atoms at the angle of the cursor",
    }
    proposed = "scan.csv"
    first = (
        "There is no form factor to compare with. Factorize a plane first with Plugins > "
        "Diffuse Scattering > Factorize, or open a saved result."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            ScanForm,
            "Turn a group of a structure about a bond and compare its form factor with the "
            "measured one, angle by angle. For the sample all is filled in: press Scan.",
            "Scan",
        )
        self.found: Scan | None = None
        self.scanner: Scanner | None = None
        self.angle = 0.0
        self.window_3d: MoleculeWindow | None = None
        self._scanned_layer: Any = None
        #: Angle of the cursor after the next scan, and whether to show the molecule.
        self._then: tuple[float, bool] | None = None
        self.results = self.add_layer_choice("Result", _shows_form_factor)
        self.browse_button = QPushButton("Browse…")
        self.browse_button.clicked.connect(self.ask_for_structure)
        self.form.lines.insertRow(2, "", self.browse_button)
        self.turning = QLabel()
        self.turning.setWordWrap(True)
        self.form.lines.insertRow(5, "Turns", self.turning)
        editors: Any = self.form.editors
        editors["structure"].editingFinished.connect(self.offer_atoms)
        editors["first"].activated.connect(lambda _: self.offer_neighbours())
        self.form.asked.connect(self.offer_atoms)
        self.form.changed.connect(self._say_what_turns)

        self.curve = ScanCurve(self.viewer)
        self.curve.picked.connect(self._picked)
        self.slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.slider.setDecimals(1)
        self.slider.valueChanged.connect(self.show_angle)
        self.maps = ScanMaps(self.viewer)
        self.at_cursor = QLabel()
        self.at_cursor.setWordWrap(True)
        self.molecule_button = QPushButton("Show molecule")
        self.molecule_button.clicked.connect(self.show_molecule)
        self.panel = self._panel()
        self.add_below(self.panel, shown=False)
        self.results.currentIndexChanged.connect(self._layer_changed)
        self._say_what_turns()

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, result = self._result()
        form: ScanForm = self.form.value()
        form.values()

        def compute(callback: Any, cancel: Any) -> Any:
            from dsfunet_core.structures.scan import Scanner

            def report(step: int, total: int, message: str) -> None:
                if cancel.is_set():
                    raise CancelledError("cancelled")
                callback(step, total, message)

            target = form.target(result)
            model = form.read(result.plane.cell)
            turn = form.turn(model)
            found = form.compute(target, model, turn, report)
            return found, Scanner(target, model, turn, **form.as_core_arguments())

        def apply(done: Any) -> str:
            self.found, self.scanner = done
            self._scanned_layer = layer
            return self._show_scan(self.found)

        return compute, apply

    def script(self) -> tuple[str, ...]:
        """Python that scans; see :meth:`Dock.script`."""
        layer, _ = self._result()
        known = script_of(layer)
        return (*known, *self.form.value().script()) if known else ()

    def state(self) -> dict[str, Any]:
        """What is filled in, and where the cursor stands; see :meth:`Dock.state`."""
        return {
            **super().state(),
            "angle": self.angle,
            "scanned": self.found is not None,
            "molecule": self.window_3d is not None and self.window_3d.isVisible(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in a state and scan again; see :meth:`Dock.restore_state`."""
        super().restore_state(state)
        if state.get("scanned") and self.results.layer() is not None and not self.running:
            self._then = (float(state["angle"]), bool(state.get("molecule")))
            self.run_or_cancel()

    # The structure.

    def ask_for_structure(self) -> None:
        """Ask for a file with a structure."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Structure", "", "Structures (*.cif *.xyz *.sdf *.mol)"
        )
        if path:
            self.set_structure(path)

    def set_structure(self, path: str) -> None:
        """Name a structure and offer its atoms.

        Parameters
        ----------
        path : str
            File, or ``"tris-amide"``.
        """
        editor: Any = self.form.editors["structure"]
        editor.setText(path)
        self.offer_atoms()

    def offer_atoms(self) -> None:
        """Offer the atoms of the structure for the axis."""
        model = self._model()
        if model is None:
            return
        labels = {label: label for label in model.labels}
        self._offer_only("first", labels)
        self.offer_neighbours(model)

    def offer_neighbours(self, model: DisorderModel | None = None) -> None:
        """Offer the atoms bonded to the first one for the second."""
        from dsfunet_core.structures.moves import bonds

        model = model or self._model()
        first = self.form.value().first
        if model is None or model.labels.count(first) != 1:
            return
        near = bonds(model.atoms)[model.atom(first)]
        labels = [model.labels[i] for i in np.flatnonzero(near)]
        self._offer_only("second", {label: label for label in labels})
        self._say_what_turns()

    def _offer_only(self, name: str, choices: dict[str, str]) -> None:
        box = self.form.editors[name]
        assert isinstance(box, QComboBox)
        chosen = box.currentData()
        box.blockSignals(True)
        box.clear()
        self.form.offer(name, choices)
        box.setCurrentIndex(max(box.findData(chosen), 0))
        box.blockSignals(False)

    def _model(self) -> DisorderModel | None:
        """Structure of the form; None, and a text, where it cannot be read."""
        layer = self.results.layer()
        shown = None if layer is None else core_object(layer)
        cell = shown.plane.cell if isinstance(shown, Factorization) else None
        try:
            model: DisorderModel = self.form.value().read(cell)
        except (DsfunetError, OSError) as error:
            self.show_error(error)
            return None
        return model

    def _say_what_turns(self) -> None:
        form: ScanForm = self.form.value()
        try:
            layer = self.results.layer()
            shown = None if layer is None else core_object(layer)
            cell = shown.plane.cell if isinstance(shown, Factorization) else None
            model = form.read(cell)
            turn = form.turn(model)
        except (DsfunetError, OSError) as error:
            self.turning.setText(told(error))
            return
        self.turning.setText(", ".join(model.labels[i] for i in turn.atoms))

    # What was found.

    def _panel(self) -> QWidget:
        panel = QWidget()
        column = QVBoxLayout(panel)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.curve)
        column.addWidget(self.slider)
        column.addWidget(self.at_cursor)
        column.addWidget(self.maps)
        buttons = QHBoxLayout()
        buttons.addWidget(self.molecule_button)
        buttons.addWidget(self.export_button)
        column.addLayout(buttons)
        return panel

    def _show_scan(self, found: Scan) -> str:
        best = (
            found.minima[0].value if found.minima else float(found.values[found.mse.argmin()])
        )
        shown = best if self._then is None else self._then[0]
        with_molecule = self._then is not None and self._then[1]
        self._then = None
        self.panel.setVisible(True)
        self.angle = shown
        self.curve.show_content((found, shown))
        self.slider.blockSignals(True)
        self.slider.setRange(float(found.values[0]), float(found.values[-1]))
        self.slider.blockSignals(False)
        assert self.scanner is not None
        self.maps.show_content((self.scanner.target, self.scanner.at(shown)))
        self.show_angle(shown)
        self.slider.blockSignals(True)
        self.slider.setValue(shown)
        self.slider.blockSignals(False)
        if with_molecule:
            self.show_molecule()
        if not found.minima:
            return "No minimum inside the range; widen it."
        lines = [
            f"{'Minimum' if i == 0 else 'Another'} at {m.value:.2f} ± {m.sigma:.2f}°: MSE "
            f"{m.mse:.5f}, D_w {m.debye_waller:.4f} Å²."
            for i, m in enumerate(found.minima)
        ]
        return "\n".join(lines)

    def show_angle(self, angle: float) -> None:
        """Show what an angle calculates.

        Parameters
        ----------
        angle : float
            In degrees.
        """
        if self.found is None or self.scanner is None:
            return
        self.angle = float(angle)
        compared = self.scanner.at(self.angle)
        self.curve.follow(self.found, self.angle)
        self.maps.follow(self.scanner.target, compared)
        words = (
            f"Cursor at {self.angle:.1f}°: MSE {compared.mse:.5f}, "
            f"R = {compared.r_factor:.3f}, D_w {compared.debye_waller:.4f} Å²"
        )
        self.at_cursor.setText(words)
        if self.window_3d is not None and self.window_3d.isVisible():
            self.window_3d.show_model(self.scanner.moved(self.angle), words)

    def _picked(self, angle: float) -> None:
        self.slider.setValue(angle)

    def show_molecule(self) -> None:
        """Open a window with the molecule; its atoms follow the cursor."""
        if self.scanner is None:
            self.show_error("There is no scan yet; press Scan first.")
            return
        self._close_window()
        turning = np.asarray(self.scanner.move.atoms)
        self.window_3d = MoleculeWindow(self.scanner.moved(self.angle), turning, self)
        self.window_3d.show()
        self.show_angle(self.angle)

    def _close_window(self) -> None:
        if self.window_3d is not None:
            self.window_3d.close()
            self.window_3d = None

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Close the molecule's window with the dock."""
        self._close_window()
        super().closeEvent(event)

    def nothing_yet(self) -> str:
        """See :meth:`ExportingDock.nothing_yet`."""
        return "there is no scan to export yet; press Scan first." if self.found is None else ""

    def write(self, path: Path, suffix: str) -> None:
        """Write the scan; see :meth:`ExportingDock.write`."""
        from dsfunet_core.io.files import replacing
        from dsfunet_core.structures.figures import scan_figure
        from dsfunet_core.structures.files import write_xyz

        found, scanner = self.found, self.scanner
        assert found is not None
        assert scanner is not None
        if suffix == ".csv":
            found.to_csv(path, overwrite=True)
        elif suffix == ".xyz":
            write_xyz(path, scanner.moved(self.angle), overwrite=True)
        else:
            with replacing(path, overwrite=True) as temporary:
                scan_figure(found).savefig(temporary, format=suffix[1:], dpi=200)

    def _result(self) -> tuple[Any, Factorization]:
        layer, result = self.source()
        assert isinstance(result, Factorization)
        result.plane.geometry()
        return layer, result

    def _layer_changed(self, *_: Any) -> None:
        if self.found is None or self.results.layer() is self._scanned_layer:
            return
        self.found = self.scanner = self._scanned_layer = None
        self._close_window()
        self.panel.setVisible(False)
        self.message.setText("")


def _shows_form_factor(layer: Any) -> bool:
    noted = entry(layer)
    return noted is not None and noted["role"] == "form factor"
