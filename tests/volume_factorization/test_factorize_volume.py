"""Factors of simulated volumes against those they were made from."""

from __future__ import annotations

import threading
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from volume_samples import CELL, SUPPORT, triclinic

from dsfunet_core import ReciprocalVolume
from dsfunet_core.errors import CancelledError, GeometryError, ParameterError
from dsfunet_core.simulate.molecules import random_molecule
from dsfunet_core.simulate.monte_carlo import monte_carlo_order
from dsfunet_core.simulate.sro import alpha_box
from dsfunet_core.volume_factorization import excerpt, factorize_volume, simulate_volume


def errors(made, result):
    reach = (len(made.alpha) - 1) // 2
    return result.alpha - made.alpha[tuple((result.vectors + reach).T)]


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_order_and_form_factor_of_a_triclinic_crystal_come_back(clean, clean_result):
    missing = np.isnan(clean.volume.intensity)
    assert missing.mean() == pytest.approx(0.3, abs=0.01)
    assert rms(errors(clean, clean_result)) < 5e-4
    # Without noise σ is that of the model's own errors, which reach over many voxels.
    assert 0.05 < rms(errors(clean, clean_result) / clean_result.sigma) < 2
    off = clean_result.form_factor - clean.form_factor
    assert rms(off[~missing]) < 0.01 * rms(clean.form_factor)
    np.testing.assert_allclose(clean_result.sro_volume(), clean.sro, atol=0.02)
    measured = clean.volume.intensity[~missing]
    assert rms(clean_result.residual()[~missing]) < 0.01 * rms(measured)


@pytest.mark.slow
@pytest.mark.parametrize("counts", [0.0, 5.0])
def test_a_volume_of_128_cubed_with_order_over_five_cells(counts):
    rng = np.random.default_rng(1)
    order = monte_carlo_order((0.3, -0.25, 0.2), 0.5, size=24, samples=30, rng=rng)
    made = simulate_volume(
        random_molecule(rng, 6),
        random_molecule(rng, 7),
        order.alpha,
        CELL,
        size=128,
        step=1 / 12,
        counts=counts,
        rng=rng,
    )
    result = factorize_volume(made.volume)
    found = errors(made, result)
    assert len(found) == 665
    assert rms(found) < 0.002
    low, high = (0.7, 1.4) if counts else (0.01, 2.0)
    assert low < rms(found / result.sigma) < high


def test_five_counts_a_voxel_are_enough_and_the_errors_are_honest(noisy, noisy_result):
    found = errors(noisy, noisy_result)
    assert rms(found) < 3e-3
    assert 0.7 < rms(found / noisy_result.sigma) < 1.4
    assert noisy_result.choices["misfit"] == pytest.approx(1, abs=0.05)


def test_sigma_is_the_scatter_of_repeated_measurements():
    made = [triclinic(5.0, seed=seed) for seed in range(6)]
    results = [factorize_volume(m.volume, order=2, support=6.5) for m in made]
    alpha = np.array([r.alpha for r in results])
    sigma = np.array([r.sigma for r in results])
    scatter = alpha.std(axis=0, ddof=1)
    assert 0.8 < rms(scatter) / rms(sigma) < 1.25


def test_negative_intensities_and_known_variances(noisy):
    true = np.maximum(noisy.form_factor * noisy.sro, 0)
    rng = np.random.default_rng(1)
    variance = 0.3 + 0.1 * true
    intensity = true + rng.normal(size=true.shape) * np.sqrt(variance)
    intensity[np.isnan(noisy.volume.intensity)] = np.nan
    volume = replace(noisy.volume, intensity=intensity, variance=variance)
    assert np.nanmin(intensity) < 0
    result = factorize_volume(volume, order=2)
    found = errors(noisy, result)
    assert result.choices["weighting"] == "variance"
    assert result.choices["misfit"] == pytest.approx(1, abs=0.05)
    assert 0.7 < rms(found / result.sigma) < 1.4


def test_counts_merged_weigh_and_a_mask_leaves_out(noisy):
    rng = np.random.default_rng(2)
    true = np.maximum(noisy.form_factor * noisy.sro, 0)
    counts = rng.integers(0, 4, size=true.shape)
    intensity = rng.poisson(true * counts) / np.maximum(counts, 1)
    mask = rng.random(true.shape) < 0.05
    intensity[mask] = 1e4
    volume = replace(noisy.volume, intensity=intensity, counts=counts, mask=mask)
    result = factorize_volume(volume, order=2)
    assert result.choices["voxels_used"] <= ((counts > 0) & ~mask).sum()
    assert rms(errors(noisy, result)) < 3e-3
    assert np.isnan(result.residual()[mask]).all()


