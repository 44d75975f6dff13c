"""Layers stand at the true place in reciprocal space, whatever the viewer shows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from dsfunet_core import ReciprocalPlane, ReciprocalVolume
from dsfunet_core.lattice import q_matrix
from napari_dsfunet.layers import core_object, entry, plane_layer, volume_layer
from napari_dsfunet.lazy import LazyVolume
from napari_dsfunet.view import Follower, follow, hkl_at, read_out

ORDERS = list(itertools.permutations(range(3)))


def shown_in(viewer: ViewerModel, volume: ReciprocalVolume) -> Layer:
    follow(viewer)
    return viewer.add_layer(Layer.create(*volume_layer(volume)))


def index_in_array(layer: Layer, index: np.ndarray) -> np.ndarray:
    """Index of the core's array from that of the layer."""
    unordered = np.empty(index.shape)
    unordered[..., list(entry(layer)["axes"])] = index
    return unordered


def q_of(volume: ReciprocalVolume, index: np.ndarray) -> np.ndarray:
    return volume.hkl(index) @ q_matrix(volume.cell).T


@pytest.mark.parametrize("order", ORDERS)
def test_distances_and_angles_in_the_view_are_those_of_q(
    triclinic: ReciprocalVolume, order: tuple[int, int, int]
) -> None:
    viewer = ViewerModel()
    layer = shown_in(viewer, triclinic)
    viewer.dims.order = order
    sliced, *displayed = order
    for step in (0, 3, layer.data.shape[sliced] - 1):
        viewer.dims.set_current_step(sliced, step)
        index = np.full((40, 3), float(step))
        rng = np.random.default_rng(1)
        for axis in displayed:
            index[:, axis] = rng.uniform(0, layer.data.shape[axis] - 1, 40)
        world = np.array([layer.data_to_world(i) for i in index])[:, displayed]
        q = q_of(triclinic, index_in_array(layer, index))
        # Equal distances between all pairs of points: equal angles too.
        apart = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (world, q)]
        np.testing.assert_allclose(*apart, atol=1e-9)
        # Measured from the foot of Q = 0, so that |Q| is right as well.
        height = np.unique((np.linalg.norm(q, axis=1) ** 2 - (world**2).sum(1)).round(9))
        assert len(height) == 1


@pytest.mark.parametrize("order", ORDERS)
def test_the_slice_drawn_is_that_of_the_slider(
    triclinic: ReciprocalVolume, order: tuple[int, int, int]
) -> None:
    viewer = ViewerModel()
    layer = shown_in(viewer, triclinic)
    viewer.dims.order = order
    for step in (1, 4):
        viewer.dims.set_current_step(order[0], step)
        assert viewer.dims.current_step[order[0]] == step
        drawn = np.asarray(layer._slice.image.raw)
        taken = np.take(np.asarray(layer.data), step, axis=order[0])
        expected = taken if order[1] < order[2] else taken.T
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("order", ORDERS)
def test_hkl_under_the_cursor(triclinic: ReciprocalVolume, order: tuple[int, int, int]) -> None:
    viewer = ViewerModel()
    layer = shown_in(viewer, triclinic)
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 2)
    index = np.array([3.0, 4.0, 5.0])
    index[order[0]] = 2
    position = layer.data_to_world(index)
    expected = triclinic.hkl(index_in_array(layer, index))
    np.testing.assert_allclose(hkl_at(layer, position), expected, atol=1e-9)
    q = np.linalg.norm(q_matrix(triclinic.cell) @ expected)
    assert f"|Q| = {q:.3f} Å⁻¹" in read_out(layer, position)
    # Follows the mouse in a corner of the canvas.
    viewer.cursor.position = position
    follow(viewer).mouse_moved(viewer)
    overlay = viewer.canvas.overlays.text
    assert overlay.visible
    assert overlay.text.startswith("hkl = (")
    # Nor does it stay where nothing is under the cursor any more.
    viewer.dims.ndisplay = 3
    assert not overlay.visible
    viewer.dims.ndisplay = 2
    viewer.cursor.position = position
    follow(viewer).mouse_moved(viewer)
    assert overlay.visible
    viewer.cursor.position = (100, 100, 100)
    follow(viewer).mouse_moved(viewer)
    assert not overlay.visible
    overlay.text = "somebody's own"
    viewer.cursor.position = position
    follow(viewer).mouse_moved(viewer)
    assert overlay.text == "somebody's own"


