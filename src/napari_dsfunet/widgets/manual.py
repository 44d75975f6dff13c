"""Window that shows the pages of the manual, which come with the plugin."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtWidgets import QDialog, QTextBrowser, QVBoxLayout, QWidget

__all__ = ["Manual", "page_path"]


def page_path(page: str) -> Path:
    """Path of a page of the manual.

    Parameters
    ----------
    page : str
        Its name without suffix.
    """
    return Path(str(files("napari_dsfunet") / "docs" / f"{page}.md"))


class Manual(QDialog):
    """Shows one page; links lead to the others.

    Parameters
    ----------
    page : str
        Name of the page without suffix.
    parent : QWidget, optional
        Parent.
    """

    def __init__(self, page: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Manual")
        self.browser = QTextBrowser()
        self.browser.setOpenExternalLinks(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.browser)
        self.resize(820, 900)
        path = page_path(page)
        if path.is_file():
            self.browser.setSource(QUrl.fromLocalFile(str(path)))
        else:
            self.browser.setPlainText(
                f"The page {page}.md of the manual was not installed with the plugin; it is "
                "in the folder docs of the sources."
            )
