"""Uncertainties of the maps: against brute force, and against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from factorization_planes import known_plane

from dsfunet_core import factorize
from dsfunet_core.factorization.transforms import FormFactorBasis
from dsfunet_core.io.results import load_result, save_result
from dsfunet_core.simulate import VALIDATION, add_counting_noise, random_plane

SUPPORT = 5.0


def holes(shape):
    """A quadrant's corner and a stripe: some of it far from all that was measured."""
    valid = np.ones(shape, bool)
    valid[:34, :40] = False
    valid[:, 88:94] = False
    return valid


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.fixture(scope="module")
def noisy():
    """Six noise realisations of one plane, factorized."""
    known = known_plane()
    valid = holes(known.plane.shape)
    scale = 20 / known.plane.intensity[valid].mean()
    results = []
    for seed in range(6):
        counts = np.random.default_rng(seed).poisson(known.plane.intensity * scale)
        plane = known.with_intensity(counts.astype(float)).replace(valid=valid)
        results.append(factorize(plane, support=SUPPORT))
    return known, scale, valid, results


@pytest.mark.parametrize("centric", [True, False])
def test_variance_of_a_function_is_the_quadratic_form_of_its_basis(centric):
    shape = (13, 17)
    origin = torch.tensor([[6.0, 7.5], [5.0, 8.0]], dtype=torch.float64)
    basis = FormFactorBasis.build(
        shape, np.array([[1.0, 0.2], [0, 0.8]]), 0.25, centric, origin
    )
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(2, basis.size, basis.size, generator=generator, dtype=torch.float64)
    covariance = factor @ factor.transpose(1, 2)
    functions = torch.stack(
        [
            basis.synthesize(torch.eye(basis.size, dtype=torch.float64)[k].expand(2, -1))
            for k in range(basis.size)
        ],
        dim=1,
    )
    direct = torch.einsum("bjhw,bjk,bkhw->bhw", functions, covariance, functions)
    torch.testing.assert_close(basis.variance(covariance), direct)


def test_pulls_of_both_maps_over_noise(noisy):
    known, scale, valid, results = noisy
    pulls = {"sro": [], "measured": [], "dead": []}
    for result in results:
        pulls["sro"].append((result.sro - known.sro) / result.sro_sigma)
        pull = (result.form_factor - known.form_factor * scale) / result.form_factor_sigma
        pulls["measured"].append(pull[valid])
        pulls["dead"].append(pull[~valid])
    for name, values in pulls.items():
        # The dark corner is one guess about one form factor, whatever the noise.
        assert (0.3 if name == "dead" else 0.7) < rms(values) < 1.4, name


def test_uncertainty_grows_into_the_dark_up_to_the_scatter_of_form_factors(noisy):
    known, scale, valid, results = noisy
    sigma = results[0].form_factor_sigma
    edge, deep = sigma[34:38, :30].mean(), sigma[:12, :12].mean()
    assert deep > 5 * edge
    # Nobody who knows the envelope alone is further off than |F|² scatters about it, and
    # what surrounds the corner does not tell all of it.
    truth = known.form_factor * scale
    assert 0.1 < deep / truth[:12, :12].mean() < 3
    # A gap narrower than the features is bridged.
    assert sigma[60:, 88:94].mean() < 0.3 * deep


def test_order_repeats_and_so_does_its_uncertainty(noisy):
    _, _, _, (result, *_) = noisy
    uv = np.random.default_rng(0).uniform(size=(50, 2))
    coefficients = result.coefficients
    np.testing.assert_allclose(
        coefficients.sigma_at(uv), coefficients.sigma_at(uv + [3, -2]), rtol=1e-6
    )
    draws = np.random.default_rng(1).multivariate_normal(
        np.zeros(len(coefficients.covariance)),
        coefficients.covariance,
        size=4000,
        method="eigh",
    )
    m = len(coefficients.indices)
    angle = 2 * np.pi * uv @ coefficients.indices.T
    scatter = 2 * (draws[:, :m] @ np.cos(angle).T - draws[:, m:] @ np.sin(angle).T)
    np.testing.assert_allclose(coefficients.sigma_at(uv), scatter.std(axis=0), rtol=0.06)


