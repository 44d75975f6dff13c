"""How quickly the plugin answers: sliders, refits, the first slice of a large file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Console
from rich.table import Table

#: Asked for: from slider to painted map [s], a refit [s], first slice of 4 GB [s] and [MB].
REQUIRED = {"repaint": 0.05, "refit": 0.1, "open_seconds": 1.0, "open_mb": 500.0}
N = 1000
_SHARED = """
import json, sys, time
from pathlib import Path
import numpy as np
import napari
from qtpy.QtWidgets import QApplication

def pump(until=lambda: False, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(x.split()[1]) / 1024 for x in lines if x.startswith(name))

viewer = napari.Viewer(show=True)
viewer.window._qt_window.resize(1600, 1000)
pump(seconds=1)
"""
#: Drags α of the sample's fit and times until the map has been painted.
_FIT = """
import dsfunet_core
from napari_dsfunet.layers import factorization_layers
from napari_dsfunet.widgets.sro_fit import SroFit
volume = dsfunet_core.read(dsfunet_core.sample())
result = dsfunet_core.factorize(volume.section("hk1"), support=12.9)
for data, options, _ in factorization_layers(result):
    viewer.add_image(data, **options)
dock = SroFit(viewer)
viewer.window.add_dock_widget(dock)
found = {}
for laue in ("6/m", "-1"):
    for basis in ("", "map"):
        dock.form.set_value(dock.form.kind(laue_class=laue, basis=basis))
        dock.run_or_cancel()
        pump(lambda: not dock.running and dock.fit is not None and dock.fit.laue_class == laue)
        pump(seconds=1)
        dock.table.setCurrentCell(0, 4)
        repaint, refit = [], []
        for value in np.linspace(-0.3, 0.3, 31):
            start = time.perf_counter()
            dock.slider.setValue(float(value))
            repaint.append(time.perf_counter() - start)
            start = time.perf_counter()
            dock.problem.refine()
            refit.append(time.perf_counter() - start)
            pump(seconds=0.02)
        dock.table.free_all()
        name = f"{len(dock.fit.alpha)} α, {dock.fit.basis}"
        found[name] = {"repaint": repaint, "refit": refit}
print(json.dumps(found))
viewer.close()
"""
#: Opens a file and times until napari has drawn it.
_OPEN = """
from napari_dsfunet.reader import get_reader
drawn = []
if sys.argv[2:] == ["later"]:
    viewer.open_sample("napari-dsfunet", "tris-amide-plane")
    viewer.screenshot(canvas_only=True, flash=False)
    viewer.layers.clear()
    pump(seconds=0.5)
idle = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
start = time.perf_counter()
layers = viewer.open(sys.argv[1], plugin="napari-dsfunet")
layers[0].events.loaded.connect(lambda event: drawn.append(event))
pump(lambda: layers[0].loaded)
picture = viewer.screenshot(canvas_only=True, flash=False)
seconds = time.perf_counter() - start
assert picture[..., :3].max() > 100, "nothing is seen"
peak = memory("VmHWM")
print(json.dumps({"seconds": seconds, "mb": peak, "mb_above_idle": peak - idle}))
viewer.close()
"""


#: What napari itself takes for the first image of a session: its own imports and units.
_FIRST = """
image = np.random.default_rng(0).random((1000, 1000), dtype=np.float32)
start = time.perf_counter()
viewer.add_image(image)
viewer.screenshot(canvas_only=True, flash=False)
print(json.dumps({"seconds": time.perf_counter() - start}))
viewer.close()
"""


def job(code: str, *arguments: str) -> dict[str, Any]:
    """Run a job in a window of its own and read what it printed last."""
    # An installed package has its bytecode, whatever this environment says.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _SHARED + code, *arguments]
    if not os.environ.get("DISPLAY") and shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", *command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"the job failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def make_file(path: Path, n: int) -> None:
    """Volume of n³ voxels in Meerkat's layout."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as h5:
        data = h5.create_dataset("data", (n, n, n), "f4", chunks=(40, 40, 8))
        slab = rng.standard_gamma(2.0, size=(40, n, n), dtype=np.float32)
        for first in range(0, n, 40):
            data[first : first + 40] = slab[: min(40, n - first)]
        h5["format"], h5["is_direct"] = "Yell 1.0", False
        h5["space_group_nr"] = np.array([1.0])
        h5["unit_cell"] = np.array((5.0, 6.0, 7.0, 80.0, 95.0, 105.0))
        h5["lower_limits"], h5["step_sizes"] = np.full(3, -10.0), np.full(3, 20 / (n - 1))


def run(console: Console) -> dict[str, Any]:
    """Measure and print the table."""
    table = Table(title="plugin: medians, 90 % in brackets")
    for column in ("", "measured", "required"):
        table.add_column(column, justify="left" if not column else "right")
    fits = job(_FIT)
    for name, times in fits.items():
        for what in ("repaint", "refit"):
            half, most = np.percentile(times[what], [50, 90]) * 1e3
            label = "slider to repainted map" if what == "repaint" else "refit"
            row = (f"{half:.0f} ({most:.0f}) ms", f"{REQUIRED[what] * 1e3:.0f} ms")
            table.add_row(f"{label}, {name}", *row)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.h5")
        make_file(file, N)
        job(_OPEN, str(file))  # the first time everything is compiled
        opened = job(_OPEN, str(file))
        later = job(_OPEN, str(file), "later")
        first = job(_FIRST)
        size = file.stat().st_size / 1e9
    table.add_row(
        f"first slice of {size:.1f} GB on the screen",
        f"{opened['seconds']:.2f} s",
        f"{REQUIRED['open_seconds']:g} s",
    )
    table.add_row(
        "the same after the sample plane",
        f"{later['seconds']:.2f} s",
        f"{REQUIRED['open_seconds']:g} s",
    )
    table.add_row("an image in memory, by napari alone", f"{first['seconds']:.2f} s", "")
    table.add_row(
        "memory of all, napari and torch included, at its peak (more than before opening)",
        f"{opened['mb']:.0f} ({opened['mb_above_idle']:.0f}) MB",
        f"{REQUIRED['open_mb']:.0f} MB",
    )
    console.print(table)
    return {"fits": fits, "open": opened, "later": later, "first": first}
