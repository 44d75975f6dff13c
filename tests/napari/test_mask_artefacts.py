"""The dock for artefacts: the right pixels go, and come back when asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from dsfunet_core import ReciprocalPlane
from dsfunet_core.errors import ParameterError
from napari_dsfunet.forms_mask import ByHand, MaskForm, runs, unrolled
from napari_dsfunet.layers import MARK, core_object, plane_layer
from napari_dsfunet.session import open_session, save_session
from napari_dsfunet.widgets.mask_artefacts import MaskArtefacts

HOT = ((20, 31), (45, 12))


@pytest.fixture(scope="module")
def dirty() -> ReciprocalPlane:
    """Triclinic plane, rows and columns unlike, with hot pixels."""
    h, k = np.meshgrid((np.arange(61) - 30) / 10, (np.arange(73) - 36) / 12, indexing="ij")
    plane = ReciprocalPlane(
        intensity=np.ones(h.shape),
        valid=np.hypot(h, k) < 2.95,
        cell=gemmi.UnitCell(9, 10, 11, 80, 95, 105),
        origin=np.array([-3.0, -3.0, 0.0]),
        steps=np.array([[0.1, 0], [0, 1 / 12], [0, 0]]),
        name="hk0",
    )
    rng = np.random.default_rng(1)
    diffuse = 100 * np.exp(-((plane.q_norm() / 1.5) ** 2)) * (2 + np.cos(2 * np.pi * h))
    intensity = rng.poisson(diffuse + 20).astype(float)
    for row, column in HOT:
        intensity[row, column] += 5000
    return plane.replace(intensity=intensity)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer: Any, dirty: ReciprocalPlane) -> MaskArtefacts:
    data, options, _ = plane_layer(dirty, ("plane = dsfunet_core.read('hk0.npz')",))
    viewer.add_image(data, **options)
    dock = MaskArtefacts(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(MaskForm())
    return dock


def press(dock: MaskArtefacts, button: Any, qtbot: Any) -> str:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    return dock.message.text()


def overlay(viewer: Any) -> Any:
    found = [x for x in viewer.layers if x.metadata.get(MARK, {}).get("what") == "overlay"]
    assert len(found) <= 1
    return found[0] if found else None


def latest(viewer: Any) -> ReciprocalPlane:
    plane = core_object(next(x for x in viewer.layers if x.name.startswith("hk0 masked")))
    assert isinstance(plane, ReciprocalPlane)
    return plane


def test_says_what_to_do_first(viewer: Any, qtbot: Any) -> None:
    dock = MaskArtefacts(viewer)
    viewer.window.add_dock_widget(dock)
    assert "There is no plane" in press(dock, dock.run_button, qtbot)
    dock.paint_button.click()
    assert "There is no plane" in dock.message.text()


def test_preview_shows_and_apply_masks_the_right_pixels(
    dock: MaskArtefacts, viewer: Any, dirty: ReciprocalPlane, qtbot: Any
) -> None:
    dock.form.set_value(MaskForm(hot_pixels=True, bragg="radius", radius=0.05))
    press(dock, dock.preview_button, qtbot)
    shown = np.asarray(overlay(viewer).data).T > 0
    assert len(viewer.layers) == 2
    assert all(shown[pixel] for pixel in HOT)
    hkl = dirty.hkl(*np.indices(dirty.shape))
    off = np.stack([hkl[..., 0] - np.rint(hkl[..., 0]), hkl[..., 1] - np.rint(hkl[..., 1])])
    on_points = (np.abs(off) < 1e-9).all(axis=0) & dirty.valid
    assert shown[on_points].all()
    assert shown.sum() < 12 * on_points.sum()
    assert np.allclose(
        overlay(viewer).affine.affine_matrix, viewer.layers[0].affine.affine_matrix
    )
    assert "% of the measured pixels go out" in dock.message.text()

    press(dock, dock.run_button, qtbot)
    plane = latest(viewer)
    np.testing.assert_array_equal(~plane.valid & dirty.valid, shown)
    assert set(plane.masks) == {"hot pixels", "bragg"}
    assert overlay(viewer) is None
    assert core_object(viewer.layers[0]) is dirty
    assert not viewer.layers[0].visible


def test_preview_follows_the_form(dock: MaskArtefacts, viewer: Any, qtbot: Any) -> None:
    dock.form.set_value(MaskForm(bragg="radius", radius=0.03))
    press(dock, dock.preview_button, qtbot)
    few = int((np.asarray(overlay(viewer).data) > 0).sum())
    dock.form.editors["radius"].setValue(0.15)
    qtbot.waitUntil(
        lambda: int((np.asarray(overlay(viewer).data) > 0).sum()) > 2 * few, timeout=120_000
    )
    # Deleting the overlay is no reason to fail. (While it is running, the button cancels.)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    viewer.layers.remove(overlay(viewer))
    press(dock, dock.preview_button, qtbot)
    assert overlay(viewer) is not None


def test_a_reason_is_taken_back(dock: MaskArtefacts, viewer: Any, qtbot: Any) -> None:
    dock.form.set_value(MaskForm(hot_pixels=True, bragg="radius", radius=0.05))
    press(dock, dock.preview_button, qtbot)
    texts = [dock.reasons.item(i).text() for i in range(dock.reasons.count())]
    bragg = next(i for i, text in enumerate(texts) if text.startswith("bragg"))
    dock.reasons.item(bragg).setCheckState(Qt.CheckState.Unchecked)
    assert (np.asarray(overlay(viewer).data) > 0).sum() == len(HOT)
    assert dock.script()[-1] == "plane = plane.unmasked('bragg')"
    press(dock, dock.run_button, qtbot)
    assert set(latest(viewer).masks) == {"hot pixels"}


def test_painted_pixels_and_polygons_go_out_where_they_were_drawn(
    dock: MaskArtefacts, viewer: Any, dirty: ReciprocalPlane, qtbot: Any
) -> None:
    source = viewer.layers[0]
    dock.paint_button.click()
    labels = viewer.layers.selection.active
    assert labels.mode == "paint"
    labels.brush_size = 3
    centre = labels.world_to_data(source.data_to_world([40, 25]))
    labels.paint(centre, 1)
    dock.polygon_button.click()
    shapes = viewer.layers.selection.active
    shapes.add_polygons(np.array([[50, 10], [50, 20], [60, 20], [60, 10.0]]) + 0.5)
    press(dock, dock.run_button, qtbot)
    plane = latest(viewer)
    # The layer is transposed: its first axis is the plane's column.
    assert plane.masks["painted"][25, 40]
    assert plane.masks["painted"].sum() < 12
    rows, columns = np.nonzero(plane.masks["polygons"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (11, 20, 51, 60)
    # The script says the same without the layers.
    dock.planes.choose(source)
    dock.copy_button.click()
    lines = QApplication.clipboard().text().splitlines()
    names: dict[str, Any] = {"plane": dirty}
    exec("\n".join(["import dsfunet_core", *lines[3:]]), names)
    for reason in ("painted", "polygons"):
        np.testing.assert_array_equal(names["plane"].masks[reason], plane.masks[reason])


def test_real_strokes_of_the_mouse_paint(dock: MaskArtefacts, viewer: Any, qtbot: Any) -> None:
    dock.paint_button.click()
    labels = viewer.layers.selection.active
    viewer.reset_view()
    qtbot.wait(100)
    canvas = viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.waitUntil(lambda: bool(np.asarray(labels.data).any()), timeout=120_000)
    press(dock, dock.run_button, qtbot)
    out = latest(viewer).masks["painted"]
    row, column = np.argwhere(out).mean(axis=0)
    assert abs(row - 30) < 3
    assert abs(column - 36) < 3


def test_background_and_average_report_what_they_did(
    dock: MaskArtefacts, viewer: Any, dirty: ReciprocalPlane, qtbot: Any
) -> None:
    dock.form.set_value(MaskForm(hot_pixels=True, background="constant", laue_class="-1"))
    text = press(dock, dock.run_button, qtbot)
    assert "Background taken off" in text
    assert "R_int" in text
    plane = latest(viewer)
    assert plane.intensity[plane.valid].mean() < dirty.intensity[dirty.valid].mean() - 5


def test_errors_are_texts(dock: MaskArtefacts, viewer: Any, qtbot: Any) -> None:
    dock.form.set_value(MaskForm(bragg="radius", space_group="nonsense"))
    assert "nonsense" in press(dock, dock.run_button, qtbot)
    dock.form.set_value(MaskForm(bragg="radius", satellite="1 2"))
    assert "3 numbers" in press(dock, dock.preview_button, qtbot)
    assert len(viewer.layers) == 1
    # A failed preview leaves the button that applies what it is.
    dock.form.set_value(MaskForm(hot_pixels=True))
    press(dock, dock.run_button, qtbot)
    assert len(viewer.layers) == 2


def test_layers_that_go_away(dock: MaskArtefacts, viewer: Any, qtbot: Any) -> None:
    dock.form.set_value(MaskForm(hot_pixels=True))
    press(dock, dock.preview_button, qtbot)
    viewer.layers.remove(viewer.layers[0])
    assert overlay(viewer) is None
    assert not dock.reasons.isVisible()
    assert "There is no plane" in press(dock, dock.preview_button, qtbot)


def test_closing_the_dock_leaves_no_overlay(
    viewer: Any, dirty: ReciprocalPlane, qtbot: Any
) -> None:
    data, options, _ = plane_layer(dirty)
    viewer.add_image(data, **options)
    dock = MaskArtefacts(viewer)
    around = viewer.window.add_dock_widget(dock)
    dock.form.set_value(MaskForm(hot_pixels=True))
    press(dock, dock.preview_button, qtbot)
    viewer.window.remove_dock_widget(around)
    dock.deleteLater()
    qtbot.waitUntil(lambda: overlay(viewer) is None, timeout=120_000)


def test_painted_masks_survive_a_session(
    dock: MaskArtefacts,
    viewer: Any,
    make_napari_viewer: Callable[..., Any],
    tmp_path: Path,
    qtbot: Any,
) -> None:
    dock.paint_button.click()
    viewer.layers.selection.active.paint((40, 25), 1)
    press(dock, dock.preview_button, qtbot)
    assert save_session(viewer, tmp_path / "work.dsfunet") == []
    again = make_napari_viewer(show=True)
    other = MaskArtefacts(again)
    again.window.add_dock_widget(other)
    open_session(again, tmp_path / "work.dsfunet")
    assert [x.name for x in again.layers] == ["hk0", "hk0: painted"]
    # The preview comes back, too.
    qtbot.waitUntil(lambda: other.masked is not None and not other.running, timeout=120_000)
    assert "painted" in other.masked.masks
    press(other, other.run_button, qtbot)
    masked = next(core_object(x) for x in again.layers if x.name == "hk0 masked")
    assert masked.masks["painted"][25, 40]


def test_stretches_of_rows_are_the_mask() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((9, 11)) < 0.4
    np.testing.assert_array_equal(unrolled(runs(mask), mask.shape), mask)
    assert runs(np.zeros((3, 3), bool)) == []


def test_script_does_what_the_form_does(dirty: ReciprocalPlane) -> None:
    form = MaskForm(
        bragg="radius",
        radius=0.07,
        centring="C",
        satellite="0.5 0 0",
        hot_pixels=True,
        fill=True,
        background="radial",
        laue_class="-1",
    )
    by_hand = ByHand(np.eye(*dirty.shape, dtype=bool), [[[1, 1], [1, 9], [9, 1]]])
    expected, _ = form.finish(form.mask(dirty, by_hand), ["painted"])
    names: dict[str, Any] = {"plane": dirty}
    exec("\n".join(form.script(by_hand, ["painted"])), names)
    np.testing.assert_array_equal(names["plane"].valid, expected.valid)
    np.testing.assert_allclose(names["plane"].intensity, expected.intensity)


def test_a_plane_of_which_nothing_is_left_is_refused(dirty: ReciprocalPlane) -> None:
    form = MaskForm(bragg="radius", radius=5.0)
    with pytest.raises(ParameterError, match="leaves nothing"):
        form.finish(form.mask(dirty, ByHand()), [])
