"""Planes averaged over the operations that keep them."""

from __future__ import annotations

import numpy as np
import pytest
from symmetry_volumes import CELLS, gemmi_images, random_volume

from dsfunet_core import ReciprocalPlane
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.symmetrize import symmetrize_plane, symmetrize_volume
from dsfunet_core.symmetrize.operations import plane_maps
from dsfunet_core.symmetry import LAUE_CLASSES


def cut(volume, section: str) -> ReciprocalPlane:
    return volume.section(section)


@pytest.mark.parametrize("symbol", sorted(LAUE_CLASSES))
@pytest.mark.parametrize("section", ["hk0", "h0l", "0kl", "hk1", "hhl"])
def test_planes_keep_the_operators_of_gemmi_that_keep_them(symbol, section):
    volume = random_volume(symbol, gaps=0.4)
    plane = cut(volume, section)
    done = symmetrize_plane(plane, symbol).plane
    hkl = np.rint(2 * plane.hkl().reshape(-1, 3)).astype(int)
    place = {tuple(h): n for n, h in enumerate(hkl.tolist())}
    for images in gemmi_images(symbol, hkl):
        pairs = [
            (n, place[tuple(h)]) for n, h in enumerate(images.tolist()) if tuple(h) in place
        ]
        normal = np.cross(plane.steps[:, 0], plane.steps[:, 1])
        level = normal @ plane.origin
        if not np.allclose(images @ normal, 2 * level):
            continue  # an operation that only crosses the plane
        first, second = np.array(pairs).T
        values = np.where(done.valid, done.intensity, np.nan).ravel()
        np.testing.assert_allclose(values[first], values[second], rtol=1e-6)


@pytest.mark.parametrize(
    ("section", "symbol", "number"),
    [("hk0", "6/m", 6), ("hk1", "6/m", 6), ("h0l", "6/m", 4), ("hk1", "-3", 3),
     ("hk1", "-1", 1), ("hk0", "-1", 2), ("h1l", "2/m", 2), ("hhl", "m-3m", 4),
     ("h, h, l", "4/mmm", 4),     ("hk0", "6/mmm", 12), ("hk1", "-31m", 6)],
)  # fmt: skip
def test_number_of_operations(section, symbol, number):
    plane = cut(random_volume(symbol), section)
    assert len(plane_maps(plane, symbol)) == number


@pytest.mark.parametrize("symbol", ["-1", "2/m", "-3", "6/m", "m-3m", "-3m:R"])
def test_a_plane_through_the_origin_agrees_with_the_plane_of_the_averaged_volume(symbol):
    # The two agree where the group keeps hk0; cubic and rhombohedral axes take it elsewhere.
    volume = random_volume(symbol, gaps=0)
    plane = cut(volume, "hk0")
    operations = plane_maps(plane, symbol)
    done = symmetrize_plane(plane, symbol)
    assert done.report.operations == len(operations)
    whole = cut(symmetrize_volume(volume, symbol).volume, "hk0")
    if symbol in ("m-3m", "-3m:R"):
        assert not np.allclose(whole.intensity, done.plane.intensity)
    else:
        np.testing.assert_allclose(whole.intensity, done.plane.intensity, rtol=1e-6)


def test_gaps_are_filled_and_leave_their_mask_layers():
    plane = cut(random_volume("6/m", reach=(9, 9, 2), gaps=0), "hk0")
    bragg = np.zeros(plane.shape, dtype=bool)
    bragg[9, 9] = bragg[3, 9] = True
    intensity = plane.intensity.copy()
    intensity[bragg] = 1e6
    masked = plane.replace(intensity=intensity).masked(~bragg, "Bragg peaks")
    done = symmetrize_plane(masked, "6/m")
    assert done.plane.valid[3, 9]
    assert not done.plane.valid[9, 9]
    assert done.plane.masks["Bragg peaks"].sum() == 1
    assert done.plane.intensity[done.plane.valid].max() < 1000
    assert done.plane.counts[3, 9] == 5
    (step,) = done.plane.provenance["processing"]
    assert step["step"] == "symmetrize"
    assert step["laue_class"] == done.plane.laue_class == "6/m"


def test_cartesian_grids_are_interpolated():
    cell = CELLS["a = b, α = β = 90°, γ = 120°"]
    size, step = 61, 0.05
    a_star = np.linalg.norm(np.array(cell.frac.mat.tolist())[0])
    square = np.array([[1, -1 / np.sqrt(3)], [0, 2 / np.sqrt(3)], [0, 0]]) * step / a_star / 5
    origin = np.array([0.0, 0, 1]) - square @ np.array([30, 30])
    blank = ReciprocalPlane(
        np.zeros((size, size)), np.ones((size, size), bool), cell, origin, square
    )
    hkl = blank.hkl()
    true = sum(
        np.cos(2 * np.pi * (image @ np.array([0.2, 0.1, 0.0])))
        for image in [hkl @ w for w in np.array(_sixfold())]
    )
    plane = blank.replace(intensity=10 + true, variance=np.full((size, size), 4.0))
    done = symmetrize_plane(plane, "6/m")
    assert done.report.operations == 6
    assert done.report.permuting == 2
    assert np.nanmax(np.abs(done.plane.intensity - 10 - true)) < 0.05
    # Six images of variance 4 each; interpolated ones are means over neighbours already.
    assert 0.2 < np.median(done.plane.variance) < 4 / 6


def _sixfold() -> list[np.ndarray]:
    turn = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])
    return [np.linalg.matrix_power(turn, n) for n in range(6)]


def test_what_cannot_be_done_is_refused_with_a_reason():
    bare = ReciprocalPlane(np.zeros((3, 3)), np.ones((3, 3), bool))
    with pytest.raises(GeometryError, match="no unit cell"):
        symmetrize_plane(bare, "-1")
    plane = cut(random_volume("mmm"), "hk0")
    with pytest.raises(ParameterError, match="do not tell"):
        symmetrize_plane(plane)
    with pytest.raises(GeometryError, match="asks for"):
        symmetrize_plane(plane, "4/m")
