"""The dock for whole volumes: form without Qt, real clicks, cancel, sessions, files."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication
from volume_samples import ALPHA, CELL, triclinic

from dsfunet_core import ReciprocalVolume, read, write
from dsfunet_core.errors import CancelledError, GeometryError, ParameterError
from dsfunet_core.volume_factorization import (
    SimulatedVolume,
    VolumeFactorization,
    factorize_volume,
    read_volume_factorization,
    write_volume_factorization,
)
from napari_dsfunet.forms_volume import VolumeForm
from napari_dsfunet.layers import core_object, entry, object_layers
from napari_dsfunet.reader import read_file
from napari_dsfunet.session import open_session, save_session
from napari_dsfunet.view import read_out
from napari_dsfunet.volume_layers import VOLUME_ROLES, volume_result_layers
from napari_dsfunet.widgets import alpha_table
from napari_dsfunet.widgets.factorize_volume import FactorizeVolume
from napari_dsfunet.writer import WriteError, write_layer, write_layers

QUICK = VolumeForm(order=2, support=6.5)
NAMES = ["simulated", "simulated form factor", "simulated SRO", "simulated residual"]


@pytest.fixture(scope="module")
def made() -> SimulatedVolume:
    return triclinic(5.0)


@pytest.fixture(scope="module")
def result(made: SimulatedVolume) -> VolumeFactorization:
    return factorize_volume(made.volume, order=2, support=6.5)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Iterator[Any]:
    viewer = make_napari_viewer(show=True)
    yield viewer
    assert QThreadPool.globalInstance().activeThreadCount() == 0


def add_volume(viewer: Any, volume: ReciprocalVolume, source: str | None = None) -> Any:
    ((data, options, _),) = object_layers(volume, source)
    return viewer.add_image(data, **options)


def opened(viewer: Any) -> FactorizeVolume:
    dock = FactorizeVolume(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(QUICK)
    return dock


def press(dock: FactorizeVolume, qtbot: Any) -> str:
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    finish(dock, qtbot)
    return dock.message.text()


def finish(dock: FactorizeVolume, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)


# The form, without Qt.


def test_the_form_asks_for_what_the_core_takes() -> None:
    defaults = factorize_volume.__kwdefaults__
    arguments = VolumeForm().as_core_arguments()
    assert arguments == {name: defaults[name] for name in arguments}
    assert VolumeForm().excerpt_arguments() == {}
    for field in fields(VolumeForm):
        assert field.metadata["label"]
        assert len(field.metadata["tip"]) > 10


def test_the_script_does_what_the_form_does(made: SimulatedVolume) -> None:
    form = replace(QUICK, order=1, limit=2.5, every=2)
    names: dict[str, Any] = {"volume": made.volume}
    exec("\n".join(form.script()), names)
    expected = form.compute(made.volume)
    np.testing.assert_array_equal(names["result"].alpha, expected.alpha)
    assert names["result"].volume.shape == expected.volume.shape == (17, 17, 17)


def test_the_plan_reads_nothing_and_tells_voxels_parameters_and_memory(
    made: SimulatedVolume,
) -> None:
    class Unread:
        shape, dtype = made.volume.shape, np.dtype(np.float32)

        def __getitem__(self, key: Any) -> Any:
            raise AssertionError("was read")

    volume = replace(made.volume, intensity=Unread())
    plan = VolumeForm(order=2, limit=2.5).plan(volume)
    assert plan.shape == (34, 34, 34)
    assert plan.limits == pytest.approx((2.475,) * 3)
    assert len(plan.orbits) == 62
    assert plan.unknowns == 34**3 // 8
    text = plan.describe()
    assert "34 × 34 × 34 voxels with |h| ≤ 2.48" in text
    assert "62 parameters α" in text
    assert f"{plan.memory / 1e9:.1f} GB" in text
    # Fewer unknowns need less memory, and those that fit do.
    small = VolumeForm(order=2, limit=2.5, max_unknowns=500).plan(volume)
    assert small.memory < plan.memory
    fitting = replace(plan, unknowns=plan.unknowns_within(small.memory))
    assert 0 < fitting.unknowns <= 500
    assert fitting.memory <= small.memory
    assert plan.unknowns_within(1e6) == 0
    given = VolumeForm(order=2, support=6.5).plan(volume)
    found = VolumeForm(order=2, support=6.5).compute(made.volume).choices
    whole = VolumeForm(order=2, support=6.5).plan(made.volume)
    assert whole.unknowns == found["unknowns_form_factor"]
    assert "support of 6.5 Å" in given.describe()


@pytest.mark.parametrize(
    ("form", "step", "error", "text"),
    [
        (VolumeForm(), 1 / 50, ParameterError, r"300 × 300 × 300 .* one voxel in 2 along"),
        (VolumeForm(order=8), 0.2, GeometryError, "use order = 2, or reconstruct"),
        (VolumeForm(every=2), 0.1, GeometryError, "take more of its voxels"),
        (VolumeForm(order=2, support=200.0), 0.15, ParameterError, r"which reach \d+\.\d Å"),
        (VolumeForm(order=2, laue_class="mmm"), 0.15, GeometryError, "asks for"),
        (VolumeForm(order=2, limit=0.01), 0.15, GeometryError, "larger limit"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_mend(
    form: VolumeForm, step: float, error: type[Exception], text: str
) -> None:
    size = round(6 / step)
    volume = ReciprocalVolume(
        np.broadcast_to(np.float32(1), (size,) * 3),
        CELL,
        np.full(3, -step * (size - 1) / 2),
        step * np.eye(3),
    )
    with pytest.raises(error, match=text):
        form.plan(volume)


# Layers.


def test_layers_lie_on_the_volume_and_tell_hkl(
    made: SimulatedVolume, result: VolumeFactorization
) -> None:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_dsfunet.view import follow

    viewer = ViewerModel()
    follow(viewer)
    for data in (*object_layers(made.volume), *volume_result_layers(result)):
        viewer.add_layer(Layer.create(*data))
    assert [layer.name for layer in viewer.layers] == NAMES
    for ndisplay in (2, 3, 2):
        viewer.dims.ndisplay = ndisplay
        viewer.dims.set_current_step(0, 11)
        matrices = [layer.affine.affine_matrix for layer in viewer.layers]
        for matrix in matrices[1:]:
            np.testing.assert_allclose(matrix, matrices[0], atol=1e-12)
    index = (11, 3, 25)  # l, k, h as shown
    for layer in viewer.layers:
        text = read_out(layer, layer.data_to_world(index))
        h, k, ell = made.volume.hkl([25, 3, 11])
        assert f"({h:.3f}, {k:.3f}, {ell:.3f})" in text
    shown = [np.asarray(layer.data)[index] for layer in viewer.layers]
    product = shown[1] * shown[2]
    assert shown[1] == result.form_factor[25, 3, 11]
    if np.isfinite(shown[0]):
        assert shown[3] == pytest.approx(shown[0] - product, abs=1e-4)


# The dock.


def test_from_a_file_to_alpha_that_is_right(
    viewer: Any, qtbot: Any, made: SimulatedVolume, tmp_path: Path
) -> None:
    write(tmp_path / "crystal.h5", made.volume)
    for data, options, _ in read_file(str(tmp_path / "crystal.h5")):
        viewer.add_image(data, **options)
    dock = opened(viewer)
    dock.show_plan()
    assert "40 × 40 × 40 voxels" in dock.plan_label.text()
    assert "62 parameters" in dock.plan_label.text()
    text = press(dock, qtbot)
    # The sample's α go below S = 0, where the sample is cut off: no crystal has such.
    assert "not all product" in text
    assert "✗ lowest short-range order" in text
    assert "Passed: periodicity of the residual, range of the order, " in text
    assert "R = 0." in text
    assert "You gave this radius" in dock.chosen.text()
    assert [layer.name for layer in viewer.layers][1:] == [
        f"{viewer.layers[0].name} {what}" for what in ("form factor", "SRO", "residual")
    ]
    found = dock.result
    assert found is not None
    reach = 2
    true = made.alpha[tuple((found.vectors + reach).T)]
    error = found.alpha - true
    assert np.sqrt(np.mean(error**2)) < 3e-3
    assert 0.7 < np.sqrt(np.mean((error / found.sigma) ** 2)) < 1.4
    assert found[(1, -2, 1)] == pytest.approx(0.05, abs=4 * found.sigma_of((1, -2, 1)))

    # The table says the same, the shortest vector first, and sorts by numbers.
    assert dock.table.rowCount() == 62
    assert dock.table.item(0, alpha_table.VECTOR).text() == "(1,0,0)"
    shown = dock.table.item(0, alpha_table.ALPHA).text()
    assert float(shown.partition("(")[0]) == pytest.approx(0.2, abs=0.02)
    dock.table.sortByColumn(alpha_table.ALPHA, Qt.SortOrder.AscendingOrder)
    assert dock.table.item(0, alpha_table.VECTOR).text() == "(0,1,0)"
    axes = dock.plot.canvas.figure.axes[0]
    assert "distance" in axes.get_xlabel()

    # The copied script, run by itself, gives the same numbers.
    dock.copy_button.click()
    names: dict[str, Any] = {}
    exec(QApplication.clipboard().text(), names)
    np.testing.assert_allclose(names["result"].alpha, found.alpha, atol=1e-6)


def test_known_values_stand_beside_and_exports_come_back(
    viewer: Any, qtbot: Any, made: SimulatedVolume, result: VolumeFactorization, tmp_path: Path
) -> None:
    add_volume(viewer, made.volume)
    dock = opened(viewer)
    dock.export(str(tmp_path / "early.csv"))
    assert "no result to export" in dock.message.text()
    for data, options, _ in volume_result_layers(result):
        viewer.add_image(data, **options)
    # Choosing a layer of a result shows its parameters.
    viewer.layers.selection.active = viewer.layers["simulated SRO"]
    assert dock.result is result
    assert dock.table.isColumnHidden(alpha_table.KNOWN)
    rows = [f"{u},{v},{w},{a}" for (u, v, w), a in ALPHA.items()]
    (tmp_path / "known.csv").write_text("\n".join(["u,v,w,alpha", *rows]))
    dock.compare(str(tmp_path / "known.csv"))
    assert not dock.table.isColumnHidden(alpha_table.KNOWN)
    offs = [
        float(dock.table.item(row, alpha_table.OFF).text())
        for row in range(62)
        if dock.table.item(row, alpha_table.KNOWN).text()
    ]
    assert len(offs) == len(ALPHA)
    assert np.abs(offs).max() < 4
    for suffix in (".h5", ".csv", ".txt", ".png", ".pdf"):
        dock.export(str(tmp_path / f"out{suffix}"))
        assert "Written" in dock.message.text()
        assert (tmp_path / f"out{suffix}").stat().st_size > 500
    back = read_volume_factorization(tmp_path / "out.h5")
    np.testing.assert_array_equal(back.alpha, result.alpha)
    with (tmp_path / "out.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["sigma"]) for row in table] == result.sigma.tolist()
    assert "Correlations [" in (tmp_path / "out.txt").read_text()
    dock.export(str(tmp_path / "out.xyz"))
    assert "suffix" in dock.message.text()
    dock.compare(str(tmp_path / "out.txt"))
    assert "no parameters" in dock.message.text()
    dock.reset_button.click()
    assert dock.form.value() == VolumeForm()
    assert dock.table.isColumnHidden(alpha_table.KNOWN)


def test_cancel_stops_a_real_run_and_changes_nothing(viewer: Any, qtbot: Any) -> None:
    add_volume(viewer, triclinic(5.0, size=56).volume)
    dock = opened(viewer)
    dock.form.set_value(VolumeForm(order=3))
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    assert dock.run_button.text() == "Cancel"
    qtbot.waitUntil(lambda: "cycle" in dock.message.text(), timeout=120_000)
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    finish(dock, qtbot)
    assert "Cancelled; nothing was changed" in dock.message.text()
    assert dock.run_button.text() == "Factorize volume"
    assert [layer.name for layer in viewer.layers] == ["simulated"]
    assert dock.result is None


def test_the_volume_deleted_during_the_run(
    viewer: Any, qtbot: Any, made: SimulatedVolume
) -> None:
    layer = add_volume(viewer, made.volume)
    dock = opened(viewer)
    dock.form.set_value(replace(QUICK, order=1, support=5.0))
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    viewer.layers.remove(layer)
    finish(dock, qtbot)
    assert "removed meanwhile" in dock.message.text()
    assert [layer.name for layer in viewer.layers] == NAMES[1:]
    assert "no volume to factorize" in press(dock, qtbot)


def test_closing_the_window_ends_the_computation(
    viewer: Any, qtbot: Any, made: SimulatedVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()

    def compute(self: Any, volume: Any, callback: Any = None, cancel: Any = None) -> None:
        started.set()
        if not cancel.wait(20):
            raise AssertionError("was never cancelled")
        raise CancelledError("cancelled")

    monkeypatch.setattr(VolumeForm, "compute", compute)
    add_volume(viewer, made.volume)
    dock = FactorizeVolume(viewer)
    around = viewer.window.add_dock_widget(dock)
    dock.form.set_value(QUICK)
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(started.is_set)
    viewer.window.remove_dock_widget(around)
    dock.deleteLater()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=120_000)


def test_too_large_a_volume_is_refused_before_it_is_read(
    viewer: Any, qtbot: Any, made: SimulatedVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = np.broadcast_to(np.float32(1), (300, 300, 300))
    add_volume(viewer, replace(made.volume, intensity=large))
    dock = opened(viewer)
    assert "at most 16,777,216" in press(dock, qtbot)
    dock.show_plan()
    assert "one voxel in 2" in dock.plan_label.text()
    dock.form.set_value(VolumeForm(order=2, every=2))
    dock.show_plan()
    assert "150 × 150 × 150 voxels" in dock.plan_label.text()
    # A machine with less memory than that is told what would fit.
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=1.2e9))
    text = press(dock, qtbot)
    assert "this machine has 1.2 GB" in text
    assert "unknowns under Advanced" in text


def test_the_session_brings_maps_and_table_back(
    make_napari_viewer: Any,
    registered: Any,
    qtbot: Any,
    made: SimulatedVolume,
    result: VolumeFactorization,
    tmp_path: Path,
) -> None:
    viewer = make_napari_viewer(show=True)
    write(tmp_path / "crystal.h5", made.volume)
    for data, options, _ in read_file(str(tmp_path / "crystal.h5")):
        viewer.add_image(data, **options)
    for data, options, _ in volume_result_layers(result):
        viewer.add_image(data, **options)
    _, dock = viewer.window.add_plugin_dock_widget("napari-dsfunet", "Factorize volume")
    dock.form.set_value(QUICK)
    assert dock.result is result
    viewer.layers[1].visible = False
    assert save_session(viewer, tmp_path / "work.dsfunet") == []

    again = make_napari_viewer(show=True)
    open_session(again, tmp_path / "work.dsfunet")
    assert [x.name for x in again.layers] == [x.name for x in viewer.layers]
    for old, new in zip(viewer.layers, again.layers, strict=True):
        np.testing.assert_allclose(
            new.affine.affine_matrix, old.affine.affine_matrix, atol=1e-12
        )
        np.testing.assert_array_equal(np.asarray(new.data), np.asarray(old.data))
        assert new.visible == old.visible
    (back,) = again.window._qt_window.findChildren(FactorizeVolume)
    assert back.form.value() == QUICK
    np.testing.assert_array_equal(back.result.covariance, result.covariance)
    assert back.table.rowCount() == 62
    assert core_object(again.layers[1]) is core_object(again.layers[2]) is back.result


# Files.


def test_a_written_result_opens_as_volume_and_maps(
    result: VolumeFactorization, made: SimulatedVolume, tmp_path: Path
) -> None:
    path = tmp_path / "result.h5"
    write_volume_factorization(path, result)
    layers = read_file(str(path))
    assert [options["name"] for _, options, _ in layers] == NAMES
    assert [options["visible"] for _, options, _ in layers[1:]] == [False] * 3
    noted = layers[2][1]["metadata"]["dsfunet"]
    names: dict[str, Any] = {}
    exec("\n".join(["import dsfunet_core", *noted["script"]]), names)
    np.testing.assert_array_equal(names["result"].alpha, result.alpha)
    np.testing.assert_array_equal(np.asarray(layers[0][0]), made.volume.intensity.T)


def test_maps_are_saved_as_the_result_or_as_volumes(
    result: VolumeFactorization, tmp_path: Path
) -> None:
    layers = volume_result_layers(result)
    data, meta, _ = layers[1]
    write_layer(str(tmp_path / "all.h5"), data, meta)
    whole = read_volume_factorization(tmp_path / "all.h5")
    np.testing.assert_array_equal(whole.form_factor, result.form_factor)
    write_layer(str(tmp_path / "sro.npz"), data, meta)
    volume = read(tmp_path / "sro.npz")
    assert isinstance(volume, ReciprocalVolume)
    np.testing.assert_array_equal(np.asarray(volume.intensity[...]), result.sro_volume())
    np.testing.assert_allclose(volume.origin, result.volume.origin)
    write_layer(str(tmp_path / "ff.npy"), layers[0][0], layers[0][1])
    np.testing.assert_array_equal(np.load(tmp_path / "ff.npy"), result.form_factor)
    write_layers(str(tmp_path / "three.h5"), layers)
    np.testing.assert_array_equal(
        read_volume_factorization(tmp_path / "three.h5").alpha, result.alpha
    )
    other = volume_result_layers(replace(result, alpha=2 * result.alpha))
    with pytest.raises(WriteError, match="not the parts of one"):
        write_layers(str(tmp_path / "mixed.h5"), [layers[0], other[1]])


def test_docks_for_planes_leave_the_maps_alone(
    viewer: Any, result: VolumeFactorization
) -> None:
    from napari_dsfunet.widgets.factorize import Factorize
    from napari_dsfunet.widgets.rotation_scan import RotationScan
    from napari_dsfunet.widgets.sro_fit import SroFit
    from napari_dsfunet.widgets.unit_cell import UnitCell

    for data, options, _ in volume_result_layers(result):
        viewer.add_image(data, **options)
    assert {entry(layer)["role"] for layer in viewer.layers} == set(VOLUME_ROLES)
    for kind in (Factorize, SroFit, UnitCell, RotationScan, FactorizeVolume):
        dock = kind(viewer)
        viewer.window.add_dock_widget(dock)
        assert all(choice.layer() is None for choice in dock._choices.values())
