"""Docks in a real window: run, cancel, layers that come and go."""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QScrollArea

from dsfunet_core import Factorization, ReciprocalPlane, ReciprocalVolume, load_result
from dsfunet_core.errors import CancelledError, GeometryError
from napari_dsfunet.forms import FactorizeForm, SliceForm
from napari_dsfunet.layers import core_object, object_layers, plane_layer
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.widgets.factorize import Factorize
from napari_dsfunet.widgets.slice_plane import SlicePlane
from napari_dsfunet.widgets.sro_fit import SroFit

QUICK = FactorizeForm(support=4.0, order=2)


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    viewer = make_napari_viewer_proxy()
    yield viewer
    assert QThreadPool.globalInstance().activeThreadCount() == 0


def add_plane(viewer: Any, plane: ReciprocalPlane) -> Any:
    data, options, _ = plane_layer(plane, ("plane = dsfunet_core.read('plane.npz')",))
    return bare(viewer.add_image(data, **options))


def add_volume(viewer: Any, volume: ReciprocalVolume, source: str = "'volume.npz'") -> Any:
    ((data, options, _),) = object_layers(volume, source)
    return bare(viewer.add_image(data, **options))


def bare(proxy: Any) -> Any:
    return getattr(proxy, "__wrapped__", proxy)


def newest_plane(viewer: Any) -> ReciprocalPlane:
    """What was cut last; the outline of the next cut may lie above it."""
    shown = [core_object(layer) for layer in viewer.layers]
    return [x for x in shown if isinstance(x, ReciprocalPlane)][-1]


def run(dock: Dock, qtbot: Any) -> str:
    dock.run_button.click()
    finish(dock, qtbot)
    return dock.message.text()


def finish(dock: Dock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)


def slow(started: threading.Event) -> Callable[..., Any]:
    """Factorization that goes on until it is cancelled."""

    def compute(self: Any, plane: Any, callback: Any = None, cancel: Any = None) -> None:
        callback(1, 10, "trying a support")
        started.set()
        if not cancel.wait(20):
            raise AssertionError("was never cancelled")
        raise CancelledError("cancelled")

    return compute


@pytest.mark.parametrize("kind", [SlicePlane, Factorize, SroFit])
def test_opens_without_layers_and_says_what_is_missing(
    viewer: Any, qtbot: Any, kind: type[Dock], triclinic: ReciprocalVolume
) -> None:
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock)
    assert dock.findChild(QScrollArea) is not None
    dock.run_button.click()
    assert "There is no" in dock.message.text()
    assert not dock.running
    dock.copy_button.click()
    assert "There is no" in dock.message.text()
    # That stands there before anybody presses anything, and not once there is a layer.
    assert dock.hint.text() in dock.message.text()
    assert not dock.hint.isHidden()
    if kind is SlicePlane:
        layer = add_volume(viewer, triclinic)
        assert dock.hint.isHidden()
        viewer.layers.remove(layer)
        assert not dock.hint.isHidden()