def test_the_axes_of_the_array_do_not_matter(clean, clean_result):
    volume = clean.volume
    turned = ReciprocalVolume(
        np.transpose(volume.intensity, (2, 0, 1))[::-1],
        volume.cell,
        volume.hkl([0, 0, volume.shape[2] - 1]),
        np.asarray(volume.steps)[:, [2, 0, 1]] * [-1, 1, 1],
    )
    result = factorize_volume(turned, order=2, support=SUPPORT)
    np.testing.assert_allclose(result.alpha, clean_result.alpha, atol=3e-4)
    back = np.transpose(result.form_factor[::-1], (1, 2, 0))
    seen = np.isfinite(volume.intensity)
    assert rms((back - clean_result.form_factor)[seen]) < 0.01 * rms(clean.form_factor)


def test_the_intensity_scale_goes_into_the_form_factor(clean, clean_result):
    volume = replace(clean.volume, intensity=1000 * clean.volume.intensity)
    result = factorize_volume(volume, order=2, support=SUPPORT)
    np.testing.assert_allclose(result.alpha, clean_result.alpha, atol=1e-5)
    np.testing.assert_allclose(
        result.form_factor.sum() / clean_result.form_factor.sum(), 1000, rtol=1e-3
    )


def test_bragg_remnants_are_rejected(noisy, noisy_result):
    rng = np.random.default_rng(4)
    intensity = noisy.volume.intensity.copy()
    spikes = rng.random(intensity.shape) < 0.003
    intensity[spikes] += 200
    volume = replace(noisy.volume, intensity=intensity)
    robust = factorize_volume(volume, order=2)
    plain = factorize_volume(volume, order=2, robust=False)
    assert robust.choices["outliers"] > 0.9 * np.isfinite(intensity[spikes]).sum()
    assert rms(errors(noisy, robust)) < 1.3 * rms(errors(noisy, noisy_result))
    assert rms(errors(noisy, plain)) > 3 * rms(errors(noisy, robust))


def test_equivalent_vectors_share_an_alpha_and_gain_precision(noisy):
    cell = gemmi.UnitCell(7.1, 8.3, 9.2, 90, 90, 90)
    free = factorize_volume(replace(noisy.volume, cell=cell), order=2, support=7.0)
    tied = factorize_volume(
        replace(noisy.volume, cell=cell), order=2, support=7.0, laue_class="mmm"
    )
    assert len(tied.alpha) == 26
    assert len(free.alpha) == 62
    assert tied[(1, 2, 1)] == tied[(-1, 2, -1)]
    # (1,2,1) and its three images that are not its opposite were measured separately.
    images = [(1, 2, 1), (-1, 2, 1), (1, -2, 1), (1, 2, -1)]
    assert tied[(1, 2, 1)] == pytest.approx(np.mean([free[v] for v in images]), abs=2e-3)
    assert tied.sigma_of((1, 2, 1)) < 0.65 * free.sigma_of((1, 2, 1))


def test_hexagonal_order_in_its_laue_class():
    cell = gemmi.UnitCell(8, 8, 9, 90, 90, 120)
    box = alpha_box({(1, 0, 0): -0.15, (2, 1, 0): 0.1, (0, 0, 1): 0.2, (2, 1, 1): 0.04}, "6/m")
    rng = np.random.default_rng(3)
    made = simulate_volume(
        random_molecule(rng, 4),
        random_molecule(rng, 5),
        box[3:8, 3:8, 3:8],
        cell,
        size=40,
        step=0.15,
        counts=5.0,
        rng=rng,
    )
    volume = replace(made.volume, laue_class="6/m")
    result = factorize_volume(volume, order=2)
    assert result.laue_class == "6/m"
    assert result[(2, 1, 1)] == result[(1, 2, -1)] == result[(1, -1, 1)]
    assert result[(0, 1, 0)] == result[(1, 1, 0)] == pytest.approx(-0.15, abs=0.004)
    assert len(result.alpha) < 20
    # Corners of the box whose images lie outside are not refined, and 0 in truth as well.
    assert 0.5 < rms(errors(made, result) / result.sigma) < 1.6


