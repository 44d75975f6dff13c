"""Background: what was added comes off; negative values stay; variances add up."""

from __future__ import annotations

import numpy as np
import pytest
from masking_planes import TRICLINIC, diffuse, flat

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.masking import subtract_constant, subtract_measured, subtract_radial


def air(plane, level=30.0):
    return level * np.exp(-0.6 * plane.q_norm())


def spots(plane, mean=10.0):
    """Diffuse scattering that leaves dark places at every |Q|."""
    hkl = plane.hkl()
    order = np.cos(np.pi * hkl[..., 0]) ** 8 * np.cos(np.pi * hkl[..., 1]) ** 8
    return mean * order / order.mean()


def test_radial_background_is_found_under_diffuse_scattering():
    plane = flat(TRICLINIC, n=181, step=0.03)
    truth = air(plane)
    counts = np.random.default_rng(0).poisson(truth + spots(plane)) + 0.0

    result = subtract_radial(plane.replace(intensity=counts))

    inner = plane.q_norm() < np.quantile(plane.q_norm(), 0.9)
    wrong = (result.background - truth)[inner]
    assert abs(wrong.mean()) < 0.1 * truth[inner].mean()
    assert np.sqrt((wrong**2).mean()) < 0.12 * truth[inner].mean()


def test_negative_results_stay():
    plane = flat(TRICLINIC, n=181, step=0.03)
    counts = np.random.default_rng(0).poisson(air(plane)) + 0.0
    result = subtract_radial(plane.replace(intensity=counts))
    after = result.after.intensity
    assert (after < 0).mean() > 0.3
    # Air alone: nothing is left, on average, but what a low quantile leaves.
    assert abs(after.mean()) < 0.1 * air(plane).mean()
    assert result.after.provenance["processing"][-1]["negative"] == (after < 0).sum()
    np.testing.assert_array_equal(result.before.intensity, counts)
    np.testing.assert_allclose(result.before.intensity - result.background, after)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_scale_of_a_measured_background_is_found(scale):
    plane = flat(TRICLINIC, n=181, step=0.03)
    rng = np.random.default_rng(1)
    empty = 5 * air(plane)
    other = plane.replace(intensity=rng.poisson(empty) + 0.0, variance=empty)
    counts = rng.poisson(scale * empty + spots(plane, 20)) + 0.0
    with_peak = counts.copy()
    with_peak[90, 90] = 1e6

    result = subtract_measured(plane.replace(intensity=with_peak, variance=counts + 1), other)

    assert result.scale == pytest.approx(scale, rel=0.05)
    assert 0 < result.scale_sigma < 0.05 * scale
    expected = counts + 1 + result.scale**2 * empty + result.scale_sigma**2 * other.intensity**2
    np.testing.assert_allclose(result.after.variance, expected)


def test_a_scale_that_is_given_is_used_and_gaps_of_the_background_are_named():
    plane = flat(TRICLINIC)
    valid = np.ones(plane.shape, bool)
    valid[10:20] = False
    other = plane.replace(intensity=air(plane), valid=valid)
    result = subtract_measured(plane.replace(intensity=3 * air(plane)), other, 3.0)
    np.testing.assert_allclose(result.after.intensity[valid], 0, atol=1e-12)
    np.testing.assert_array_equal(result.after.masks["no background"], ~valid)
    assert result.scale_sigma == 0


def test_a_constant_and_its_guess():
    plane = flat(TRICLINIC, n=181, step=0.03)
    counts = np.random.default_rng(2).poisson(12.0 + spots(plane)) + 0.0
    given = subtract_constant(plane.replace(intensity=counts), 12.0)
    np.testing.assert_allclose(given.after.intensity, counts - 12)
    guessed = subtract_constant(plane.replace(intensity=counts))
    assert guessed.scale == pytest.approx(12, rel=0.15)


def test_the_scale_does_not_depend_on_units():
    plane = flat(TRICLINIC, n=121, step=0.03)
    rng = np.random.default_rng(1)
    other = plane.replace(intensity=rng.poisson(5 * air(plane)) + 0.0)
    mine = plane.replace(intensity=rng.poisson(10 * air(plane) + diffuse(plane, 9)) + 0.0)
    one = subtract_measured(mine, other).scale
    small = mine.replace(intensity=1e-6 * mine.intensity)
    assert subtract_measured(small, other).scale == pytest.approx(1e-6 * one, rel=1e-4)


def test_mistakes_are_told():
    plane = flat(TRICLINIC)
    with pytest.raises(GeometryError, match="reconstruct both on one grid"):
        subtract_measured(plane, flat(TRICLINIC, step=0.06))
    with pytest.raises(GeometryError, match="pixel by pixel"):
        subtract_measured(plane, flat(TRICLINIC, n=99))
    with pytest.raises(ParameterError, match="above 0 on no pixel"):
        subtract_measured(plane, plane.replace(intensity=np.zeros(plane.shape)))
    with pytest.raises(ParameterError, match="quantile = 0.9"):
        subtract_radial(plane, quantile=0.9)
    with pytest.raises(ParameterError, match="width = 0"):
        subtract_radial(plane, width=0)
