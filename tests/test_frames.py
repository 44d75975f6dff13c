"""Frames are rigid: distances in the drawing are distances in reciprocal space."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest
from sro_planes import CUBIC, HEXAGONAL, TRICLINIC, make_plane

from dsfunet_core.errors import GeometryError
from dsfunet_core.frames import map_frame, plane_frame, view_affine, volume_affine
from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.refine.unit_cell_map import UnitCellMap

ORIGIN = np.array([-2.0, -1.5, 0.7])
STEPS = np.array([[0.1, 0.0, 0.02], [0.0, 0.12, 0.0], [0.01, 0.0, 0.3]])


@pytest.mark.parametrize("cell", [TRICLINIC, HEXAGONAL, CUBIC], ids=["tri", "hex", "cubic"])
@pytest.mark.parametrize("section", ["hk1", "h0l", "hhl", "2kl", "hk0.5"])
def test_plane_frame_keeps_distances_and_the_foot_of_q(cell, section):
    plane = make_plane(section, cell, skew=0.3)
    frame = plane_frame(plane)
    rows, columns = np.indices(plane.shape)
    xy = frame.xy(rows, columns)
    q = plane.q()
    normal = np.cross(q[0, 1] - q[0, 0], q[1, 0] - q[0, 0])
    height = q[0, 0] @ normal / np.linalg.norm(normal)
    np.testing.assert_allclose((xy**2).sum(-1) + height**2, (q**2).sum(-1), rtol=1e-9)
    np.testing.assert_allclose(
        np.linalg.norm(xy[5, 7] - xy[60, 40]), np.linalg.norm(q[5, 7] - q[60, 40])
    )


def test_x_runs_along_rows_towards_larger_indices():
    plane = make_plane("hk1", TRICLINIC)
    frame = plane_frame(plane)
    assert frame.affine[0, 0] > 0
    assert frame.affine[1, 0] == pytest.approx(0, abs=1e-12)
    assert frame.affine[1, 1] > 0
    backwards = plane.replace(steps=-np.asarray(plane.steps))
    assert plane_frame(backwards).affine[0, 0] < 0


@pytest.mark.parametrize(
    ("section", "cell", "x_label", "y_label"),
    [
        ("hk1", TRICLINIC, "Q along a* (Å⁻¹)", "Q in the plane, ⊥ a* (Å⁻¹)"),
        ("hk1", CUBIC, "Q along a* (Å⁻¹)", "Q along b* (Å⁻¹)"),
        ("hhl", HEXAGONAL, "Q along (1 1 0)* (Å⁻¹)", "Q along c* (Å⁻¹)"),
    ],
)
def test_labels_name_the_directions(section, cell, x_label, y_label):
    frame = plane_frame(make_plane(section, cell))
    assert (frame.x_label, frame.y_label) == (x_label, y_label)


def test_a_plane_without_a_cell_has_no_frame():
    with pytest.raises(GeometryError, match="no unit cell"):
        plane_frame(ReciprocalPlane(np.ones((4, 4)), np.ones((4, 4), bool)))


@pytest.mark.parametrize(("vertical", "horizontal"), list(itertools.permutations(range(3), 2)))
def test_view_is_true_in_the_layer_looked_at(vertical, horizontal):
    (sliced,) = {0, 1, 2} - {vertical, horizontal}
    affine = view_affine(
        TRICLINIC, ORIGIN, STEPS, vertical=vertical, horizontal=horizontal, layer=7
    )
    assert not affine[[vertical, horizontal], sliced].any()
    assert not affine[sliced, [vertical, horizontal]].any()
    index = np.random.default_rng(0).uniform(0, 40, size=(20, 3))
    index[:, sliced] = 7
    world = index @ affine[:3, :3].T + affine[:3, 3]
    q = (ORIGIN + index @ STEPS.T) @ q_matrix(TRICLINIC).T
    np.testing.assert_allclose(np.linalg.norm(world, axis=1), np.linalg.norm(q, axis=1))
    np.testing.assert_allclose(world @ world.T, q @ q.T, atol=1e-9)


@pytest.mark.parametrize("upright", range(3))
def test_volume_affine_is_a_rotation_of_q(upright):
    affine = volume_affine(TRICLINIC, ORIGIN, STEPS, upright=upright)
    others = [axis for axis in range(3) if axis != upright]
    assert not affine[others, upright].any()
    index = np.random.default_rng(0).uniform(0, 40, size=(20, 3))
    world = index @ affine[:3, :3].T + affine[:3, 3]
    q = (ORIGIN + index @ STEPS.T) @ q_matrix(TRICLINIC).T
    np.testing.assert_allclose(world @ world.T, q @ q.T, atol=1e-9)


def test_map_frame_spans_one_cell():
    plane = make_plane("hk1", TRICLINIC)
    frame = map_frame(UnitCellMap.from_values(np.ones((8, 10)), plane.lattice, cell=TRICLINIC))
    corners = frame.xy(np.array([-0.5, 7.5, -0.5]), np.array([-0.5, -0.5, 9.5]))
    reciprocal: gemmi.UnitCell = TRICLINIC.reciprocal()
    edges = np.linalg.norm(corners[1:] - corners[0], axis=1) / (2 * np.pi)
    np.testing.assert_allclose(edges, [reciprocal.a, reciprocal.b])


def test_map_without_a_cell_is_a_unit_square():
    plane = make_plane("hk1", TRICLINIC)
    frame = map_frame(UnitCellMap.from_values(np.ones((8, 10)), plane.lattice))
    np.testing.assert_allclose(frame.xy(np.array(7.5), np.array(9.5)), [1, 1])
