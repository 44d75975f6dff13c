"""The dock for files that leave something open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_dsfunet.forms import OpenForm
from napari_dsfunet.layers import core_object
from napari_dsfunet.widgets.open_file import OpenFile

FULL = OpenForm(
    cell="5,6,7 80 95 105", section="hk1", axes="kh", limits="2 −2 -4 4", dataset="/b"
)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    path = tmp_path / "several.h5"
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as h5:
        h5["a"], h5["b"] = rng.random((7, 7)), rng.random((5, 9))
    return path


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Any]) -> OpenFile:
    viewer = make_napari_viewer(show=True)
    dock = OpenFile(viewer)
    viewer.window.add_dock_widget(dock)
    return dock


def press(dock: OpenFile, qtbot: Any) -> str:
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    return dock.message.text()


def test_arrays_get_their_place(dock: OpenFile, several: Path, qtbot: Any) -> None:
    dock.form.set_value(FULL.__class__(**{**FULL.__dict__, "path": str(several)}))
    assert "Opened" in press(dock, qtbot)
    plane = core_object(dock.viewer.layers[0])
    assert plane.shape == (5, 9)
    np.testing.assert_allclose(plane.hkl(0, 8), [4, 2, 1])
    assert plane.cell.parameters == (5, 6, 7, 80, 95, 105)
    dock.copy_button.click()
    names: dict[str, Any] = {}
    exec(QApplication.clipboard().text(), names)
    np.testing.assert_array_equal(names["data"].intensity, plane.intensity)
    np.testing.assert_array_equal(names["data"].steps, plane.steps)


def test_datasets_are_offered_and_asked_for(dock: OpenFile, several: Path, qtbot: Any) -> None:
    dock.form.set_value(OpenForm(path=str(several)))
    assert "/a" in press(dock, qtbot)  # several arrays, and nobody is asked on a thread
    assert not len(dock.viewer.layers)
    box = dock.form.editors["dataset"]
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    box.hidePopup()
    assert [box.itemData(i) for i in range(box.count())] == ["", "/a", "/b"]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"cell": "5 6 7"}, "6 numbers"),
        ({"limits": "1 2 x 4"}, "4 or 6 numbers"),
        ({"path": ""}, "No file is named"),
        ({"path": "/nowhere/x.h5"}, "x.h5"),
    ],
)
def test_errors_are_texts(
    dock: OpenFile, several: Path, qtbot: Any, changed: dict[str, str], word: str
) -> None:
    dock.form.set_value(OpenForm(**{**FULL.__dict__, "path": str(several), **changed}))
    assert word in press(dock, qtbot)
    assert not len(dock.viewer.layers)
