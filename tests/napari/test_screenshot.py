"""What the screen shows of an oblique volume, measured on a screenshot."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
import pytest
from scipy.ndimage import center_of_mass, label

from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalVolume
from napari_dsfunet.layers import plane_layer, volume_layer

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)
#: Three spots on l = 0 that no lattice translation or mirror exchanges.
SPOTS = np.array([(0, 0, 0), (4, 1, 0), (-1, 3, 0)])


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 800)
    return viewer


def spotted() -> ReciprocalVolume:
    """Volume that is dark but for a few voxels around every spot."""
    n, step = 61, 0.2
    intensity = np.zeros((n, n, 5), np.float32)
    for spot in SPOTS:
        h, k = np.rint(spot[:2] / step).astype(int) + n // 2
        intensity[h - 1 : h + 2, k - 1 : k + 2, 2] = 1
    return ReciprocalVolume(
        intensity, CELL, np.array([-6.0, -6.0, -0.4]), np.diag([step] * 3), name="spotted"
    )


def centres_on_screen(viewer: Any, qtbot: Any) -> np.ndarray:
    viewer.reset_view()
    qtbot.wait(500)
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].max(axis=-1)
    blobs, n = label(picture > 100)
    sizes = np.bincount(blobs.ravel())[1:]
    largest = np.argsort(sizes)[-len(SPOTS) :] + 1
    assert n >= len(SPOTS), "the spots are not on the screen"
    return np.array(center_of_mass(blobs > 0, blobs, largest))


def sorted_sides(points: np.ndarray) -> np.ndarray:
    sides = [np.linalg.norm(points[i] - points[j]) for i, j in ((0, 1), (1, 2), (2, 0))]
    return np.sort(sides)


@pytest.mark.parametrize("what", ["volume", "plane"])
def test_oblique_geometry_is_true_on_the_screen(what: str, viewer: Any, qtbot: Any) -> None:
    from napari.layers import Layer

    volume = spotted()
    if what == "volume":
        data = volume_layer(volume)
    else:
        data = plane_layer(volume.section("hk0"))
    layer = Layer.create(*data)
    layer.contrast_limits = (0, 1)
    layer.colormap = "gray"
    viewer.add_layer(layer)
    if what == "volume":
        viewer.dims.set_current_step(0, 2)
    on_screen = sorted_sides(centres_on_screen(viewer, qtbot))
    in_q = sorted_sides(SPOTS @ q_matrix(CELL).T)
    # The triangle on the screen has the shape of the triangle in reciprocal space.
    np.testing.assert_allclose(on_screen / on_screen[-1], in_q / in_q[-1], atol=0.02)
    flat = sorted_sides(SPOTS.astype(float))
    assert np.abs(flat / flat[-1] - in_q / in_q[-1]).max() > 0.05
