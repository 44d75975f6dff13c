"""Dock that saves everything on the screen, and opens it again."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from dsfunet_core.errors import DsfunetError
from napari_dsfunet.widgets.manual import Manual
from napari_dsfunet.widgets.texts import error_text, told

__all__ = ["Session"]

_FILTER = "Session (*.dsfunet)"


class Session(QWidget):
    """Save and open sessions.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Whose.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        column = QVBoxLayout(self)
        intro = QLabel(
            "A session keeps layers, parameters, results, docks and the view in one file. "
            "Volumes stay in their own files, which the session names."
        )
        intro.setWordWrap(True)
        self.save_button = QPushButton("Save session…")
        self.open_button = QPushButton("Open session…")
        self.copy_button = QPushButton("Copy as Python")
        self.copy_button.setToolTip("Put a script that opens this session on the clipboard.")
        self.copy_button.setEnabled(False)
        self.help_button = QPushButton("?")
        self.help_button.setToolTip("Show the page of the manual.")
        self.help_button.setFixedWidth(28)
        self.copy_button.clicked.connect(self.copy_script)
        self.help_button.clicked.connect(self.show_manual)
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_button, 1)
        buttons.addWidget(self.help_button, 0)
        self._path = ""
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.save_button.clicked.connect(self.ask_and_save)
        self.open_button.clicked.connect(self.ask_and_open)
        for widget in (intro, self.save_button, self.open_button):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addWidget(self.message)
        column.addStretch(1)

    def ask_and_save(self) -> None:
        """Ask for a file and save there."""
        path, _ = QFileDialog.getSaveFileName(self, "Save session", "session.dsfunet", _FILTER)
        if path:
            self.save(path)

    def ask_and_open(self) -> None:
        """Ask for a file and open it."""
        path, _ = QFileDialog.getOpenFileName(self, "Open session", "", _FILTER)
        if path:
            self.open(path)

    def save(self, path: str) -> None:
        """Save, replacing what the user agreed to replace.

        Parameters
        ----------
        path : str
            File to write.
        """
        from napari_dsfunet.session import save_session

        try:
            lost = save_session(self.viewer, path, overwrite=True)
        except (DsfunetError, OSError) as error:
            self.message.setText(error_text(f"Nothing was written: {told(error)}"))
            return
        self._known(path)
        text = f"Written: {path}"
        if lost:
            text += f"\nNot kept, save them with napari's own writers: {', '.join(lost)}"
        self.message.setText(text)

    def open(self, path: str) -> None:
        """Open, beside what is there.

        Parameters
        ----------
        path : str
            File to read.
        """
        from napari_dsfunet.session import open_session

        try:
            open_session(self.viewer, path)
        except (DsfunetError, OSError) as error:
            self.message.setText(error_text(f"Nothing was opened: {told(error)}"))
            return
        self._known(path)
        self.message.setText(f"Opened: {path}")

    def copy_script(self) -> None:
        """Put a script that opens the session on the clipboard."""
        lines = (
            "import napari",
            "from napari_dsfunet.session import open_session",
            "",
            "viewer = napari.Viewer()",
            f"open_session(viewer, {self._path!r})",
            "napari.run()",
            "",
        )
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText("\n".join(lines))
        self.message.setText("The script is on the clipboard.")

    def show_manual(self) -> None:
        """Show the page of the manual."""
        manual = Manual("plugin", self)
        manual.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        manual.show()

    def _known(self, path: str) -> None:
        self._path = path
        self.copy_button.setEnabled(True)
