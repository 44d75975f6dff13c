"""A session puts everything back on the screen."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from dsfunet_core import Factorization, ReciprocalPlane, ReciprocalVolume, factorize, project
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.numpy import write_npz
from napari_dsfunet.forms_mask import MaskForm
from napari_dsfunet.forms_order import SroFitForm, UnitCellForm
from napari_dsfunet.layers import cell_layer, core_object, factorization_layers, plane_layer
from napari_dsfunet.reader import get_reader, read_file
from napari_dsfunet.session import open_session, save_session
from napari_dsfunet.view import follow
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.widgets.session_dock import Session
from napari_dsfunet.widgets.sro_fit import SroFit


@pytest.fixture(scope="module")
def result(module_plane: ReciprocalPlane) -> Factorization:
    return factorize(module_plane, support=4.0, order=2)


@pytest.fixture
def make_viewer(make_napari_viewer: Callable[..., Any], registered: Any) -> Callable[[], Any]:
    return lambda: make_napari_viewer(show=True)


def fill(viewer: Any, result: Factorization) -> None:
    follow(viewer)
    plane = plane_layer(result.plane, ("plane = dsfunet_core.read('hk1.npz')",))
    cell = cell_layer(project(result, bins=(22, 22)), ("cell = …",))
    script = ("result = …",)
    for data, options, _ in (plane, *factorization_layers(result, script), cell):
        viewer.add_image(data, **options)
    viewer.add_labels(
        np.arange(12).reshape(3, 4) % 3, name="painted", affine=np.diag([2, 3, 1])
    )
    viewer.add_shapes(
        [np.array([[0, 0], [0, 2], [1, 1.0]])], shape_type="polygon", name="an arc"
    )


def test_layers_come_back_with_their_objects_and_looks(
    make_viewer: Any, result: Factorization, tmp_path: Path
) -> None:
    viewer = make_viewer()
    fill(viewer, result)
    viewer.layers["hk1 SRO"].contrast_limits = (0.2, 1.7)
    viewer.layers["hk1 product"].visible = False
    viewer.layers["hk1 SRO"].name_overlay.visible = True
    viewer.layers["hk1 residual"].name = "what is left"
    viewer.layers.selection.active = viewer.layers["hk1 SRO"]
    viewer.scene.camera.zoom = 123.0
    assert save_session(viewer, tmp_path / "work") == []
    path = tmp_path / "work.dsfunet"
    assert [p.name for p in tmp_path.iterdir()] == ["work.dsfunet"]

    again = make_viewer()
    open_session(again, path)
    assert [x.name for x in again.layers] == [x.name for x in viewer.layers]
    for old, new in zip(viewer.layers, again.layers, strict=True):
        np.testing.assert_allclose(
            new.affine.affine_matrix, old.affine.affine_matrix, atol=1e-12
        )
        assert new.visible == old.visible
        assert new.name_overlay.visible == old.name_overlay.visible
        if hasattr(old, "contrast_limits"):
            np.testing.assert_allclose(new.contrast_limits, old.contrast_limits)
            assert new.colormap.name == old.colormap.name
        shown = core_object(old)
        if isinstance(shown, Factorization):
            np.testing.assert_array_equal(core_object(new).sro, result.sro)
        np.testing.assert_array_equal(new.data, old.data)
    maps = [core_object(x) for x in again.layers if isinstance(core_object(x), Factorization)]
    assert all(x is maps[0] for x in maps)
    assert again.layers.selection.active.name == "hk1 SRO"
    assert again.scene.camera.zoom == pytest.approx(123)
    assert again.layers["an arc"].shape_type == ["polygon"]


def test_docks_come_back_and_the_fit_with_them(
    make_viewer: Any, result: Factorization, tmp_path: Path, qtbot: Any
) -> None:
    viewer = make_viewer()
    fill(viewer, result)
    _, dock = viewer.window.add_plugin_dock_widget("napari-dsfunet", "SRO fit")
    dock.results.choose(viewer.layers["hk1 SRO"])
    dock.form.set_value(SroFitForm(shells=2))
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running and dock.fit is not None, timeout=120_000)
    dock.table.hold(dock.problem.index((1, 0, 0)), 0.3)
    save_session(viewer, tmp_path / "fit.dsfunet")

    again = make_viewer()
    reader = get_reader(str(tmp_path / "fit.dsfunet"))
    assert reader is read_file
    open_session(again, tmp_path / "fit.dsfunet")
    (back,) = again.window._qt_window.findChildren(SroFit)
    qtbot.waitUntil(lambda: not back.running and back.fit is not None, timeout=120_000)
    assert back.form.value() == SroFitForm(shells=2)
    assert back.results.layer() is again.layers["hk1 SRO"]
    np.testing.assert_allclose(back.fit.alpha, dock.fit.alpha)
    assert back.fit.fixed.tolist() == dock.fit.fixed.tolist()


def test_docks_come_back_with_what_they_said(
    make_viewer: Any, result: Factorization, tmp_path: Path, qtbot: Any
) -> None:
    viewer = make_viewer()
    fill(viewer, result)
    docks = {
        title: viewer.window.add_plugin_dock_widget("napari-dsfunet", title, tabify=True)
        for title in ("Factorize", "Unit cell", "Mask artefacts")
    }
    factorize, cell, mask = (dock for _, dock in docks.values())
    factorize.message.setText("<b>✓ Nothing speaks against the product.</b>")
    factorize._added = list(viewer.layers)[1:5]
    factorize.plane_text.setText("hk3")
    factorize.tile.setChecked(False)
    cell.form.set_value(UnitCellForm(bins=22))
    cell.sources.choose(viewer.layers["hk1 SRO"])
    cell.shown.setCurrentIndex(1)
    mask.form.set_value(MaskForm(bragg="radius", radius=0.1, hot_pixels=True))
    for dock, button in ((cell, cell.run_button), (mask, mask.preview_button)):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda dock=dock: not dock.running, timeout=120_000)
    mask.reasons.item(0).setCheckState(Qt.CheckState.Unchecked)
    docks["Factorize"][0].raise_()
    qtbot.waitUntil(lambda: not factorize.visibleRegion().isEmpty())
    save_session(viewer, tmp_path / "work.dsfunet")

    # Beside layers of the same names: what comes back is chosen, not what was there.
    again = make_viewer()
    fill(again, result)
    before = list(again.layers)
    open_session(again, tmp_path / "work.dsfunet")
    found = {d.title: d for d in again.window._qt_window.findChildren(Dock)}
    assert set(found) == set(docks)
    back = found["Factorize"]
    assert back.message.text() == factorize.message.text()
    assert (back.plane_text.text(), back.tile.isChecked()) == ("hk3", False)
    assert not back.save_button.isHidden()
    assert [x.name for x in back._added] == [f"{x.name} [1]" for x in factorize._added]
    assert back.sources.layer() not in before
    qtbot.waitUntil(lambda: not back.visibleRegion().isEmpty())
    folded = found["Unit cell"]
    qtbot.waitUntil(lambda: folded.map is not None, timeout=120_000)
    np.testing.assert_array_equal(folded.map.values, cell.map.values)
    assert folded.shown.currentIndex() == 1
    masked = found["Mask artefacts"]
    qtbot.waitUntil(lambda: not masked.running and masked.masked is not None, timeout=120_000)
    assert masked.taken_back() == mask.taken_back() != []


def test_the_dock_says_how_to_open_it_in_a_script(
    make_viewer: Any, small_plane: ReciprocalPlane, tmp_path: Path, qtbot: Any
) -> None:
    viewer = make_viewer()
    data, options, _ = plane_layer(small_plane)
    viewer.add_image(data, **options)
    dock = Session(viewer)
    viewer.window.add_dock_widget(dock)
    assert not dock.copy_button.isEnabled()
    dock.save(str(tmp_path / "work.dsfunet"))
    qtbot.mouseClick(dock.copy_button, Qt.MouseButton.LeftButton)
    script = QApplication.clipboard().text()
    names: dict[str, Any] = {"viewer": make_viewer()}
    exec("\n".join(x for x in script.splitlines() if "open_session" in x), names)
    assert [x.name for x in names["viewer"].layers] == ["hk1"]


def test_volumes_stay_in_their_files(
    make_viewer: Any, triclinic: ReciprocalVolume, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write_npz(home / "volume.npz", triclinic)
    viewer = make_viewer()
    ((data, options, _),) = read_file(str(home / "volume.npz"))
    viewer.add_image(data, **options)
    viewer.dims.set_current_step(0, 2)
    save_session(viewer, home / "work.dsfunet")
    with zipfile.ZipFile(home / "work.dsfunet") as archive:
        assert archive.namelist() == ["session.json"]
    # The folder moves, and the session still finds what lies beside it.
    moved = home.rename(tmp_path / "elsewhere")
    again = make_viewer()
    open_session(again, moved / "work.dsfunet")
    np.testing.assert_array_equal(np.asarray(again.layers[0].data), np.asarray(data))
    assert again.dims.current_step[0] == 2
    (moved / "volume.npz").unlink()
    with pytest.raises(FileFormatError, match=r"volume\.npz, which is gone"):
        open_session(again, moved / "work.dsfunet")
    assert len(again.layers) == 1


def test_nothing_is_lost_or_half_written(
    make_viewer: Any, small_plane: ReciprocalPlane, tmp_path: Path
) -> None:
    viewer = make_viewer()
    data, options, _ = plane_layer(small_plane)
    viewer.add_image(data, **options)
    path = tmp_path / "work.dsfunet"
    save_session(viewer, path)
    before = path.read_bytes()
    with pytest.raises(ParameterError, match="exists"):
        save_session(viewer, path)
    assert path.read_bytes() == before
    dock = Session(viewer)
    viewer.window.add_dock_widget(dock)
    dock.save(str(tmp_path / "missing" / "work.dsfunet"))
    assert "Nothing was written" in dock.message.text()
    dock.save(str(path))
    assert str(path) in dock.message.text()
    dock.open(str(tmp_path / "gone.dsfunet"))
    assert "Nothing was opened" in dock.message.text()
    dock.open(str(path))
    assert [x.name for x in viewer.layers] == ["hk1", "hk1 [1]"]


@pytest.mark.parametrize("content", ["{}", "[]", "nonsense", '{"format": "dsfunet session"}'])
def test_damaged_sessions_are_explained(make_viewer: Any, content: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.dsfunet"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("session.json", content)
    viewer = make_viewer()
    with pytest.raises(FileFormatError, match=r"bad\.dsfunet"):
        open_session(viewer, path)
    assert not len(viewer.layers)


def test_a_newer_session_says_so(make_viewer: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.dsfunet"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "session.json", json.dumps({"format": "dsfunet session", "version": 99})
        )
    with pytest.raises(FileFormatError, match="newer version"):
        open_session(make_viewer(), path)
