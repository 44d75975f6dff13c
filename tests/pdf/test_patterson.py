"""Patterson maps of planes."""

from __future__ import annotations

import numpy as np
import pytest
from sro_planes import HEXAGONAL, TRICLINIC, make_plane, sro_at

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.pdf import plane_patterson

ALPHA = {(1, 0, 0): -0.2, (0, 1, 0): 0.12, (1, 1, 0): 0.07}


def ordered(section: str, cell=TRICLINIC):
    plane = make_plane(section, cell)
    sro = sro_at(plane.hkl(), ALPHA, "-1")
    return plane.replace(intensity=np.exp(-0.05 * plane.q_norm() ** 2) * sro)


@pytest.mark.parametrize("section", ["hk0", "hk1", "hk0.5"])
def test_order_comes_back_as_peaks_at_the_lattice_vectors(section):
    map_ = plane_patterson(ordered(section))
    middle = map_.at([0, 0])
    for v, alpha in ALPHA.items():
        assert map_.at(v[:2]) / middle == pytest.approx(alpha, abs=0.01)
    assert abs(map_.at([2, 1]) / middle) < 0.01


def test_lattice_vectors_have_their_length_and_angle():
    map_ = plane_patterson(ordered("hk0", HEXAGONAL))
    a, b = map_.xy(map_.index(np.eye(2)))
    # Along c the hexagonal axes project to themselves.
    assert np.linalg.norm(a) == pytest.approx(HEXAGONAL.a)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(-0.5)


def test_a_gaussian_transforms_to_the_gaussian_of_reciprocal_width():
    plane = make_plane("h0l", TRICLINIC)
    sigma = plane.q_norm().max() / 12
    plane = plane.replace(intensity=np.exp(-(plane.q_norm() ** 2) / (2 * sigma**2)))
    map_ = plane_patterson(plane, window="none")
    index = np.moveaxis(np.indices(map_.values.shape), 0, -1)
    r = np.linalg.norm(map_.xy(index), axis=-1)
    expected = sigma**2 / (2 * np.pi) * np.exp(-0.5 * (sigma * r) ** 2)
    np.testing.assert_allclose(map_.values, expected, atol=1e-4 * expected.max())


def test_masked_pixels_are_filled_with_the_mean_of_their_shell():
    plane = make_plane("hk0", TRICLINIC)
    h, k = plane.hkl()[..., 0], plane.hkl()[..., 1]
    bragg = np.maximum(np.abs(h - np.rint(h)), np.abs(k - np.rint(k))) < 0.15
    intensity = np.where(bragg, 1e6, np.exp(-0.05 * plane.q_norm() ** 2))
    plane = plane.replace(intensity=intensity).masked(~bragg, "Bragg peaks")
    filled, zeroed = plane_patterson(plane), plane_patterson(plane, fill="zero")
    assert abs(filled.at([1, 0]) / filled.at([0, 0])) < 2e-3
    assert zeroed.at([1, 0]) / zeroed.at([0, 0]) < -0.02


def test_the_figure_shows_true_angles():
    from dsfunet_core.plots import png

    figure = plane_patterson(ordered("hk1")).figure(reach=20)
    assert png(figure)[:4] == b"\x89PNG"
    assert figure.axes[0].get_xlabel() == "x (Å)"


def test_what_cannot_be_done_is_refused_with_a_reason():
    plane = ordered("hk0")
    with pytest.raises(ParameterError, match="window='x'"):
        plane_patterson(plane, window="x")
    away = plane.replace(origin=plane.origin + [30, 0, 0])
    with pytest.raises(GeometryError, match="foot of Q = 0"):
        plane_patterson(away)
    nothing = plane.replace(valid=np.zeros(plane.shape, bool))
    with pytest.raises(ParameterError, match="no valid pixel"):
        plane_patterson(nothing)