def test_in_three_dimensions_everything_is_true(triclinic: ReciprocalVolume) -> None:
    viewer = ViewerModel()
    layer = shown_in(viewer, triclinic)
    viewer.dims.ndisplay = 3
    index = np.random.default_rng(2).uniform(0, 6, (30, 3))
    world = np.array([layer.data_to_world(i) for i in index])
    q = q_of(triclinic, index_in_array(layer, index))
    apart = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (world, q)]
    np.testing.assert_allclose(*apart, atol=1e-9)
    viewer.dims.ndisplay = 2
    assert np.count_nonzero(layer.affine.affine_matrix[1:3, 0]) == 0


@pytest.mark.parametrize("text", ["hk0", "h0l", "0kl", "hhl"])
@pytest.mark.parametrize("grid", ["native", "cartesian"])
def test_planes_stand_at_their_q(triclinic: ReciprocalVolume, text: str, grid: str) -> None:
    plane = triclinic.section(text, grid=grid, size=24)
    layer = Layer.create(*plane_layer(plane))
    rng = np.random.default_rng(3)
    row, column = (rng.uniform(0, n - 1, 30) for n in plane.shape)
    pixels = zip(column, row, strict=True)
    world = np.array([layer.data_to_world(pixel) for pixel in pixels])
    q = plane.hkl(row, column) @ q_matrix(plane.cell).T
    apart = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (world, q)]
    np.testing.assert_allclose(*apart, atol=1e-9)
    np.testing.assert_allclose(hkl_at(layer, world[0]), plane.hkl(row[0], column[0]))
    assert layer.units == Image(np.zeros((2, 2)), units=("1/angstrom",) * 2).units


def test_volume_and_its_plane_lie_on_each_other(triclinic: ReciprocalVolume) -> None:
    viewer = ViewerModel()
    volume = shown_in(viewer, triclinic)
    plane = viewer.add_layer(Layer.create(*plane_layer(triclinic.section("hk0"))))
    viewer.dims.set_current_step(0, 3)
    above, below = (layer.affine.affine_matrix for layer in (plane, volume))
    np.testing.assert_allclose(above[:2, :2], below[1:3, 1:3], atol=1e-12)
    np.testing.assert_allclose(above[:2, 2], below[1:3, 3], atol=1e-9)


def test_slider_runs_along_the_thin_axis_and_starts_at_data(
    triclinic: ReciprocalVolume,
) -> None:
    values = np.full((3, 40, 30), np.nan, np.float32)
    values[2] = 1
    volume = replace(triclinic, intensity=values)
    viewer = ViewerModel()
    layer = shown_in(viewer, volume)
    assert layer.data.shape == (3, 30, 40)
    assert layer.axis_labels == ("h", "l", "k")
    assert viewer.dims.current_step[0] == 2


def test_volumes_stay_lazy(triclinic: ReciprocalVolume) -> None:
    layer = Layer.create(*volume_layer(triclinic))
    assert isinstance(layer.data, LazyVolume)
    assert core_object(layer) is triclinic
    assert layer.axis_labels == ("l", "k", "h")


def test_masked_and_unmeasured_voxels_are_not_shown(triclinic: ReciprocalVolume) -> None:
    counts = np.ones(triclinic.shape, int)
    counts[0, 0, 0] = 0
    mask = np.zeros(triclinic.shape, bool)
    mask[1, 0, 0] = True
    data, _, _ = volume_layer(replace(triclinic, counts=counts, mask=mask))
    values = np.asarray(data)
    assert np.isnan(values[0, 0, :2]).all()
    assert np.isfinite(values).sum() == values.size - 2


def test_one_follower_a_viewer() -> None:
    viewer = ViewerModel()
    assert follow(viewer) is follow(viewer)
    assert isinstance(follow(viewer), Follower)


def test_layers_of_others_are_left_alone(triclinic: ReciprocalVolume) -> None:
    viewer = ViewerModel()
    follower = follow(viewer)
    other = viewer.add_image(np.zeros((4, 5, 6)), metadata={"dsfunet": "something else"})
    follower.mouse_moved(viewer)
    viewer.dims.order = (1, 0, 2)
    np.testing.assert_array_equal(other.affine.affine_matrix, np.eye(4))
    assert hkl_at(other, (0, 0, 0)) is None


def test_plane_without_a_lattice_is_shown_as_it_is() -> None:
    values = np.arange(12.0).reshape(3, 4)
    bare = ReciprocalPlane(values, np.ones(values.shape, bool))
    layer = Layer.create(*plane_layer(bare))
    np.testing.assert_array_equal(layer.data, values)
    assert read_out(layer, (1, 1)) == ""
