"""Distances between planes, against transports worked out by hand."""

import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.paper import PAPER_TRAINING
from dsfunet_core.simulate.uniqueness import (
    CUTOFF,
    derive_cutoff,
    distribution,
    nearest_before,
    unique,
    wasserstein,
)


def spot(row, column, size=128, width=6):
    r, c = np.mgrid[:size, :size]
    return np.exp(-((r - row) ** 2 + (c - column) ** 2) / width**2)


def test_moving_a_spot_costs_how_far_it_went():
    a = distribution(spot(40, 40))
    assert wasserstein(a, a) == 0
    for shift in (8, 16, 40):
        b = distribution(spot(40 + shift, 40))
        assert wasserstein(a, b) == pytest.approx(shift / 128, rel=0.05)
    across = distribution(spot(40 + 30, 40 + 40))
    assert wasserstein(a, across) == pytest.approx(50 / 128, rel=0.05)
    assert wasserstein(a, across) == pytest.approx(wasserstein(across, a), rel=1e-6)


def test_half_of_the_scattering_moved_costs_half():
    """W² of two spots of which one moves by d is d²/2."""
    both = distribution(spot(30, 30) + spot(30, 90))
    moved = distribution(spot(30, 30) + spot(90, 90))
    assert wasserstein(both, moved) == pytest.approx(60 / 128 / np.sqrt(2), rel=0.05)


def test_the_scale_of_intensity_does_not_matter():
    image = spot(50, 70) + 0.3 * spot(90, 20)
    np.testing.assert_allclose(distribution(image), distribution(1000 * image))
    assert distribution(image).sum() == pytest.approx(1)
    assert distribution(np.zeros((64, 64))).sum() == pytest.approx(1)


def test_redundant_planes_are_left_out():
    rng = np.random.default_rng(0)
    places = [(30, 30), (90, 30), (30, 31), (60, 90), (90.5, 30), (31, 30)]
    planes = [distribution(spot(*p) * (1 + 0.01 * rng.random((128, 128)))) for p in places]
    np.testing.assert_array_equal(unique(planes, 0.05), [1, 1, 0, 1, 0, 0])
    np.testing.assert_array_equal(unique(planes, 1e-6), np.ones(6))
    nearest = nearest_before(planes)
    assert nearest[0] == np.inf
    np.testing.assert_array_equal(nearest[1:] < 0.05, [0, 1, 0, 1, 1])
    for i in range(1, 6):
        every = [wasserstein(planes[i], planes[j]) for j in range(i)]
        assert nearest[i] == pytest.approx(min(every))


def test_the_cutoff_removes_what_it_was_asked_to():
    rng = np.random.default_rng(1)
    planes = [distribution(spot(*rng.uniform(20, 108, 2))) for _ in range(40)]
    cutoff = derive_cutoff(planes, removed=0.25)
    assert 0.6 <= unique(planes, cutoff).mean() <= 0.85
    with pytest.raises(ParameterError, match="too few"):
        derive_cutoff(planes[:5])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_papers_fraction_of_a_pairs_planes_is_redundant():
    """5.4 % of all in the paper; of one pair a few per cent more or less."""
    planes = [PAPER_TRAINING.plane(0, 100, i, dtype=np.complex64) for i in range(200)]
    kept = unique([distribution(p.form_factor * p.sro) for p in planes], CUTOFF)
    assert 0.7 < kept.mean() <= 1


def test_grids_must_agree():
    with pytest.raises(ParameterError, match="differ in grid"):
        wasserstein(distribution(spot(1, 1)), distribution(spot(1, 1), grid=16))
    with pytest.raises(ParameterError, match="smaller than grid"):
        distribution(np.ones((8, 8)))
