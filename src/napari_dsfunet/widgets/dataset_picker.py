"""Question which of a file's arrays is meant."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QThread
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QVBoxLayout,
)

from dsfunet_core.errors import FileFormatError

__all__ = ["DatasetPicker", "pick"]


class DatasetPicker(QDialog):
    """List of arrays with their shapes, the largest first.

    Parameters
    ----------
    path : Path
        The file.
    found : dict
        Path in the file → shape.
    """

    def __init__(self, path: Path, found: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.setWindowTitle("Which intensities?")
        self._names = list(found)
        column = QVBoxLayout(self)
        column.addWidget(QLabel(f"{path.name} holds several arrays. Open which?"))
        self.list = QListWidget()
        for name, shape in found.items():
            self.list.addItem(f"{name}   {' × '.join(map(str, shape))}")
        self.list.setCurrentRow(0)
        self.list.itemDoubleClicked.connect(self.accept)
        column.addWidget(self.list)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
        self.resize(460, 300)

    def chosen(self) -> str:
        """Path in the file."""
        return self._names[self.list.currentRow()]


def pick(path: Path, found: dict[str, tuple[int, ...]]) -> str:
    """Ask which array is meant.

    Parameters
    ----------
    path : Path
        The file.
    found : dict
        Path in the file → shape.

    Raises
    ------
    FileFormatError
        If nobody chose, or nobody can be asked.
    """
    names = ", ".join(found)
    app = QApplication.instance()
    # Docks read on threads of their own, where no window may be opened.
    if app is None or QThread.currentThread() != app.thread():
        raise FileFormatError(
            f"{path} holds several arrays: {names}. Say which one is meant with Dataset, or "
            "with dsfunet_core.read(path, dataset=…)."
        )
    dialog = DatasetPicker(path, found)
    if not dialog.exec():
        raise FileFormatError(f"{path}: none of its arrays was chosen ({names}).")
    return dialog.chosen()
