"""Noise measured from the plane, hot pixels, stray peaks."""

from __future__ import annotations

import numpy as np
import pytest
from masking_planes import TRICLINIC, diffuse, flat

from dsfunet_core.errors import ParameterError
from dsfunet_core.masking import mask_hot_pixels, mask_stray_peaks
from dsfunet_core.masking.noise import local_median, noise_model


def poisson(mean: float, seed: int = 0, gain: float = 1.0):
    plane = flat(TRICLINIC, n=151, step=0.04)
    counts = np.random.default_rng(seed).poisson(diffuse(plane, mean))
    return plane.replace(intensity=gain * counts)


@pytest.mark.parametrize("mean", [1.0, 10.0, 300.0])
@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_poisson_noise_is_recognised(mean, gain):
    model = noise_model(poisson(mean, gain=gain))
    expected = gain * mean
    assert model.variance(np.array(expected)) == pytest.approx(gain * expected, rel=0.25)


def test_constant_noise_is_recognised():
    plane = flat(TRICLINIC)
    rng = np.random.default_rng(0)
    model = noise_model(
        plane.replace(intensity=diffuse(plane, 100) + rng.normal(0, 3, plane.shape))
    )
    assert model.variance(np.array(100.0)) == pytest.approx(9, rel=0.2)


def test_peaks_and_dead_zones_do_not_change_the_noise():
    plane = poisson(20)
    bare = noise_model(plane).variance(np.array(20.0))
    spotted = np.array(plane.intensity)
    spotted[::11, ::13] = 1e5
    valid = np.ones(plane.shape, bool)
    valid[40:60] = False
    disturbed = noise_model(plane.replace(intensity=spotted, valid=valid))
    assert disturbed.variance(np.array(20.0)) == pytest.approx(bare, rel=0.25)


def test_local_median_against_numpy():
    rng = np.random.default_rng(2)
    values, valid = rng.normal(size=(9, 11)), rng.random((9, 11)) < 0.6
    median, spread, count = local_median(values, valid, 2)
    for r, c in np.ndindex(values.shape):
        part = np.s_[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3]
        use = valid[part].copy()
        if valid[r, c]:
            use[r - max(r - 2, 0), c - max(c - 2, 0)] = False
        around = values[part][use]
        assert count[r, c] == around.size
        assert median[r, c] == pytest.approx(np.median(around))
        expected = 1.4826 * np.median(np.abs(around - np.median(around)))
        assert spread[r, c] == pytest.approx(expected)


@pytest.mark.parametrize("mean", [0.2, 1.0, 5.0, 100.0])
def test_false_alarms_are_rare_at_any_count(mean):
    out = mask_hot_pixels(poisson(mean)).masks["hot pixels"]
    assert out.sum() <= 2


@pytest.mark.parametrize("mean", [0.2, 5.0, 100.0])
def test_hot_pixels_are_found_and_their_neighbours_stay(mean):
    plane = poisson(mean)
    rng = np.random.default_rng(5)
    hot = np.zeros(plane.shape, bool)
    hot[rng.integers(3, 148, 40), rng.integers(3, 148, 40)] = True
    extra = 30 + 15 * np.sqrt(plane.intensity.max())
    spotted = plane.replace(intensity=plane.intensity + np.where(hot, extra, 0))
    found = mask_hot_pixels(spotted).masks["hot pixels"]
    assert found[hot].mean() > 0.9
    assert (found & ~hot).sum() <= 2


def test_known_variances_decide():
    plane = poisson(100)
    loose = plane.replace(variance=np.full(plane.shape, 1e6))
    spotted = np.array(plane.intensity)
    spotted[50, 50] = 3000
    assert mask_hot_pixels(plane.replace(intensity=spotted)).masks["hot pixels"][50, 50]
    assert not mask_hot_pixels(loose.replace(intensity=spotted)).masks["hot pixels"].any()


def test_a_peak_is_no_hot_pixel_but_a_stray_one():
    plane = poisson(20)
    y, x = np.mgrid[:151, :151]
    peak = 3000 * np.exp(-((y - 70.3) ** 2 + (x - 33.6) ** 2) / 2)
    spotted = plane.replace(intensity=plane.intensity + np.rint(peak))
    spotted.intensity[100, 100] = 4000

    strays = mask_stray_peaks(spotted)

    assert peak[strays.masks["stray peaks"]].sum() > 0.99 * peak.sum()
    assert strays.masks["stray peaks"].sum() < 120
    hot = mask_hot_pixels(strays).masks["hot pixels"]
    np.testing.assert_array_equal(np.argwhere(hot), [[100, 100]])


def test_parameters_are_checked():
    with pytest.raises(ParameterError, match=r"threshold = 0"):
        mask_hot_pixels(poisson(1), threshold=0)
    with pytest.raises(ParameterError, match=r"radius = -1"):
        mask_stray_peaks(poisson(1), radius=-1)
