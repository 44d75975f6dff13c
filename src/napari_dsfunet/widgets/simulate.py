"""Dock that simulates a disordered crystal and shows its plane while it is described."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget
from superqt.utils import qthrottled

from dsfunet_core.errors import DsfunetError
from napari_dsfunet.forms_simulate import SimulateForm
from napari_dsfunet.placing import add_above, zoom_to
from napari_dsfunet.simulated_layers import simulated_layers
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.widgets.simulate_canvas import SimulatedMaps
from napari_dsfunet.widgets.texts import error_text, told
from napari_dsfunet.workers import Compute, CoreWorker

if TYPE_CHECKING:
    from dsfunet_core.simulate import SimulatedPlane

__all__ = ["Simulate"]

#: Pixels along each edge of the preview.
PREVIEW = 128
#: Kind of order → fields that describe it.
ORDER_FIELDS = {
    "neighbours": ("alpha_a", "alpha_b", "alpha_c"),
    "monte carlo": ("alpha_a", "alpha_b", "alpha_c"),
    "oscillator": ("amplitude", "decay", "frequency"),
    "none": (),
}


class Simulate(Dock):
    """Two molecules, an order, a detector: see the plane, and add it to the viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where planes are added.
    """

    title = "Simulate"
    page = "simulation"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            SimulateForm,
            "Two molecules share the sites of a crystal: see the plane that would be measured, "
            "and add it with its true factors, to try the other docks on.",
            "Add to viewer",
        )
        self.shown: SimulatedPlane | None = None
        self._previewer: CoreWorker | None = None
        self._again = self._offered = False
        for position, name in ((1, "mol_a"), (3, "mol_b")):
            self.form.lines.insertRow(position, "", self._sources(name))
        self.maps = SimulatedMaps(self.viewer)
        self.about = QLabel("Simulating…")
        self.about.setWordWrap(True)
        self.about.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # Above the form: it is looked at while the sliders move.
        self.column.insertWidget(1, self.maps)
        self.column.insertWidget(2, self.about)
        self.form.asked.connect(self.offer_fragments)
        self.form.changed.connect(self._form_changed)
        self._show_what_counts()

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        form: SimulateForm = self.form.value()
        script = form.script()

        def apply(simulated: SimulatedPlane) -> str:
            layers = simulated_layers(simulated, script, order=form.words())
            added = add_above(self.viewer, layers, None)
            zoom_to(self.viewer, added[-1])
            rows, columns = simulated.plane.shape
            return (
                f"Added: {added[-1].name}, {rows} × {columns} pixels. Below it, hidden: "
                f"{added[1].name} and {added[0].name}. Next: Factorize."
            )

        return lambda callback, cancel: form.compute(), apply

    def script(self) -> tuple[str, ...]:
        """Python that simulates; see :meth:`Dock.script`."""
        return (*self.form.value().script(), "plane = simulated.plane")

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Draw what was described while nobody looked."""
        super().showEvent(event)
        self.offer_fragments()
        self.preview()

    # The molecules.

    def _sources(self, name: str) -> QWidget:
        """Buttons for a molecule that no fragment is."""
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        browse = QPushButton("From file…")
        browse.setToolTip("CIF, XYZ, SDF or MOL. A CIF with two PARTs: choose it for A and B.")
        browse.clicked.connect(lambda: self.ask_for_molecule(name))
        line.addWidget(browse)
        if name == "mol_b":
            vacancy = QPushButton("Vacancy")
            vacancy.clicked.connect(lambda: self.set_molecule(name, "vacancy"))
            line.addWidget(vacancy)
        line.addStretch(1)
        return row

    def offer_fragments(self) -> None:
        """Offer the fragments of the library, by size."""
        if self._offered:
            return
        from dsfunet_core.simulate import fragments

        self._offered = True
        texts = {f.name: f"{f.name}   ({f.group})" for f in fragments()}
        for name in ("mol_a", "mol_b"):
            self.form.offer(name, texts)

    def ask_for_molecule(self, name: str) -> None:
        """Ask for a file with a molecule.

        Parameters
        ----------
        name : str
            ``"mol_a"`` or ``"mol_b"``.
        """
        path, _ = QFileDialog.getOpenFileName(
            self, "Molecule", "", "Molecules (*.cif *.xyz *.sdf *.mol)"
        )
        if path:
            self.set_molecule(name, path)

    def set_molecule(self, name: str, molecule: str) -> None:
        """Choose a molecule.

        Parameters
        ----------
        name : str
            ``"mol_a"`` or ``"mol_b"``.
        molecule : str
            A fragment, a file, or ``"vacancy"``.
        """
        box: Any = self.form.editors[name]
        if box.findData(molecule) < 0:
            self.form.offer(name, {molecule: molecule})
        box.setCurrentIndex(box.findData(molecule))

    # The preview.

    def preview(self) -> None:
        """Simulate few pixels beside the window; of many calls the last one counts."""
        if not self.isVisible():
            return
        if self._previewer is not None:
            self._again = True
            return
        form: SimulateForm = self.form.value()
        worker = CoreWorker(lambda callback, cancel: form.compute(PREVIEW))
        worker.signals.returned.connect(self._previewed)
        worker.signals.errored.connect(self._not_previewed)
        worker.signals.finished.connect(self._preview_ended)
        self.destroyed.connect(worker.quit)
        self._previewer = worker
        worker.start()

    @property
    def previewing(self) -> bool:
        """Whether a preview is under way."""
        return self._previewer is not None

    def _previewed(self, simulated: SimulatedPlane) -> None:
        self.shown = simulated
        self.maps.follow(simulated)
        self.about.setText(_words(simulated))

    def _not_previewed(self, error: Exception) -> None:
        if not isinstance(error, DsfunetError | OSError):
            self._errored(error)
            return
        # The drawing stays: it is where the sliders came from.
        after = "" if self.shown is None else " The drawing is still the one before."
        self.about.setText(error_text(told(error) + after))

    def _preview_ended(self) -> None:
        self._previewer = None
        if self._again:
            self._again = False
            self.preview()

    @qthrottled(timeout=20, leading=False)
    def _preview_soon(self) -> None:
        self.preview()

    def _form_changed(self) -> None:
        self._show_what_counts()
        self._preview_soon()

    def _show_what_counts(self) -> None:
        form: SimulateForm = self.form.value()
        wanted = ORDER_FIELDS[form.order]
        for name in {name for names in ORDER_FIELDS.values() for name in names}:
            self.form.lines.setRowVisible(self.form.editors[name], name in wanted)


def _words(simulated: SimulatedPlane) -> str:
    """Cell, share and what is measured, in a line."""
    crystal, plane = simulated.crystal, simulated.plane
    edges = " × ".join(f"{x:.2f}" for x in crystal.cell.parameters[:3])
    angles = ", ".join(f"{x:g}°" for x in crystal.cell.parameters[3:])
    seen = plane.valid
    text = f"{edges} Å, {angles}; {crystal.concentration:.0%} A; {seen.mean():.0%} measured"
    counts = simulated.description.get("counts_per_pixel")
    if counts:
        text += f", {counts:g} counts a pixel"
    return text + "."
