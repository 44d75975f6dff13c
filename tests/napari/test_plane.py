"""The dock that cuts planes: presets, level, and where the plane runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from dsfunet_core import ReciprocalVolume, Section
from napari_dsfunet.forms import SliceForm
from napari_dsfunet.layers import MARK, core_object, object_layers
from napari_dsfunet.view import hkl_at
from napari_dsfunet.widgets.slice_plane import SlicePlane


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Any], triclinic: ReciprocalVolume) -> SlicePlane:
    viewer = make_napari_viewer(show=True)
    dock = SlicePlane(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_value(SliceForm(plane="hhl"))
    ((data, options, _),) = object_layers(triclinic, "'volume.npz'")
    viewer.add_image(data, **options)
    return dock


def outlines(dock: SlicePlane) -> list[Any]:
    return [x for x in dock.viewer.layers if x.metadata.get(MARK, {}).get("what") == "outline"]


def test_the_outline_is_the_plane_s_in_three_dimensions_and_on_slices(
    dock: SlicePlane, triclinic: ReciprocalVolume
) -> None:
    viewer, volume = dock.viewer, dock.viewer.layers[0]
    section = Section.parse("hhl")
    for ndisplay, order in ((2, (0, 1, 2)), (3, (0, 1, 2)), (2, (1, 0, 2)), (2, (2, 1, 0))):
        viewer.dims.ndisplay = ndisplay
        viewer.dims.order = order
        (outline,) = outlines(dock)
        np.testing.assert_array_equal(outline.affine.affine_matrix, volume.affine.affine_matrix)
        starts, sides = outline.data[:, 0], outline.data[:, 1]
        assert len(sides) == 1 if ndisplay == 2 else len(sides) > 3
        for corner in np.concatenate([starts, starts + sides]):
            # Half a voxel beyond the outermost centres there are no pixels to ask.
            inside = np.clip(corner, 0, np.array(volume.data.shape) - 1)
            hkl = hkl_at(volume, volume.data_to_world(inside))
            assert abs(hkl @ section.normal) < 0.25


def test_presets_and_level_write_the_notation(dock: SlicePlane, qtbot: Any) -> None:
    line = dock.form.editors["plane"]
    dock.presets.setCurrentText("hk0")
    dock.presets.activated.emit(1)
    assert line.text() == "hk0"
    assert dock.level.isVisible()
    assert dock.level.minimum() == pytest.approx(-0.6)
    dock.level.setValue(0.4)
    assert line.text() == "hk0.4"
    dock.level.setValue(-0.4)
    np.testing.assert_allclose(Section.parse(line.text()).origin, [0, 0, -0.4])
    qtbot.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert "12 × 10" in dock.message.text()
    plane = next(core_object(x) for x in dock.viewer.layers if "hk" in x.name)
    np.testing.assert_allclose(plane.origin[2], -0.4)
    line.setText("hhl")
    assert not dock.level.isVisible()
    line.setText("nonsense")
    assert not outlines(dock)


def test_one_outline_at_most_and_none_is_left_behind(dock: SlicePlane, qtbot: Any) -> None:
    viewer = dock.viewer
    viewer.layers.remove(outlines(dock)[0])
    dock.form.editors["plane"].setText("h0l")
    assert len(outlines(dock)) == 1
    dock.outlined.setChecked(False)
    assert not outlines(dock)
    dock.outlined.setChecked(True)
    viewer.layers.remove(viewer.layers[0])
    assert not outlines(dock)
