"""What docks share whose result can be written in several formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtWidgets import QFileDialog, QPushButton

from dsfunet_core.errors import DsfunetError, ParameterError
from napari_dsfunet.widgets.dock import Dock

__all__ = ["ExportingDock"]


class ExportingDock(Dock):
    """Dock with a button that asks for a file and writes what its suffix asks for.

    Parameters
    ----------
    *args : object
        As for :class:`Dock`.
    """

    #: Suffix → what is written.
    exports: ClassVar[dict[str, str]]
    #: Name that is proposed.
    proposed: ClassVar[str]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip(
            "Write " + ", ".join(f"{suffix}: {what}" for suffix, what in self.exports.items())
        )
        self.export_button.clicked.connect(self.ask_and_export)

    def nothing_yet(self) -> str:
        """What to do before there is something to write; empty where there is."""
        raise NotImplementedError

    def write(self, path: Path, suffix: str) -> None:
        """Write a file, replacing what the user agreed to replace.

        Parameters
        ----------
        path : Path
            The file.
        suffix : str
            One of :attr:`exports`.
        """
        raise NotImplementedError

    def export(self, path: str) -> None:
        """Write what the suffix asks for, replacing what the user agreed to replace.

        Parameters
        ----------
        path : str
            Its suffix is one of :attr:`exports`.
        """
        suffix = Path(path).suffix.lower()
        try:
            if self.nothing_yet():
                raise ParameterError(self.nothing_yet())
            if suffix not in self.exports:
                raise ParameterError(
                    f"{Path(path).name}: the suffix says what to write; use one of "
                    f"{', '.join(self.exports)}."
                )
            self.write(Path(path), suffix)
        except (DsfunetError, OSError) as error:
            self.show_error(error, "Nothing was written: ")
            return
        self.message.setText(f"Written: {path}")

    def ask_and_export(self) -> None:
        """Ask for a file and write there."""
        filters = ";;".join(f"{what} (*{suffix})" for suffix, what in self.exports.items())
        path, _ = QFileDialog.getSaveFileName(self, "Export", self.proposed, filters)
        if path:
            self.export(path)
