"""Dock that saves everything on the screen, and opens it again."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from dsfunet_core.errors import DsfunetError

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
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.save_button.clicked.connect(self.ask_and_save)
        self.open_button.clicked.connect(self.ask_and_open)
        for widget in (intro, self.save_button, self.open_button, self.message):
            column.addWidget(widget)
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
            self.message.setText(f"Nothing was written: {error}")
            return
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
            self.message.setText(f"Nothing was opened: {error}")
            return
        self.message.setText(f"Opened: {path}")