def test_slice(viewer: Any, qtbot: Any, triclinic: ReciprocalVolume) -> None:
    volume = add_volume(viewer, triclinic)
    dock = SlicePlane(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(SliceForm(plane="h0l", grid="cartesian", size=32))
    text = run(dock, qtbot)
    assert "32 × 32" in text
    assert newest_plane(viewer).name == "h0l"
    assert [layer.name for layer in viewer.layers][:2] == [volume.name, "h0l"]
    # What was filled in is there again after a restart.
    again = SlicePlane(viewer)
    assert again.form.value() == SliceForm(plane="h0l", grid="cartesian", size=32)
    again.reset_button.click()
    assert again.form.value() == SliceForm()
    again.close()


def test_copied_script_slices_the_same(
    viewer: Any, qtbot: Any, triclinic: ReciprocalVolume, tmp_path: Path
) -> None:
    from dsfunet_core.io.numpy import write_npz

    path = tmp_path / "volume.npz"
    write_npz(path, triclinic)
    add_volume(viewer, triclinic, repr(str(path)))
    dock = SlicePlane(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(SliceForm(plane="0kl", thickness=0.4))
    run(dock, qtbot)
    dock.copy_button.click()
    names: dict[str, Any] = {}
    exec(QApplication.clipboard().text(), names)
    clicked = newest_plane(viewer)
    np.testing.assert_array_equal(names["plane"].intensity, clicked.intensity)
    np.testing.assert_array_equal(names["plane"].origin, clicked.origin)


@pytest.mark.parametrize("plane", ["hk9", "nonsense", ""])
def test_errors_are_texts(
    viewer: Any, qtbot: Any, triclinic: ReciprocalVolume, plane: str
) -> None:
    add_volume(viewer, triclinic)
    dock = SlicePlane(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(SliceForm(plane=plane))
    text = run(dock, qtbot)
    assert "color" in text
    assert not any(isinstance(core_object(x), ReciprocalPlane) for x in viewer.layers)

    # Put right, the error goes; what a run has to say stays.
    dock.form.set_value(SliceForm(plane="hk0"))
    assert dock.message.text() == ""
    said = run(dock, qtbot)
    dock.form.set_value(SliceForm(plane="hk1"))
    assert dock.message.text() == said != ""


def test_from_volume_to_table(
    viewer: Any, qtbot: Any, small_plane: ReciprocalPlane, tmp_path: Path
) -> None:
    source = add_plane(viewer, small_plane)
    dock = Factorize(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(QUICK)
    text = run(dock, qtbot)
    assert "R = 0.0" in text
    assert "Nothing speaks against" in text or "not all product" in text
    assert "coverage" in text
    assert "support" in text
    assert dock.run_button.text() == "Factorize"
    names = [layer.name for layer in viewer.layers]
    assert names == ["hk1", "hk1 form factor", "hk1 SRO", "hk1 product", "hk1 residual"]
    result = core_object(viewer.layers[-1])
    assert isinstance(result, Factorization)
    assert viewer.canvas.grid.enabled

    dock.save(str(tmp_path / "result.h5"))
    assert "Written" in dock.message.text()
    np.testing.assert_array_equal(load_result(tmp_path / "result.h5").sro, result.sro)
    dock.save(str(tmp_path / "missing" / "result.h5"))
    assert "Nothing was written" in dock.message.text()

    # Once more: new layers beside the old ones, no state left over.
    viewer.layers.selection.active = source
    run(dock, qtbot)
    assert len(viewer.layers) == 9

    fit = SroFit(viewer)
    viewer.window.add_dock_widget(fit)
    fit.form.editors["shells"].setValue(2)
    text = run(fit, qtbot)
    assert "parameters" in text
    assert "<" not in fit.table.item(0, 0).text()
    assert fit.table.rowCount() == len(fit.fit.orbits)
    assert fit.fit[1, 0, 0] == pytest.approx(0.25, abs=0.02)
    assert fit.fit[0, 1, 0] == pytest.approx(-0.15, abs=0.02)
    fit.export(str(tmp_path / "alpha.csv"))
    with (tmp_path / "alpha.csv").open() as file:
        assert len(list(csv.DictReader(file))) == fit.table.rowCount()
    fit.export(str(tmp_path / "missing" / "alpha.csv"))
    assert "Nothing was written" in fit.message.text()
    fit.copy_button.click()
    lines = QApplication.clipboard().text().splitlines()
    made = [line.split(" = ")[0] for line in lines if " = " in line]
    assert made == ["plane", "result", "problem", "fit"]
    compile(QApplication.clipboard().text(), "script", "exec")


def test_volume_is_cut_first(viewer: Any, qtbot: Any, small_plane: ReciprocalPlane) -> None:
    volume = ReciprocalVolume(
        intensity=np.where(small_plane.valid, small_plane.intensity, np.nan)[..., None],
        cell=small_plane.cell,
        origin=small_plane.origin,
        steps=np.column_stack([small_plane.steps, [0, 0, 0.1]]),
    )
    add_volume(viewer, volume)
    dock = Factorize(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(QUICK)
    run(dock, qtbot)
    names = [layer.name for layer in viewer.layers]
    assert names[:3] == ["volume", "hk1", "hk1 form factor"]
    dock.copy_button.click()
    script = QApplication.clipboard().text()
    assert "volume.section('hk1'" in script
    assert "dsfunet_core.factorize(plane" in script


def test_cancel(
    viewer: Any, qtbot: Any, small_plane: ReciprocalPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()
    monkeypatch.setattr(FactorizeForm, "compute", slow(started))
    add_plane(viewer, small_plane)
    dock = Factorize(viewer)
    viewer.window.add_dock_widget(dock)
    dock.run_button.click()
    assert dock.run_button.text() == "Cancel"
    qtbot.waitUntil(lambda: started.is_set() and dock.progress.maximum() == 10)
    assert dock.message.text() == "trying a support"
    dock.run_button.click()
    assert dock.run_button.text() == "Cancelling…"
    finish(dock, qtbot)
    assert "Cancelled" in dock.message.text()
    assert dock.run_button.text() == "Factorize"
    assert dock.run_button.isEnabled()
    assert len(viewer.layers) == 1


def test_real_factorization_stops_soon(
    viewer: Any, qtbot: Any, small_plane: ReciprocalPlane
) -> None:
    add_plane(viewer, small_plane)
    dock = Factorize(viewer)
    viewer.window.add_dock_widget(dock)
    dock.run_button.click()
    qtbot.waitUntil(lambda: dock.progress.maximum() > 0, timeout=120_000)
    dock.run_button.click()
    start = time.monotonic()
    finish(dock, qtbot)
    assert time.monotonic() - start < 10
    assert len(viewer.layers) == 1


def test_layer_deleted_during_the_run(
    viewer: Any, qtbot: Any, small_plane: ReciprocalPlane
) -> None:
    layer = add_plane(viewer, small_plane)
    dock = Factorize(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(QUICK)
    dock.run_button.click()
    viewer.layers.remove(layer)
    finish(dock, qtbot)
    assert "removed meanwhile" in dock.message.text()
    assert len(viewer.layers) == 4


def test_renamed_moved_and_deleted_layers(
    viewer: Any, qtbot: Any, small_plane: ReciprocalPlane
) -> None:
    first = add_plane(viewer, small_plane)
    second = add_plane(viewer, small_plane.replace(name="other"))
    dock = Factorize(viewer)
    viewer.window.add_dock_widget(dock)
    dock.sources.choose(first)
    first.name = "renamed"
    assert dock.sources.currentText() == "renamed"
    viewer.layers.move(0, 2)
    assert dock.sources.layer() is first
    viewer.layers.remove(first)
    assert dock.sources.layer() is second
    viewer.layers.clear()
    assert dock.sources.layer() is None
    dock.run_button.click()
    assert "There is nothing" in dock.message.text() or "There is no" in dock.message.text()


def test_fault_of_the_program_is_a_text(
    viewer: Any, qtbot: Any, triclinic: ReciprocalVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, volume: Any) -> None:
        raise ZeroDivisionError("a < b")

    monkeypatch.setattr(SliceForm, "compute", fail)
    add_volume(viewer, triclinic)
    dock = SlicePlane(viewer)
    viewer.window.add_dock_widget(dock)
    text = run(dock, qtbot)
    assert "ZeroDivisionError: a &lt; b" in text
    assert dock.run_button.isEnabled()


def test_failure_while_showing_is_a_text(
    viewer: Any, qtbot: Any, triclinic: ReciprocalVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise GeometryError("no room")

    monkeypatch.setattr("napari_dsfunet.widgets.slice_plane.add_above", fail)
    add_volume(viewer, triclinic)
    dock = SlicePlane(viewer)
    dock.form.set_value(SliceForm(plane="hk0"))
    viewer.window.add_dock_widget(dock)
    assert "no room" in run(dock, qtbot)


def test_closing_the_window_ends_the_computation(
    viewer: Any, qtbot: Any, small_plane: ReciprocalPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()
    monkeypatch.setattr(FactorizeForm, "compute", slow(started))
    add_plane(viewer, small_plane)
    dock = Factorize(viewer)
    around = viewer.window.add_dock_widget(dock)
    dock.run_button.click()
    qtbot.waitUntil(started.is_set)
    viewer.window.remove_dock_widget(around)
    dock.deleteLater()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=120_000)


def test_layers_without_a_file_have_no_script(
    viewer: Any, qtbot: Any, triclinic: ReciprocalVolume
) -> None:
    ((data, options, _),) = object_layers(triclinic)
    viewer.add_image(data, **options)
    dock = SlicePlane(viewer)
    viewer.window.add_dock_widget(dock)
    dock.copy_button.click()
    assert "not read from a file" in dock.message.text()


def test_docks_become_tabs_beside_each_other(viewer: Any, qtbot: Any) -> None:
    frames = []
    for kind in (Factorize, SlicePlane):
        frames.append(bare(viewer).window.add_dock_widget(kind(viewer)))
        qtbot.wait(20)
    window = frames[0].parent()
    assert window.tabifiedDockWidgets(frames[0]) == [frames[1]]
    # One that was pulled out of the window stays alone.
    frames[0].setFloating(True)
    frames[1].setFloating(True)
    frames.append(bare(viewer).window.add_dock_widget(SroFit(viewer)))
    qtbot.wait(20)
    assert window.tabifiedDockWidgets(frames[2]) == []


def test_what_was_kept_from_last_time_is_marked(viewer: Any, qtbot: Any) -> None:
    dock = Factorize(viewer)
    qtbot.addWidget(dock)
    assert dock.form.kept.isHidden()
    dock.form.set_value(FactorizeForm(support=12.5, robust=False))
    labels = dock.form._labels
    assert [name for name in labels if labels[name].font().bold()] == ["support", "robust"]
    dock.form.store()
    again = Factorize(viewer)
    qtbot.addWidget(again)
    assert not again.form.kept.isHidden()
    assert "Support: 12.50 Å; Reject outliers: off" in again.form.kept.text()
    again.reset()
    assert again.form.kept.isHidden()
    assert not any(label.font().bold() for label in again.form._labels.values())
