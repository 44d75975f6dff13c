"""Spheres around reciprocal-lattice points."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest

from dsfunet_core import ReciprocalPlane, mask_bragg, read, sample
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix

CELLS = {
    "triclinic": gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112),
    "hexagonal": gemmi.UnitCell(14.12, 14.12, 6.93, 90, 90, 120),
}


def make_plane(
    cell: gemmi.UnitCell,
    level: float = 1.0,
    directions: tuple = ((0.05, 0, 0), (0, 0.07, 0)),
    shape: tuple[int, int] = (81, 75),
) -> ReciprocalPlane:
    steps = np.array(directions, float).T
    origin = np.array([0, 0, level]) - steps @ (np.array(shape) - 1) / 2
    return ReciprocalPlane(
        np.ones(shape), np.ones(shape, bool), cell=cell, origin=origin, steps=steps
    )


def by_distance(plane: ReciprocalPlane, radius: float, allowed: object) -> np.ndarray:
    """What the mask must be: every pixel against every lattice point, one by one."""
    q = plane.q()
    near = np.zeros(plane.shape, bool)
    for hkl in itertools.product(range(-8, 9), repeat=3):
        if allowed(*hkl):  # type: ignore[operator]
            near |= np.linalg.norm(q - q_matrix(plane.cell) @ hkl, axis=-1) <= radius
    return near


CONDITIONS = {
    "P": lambda h, k, l: True,  # noqa: E741
    "A": lambda h, k, l: (k + l) % 2 == 0,  # noqa: E741
    "B": lambda h, k, l: (h + l) % 2 == 0,  # noqa: E741
    "C": lambda h, k, l: (h + k) % 2 == 0,  # noqa: E741
    "I": lambda h, k, l: (h + k + l) % 2 == 0,  # noqa: E741
    "F": lambda h, k, l: h % 2 == k % 2 == l % 2,  # noqa: E741
    "R_obv": lambda h, k, l: (-h + k + l) % 3 == 0,  # noqa: E741
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("centring", CONDITIONS)
def test_exactly_the_pixels_within_the_radius(cell: gemmi.UnitCell, centring: str) -> None:
    plane = make_plane(cell)

    masked = mask_bragg(plane, 0.11, centring=centring)

    near = by_distance(plane, 0.11, CONDITIONS[centring])
    assert near.any()
    np.testing.assert_array_equal(masked.valid, ~near)


@pytest.mark.parametrize("level", [0.9, 0.97, 1.1, 0.5])
def test_points_off_the_plane_cut_it_in_smaller_circles(level: float) -> None:
    plane = make_plane(CELLS["triclinic"], level)

    masked = mask_bragg(plane, 0.1)

    near = by_distance(plane, 0.1, CONDITIONS["P"])
    np.testing.assert_array_equal(masked.valid, ~near)
    assert near.any() == (level != 0.5)


def test_oblique_planes() -> None:
    plane = make_plane(CELLS["triclinic"], 0.0, ((0.05, 0.05, 0), (0, 0, 0.06)))

    masked = mask_bragg(plane, 0.12, centring="I")

    np.testing.assert_array_equal(masked.valid, ~by_distance(plane, 0.12, CONDITIONS["I"]))


def test_points_just_outside_the_picture_count() -> None:
    plane = make_plane(CELLS["triclinic"], 1.0, shape=(15, 13))
    assert plane.hkl()[..., 0].max() < 1
    masked = mask_bragg(plane, 0.8)
    np.testing.assert_array_equal(masked.valid, ~by_distance(plane, 0.8, CONDITIONS["P"]))


def test_what_was_masked_stays_masked_and_the_step_is_recorded() -> None:
    plane = make_plane(CELLS["triclinic"]).masked(np.eye(81, 75) == 0)

    masked = mask_bragg(mask_bragg(plane, 0.05), 0.1, centring="C")

    assert not masked.valid[np.eye(81, 75) == 1].any()
    assert masked.provenance["processing"] == [
        {"step": "mask_bragg", "radius": 0.05, "centring": "P"},
        {"step": "mask_bragg", "radius": 0.1, "centring": "C"},
    ]
    assert "processing" not in plane.provenance


def test_parameters_are_checked() -> None:
    plane = make_plane(CELLS["triclinic"])
    with pytest.raises(ParameterError, match=r"radius=0; more than 0 Å⁻¹"):
        mask_bragg(plane, 0)
    with pytest.raises(ParameterError, match=r"radius=nan"):
        mask_bragg(plane, float("nan"))
    with pytest.raises(ParameterError, match=r"centring='R'; one of 'P', .*'R_obv'"):
        mask_bragg(plane, 0.1, centring="R")
    with pytest.raises(GeometryError, match="no unit cell"):
        mask_bragg(ReciprocalPlane(np.ones((3, 3)), np.ones((3, 3), bool)), 0.1)


def test_a_plane_without_bragg_peaks_stays_whole():
    """The sample has none: diffuse maxima between and at lattice points are not touched."""
    plane = read(sample("tris-amide-hk1")).section("hk1")
    masked = mask_bragg(plane)
    assert (plane.valid & ~masked.valid).sum() < 0.002 * plane.valid.sum()
