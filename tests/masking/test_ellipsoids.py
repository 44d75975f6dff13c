"""Ellipsoids keep the symmetry of the cell; positions obey the space group."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from masking_planes import HEXAGONAL, TRICLINIC, flat

from dsfunet_core import mask_bragg
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.masking.ellipsoids import ellipsoid
from dsfunet_core.masking.positions import allowed_points, bragg_positions, check_setting


def by_distance(plane, tensor, hkl):
    """Every pixel against every point, one by one."""
    q = plane.q()
    inside = np.zeros(plane.shape, bool)
    for point in hkl:
        apart = q - q_matrix(plane.cell) @ point
        inside |= np.einsum("...i,ij,...j", apart, tensor, apart) <= 1
    return inside


def box(reach=4):
    grid = np.arange(-reach, reach + 1)
    return np.stack(np.meshgrid(grid, grid, grid), -1).reshape(-1, 3)


@pytest.mark.parametrize("cell", [TRICLINIC, HEXAGONAL])
@pytest.mark.parametrize("level", [1.0, 0.95])
def test_exactly_the_pixels_inside_oblique_ellipsoids(cell, level):
    plane = flat(cell, level=level)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    tensor = turn @ np.diag(1 / np.array([0.08, 0.12, 0.2]) ** 2) @ turn.T
    masked = mask_bragg(plane, tensor)
    np.testing.assert_array_equal(~masked.valid, by_distance(plane, tensor, box()))
    assert (~masked.valid).any()


def test_a_spheroid_around_c_keeps_the_sixfold_axis():
    plane = flat(HEXAGONAL)
    out = ~mask_bragg(plane, (0.2, 0.2, 0.05)).valid
    hkl = np.rint(plane.hkl() / 0.05).astype(int)
    turned = {(-k, h + k) for h, k, _ in hkl[out]}
    inside = np.abs(plane.hkl()[..., :2]).max(axis=-1) < 1.4
    assert {(h, k) for h, k, _ in hkl[out & inside]} <= turned


def test_equal_semi_axes_are_a_sphere_whatever_the_cell():
    np.testing.assert_allclose(ellipsoid((0.1, 0.1, 0.1)), ellipsoid(0.1))
    plane = flat(TRICLINIC)
    np.testing.assert_array_equal(
        mask_bragg(plane, 0.15).valid, mask_bragg(plane, np.eye(3) / 0.15**2).valid
    )


@pytest.mark.parametrize(
    "size",
    [0, -1, float("nan"), (0.1, 0.2), (0.1, 0.1, 0), -np.eye(3), np.triu(np.ones((3, 3)))],
)
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ParameterError, match="above 0|more than 0"):
        ellipsoid(size)


def test_glide_planes_and_screw_axes_extinguish():
    points = box()
    h, k, l = points.T  # noqa: E741
    allowed = allowed_points(points, space_group="P 1 21/c 1")
    np.testing.assert_array_equal(
        allowed, ~(((k == 0) & (l % 2 == 1)) | ((h == 0) & (l == 0) & (k % 2 == 1)))
    )


@pytest.mark.parametrize(
    ("centring", "symbol"), [("C", "C 2"), ("I", "I 2 2 2"), ("F", "F 2 2 2"), ("R_obv", "R 3")]
)
def test_centrings_agree_with_space_groups(centring, symbol):
    points = box()
    np.testing.assert_array_equal(
        allowed_points(points, centring), allowed_points(points, space_group=symbol)
    )


def test_satellites_surround_what_is_allowed():
    plane = flat(TRICLINIC)
    hkl, order = bragg_positions(plane, 0.01, centring="C", satellites=[(0.3, 0, 0)],
                                 satellite_order=2)  # fmt: skip
    assert set(order) == {0, 1, 2}
    main = np.rint(hkl - np.outer(order, [0.3, 0, 0]))
    other = np.rint(hkl + np.outer(order, [0.3, 0, 0]))
    near = np.minimum(
        np.abs(hkl - np.outer(order, [0.3, 0, 0]) - main).max(axis=1),
        np.abs(hkl + np.outer(order, [0.3, 0, 0]) - other).max(axis=1),
    )
    assert near.max() < 1e-9
    assert not np.any(hkl[order == 0].sum(axis=1) % 1)


def test_unknown_choices_are_told():
    plane = flat(TRICLINIC)
    with pytest.raises(ParameterError, match="'P 99' is not known"):
        mask_bragg(plane, 0.1, space_group="P 99")
    with pytest.raises(ParameterError, match="satellite q"):
        mask_bragg(plane, 0.1, satellites=[(0.5, 0)])
    with pytest.raises(ParameterError, match="satellite_order=0"):
        mask_bragg(plane, 0.1, satellites=[(0.5, 0, 0)], satellite_order=0)
    with pytest.raises(ParameterError, match='or "auto"'):
        mask_bragg(plane, "big")


def test_a_space_group_that_cannot_have_the_cell_is_refused():
    plane = flat(TRICLINIC)
    with pytest.raises(GeometryError, match="'F m -3 m' is cubic, which the cell"):
        mask_bragg(plane, 0.1, space_group="F m -3 m")
    cell = gemmi.UnitCell(7, 7.004, 7, 90, 90.02, 90)
    check_setting(cell, "F m -3 m")
    with pytest.raises(GeometryError, match="another unique axis"):
        check_setting(gemmi.UnitCell(7, 8, 9, 90, 90, 105), "P 1 21/c 1")
    check_setting(gemmi.UnitCell(7, 8, 9, 90, 90, 105), "P 1 1 21/b")
    check_setting(gemmi.UnitCell(7, 7, 9, 90, 90, 120), "R -3 m")
    with pytest.raises(GeometryError, match="rhombohedral axes"):
        check_setting(gemmi.UnitCell(7, 7, 9, 90, 90, 120), "R -3 m:R")
    with pytest.raises(GeometryError, match="tetragonal"):
        check_setting(gemmi.UnitCell(7, 7.2, 9, 90, 90, 90), "I 4/m")


def test_gemmi_is_asked_in_the_setting_of_the_cell():
    # h0l: l = 2n for c, h = 2n for a.
    points = np.array([[1, 0, 2], [2, 0, 1]])
    assert gemmi.find_spacegroup_by_name("P 1 21/a 1") is not None
    np.testing.assert_array_equal(allowed_points(points, space_group="P 1 21/c 1"), [1, 0])
    np.testing.assert_array_equal(allowed_points(points, space_group="P 1 21/a 1"), [0, 1])
