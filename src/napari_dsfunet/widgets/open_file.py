"""Dock that opens files which do not say all about themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QPushButton

from dsfunet_core.errors import DsfunetError
from napari_dsfunet.forms import OpenForm
from napari_dsfunet.placing import add_above
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.workers import Compute

__all__ = ["OpenFile"]


class OpenFile(Dock):
    """Open a file with what it leaves open: dataset, unit cell, axes, limits.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where it is shown.
    """

    title = "Open file"
    page = "files"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            OpenForm,
            "Most files need only be dropped onto the viewer. Here are those that leave "
            "something open: which array, the unit cell, where the pixels of an image lie.",
            "Open",
        )
        self.browse_button = QPushButton("Browse…")
        self.browse_button.clicked.connect(self.ask)
        self.form.lines.insertRow(1, "", self.browse_button)
        self.form.asked.connect(self._offer_datasets)

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        form: OpenForm = self.form.value()
        form.as_core_arguments()

        def apply(layers: Any) -> str:
            added = add_above(self.viewer, layers, None)
            self.viewer.reset_view()
            return f"Opened: {', '.join(layer.name for layer in added)}."

        return lambda callback, cancel: form.compute(), apply

    def script(self) -> tuple[str, ...]:
        """Python that reads the file; see :meth:`Dock.script`."""
        form: OpenForm = self.form.value()
        options = "".join(f", {k}={v!r}" for k, v in form.as_core_arguments().items())
        return (f"data = dsfunet_core.read({form.path.strip()!r}{options})",)

    def ask(self) -> None:
        """Ask for a file."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Open", str(Path(self.form.value().path).parent)
        )
        if path:
            self.form.set_value(OpenForm(path=path))

    def _offer_datasets(self) -> None:
        """Offer the arrays of an HDF5 file."""
        import h5py

        from dsfunet_core.io import arrays

        path = self.form.value().path.strip()
        try:
            found = arrays(path) if path and h5py.is_hdf5(path) else {}
        except (DsfunetError, OSError) as error:
            self.show_error(error)
            return
        texts = {
            name: f"{name}   {' × '.join(map(str, shape))}" for name, shape in found.items()
        }
        self.form.offer("dataset", texts)
