"""The dock that turns a group: its minimum, its cursor, its molecule."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from dsfunet_core import Factorization, ReciprocalPlane
from dsfunet_core.simulate import tris_amide
from dsfunet_core.structures.compare import Target
from dsfunet_core.structures.model import tris_amide_model
from dsfunet_core.structures.moves import displaced, torsion
from dsfunet_core.structures.scan import Scanner
from napari_dsfunet.forms_scan import ScanForm
from napari_dsfunet.layers import factorization_layers
from napari_dsfunet.widgets.rotation_scan import RotationScan

TRUE = -7.0


@pytest.fixture(scope="module")
def result() -> Factorization:
    """Form factor of the benchmark crystal with its groups turned, on a small plane."""
    h = (np.arange(60) - 29.5) / 3
    plane = ReciprocalPlane(
        intensity=np.ones((60, 60)),
        valid=np.hypot(*np.meshgrid(h, h, indexing="ij")) < 9.5,
        cell=tris_amide.CELL,
        origin=np.array([h[0], h[0], 1.0]),
        steps=np.array([[1 / 3, 0], [0, 1 / 3], [0, 0]]),
        name="hk1",
    )
    model = tris_amide_model()
    turn = torsion(model, ("N", "C4"))
    blank = Target(plane, np.ones(plane.shape), plane.valid.astype(float))
    square = Scanner(blank, model, turn).square(TRUE) * np.exp(-0.03 * plane.q_norm() ** 2)
    rng = np.random.default_rng(2)
    square = np.asarray(square, float) + rng.normal(0, 0.01 * square.max(), plane.shape)
    return Factorization(
        plane=plane.replace(intensity=square),
        method="lattice",
        form_factor=square,
        sro=np.ones(plane.shape),
    )


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


def add_result(viewer: Any, result: Factorization) -> None:
    script = ("result = dsfunet_core.load_result('hk1.h5')",)
    for data, options, _ in factorization_layers(result, script):
        viewer.add_image(data, **options)


@pytest.fixture
def dock(viewer: Any, result: Factorization) -> RotationScan:
    add_result(viewer, result)
    dock = RotationScan(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(ScanForm(low=-40, high=40, step=4))
    return dock


def press(dock: RotationScan, qtbot: Any) -> str:
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    return dock.message.text()


def test_the_sample_s_defaults_find_the_angle(dock: RotationScan, qtbot: Any) -> None:
    assert "C5" in dock.turning.text()
    text = press(dock, qtbot)
    assert text.startswith("Minimum at -7.") or text.startswith("Minimum at -6.")
    best = dock.found.minima[0]
    assert abs(best.value - TRUE) < max(4 * best.sigma, 0.1)
    assert dock.angle == pytest.approx(best.value)
    assert f"{best.value:.1f}°" in dock.at_cursor.text()


def test_the_cursor_shows_what_its_angle_calculates(dock: RotationScan, qtbot: Any) -> None:
    press(dock, qtbot)
    qtbot.waitUntil(lambda: dock.curve._ground is not None and dock.maps._ground is not None)
    dock.slider.setValue(22.0)
    expected = dock.scanner.at(22.0)
    shown = dock.maps.moving[0].get_array()
    # Single precision, and the scale is found from where it was before.
    np.testing.assert_allclose(shown, expected.calculated, rtol=1e-4)
    assert f"MSE {expected.mse:.5f}" in dock.at_cursor.text()
    assert list(dock.curve.moving[0].get_xdata()) == [22.0, 22.0]
    # A real drag along the curve.
    canvas = dock.curve.canvas
    axes = canvas.figure.axes[0]
    x, y = axes.transData.transform((-30.0, sum(axes.get_ylim()) / 2))
    ratio = canvas.device_pixel_ratio
    at = QPoint(round(x / ratio), round(canvas.height() - y / ratio))
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at)
    assert dock.angle == pytest.approx(-30, abs=1)


def test_the_molecule_follows_and_closes(dock: RotationScan, qtbot: Any) -> None:
    press(dock, qtbot)
    qtbot.mouseClick(dock.molecule_button, Qt.MouseButton.LeftButton)
    window = dock.window_3d
    dock.show_angle(0.0)
    before = window.atoms.data.copy()
    dock.show_angle(30.0)
    model = tris_amide_model()
    expected = displaced(model, [torsion(model, ("N", "C4"))], [30.0]).molecules()[0].positions
    np.testing.assert_allclose(window.atoms.data, expected, atol=1e-5)
    moved = np.linalg.norm(window.atoms.data - before, axis=1) > 0.1
    rims = [tuple(c) != tuple(window.atoms.border_color[0]) for c in window.atoms.border_color]
    assert moved.any()
    assert not moved.all()
    assert (np.array(rims) == moved).all() or (np.array(rims) == ~moved).all()
    assert len(window.bonds.data) > len(before) // 2
    dock.viewer.layers.clear()
    assert dock.window_3d is None
    assert dock.found is None


def test_atoms_of_another_structure_are_offered(
    dock: RotationScan, tmp_path: Path, qtbot: Any
) -> None:
    path = tmp_path / "ethanol.xyz"
    path.write_text(
        "9\nethanol\n"
        "C -1.23 0.23 0.0\nC 0.0 -0.65 0.0\nO 1.15 0.18 0.0\nH 1.93 -0.38 0.0\n"
        "H -2.13 -0.39 0.0\nH -1.24 0.87 0.89\nH -1.24 0.87 -0.89\n"
        "H 0.02 -1.29 0.89\nH 0.02 -1.29 -0.89\n"
    )
    dock.set_structure(str(path))
    first, second = dock.form.editors["first"], dock.form.editors["second"]
    labels = [first.itemData(i) for i in range(first.count())]
    assert len(labels) == 9
    first.setCurrentIndex(first.findData("C2"))
    first.activated.emit(first.currentIndex())
    near = {second.itemData(i) for i in range(second.count())}
    assert near == {"C1", "O3", "H8", "H9"}
    second.setCurrentIndex(second.findData("O3"))
    assert dock.turning.text() == "H4"
    dock.set_structure(str(tmp_path / "gone.cif"))
    assert "gone.cif" in dock.message.text()


@pytest.mark.parametrize("suffix", [".csv", ".png", ".xyz", ".doc"])
def test_exports(dock: RotationScan, suffix: str, tmp_path: Path, qtbot: Any) -> None:
    path = tmp_path / f"scan{suffix}"
    dock.export(str(path))
    assert "press Scan first" in dock.message.text()
    press(dock, qtbot)
    dock.show_angle(12.0)
    dock.export(str(path))
    if suffix == ".doc":
        assert not path.exists()
        assert ".xyz" in dock.message.text()
        return
    if suffix == ".csv":
        table = np.loadtxt(path, delimiter=",", skiprows=1)
        np.testing.assert_allclose(table[:, 1], dock.found.mse, rtol=1e-6)
    if suffix == ".xyz":
        written = np.loadtxt(path, skiprows=2, usecols=(1, 2, 3))
        expected = dock.scanner.moved(12.0).atoms.positions
        np.testing.assert_allclose(written, expected, atol=1e-5)
    assert path.stat().st_size > 100


def test_script_scans_the_same(dock: RotationScan, result: Factorization, qtbot: Any) -> None:
    press(dock, qtbot)
    dock.copy_button.click()
    lines = QApplication.clipboard().text().splitlines()
    names: dict[str, Any] = {"result": result}
    exec("\n".join(["import dsfunet_core", *lines[3:]]), names)
    np.testing.assert_allclose(names["found"].mse, dock.found.mse)


def test_cancel_and_errors(
    dock: RotationScan, viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    dock.form.set_value(ScanForm(low=10, high=0))
    assert "three rising angles" in press(dock, qtbot)
    dock.form.set_value(ScanForm(second="C5", first="C5"))
    assert "two different atoms" in dock.turning.text()
    assert "two different atoms" in press(dock, qtbot)
    started = threading.Event()

    def slow(self: Any, target: Any, model: Any, turn: Any, callback: Any) -> None:
        started.set()
        for step in range(2000):
            callback(step, 2000, "turning")
            threading.Event().wait(0.01)
        raise AssertionError("was never cancelled")

    monkeypatch.setattr(ScanForm, "compute", slow)
    dock.form.set_value(ScanForm())
    dock.run_button.click()
    qtbot.waitUntil(started.is_set)
    dock.run_button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert "Cancelled" in dock.message.text()


def test_says_what_to_do_first(viewer: Any, qtbot: Any) -> None:
    dock = RotationScan(viewer)
    viewer.window.add_dock_widget(dock)
    assert "Factorize a plane first" in press(dock, qtbot)
    dock.show_molecule()
    assert "press Scan first" in dock.message.text()


def test_state_comes_back(dock: RotationScan, viewer: Any, qtbot: Any) -> None:
    press(dock, qtbot)
    state = json.loads(json.dumps(dock.state()))
    again = RotationScan(viewer)
    viewer.window.add_dock_widget(again)
    again.restore_state(state)
    qtbot.waitUntil(lambda: not again.running and again.found is not None, timeout=120_000)
    np.testing.assert_allclose(again.found.mse, dock.found.mse)
    again.close()
