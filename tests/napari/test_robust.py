"""Every dock: layers that go, come and change names during a run; cancelled, closed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt, QThreadPool
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QVBoxLayout, QWidget

from dsfunet_core import Factorization, ReciprocalPlane, ReciprocalVolume, factorize
from dsfunet_core.errors import CancelledError
from dsfunet_core.io.numpy import write_npz
from napari_dsfunet.forms import FactorizeForm
from napari_dsfunet.forms_volume import VolumeForm
from napari_dsfunet.layers import factorization_layers, object_layers, plane_layer
from napari_dsfunet.sample_data import cubic
from napari_dsfunet.widgets import dock as dock_module
from napari_dsfunet.widgets import simulate as simulate_module
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.widgets.factorize import Factorize
from napari_dsfunet.widgets.factorize_volume import FactorizeVolume
from napari_dsfunet.widgets.layer_choice import LayerChoice
from napari_dsfunet.widgets.mask_artefacts import MaskArtefacts
from napari_dsfunet.widgets.open_file import OpenFile
from napari_dsfunet.widgets.rotation_scan import RotationScan
from napari_dsfunet.widgets.session_dock import Session
from napari_dsfunet.widgets.simulate import Simulate
from napari_dsfunet.widgets.slice_plane import SlicePlane
from napari_dsfunet.widgets.sro_fit import SroFit
from napari_dsfunet.widgets.unit_cell import UnitCell
from napari_dsfunet.workers import CoreWorker

DOCKS = (
    SlicePlane,
    MaskArtefacts,
    Factorize,
    FactorizeVolume,
    UnitCell,
    SroFit,
    RotationScan,
    Simulate,
    OpenFile,
)
#: All docks are built alike; of these some take long, or add nothing that others do not.
ALIKE = (FactorizeVolume, MaskArtefacts, UnitCell, RotationScan, Simulate, OpenFile)
EACH = [pytest.param(k, marks=[pytest.mark.slow] if k in ALIKE else []) for k in DOCKS]


class Gate:
    """Holds every computation until it is opened; cancelling gets through."""

    def __init__(self) -> None:
        self.open, self.reached = threading.Event(), threading.Event()

    def worker(self, compute: Any) -> CoreWorker:
        def held(callback: Any, cancel: Any) -> Any:
            self.reached.set()
            while not self.open.wait(0.005):
                if cancel.is_set():
                    raise CancelledError("cancelled")
            return compute(callback, cancel)

        return CoreWorker(held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(dock_module, "CoreWorker", gate.worker)
    return gate


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    viewer = make_napari_viewer_proxy()
    yield getattr(viewer, "__wrapped__", viewer)
    assert QThreadPool.globalInstance().activeThreadCount() == 0


@pytest.fixture(scope="module")
def factors(module_plane: ReciprocalPlane) -> Factorization:
    return factorize(module_plane, support=4.0, order=2)


@pytest.fixture
def fill(
    viewer: Any, factors: Factorization, triclinic: ReciprocalVolume
) -> Callable[[], None]:
    """Adds a volume, a plane and its factors."""

    def fill() -> None:
        script = ("plane = dsfunet_core.read('plane.npz')",)
        tuples = [*object_layers(triclinic, "'volume.npz'"), plane_layer(factors.plane, script)]
        for data, options, _ in [*tuples, *factorization_layers(factors, script)]:
            viewer.add_image(data, **options)

    return fill


def prepared(kind: type[Dock], viewer: Any, folder: Path, plane: ReciprocalPlane) -> Dock:
    """Dock whose button has something quick to do."""
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock)
    if kind is Factorize:
        dock.form.set_value(FactorizeForm(support=4.0, order=2))
    if kind is FactorizeVolume:
        dock.form.set_value(VolumeForm(order=1, support=4.0))
    if kind is OpenFile:
        write_npz(folder / "plane.npz", plane, overwrite=True)
        dock.form.editors["path"].setText(str(folder / "plane.npz"))
    return dock


def start(dock: Dock, gate: Gate, qtbot: Any) -> bool:
    """Press the button; False where the dock had nothing to run and says so."""
    gate.open.clear()
    gate.reached.clear()
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    if not dock.running:
        assert dock.message.text()
        return False
    qtbot.waitUntil(gate.reached.is_set)
    return True


def finish(dock: Dock, gate: Gate, qtbot: Any) -> None:
    gate.open.set()
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert dock.run_button.isEnabled()
    assert dock.run_button.text() == dock.run_text
    assert not dock.progress.isVisible()


@pytest.mark.parametrize("kind", EACH)
def test_whatever_happens_during_a_run(
    kind: type[Dock],
    viewer: Any,
    fill: Callable[[], None],
    gate: Gate,
    qtbot: Any,
    tmp_path: Path,
    factors: Factorization,
    registered: Any,
) -> None:
    fill()
    dock = prepared(kind, viewer, tmp_path, factors.plane)
    if not start(dock, gate, qtbot):
        pytest.fail(f"{kind.__name__} had nothing to run: {dock.message.text()}")
    # Cancelled: nothing changes. Pressing again and again does no more.
    before = list(viewer.layers)
    for _ in range(3):
        qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running)
    assert "Cancelled" in dock.message.text()
    assert list(viewer.layers) == before
    # Renamed: the run goes on as if nothing was.
    start(dock, gate, qtbot)
    for number, layer in enumerate(viewer.layers):
        layer.name = f"renamed {number}"
    finish(dock, gate, qtbot)
    assert "fault of the program" not in dock.message.text()
    # Another file is opened.
    start(dock, gate, qtbot)
    write_npz(tmp_path / "another.npz", factors.plane)
    (another,) = viewer.open(tmp_path / "another.npz", plugin="napari-dsfunet")
    fill()
    finish(dock, gate, qtbot)
    assert another in viewer.layers
    assert "fault of the program" not in dock.message.text()
    # All layers go; what comes out belongs to none of them.
    start(dock, gate, qtbot)
    viewer.layers.clear()
    finish(dock, gate, qtbot)
    assert "fault of the program" not in dock.message.text()
    # With nothing left a press says what is missing, or works from its form alone.
    viewer.layers.clear()
    if start(dock, gate, qtbot):
        finish(dock, gate, qtbot)
        assert kind in (Simulate, OpenFile)
        assert len(viewer.layers) > 0


@pytest.mark.parametrize("kind", EACH)
def test_closing_a_dock_in_the_middle_and_then_the_viewer(
    kind: type[Dock],
    viewer: Any,
    fill: Callable[[], None],
    gate: Gate,
    qtbot: Any,
    tmp_path: Path,
    factors: Factorization,
) -> None:
    fill()
    dock = prepared(kind, viewer, tmp_path, factors.plane)
    start(dock, gate, qtbot)
    before = list(viewer.layers)
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=120_000)
    gate.open.set()
    qtbot.wait(50)
    assert all(any(layer is one for one in before) for layer in viewer.layers)
    # Layers still come and go without it.
    fill()
    again = prepared(kind, viewer, tmp_path, factors.plane)
    start(again, gate, qtbot)
    worker = again.worker
    viewer.close()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=120_000)
    assert worker is not None
    assert worker.cancel.is_set()
    gate.open.set()
    qtbot.wait(50)


def test_closing_the_viewer_while_a_simulation_is_previewed(
    make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    gate = Gate()
    monkeypatch.setattr(simulate_module, "CoreWorker", gate.worker)
    viewer = make_napari_viewer(show=True)
    dock = Simulate(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(gate.reached.is_set)
    assert dock.previewing
    viewer.close()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=120_000)


def test_a_session_in_the_middle_of_a_run(
    viewer: Any,
    fill: Callable[[], None],
    gate: Gate,
    qtbot: Any,
    tmp_path: Path,
    factors: Factorization,
) -> None:
    fill()
    dock = prepared(Factorize, viewer, tmp_path, factors.plane)
    session = Session(viewer)
    viewer.window.add_dock_widget(session)
    assert start(dock, gate, qtbot)
    session.save(str(tmp_path / "work.dsfunet"))
    assert "Written" in session.message.text()
    viewer.layers.clear()
    session.open(str(tmp_path / "work.dsfunet"))
    assert "Opened" in session.message.text()
    assert len(viewer.layers) == 6
    finish(dock, gate, qtbot)
    assert "removed meanwhile" in dock.message.text()
    # Pressing twice opens it twice, and says so no worse.
    for _ in range(2):
        session.open(str(tmp_path / "work.dsfunet"))
    assert "Opened" in session.message.text()
    start(dock, gate, qtbot)
    viewer.close()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=120_000)


def test_truth_is_chosen_only_by_hand(
    viewer: Any, fill: Callable[[], None], qtbot: Any
) -> None:
    choice = LayerChoice(
        viewer, lambda layer: "SRO" in layer.name or "form factor" in layer.name
    )
    qtbot.addWidget(choice)
    for data, options, _ in cubic():
        viewer.add_image(data, **options)
    assert "true" in choice.currentText()
    fill()
    assert "true" not in choice.currentText()
    for data, options, _ in cubic():
        viewer.add_image(data, **options)
    assert "true" not in choice.currentText()
    truth = next(layer for layer in viewer.layers if "true SRO" in layer.name)
    choice.choose(truth)
    assert choice.layer() is truth


def test_the_wheel_scrolls_the_dock_and_changes_nothing(
    make_napari_viewer_proxy: Callable[..., Any], qtbot: Any
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    dock = Simulate(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.isVisible)
    before = dock.form.value()
    passed_on = [turn(editor) for editor in dock.form.editors.values()]
    assert any(passed_on)
    assert dock.form.value() == before
    # So does what came later, however deep in the dock.
    late, inside = QDoubleSpinBox(), QWidget()
    QVBoxLayout(inside).addWidget(late)
    dock.add_below(inside)
    qtbot.waitUntil(late.isVisible)
    qtbot.wait(10)
    assert turn(late)
    assert late.value() == 0


def turn(widget: Any) -> bool:
    """One notch of the wheel over a widget and all that is in it; whether one passed it on."""
    ignored = False
    for target in (widget, *widget.children()):
        if hasattr(target, "rect"):
            middle = QPointF(target.rect().center())
            event = QWheelEvent(
                middle,
                QPointF(target.mapToGlobal(target.rect().center())),
                QPoint(0, 0),
                QPoint(0, -120),
                Qt.MouseButton.NoButton,
                Qt.KeyboardModifier.NoModifier,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            )
            QApplication.sendEvent(target, event)
            ignored |= not event.isAccepted()
    return ignored


#: Starts a computation that heeds nothing, and is at its end before that.
LEAVING = """
import time
from qtpy.QtCore import QCoreApplication
from napari_dsfunet.workers import CoreWorker
app = QCoreApplication([])
def compute(callback, cancel):
    for step in range(10):
        time.sleep(0.05)
        callback(step, 10, "")
worker = CoreWorker(compute)
worker.start()
print("leaving", flush=True)
"""


def test_leaving_python_in_the_middle_of_a_run() -> None:
    """The thread ends before Qt does: else its last signal aborts the process."""
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True)
    assert "leaving" in done.stdout
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_of_several_results_the_one_that_is_seen_is_chosen(
    viewer: Any, fill: Callable[[], None], qtbot: Any
) -> None:
    fill()
    fill()
    results = [layer for layer in viewer.layers if "SRO" in layer.name]
    results[-1].visible = False
    choice = LayerChoice(viewer, lambda layer: "SRO" in layer.name)
    qtbot.addWidget(choice)
    assert choice.layer() is results[0]
