"""Make the pictures of the plugin: the whole way through the samples, dock by dock.

xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [STEP ...]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Layer
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_dsfunet.view import follow

IMAGES = Path(__file__).parent / "images"
PLUGIN = "napari-dsfunet"


def pump(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def run(dock: Any) -> None:
    """Press the dock's button and wait."""
    dock.run_button.click()
    while dock.running:
        pump(0.05)
    print(f"{type(dock).__name__}: {dock.message.text()[:100]}")


class Screen:
    """A window and its docks."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer(show=True, title="napari")
        self.window = self.viewer.window._qt_window
        self.window.resize(1600, 1000)
        pump(0.5)
        follow(self.viewer)

    def dock(self, title: str, width: int = 430) -> Any:
        """Open a dock, as the menu does, on its defaults."""
        around, dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, title, tabify=True)
        around.show()
        around.raise_()
        self.window.resizeDocks([around], [width], Qt.Orientation.Horizontal)
        if hasattr(dock, "form"):
            dock.form.set_value(dock.form.kind())
        pump(0.5)
        return dock

    def cursor(self, *position: float) -> None:
        """Put the cursor somewhere, for the read-out."""
        pump(0.5)
        self.viewer.cursor.position = position
        follow(self.viewer).mouse_moved(self.viewer)

    def picture(self, name: str) -> None:
        """Write what is on the screen."""
        pump(1)
        shot = self.viewer.screenshot(canvas_only=False, flash=False)
        # A palette is a fifth of the size and looks the same.
        image = Image.fromarray(np.asarray(shot)[..., :3]).quantize(
            192, dither=Image.Dither.NONE
        )
        IMAGES.mkdir(exist_ok=True)
        image.save(IMAGES / f"plugin-{name}.png", optimize=True)
        print(f"plugin-{name}.png")


def plane(screen: Screen) -> None:
    screen.viewer.open_sample(PLUGIN, "tris-amide")
    dock = screen.dock("Plane")
    run(dock)
    screen.viewer.layers[0].visible = False
    screen.viewer.reset_view()
    screen.cursor(0.52, 1.54)
    screen.picture("plane")


def factorize(screen: Screen) -> None:
    dock = screen.dock("Factorize")
    run(dock)
    screen.viewer.layers.selection.active = screen.viewer.layers["hk1 SRO"]
    screen.cursor(0.52, 1.54)
    screen.picture("factorize")


def factorize_volume(screen: Screen) -> None:
    """A triclinic crystal with 5 counts a voxel, in a viewer without other layers."""
    import gemmi

    from dsfunet_core.simulate.molecules import random_molecule
    from dsfunet_core.simulate.monte_carlo import monte_carlo_order
    from dsfunet_core.volume_factorization import simulate_volume
    from napari_dsfunet.layers import object_layers

    screen.viewer.layers.clear()
    screen.viewer.canvas.grid.enabled = False
    rng = np.random.default_rng(1)
    made = simulate_volume(
        random_molecule(rng, 6),
        random_molecule(rng, 7),
        monte_carlo_order((0.3, -0.25, 0.2), 0.5, size=24, samples=30, rng=rng).alpha,
        gemmi.UnitCell(7.1, 8.3, 9.2, 78, 97, 112),
        size=72,
        step=1 / 12,
        counts=5.0,
        rng=rng,
    )
    for data, options, kind in object_layers(made.volume, "'crystal.h5'"):
        screen.viewer.add_layer(Layer.create(data, options, kind))
    dock = screen.dock("Factorize volume")
    dock.form.set_value(dock.form.kind(support=9.0))
    pump(0.5)
    run(dock)
    screen.viewer.layers.selection.active = screen.viewer.layers["simulated SRO"]
    pump(1)
    bar = dock.findChild(QScrollArea).verticalScrollBar()
    # The form is as anywhere; verdict, plot and table are what is new.
    bar.setValue(dock.plan_label.y() - 10)
    screen.picture("factorize-volume")
    bar.setValue(0)


def unit_cell(screen: Screen) -> None:
    dock = screen.dock("Unit cell")
    dock.sources.choose(screen.viewer.layers["hk1 SRO"])
    run(dock)
    dock.add_to_viewer()
    screen.picture("unit-cell")


def sro_fit(screen: Screen) -> None:
    dock = screen.dock("SRO fit")
    dock.results.choose(screen.viewer.layers["hk1 SRO"])
    pump(0.3)
    run(dock)
    dock.compare.setCurrentText("tris-amide, published")
    dock.compare.activated.emit(1)
    pump(0.5)
    screen.picture("sro-fit")
    screen.viewer.theme = "light"
    dock.table.setCurrentCell(0, 4)
    dock.slider.setValue(-0.1)
    screen.picture("sro-fit-held")
    screen.viewer.theme = "dark"
    dock.table.free_all()


def mask(screen: Screen) -> None:
    dock = screen.dock("Mask artefacts")
    dock.planes.choose(screen.viewer.layers["hk1"])
    dock.form.set_value(dock.form.kind(bragg="radius", radius=0.05, hot_pixels=True))
    pump(0.3)
    dock.preview()
    # The form was changed, and the preview follows once more.
    for _ in range(2):
        pump(0.5)
        while dock.running:
            pump(0.05)
    screen.picture("mask")
    screen.viewer.layers.remove(screen.viewer.layers["what goes out"])
    dock.form.set_value(dock.form.kind())


def rotation_scan(screen: Screen) -> None:
    dock = screen.dock("Rotation scan")
    dock.results.choose(screen.viewer.layers["hk1 form factor"])
    pump(0.3)
    run(dock)
    pump(0.5)
    dock.slider.setValue(20.0)
    dock.show_molecule()
    pump(1)
    dock.window_3d.move(500, 150)
    screen.picture("rotation-scan")
    dock._close_window()


def simulate(screen: Screen) -> None:
    for layer in screen.viewer.layers:
        layer.visible = False
    dock = screen.dock("Simulate")
    pump(3)
    run(dock)
    screen.picture("simulate")


#: In the order of the work; later ones build on earlier ones.
STEPS: dict[str, Callable[[Screen], None]] = {
    "plane": plane,
    "mask": mask,
    "factorize": factorize,
    "unit_cell": unit_cell,
    "sro_fit": sro_fit,
    "rotation_scan": rotation_scan,
    "simulate": simulate,
    "factorize_volume": factorize_volume,
}


def main() -> None:
    screen = Screen()
    wanted = sys.argv[1:] or list(STEPS)
    for name, step in STEPS.items():
        if name in wanted:
            step(screen)
    screen.viewer.close()


if __name__ == "__main__":
    main()
