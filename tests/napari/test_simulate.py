"""The dock that simulates: its form without Qt, its live preview, its layers and script."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QApplication, QScrollArea, QSlider

from dsfunet_core import Factorization, ReciprocalPlane
from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate import alpha_box, check_realisable
from dsfunet_core.simulate.order_check import check_order
from napari_dsfunet.forms_simulate import SimulateForm
from napari_dsfunet.layers import core_object, entry
from napari_dsfunet.widgets.simulate import Simulate

PAIR = """\
data_pair
_cell_length_a 6.1
_cell_length_b 7.3
_cell_length_c 8.9
_cell_angle_alpha 78
_cell_angle_beta 97
_cell_angle_gamma 112
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_disorder_group
C1 C 0.40 0.40 0.40 .
O1 O 0.55 0.45 0.40 1
N2 N 0.40 0.58 0.44 2
"""


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    viewer = make_napari_viewer(show=True)
    yield viewer
    QThreadPool.globalInstance().waitForDone(5000)
    assert QThreadPool.globalInstance().activeThreadCount() == 0


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> Simulate:
    dock = Simulate(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.shown is not None and not dock.previewing, timeout=120_000)
    return dock


def settled(dock: Simulate, qtbot: Any) -> None:
    """Wait until the preview is the form's."""
    qtbot.wait(120)
    qtbot.waitUntil(lambda: not dock.previewing, timeout=120_000)


@pytest.mark.parametrize(
    "form",
    [
        SimulateForm(),
        SimulateForm(order="monte carlo", alpha_c=-0.1, plane="h0l", counts=0.0),
        SimulateForm(order="oscillator", system="hexagonal", detector="", bragg=2.0),
        SimulateForm(order="none", mol_b="vacancy", plane="hhl", radiation="neutron"),
        SimulateForm(mol_b="toluene", turn=60.0, cell="7 8 9 80 95 103", plane="hk0.5"),
    ],
    ids=["neighbours", "monte carlo", "oscillator", "vacancy", "triclinic"],
)
def test_the_script_simulates_the_same(form: SimulateForm) -> None:
    names: dict[str, Any] = {}
    exec("\n".join(form.script()), names)
    plane, expected = names["simulated"].plane, form.compute().plane
    np.testing.assert_array_equal(plane.intensity, expected.intensity)
    np.testing.assert_array_equal(plane.valid, expected.valid)
    assert plane.name == expected.name


def test_a_preview_is_the_plane_with_fewer_pixels() -> None:
    form = SimulateForm(counts=0.0, detector="")
    few, many = form.compute(64), form.compute(256)
    np.testing.assert_allclose(few.form_factor, many.form_factor[::4, ::4], rtol=1e-9)
    np.testing.assert_allclose(few.sro, many.sro[::4, ::4], rtol=1e-9)


def test_the_order_is_the_one_of_the_sliders() -> None:
    alpha = SimulateForm(alpha_a=-0.2, alpha_b=0.1, alpha_c=0.15).crystal().alpha
    assert (alpha[6, 5, 5], alpha[5, 6, 5], alpha[5, 5, 6]) == (-0.2, 0.1, 0.15)
    drawn = SimulateForm(order="monte carlo", alpha_a=-0.4, alpha_b=0.3).crystal().alpha
    assert (drawn[6, 5, 5], drawn[5, 6, 5]) == pytest.approx((-0.4, 0.3), abs=0.02)


@pytest.mark.parametrize(
    ("alpha", "concentration"),
    [({(1, 0, 0): -0.7, (0, 1, 0): 0.15}, 0.5), ({(1, 0, 0): -0.3}, 0.1)],
)
def test_the_factor_that_is_told_mends_the_order(
    alpha: dict[tuple[int, int, int], float], concentration: float
) -> None:
    with pytest.raises(ParameterError, match="Mend it") as caught:
        check_order(alpha_box(alpha), concentration)
    factor = float(str(caught.value).split("Mend it: ")[1].split(" ")[0])
    assert 0.3 < factor < 1
    mended = alpha_box({v: factor * x for v, x in alpha.items()})
    check_order(mended, concentration)
    check_realisable(mended)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (SimulateForm(mol_b="tolune"), "did you mean toluene"),
        (SimulateForm(mol_b="toluene"), "turn B"),
        (SimulateForm(mol_b="gone.cif"), "gone.cif"),
        (SimulateForm(plane="hx0"), "hk0.5"),
        (SimulateForm(cell="7 8 9"), "6 numbers"),
        (SimulateForm(cell="7 8 9 10 20 170"), "with a volume"),
        (SimulateForm(order="oscillator"), "tetragonal, hexagonal or cubic"),
        (SimulateForm(order="monte carlo", alpha_a=-0.9, concentration=0.2), "-0.250 to 1"),
        (SimulateForm(q_max=0.5, plane="hk9"), "sees nothing"),
    ],
)
def test_what_cannot_be_is_explained(form: SimulateForm, text: str) -> None:
    with pytest.raises((ValueError, OSError), match=text):
        form.compute(64)


def test_two_parts_of_one_cif_are_a_and_b(tmp_path: Path) -> None:
    path = tmp_path / "pair.cif"
    path.write_text(PAIR)
    form = SimulateForm(mol_a=str(path), mol_b=str(path))
    crystal = form.crystal()
    assert "O" in crystal.mol_a.elements
    assert "N" not in crystal.mol_a.elements
    assert "N" in crystal.mol_b.elements
    assert crystal.cell.parameters == pytest.approx((6.1, 7.3, 8.9, 78, 97, 112))
    names: dict[str, Any] = {}
    exec("\n".join(form.script()), names)
    np.testing.assert_array_equal(
        names["simulated"].plane.intensity, form.compute().plane.intensity
    )