def test_the_sro_between_voxels_and_its_error(noisy, noisy_result):
    rng = np.random.default_rng(5)
    hkl = rng.uniform(-3, 3, size=(400, 3))
    reach = np.arange(-2, 3)
    vectors = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    true = np.cos(2 * np.pi * hkl @ vectors.T) @ noisy.alpha.ravel()
    found, sigma = noisy_result.sro(hkl), noisy_result.sro_sigma(hkl)
    assert 0.7 < rms((found - true) / sigma) < 1.4
    np.testing.assert_allclose(noisy_result.sro(hkl + [1, -2, 3]), found, atol=1e-9)
    assert noisy_result[(0, 0, 0)] == 1
    with pytest.raises(ParameterError, match="was not refined"):
        noisy_result[(7, 0, 0)]


def test_coarser_voxels_give_the_same_order(noisy):
    thin = excerpt(noisy.volume, limit=2.8, every=1)
    assert thin.shape == (38, 38, 38)
    np.testing.assert_allclose(thin.origin, -0.15 * 18.5)
    result = factorize_volume(thin, order=2)
    assert rms(errors(noisy, result)) < 3e-3
    every = excerpt(noisy.volume, every=2)
    np.testing.assert_allclose(every.steps, 0.3 * np.eye(3))


def test_an_excerpt_keeps_why_voxels_are_out(noisy):
    bragg = np.zeros(noisy.volume.shape, bool)
    bragg[21, 21, 21] = bragg[0, 0, 0] = True
    volume = replace(noisy.volume, mask=bragg, masks={"bragg": bragg})
    cut = excerpt(volume, limit=2.5, every=2)
    np.testing.assert_array_equal(cut.masks["bragg"], cut.mask)
    assert cut.voxels_out()["bragg"] == 1


def test_voxels_too_coarse_for_the_order_are_refused(noisy):
    volume = noisy.volume
    # Five voxels a cell: u = 3 and u = −2 have the same cosines up to a constant phase.
    coarse = replace(volume, steps=0.2 * np.eye(3), origin=np.full(3, -0.2 * 19.5))
    with pytest.raises(GeometryError, match=r"order = 3 needs .* use order = 2"):
        factorize_volume(coarse, order=3)


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ({"order": 0}, "order = 0"),
        ({"order": 9}, "1 to 8"),
        ({"support": -1.0}, "radius in Å"),
        ({"support": "wide"}, "support = 'wide'"),
        ({"support": 30.0}, "more than the"),
        ({"max_unknowns": 3}, "50 or more"),
        ({"max_cycles": 0}, "max_cycles = 0"),
        ({"laue_class": "7/m"}, "7/m"),
    ],
)
def test_wrong_choices_are_named(noisy, choices, text):
    with pytest.raises(ParameterError, match=text):
        factorize_volume(noisy.volume, **{"order": 2, **choices})


def test_volumes_that_cannot_be_factorized_are_refused(noisy):
    volume = noisy.volume
    with pytest.raises(GeometryError, match="asks for"):
        factorize_volume(volume, order=2, laue_class="6/m")
    with pytest.raises(GeometryError, match="reciprocal cells"):
        factorize_volume(excerpt(volume, limit=0.4), order=2)
    layer = {
        "intensity": volume.intensity[:, :, :1],
        "origin": volume.origin,
    }
    with pytest.raises(GeometryError, match="spans 6.00, 6.00, 0.15 reciprocal cells"):
        factorize_volume(replace(volume, **layer), order=2)
    mask = np.ones(volume.shape, bool)
    mask[:, 20, 20] = False
    with pytest.raises(ParameterError, match="too few"):
        factorize_volume(replace(volume, mask=mask), order=2)
    with pytest.raises(ParameterError, match="not positive"):
        factorize_volume(replace(volume, intensity=-volume.intensity), order=2)
    with pytest.raises(ParameterError, match="none above 0"):
        factorize_volume(replace(volume, variance=np.zeros(volume.shape)), order=2)
    large = np.broadcast_to(np.float32(1), (300, 300, 300))
    with pytest.raises(ParameterError, match="at most 16,777,216"):
        factorize_volume(replace(volume, intensity=large))


def test_it_can_be_watched_and_stopped(noisy):
    cancel, seen = threading.Event(), []

    def watch(step, total, message):
        seen.append(step)
        assert step <= total
        assert message
        if step == 3:
            cancel.set()

    with pytest.raises(CancelledError):
        factorize_volume(noisy.volume, order=2, callback=watch, cancel=cancel)
    assert seen == [1, 2, 3]
