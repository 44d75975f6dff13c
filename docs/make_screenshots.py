"""Make the picture of the plugin's window.

xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from dsfunet_core import read, sample
from napari_dsfunet.layers import object_layers
from napari_dsfunet.view import follow
from napari_dsfunet.widgets.factorize import Factorize
from napari_dsfunet.widgets.slice_plane import SlicePlane
from napari_dsfunet.widgets.sro_fit import SroFit

IMAGES = Path(__file__).parent / "images"


def pump(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def run(dock: Any) -> None:
    dock.run_button.click()
    while dock.running:
        pump(0.05)
    print(f"{type(dock).__name__}: {dock.message.text()[:100]}")


def main() -> None:
    viewer = napari.Viewer(show=True, title="napari-dsfunet")
    window = viewer.window._qt_window
    window.resize(1600, 1000)
    pump(0.5)
    follow(viewer)
    for data, options, _ in object_layers(read(sample()), "dsfunet_core.sample()"):
        viewer.add_image(data, **options)

    first, *later = (SlicePlane(viewer), Factorize(viewer), SroFit(viewer))
    names = ("Factorize", "SRO fit")
    shown = [viewer.window.add_dock_widget(first, name="Slice plane", area="right")]
    for dock, name in zip(later, names, strict=True):
        shown.append(viewer.window.add_dock_widget(dock, name=name, area="right", tabify=True))
    window.resizeDocks([shown[-1]], [430], Qt.Orientation.Horizontal)
    for dock, around in zip((first, *later), shown, strict=True):
        around.raise_()
        dock.form.set_value(dock.form.kind())
        pump(0.3)
        run(dock)
    layer = next(layer for layer in viewer.layers if layer.name == "hk1 SRO")
    viewer.layers.selection.active = layer
    pump(1)
    viewer.cursor.position = (0.0, 0.52, 1.54)
    follow(viewer).mouse_moved(viewer)
    pump(0.3)
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / "plugin.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