def test_maps_are_stored_and_read_back(noisy, tmp_path):
    _, _, _, (result, *_) = noisy
    save_result(tmp_path / "result.h5", result)
    back = load_result(tmp_path / "result.h5")
    np.testing.assert_array_equal(back.form_factor_sigma, result.form_factor_sigma)
    np.testing.assert_array_equal(back.sro_sigma, result.sro_sigma)


def test_without_errors_there_are_no_maps():
    result = factorize(known_plane(n=97).plane, support=SUPPORT, errors=False)
    assert result.form_factor_sigma is None
    assert result.sro_sigma is None


@pytest.mark.slow
@pytest.mark.parametrize("counts", [20, 5])
def test_pulls_of_both_maps_over_planes(counts):
    pulls = {"sro": [], "measured": [], "dead": []}
    for seed in range(12):
        rng = np.random.default_rng([31, seed])
        made = add_counting_noise(random_plane(rng, VALIDATION), counts, rng)
        result = factorize(made.plane)
        mean = made.coefficients[(0, 0)].real
        pulls["sro"].append(rms((result.sro - made.sro / mean) / result.sro_sigma))
        pull = (result.form_factor - made.form_factor * mean) / result.form_factor_sigma
        valid = made.plane.valid
        pulls["measured"].append(rms(pull[valid]))
        pulls["dead"].append(rms(pull[~valid]))
    for name, values in pulls.items():
        # Extrapolation is a guess about form factors; its σ is good to a half.
        assert 0.7 < np.median(values) < (1.5 if name == "dead" else 1.4), (name, values)


def test_errors_of_the_lattice_reach_the_order(noisy):
    known, _, _, results = noisy
    result = results[0]
    exact = replace(result, choices={})
    d = result.lattice.direct_basis
    rng = np.random.default_rng(3)
    factor = 7e-5 * rng.normal(size=(4, 4))
    covariance, origin_sigma = factor @ factor.T, (0.02, 0.05)
    sigma = replace(
        result,
        choices={"lattice_covariance": covariance.tolist(), "origin_sigma": origin_sigma},
    ).sro_sigma
    rows, columns = np.indices(result.sro.shape)
    pixels = (np.stack([rows, columns], -1) - result.lattice.origin)[::4, ::4]
    drawn = []
    for _ in range(400):
        moved = d + (factor @ rng.normal(size=4)).reshape(2, 2)
        origin = rng.normal(size=2) * origin_sigma
        drawn.append(result.coefficients.evaluate((pixels - origin) @ moved))
    expected = np.hypot(np.std(drawn, axis=0), exact.sro_sigma[::4, ::4])
    assert rms(sigma[::4, ::4] / expected - 1) < 0.08
    assert np.median(sigma / exact.sro_sigma) > 1.3


@pytest.mark.slow
def test_a_lattice_that_was_found_has_honest_uncertainties():
    """Position of the lattice against the truth, with noise and without."""
    pulls = []
    for counts in (0.0, 20.0):
        for seed in range(3):
            rng = np.random.default_rng([77, seed])
            made = random_plane(rng, VALIDATION)
            plane = add_counting_noise(made, counts, rng).plane if counts else made.plane
            wrong = made.plane.steps * [1.003, 0.998]
            result = factorize(plane.replace(steps=wrong), refine_lattice=True)
            off = result.lattice.direct_basis - made.plane.lattice.direct_basis
            covariance = np.array(result.choices["lattice_covariance"])
            pulls.append(float(off.ravel() @ np.linalg.solve(covariance, off.ravel())) / 4)
    assert np.median(pulls) < 6
    assert np.median(pulls[3:]) > 0.1
