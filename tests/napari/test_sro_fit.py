"""The SRO fit dock: what is dragged, typed and ticked is followed at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from dsfunet_core import Factorization, ReciprocalPlane, factorize
from napari_dsfunet.forms_order import SroFitForm
from napari_dsfunet.layers import factorization_layers
from napari_dsfunet.widgets.sro_fit import FILE, NOTHING, PUBLISHED, SroFit

ALPHA, SIGMA, KNOWN = 4, 5, 6


@pytest.fixture(scope="module")
def result(module_plane: ReciprocalPlane) -> Factorization:
    return factorize(module_plane, support=4.0, order=2)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


def add_result(viewer: Any, result: Factorization, name: str = "hk1") -> Any:
    script = ("result = dsfunet_core.load_result('hk1.h5')",)
    for data, options, _ in factorization_layers(result, script):
        viewer.add_image(data, **{**options, "name": f"{name} {options['name']}"})
    return next(layer for layer in viewer.layers if layer.name == f"{name} hk1 SRO")


@pytest.fixture
def dock(viewer: Any, result: Factorization, qtbot: Any) -> SroFit:
    add_result(viewer, result)
    dock = SroFit(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(SroFitForm(shells=2))
    press(dock, qtbot)
    return dock


def press(dock: SroFit, qtbot: Any) -> None:
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    finish(dock, qtbot)


def finish(dock: SroFit, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.running and dock.fit is not None, timeout=120_000)


def row_of(dock: SroFit, vector: tuple[int, int, int]) -> int:
    return dock.problem.index(vector)


def test_a_dragged_value_is_held_and_the_others_follow(dock: SroFit, qtbot: Any) -> None:
    free = dock.fit
    row = row_of(dock, (1, 0, 0))
    dock.table.setCurrentCell(row, ALPHA)
    assert dock.slider.value() == pytest.approx(free.alpha[row], abs=1e-3)
    dock.slider.setValue(0.4)
    assert dock.fit.alpha[row] == pytest.approx(0.4)
    assert dock.fit.fixed[row]
    assert dock.table.item(row, SIGMA).text() == "–"
    assert dock.table.item(row, 0).checkState() == Qt.CheckState.Unchecked
    assert dock.fit.r_factor > free.r_factor
    # What is seen is what was calculated: the image in the dock, and not a copy of before.
    shown = dock.maps.moving[0].get_array()
    np.testing.assert_array_equal(shown, dock.fit.calculated.values)
    assert np.abs(shown - free.calculated.values).max() > 0.05
    assert f"{len(free.alpha) - 1} of {len(free.alpha)}" in dock.message.text()
    qtbot.mouseClick(dock.free_button, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(dock.fit.alpha, free.alpha)


def test_maps_follow_while_another_theme_is_drawn(
    dock: SroFit, viewer: Any, qtbot: Any
) -> None:
    viewer.theme = "light"
    dock.table.setCurrentCell(row_of(dock, (1, 0, 0)), ALPHA)
    dock.slider.setValue(-0.3)
    qtbot.wait(300)
    shown = dock.maps.moving[0].get_array()
    np.testing.assert_array_equal(shown, dock.fit.calculated.values)
    assert dock.maps._ground is not None


def test_ticks_and_typed_values(dock: SroFit) -> None:
    free = dock.fit
    row = row_of(dock, (0, 1, 0))
    dock.table.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
    assert dock.fit.fixed[row]
    assert dock.fit.alpha[row] == pytest.approx(free.alpha[row], abs=1e-3)
    dock.table.item(row, ALPHA).setText("-0.05")
    assert dock.fit.alpha[row] == -0.05
    dock.table.item(row, ALPHA).setText("nonsense")
    assert dock.fit.alpha[row] == -0.05
    assert dock.table.item(row, ALPHA).text() == "-0.0500"
    dock.table.item(row, 0).setCheckState(Qt.CheckState.Checked)
    np.testing.assert_allclose(dock.fit.alpha, free.alpha)


def test_bounds_hold_one_parameter(dock: SroFit) -> None:
    row = row_of(dock, (1, 0, 0))
    dock.table.item(row, 8).setText("0.1")
    assert dock.fit.alpha[row] == pytest.approx(0.1)
    assert dock.fit.at_bound[row]
    assert "at its bound" in dock.table.item(row, ALPHA).text()
    dock.table.item(row, 7).setText("0.3")
    assert "the lower one must be below" in dock.message.text()
    dock.table.item(row, 7).setText("")
    dock.table.item(row, 8).setText("")
    assert dock.fit.alpha[row] == pytest.approx(0.25, abs=0.02)


def test_form_is_followed_and_keeps_what_was_held(dock: SroFit, qtbot: Any) -> None:
    row = row_of(dock, (1, 0, 0))
    dock.table.hold(row, 0.3)
    before = dock.fit
    qtbot.keyClick(dock.form.editors["shells"], Qt.Key.Key_Down)
    fewer = len(before.orbits)
    qtbot.waitUntil(lambda: len(dock.fit.orbits) < fewer, timeout=120_000)
    assert dock.fit[1, 0, 0] == 0.3
    basis = dock.form.editors["basis"]
    basis.setCurrentIndex(basis.findData("map"))
    qtbot.waitUntil(lambda: dock.fit.basis == "map", timeout=120_000)
    finish(dock, qtbot)


def test_script_repeats_what_was_held_and_bounded(
    dock: SroFit, result: Factorization, qtbot: Any
) -> None:
    dock.table.hold(row_of(dock, (1, 0, 0)), 0.31)
    dock.table.item(row_of(dock, (0, 1, 0)), 7).setText("-0.1")
    qtbot.mouseClick(dock.copy_button, Qt.MouseButton.LeftButton)
    lines = QApplication.clipboard().text().splitlines()
    assert lines[2] == "result = dsfunet_core.load_result('hk1.h5')"
    names: dict[str, Any] = {"result": result}
    exec("\n".join(["import dsfunet_core", *lines[3:]]), names)
    np.testing.assert_allclose(names["fit"].alpha, dock.fit.alpha)
    np.testing.assert_allclose(names["fit"].sigma, dock.fit.sigma)


def test_known_values_beside_the_refined_ones(
    dock: SroFit, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "known.csv"
    path.write_text("u,v,w,alpha\n1,0,0,0.25\n")
    monkeypatch.setattr(
        "napari_dsfunet.widgets.sro_fit.QFileDialog.getOpenFileName",
        lambda *_: (str(path), ""),
    )
    dock.compare.setCurrentText(FILE)
    dock.compare.activated.emit(dock.compare.currentIndex())
    assert dock.table.item(row_of(dock, (1, 0, 0)), KNOWN).text() == "0.2500"
    assert dock.table.item(row_of(dock, (0, 1, 0)), KNOWN).text() == ""
    dock.compare.setCurrentText(PUBLISHED)
    dock.compare.activated.emit(dock.compare.currentIndex())
    assert dock.table.item(row_of(dock, (1, 0, 0)), KNOWN).text() == "-0.2516"
    dock.load_reference(str(tmp_path / "nowhere.csv"))
    assert "nowhere.csv" in dock.message.text()
    assert dock.compare.currentText() == NOTHING


@pytest.mark.parametrize("suffix", [".csv", ".json", ".txt", ".png", ".pdf", ".h5", ".xyz"])
def test_exports(dock: SroFit, suffix: str, tmp_path: Path, result: Factorization) -> None:
    from dsfunet_core.io.results import load_fit
    from dsfunet_core.refine.result import SroRefinement

    path = tmp_path / f"alpha{suffix}"
    dock.export(str(path))
    if suffix == ".xyz":
        assert ".csv" in dock.message.text()
        assert not path.exists()
        return
    assert path.stat().st_size > 100
    assert str(path) in dock.message.text()
    if suffix == ".json":
        np.testing.assert_array_equal(SroRefinement.from_json(path).alpha, dock.fit.alpha)
    if suffix == ".h5":
        np.testing.assert_array_equal(load_fit(path).alpha, dock.fit.alpha)
    if suffix == ".txt":
        assert path.read_text() == dock.fit.yell_snippet()
    assert list(tmp_path.glob("alpha*")) == [path]


def test_another_result_is_fitted_and_none_empties_the_dock(
    dock: SroFit, viewer: Any, result: Factorization, qtbot: Any
) -> None:
    first = dock.fit
    add_result(viewer, result, "other")
    qtbot.waitUntil(lambda: dock.fit is not None and dock.fit is not first, timeout=120_000)
    finish(dock, qtbot)
    viewer.layers.clear()
    assert dock.fit is None
    assert not dock.panel.isVisible()
    press_again = dock.run_button
    qtbot.mouseClick(press_again, Qt.MouseButton.LeftButton)
    assert "There is no factorization" in dock.message.text()


def test_state_comes_back(dock: SroFit, viewer: Any, qtbot: Any) -> None:
    dock.table.hold(row_of(dock, (1, 0, 0)), 0.3)
    dock.table.item(row_of(dock, (0, 1, 0)), 7).setText("-0.1")
    state = json.loads(json.dumps(dock.state()))
    again = SroFit(viewer)
    viewer.window.add_dock_widget(again)
    again.restore_state(state)
    finish(again, qtbot)
    np.testing.assert_allclose(again.fit.alpha, dock.fit.alpha)
    assert again.fit.fixed.tolist() == dock.fit.fixed.tolist()
    again.close()
