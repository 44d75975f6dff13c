"""The dock that folds a plane into one cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from dsfunet_core import Factorization, ReciprocalPlane, UnitCellMap, factorize
from napari_dsfunet.forms_order import UnitCellForm
from napari_dsfunet.layers import core_object, factorization_layers, plane_layer
from napari_dsfunet.view import hkl_at
from napari_dsfunet.widgets.sro_fit import SroFit
from napari_dsfunet.widgets.unit_cell import UnitCell


@pytest.fixture(scope="module")
def result(module_plane: ReciprocalPlane) -> Factorization:
    return factorize(module_plane, support=4.0, order=2)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer: Any, result: Factorization, qtbot: Any) -> UnitCell:
    script = ("result = dsfunet_core.load_result('hk1.h5')",)
    for data, options, _ in factorization_layers(result, script):
        viewer.add_image(data, **options)
    dock = UnitCell(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(UnitCellForm(bins=22))
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running and dock.map is not None, timeout=120_000)
    return dock


def test_says_what_to_do_first(viewer: Any, qtbot: Any) -> None:
    dock = UnitCell(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    assert "Factorize a plane first" in dock.message.text()


def test_folds_and_follows_the_form(dock: UnitCell, qtbot: Any) -> None:
    # α of (1,0,0) is 0.25: the order is 1 + 0.5 cos 2πh − 0.3 cos 2πk.
    u = dock.map.coordinates
    expected = 1 + 0.5 * np.cos(2 * np.pi * u[..., 0]) - 0.3 * np.cos(2 * np.pi * u[..., 1])
    filled = dock.map.count > 0
    assert np.abs(dock.map.values - expected)[filled].mean() < 0.02
    # The fixture's own change of the form may be folded once more.
    qtbot.waitUntil(lambda: "Laue class imposed: -1" in dock.message.text(), timeout=120_000)
    before = dock.map
    dock.form.editors["threshold"].setValue(0.3)
    qtbot.waitUntil(lambda: dock.map is not before, timeout=120_000)
    assert dock.map.count.sum() < before.count.sum()


def test_map_becomes_a_layer_that_can_be_fitted(
    dock: UnitCell, viewer: Any, qtbot: Any
) -> None:
    qtbot.mouseClick(dock.add_button, Qt.MouseButton.LeftButton)
    layer = next(x for x in viewer.layers if isinstance(core_object(x), UnitCellMap))
    assert layer.visible
    # The oblique cell: the angle between a* and b* is 75° where γ is 105°.
    a, b = layer.affine.affine_matrix[:2, :2].T
    assert np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))) == (
        pytest.approx(75, abs=0.01)
    )
    centre = layer.data_to_world([10.5, 10.5])
    np.testing.assert_allclose(hkl_at(layer, centre), [0.5, 0.5, 1.0], atol=1e-9)
    fit = SroFit(viewer)
    viewer.window.add_dock_widget(fit)
    fit.results.choose(layer)
    fit.form.editors["shells"].setValue(1)
    qtbot.mouseClick(fit.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not fit.running and fit.fit is not None, timeout=120_000)
    assert fit.fit.basis == "map"
    assert fit.fit[1, 0, 0] == pytest.approx(0.25, abs=0.02)
    fit.copy_button.click()
    assert "SroProblem(cell" in QApplication.clipboard().text()


def test_script_folds_the_same(dock: UnitCell, result: Factorization) -> None:
    dock.copy_button.click()
    lines = QApplication.clipboard().text().splitlines()
    names: dict[str, Any] = {"result": result}
    exec("\n".join(["import dsfunet_core", *lines[3:]]), names)
    np.testing.assert_array_equal(names["cell"].values, dock.map.values)


def test_a_change_during_a_run_is_followed_after_it(dock: UnitCell, qtbot: Any) -> None:
    qtbot.wait(400)  # the fixture's own change of the form
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    dock.run_or_cancel()
    dock.form.editors["bins"].setValue(33)
    dock._form_changed.flush()
    assert dock.running
    qtbot.waitUntil(lambda: dock.map.values.shape == (33, 33), timeout=120_000)


def test_order_goes_before_planes(
    dock: UnitCell, viewer: Any, result: Factorization, qtbot: Any
) -> None:
    """A plane above the results is no short-range order, and is never called so."""
    data, options, _ = plane_layer(result.plane, ("plane = …",))
    plane = viewer.add_image(data, **options)
    assert dock.sources.currentText() == "hk1 SRO"
    again = UnitCell(viewer)
    viewer.window.add_dock_widget(again)
    assert again.sources.currentText() == "hk1 SRO"
    again.sources.choose(plane)
    qtbot.mouseClick(again.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not again.running and again.map is not None, timeout=120_000)
    assert "These are intensities" in again.message.text()
    title = again.canvas.canvas.figure.axes[0].get_title()
    assert title == "intensity (arb. units)"


def test_a_removed_layer_empties_the_dock(dock: UnitCell, viewer: Any) -> None:
    viewer.layers.clear()
    assert dock.map is None
    assert not dock.canvas.isVisible()
    dock.add_to_viewer()
    assert not len(viewer.layers)
