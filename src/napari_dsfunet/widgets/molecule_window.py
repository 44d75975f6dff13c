"""Window with a molecule in three dimensions: points for atoms, vectors for bonds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDialog, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.structures.model import DisorderModel

__all__ = ["MoleculeWindow"]

#: Usual colours of elements, and of all others.
ELEMENTS = {
    "H": "#f2f2f2", "C": "#7f8790", "N": "#3b6fe0", "O": "#e0352b", "F": "#80ed99",
    "S": "#e6c229", "P": "#ff9f1c", "Cl": "#2fbf4f", "Br": "#9c4a1a", "I": "#7b2fbf",
}  # fmt: skip
OTHER = "#c77dff"


class MoleculeWindow(QDialog):
    """Molecule A, of which a part turns; drag to look from elsewhere.

    Parameters
    ----------
    model : DisorderModel
        What is shown first.
    turning : ndarray of int
        Independent atoms that turn: they have a bright rim.
    parent : QWidget, optional
        Parent.
    """

    def __init__(
        self, model: DisorderModel, turning: NDArray[np.intp], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        from napari.components import ViewerModel
        from napari.qt import QtViewer

        self.setWindowTitle("Molecule")
        self.model = ViewerModel(ndisplay=3)
        self.view = QtViewer(self.model)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self.label = QLabel()
        column.addWidget(self.label)
        self.resize(560, 560)
        molecule, _ = model.molecules()
        turned = _species_mask(model, turning)
        self.atoms: Any = self.model.add_points(
            molecule.positions,
            size=np.array([0.35 if e == "H" else 0.6 for e in molecule.elements]),
            face_color=[ELEMENTS.get(e, OTHER) for e in molecule.elements],
            border_color=["#ff9f1c" if t else "#202020" for t in turned],
            border_width=0.12,
            shading="spherical",
            name="atoms",
        )
        self.bonds: Any = self.model.add_vectors(
            _bonds(model),
            edge_width=0.12,
            edge_color="#9aa0a6",
            vector_style="line",
            name="bonds",
        )
        self.model.reset_view()
        self.model.scene.camera.angles = (0, -20, 110)
        # The box that is fitted stands upright; turned, its corners reach further out.
        self.model.scene.camera.zoom *= 0.6

    def show_model(self, model: DisorderModel, words: str) -> None:
        """Move the atoms.

        Parameters
        ----------
        model : DisorderModel
            Of the same atoms.
        words : str
            What stands below.
        """
        molecule, _ = model.molecules()
        self.atoms.data = molecule.positions
        self.bonds.data = _bonds(model)
        self.label.setText(words)

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """Give the canvas back."""
        self.view.close()
        super().closeEvent(event)


def _bonds(model: DisorderModel) -> NDArray[np.float64]:
    """Start and direction of every bond, shape (n, 2, 3)."""
    from dsfunet_core.structures.moves import bonds

    molecule, _ = model.molecules()
    i, j = np.nonzero(np.triu(bonds(molecule)))
    start = molecule.positions[i]
    return np.stack([start, molecule.positions[j] - start], axis=1)


def _species_mask(model: DisorderModel, turning: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which atoms of molecule A are copies of those that turn."""
    parts = [np.asarray(image.atoms) for image in model.images if image.sign == 1]
    return np.isin(np.concatenate(parts), turning)