def test_the_plane_follows_the_slider(dock: Simulate, qtbot: Any) -> None:
    before = dock.shown
    slider = dock.form.editors["alpha_a"]
    bar = slider.findChild(QSlider)
    width, height = bar.width(), bar.height()

    def at(value: float) -> QPoint:
        return QPoint(round((value + 1) / 2 * width), height // 2)

    dock.findChild(QScrollArea).ensureWidgetVisible(bar)
    qtbot.mousePress(bar, Qt.MouseButton.LeftButton, pos=at(-0.25))
    for value in (-0.2, -0.1, 0.0, 0.1):
        qtbot.mouseMove(bar, at(value))
    qtbot.mouseRelease(bar, Qt.MouseButton.LeftButton, pos=at(0.1))
    settled(dock, qtbot)
    value = dock.form.value().alpha_a
    assert value == pytest.approx(0.1, abs=0.08)
    assert dock.shown is not before
    assert dock.shown.crystal.alpha[6, 5, 5] == pytest.approx(value)
    drawn = dock.maps.moving[2].get_array()
    np.testing.assert_allclose(drawn, dock.shown.sro)
    assert "50% A" in dock.about.text()
    assert "20 counts a pixel" in dock.about.text()


def test_of_many_changes_the_last_one_is_shown(dock: Simulate, qtbot: Any) -> None:
    for value in np.linspace(-0.2, 0.2, 21):
        dock.form.editors["alpha_a"].setValue(float(value))
        QApplication.processEvents()
    settled(dock, qtbot)
    assert dock.shown.crystal.alpha[6, 5, 5] == pytest.approx(0.2)


def test_an_impossible_order_is_told_and_mended(dock: Simulate, qtbot: Any) -> None:
    dock.form.editors["alpha_a"].setValue(-0.7)
    settled(dock, qtbot)
    assert "No crystal has these α" in dock.about.text()
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert "No crystal has these α" in dock.message.text()
    assert not dock.viewer.layers
    order: Any = dock.form.editors["order"]
    order.setCurrentIndex(order.findData("monte carlo"))
    settled(dock, qtbot)
    assert "measured" in dock.about.text()
    order.setCurrentIndex(order.findData("oscillator"))
    assert not dock.form.lines.isRowVisible(dock.form.editors["alpha_a"])
    assert dock.form.lines.isRowVisible(dock.form.editors["decay"])


def test_the_plane_comes_with_its_truth_and_a_script(dock: Simulate, qtbot: Any) -> None:
    dock.form.set_value(SimulateForm(size=96))
    for _ in range(2):
        qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    viewer = dock.viewer
    assert [x.name for x in viewer.layers][:3] == [
        "hk0 simulated true SRO",
        "hk0 simulated true form factor",
        "hk0 simulated",
    ]
    assert len(viewer.layers) == 6
    sro, form_factor, plane = list(viewer.layers)[:3]
    assert isinstance(core_object(sro), Factorization)
    assert isinstance(core_object(plane), ReciprocalPlane)
    assert [x.visible for x in (sro, form_factor, plane)] == [False, False, True]
    assert entry(plane)["truth"]["order"].startswith("α along a = -0.25")
    shown = form_factor.data * sro.data
    scatter = (plane.data - shown)[np.isfinite(plane.data)]
    assert abs(scatter.mean()) < 0.2  # counts round the product
    qtbot.mouseClick(dock.copy_button, Qt.MouseButton.LeftButton)
    names: dict[str, Any] = {}
    exec(QApplication.clipboard().text(), names)
    np.testing.assert_array_equal(names["plane"].intensity, core_object(plane).intensity)


def test_molecules_are_offered_and_files_chosen(
    dock: Simulate, tmp_path: Path, qtbot: Any
) -> None:
    box: Any = dock.form.editors["mol_a"]
    assert box.count() > 60
    assert "medium" in box.itemText(box.findData("toluene"))
    path = tmp_path / "water.xyz"
    path.write_text("3\nwater\nO 10 0 0\nH 10.76 0.59 0\nH 9.24 0.59 0\n")
    dock.set_molecule("mol_a", str(path))
    settled(dock, qtbot)
    assert dock.shown.crystal.mol_a.elements == ("O", "H", "H")
    dock.set_molecule("mol_b", str(tmp_path / "gone.xyz"))
    settled(dock, qtbot)
    assert "gone.xyz" in dock.about.text()
    dock.set_molecule("mol_b", "vacancy")
    settled(dock, qtbot)
    assert dock.shown.crystal.mol_b.elements == ()


def test_state_and_reset(dock: Simulate, viewer: Any, qtbot: Any) -> None:
    dock.form.set_value(SimulateForm(alpha_a=-0.1, mol_a="benzene", order="monte carlo"))
    settled(dock, qtbot)
    again = Simulate(viewer)
    again.restore_state(json.loads(json.dumps(dock.state())))
    assert again.form.value() == dock.form.value()
    dock.reset()
    settled(dock, qtbot)
    assert dock.form.value() == SimulateForm()


def test_closing_in_the_middle_leaves_no_thread(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    compute = SimulateForm.compute

    def slow(self: SimulateForm, size: int | None = None) -> Any:
        time.sleep(0.2)
        return compute(self, size)

    monkeypatch.setattr(SimulateForm, "compute", slow)
    dock = Simulate(viewer)
    around = viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.previewing, timeout=120_000)
    dock.form.editors["alpha_a"].setValue(0.1)
    dock.run_button.click()
    viewer.window.remove_dock_widget(around)
    qtbot.wait(600)
