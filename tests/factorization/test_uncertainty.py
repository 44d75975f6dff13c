"""Parts of the error bars: what noise leaves alone and what its absence brings out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from factorization_planes import known_plane

from dsfunet_core import factorize
from dsfunet_core.factorization import lattice, uncertainty

SUPPORT = 5.0


def solved(monkeypatch, plane, support=SUPPORT):
    """Problem, solution and spacing of a factorization, and its result."""
    kept = []

    def keep(problem, solution, spacing):
        kept.extend([problem, solution, spacing])
        return uncertainty.form_factor_sigma(problem, solution, spacing)

    monkeypatch.setattr(lattice, "form_factor_sigma", keep)
    result = factorize(plane, support=support)
    return *kept, result


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


@pytest.fixture
def noisy(monkeypatch):
    known = known_plane()
    scale = 20 / known.plane.intensity.mean()
    counts = np.random.default_rng(4).poisson(known.plane.intensity * scale).astype(float)
    return known, *solved(monkeypatch, known.with_intensity(counts))


def test_blocks_left_out_move_the_order_as_far_as_noise_does(noisy, monkeypatch):
    _, problem, solution, _, _ = noisy
    model, _ = uncertainty.sro_covariance(problem, solution)
    ratios = []
    for share in (0.1, 0.2, 0.35):
        monkeypatch.setattr(uncertainty, "JACKKNIFE_SHARE", share)
        ratios.append(float(uncertainty._moved_without_blocks(problem, solution, model)))
    # Of 120 coefficients, each with its own axis: a scatter of some 15 %.
    assert np.all((0.6 < np.array(ratios)) & (np.array(ratios) < 1.6)), ratios


def test_white_residuals_are_no_form_factor_and_smooth_ones_are(noisy):
    _, problem, solution, _, _ = noisy
    rng = np.random.default_rng(0)
    model = solution.fields.model

    def share(smooth):
        noise = torch.as_tensor(rng.normal(size=model.shape))
        spread = solution.weights.clamp(min=1e-12) ** -0.5
        found = uncertainty._smooth_residual(
            replace(problem, intensity=model + spread * (noise + smooth)),
            solution,
            torch.ones(1, dtype=torch.float64),
        )
        per_pixel = spread**2 / solution.fields.s.clamp(min=0.1) ** 2
        return float(found.mean() / per_pixel.mean())

    rows, columns = np.indices(model.shape[1:])
    wave = torch.as_tensor(np.sqrt(2) * np.cos(0.3 * rows + 0.2 * columns))
    assert share(0) < 0.02
    # A tenth of the noise's variance is smooth: of the whole it is a share of 0.01/1.01.
    assert share(0.1 * wave) < 0.03
    assert share(0.5 * wave) == pytest.approx(0.25 / 1.25, rel=0.2)


def test_variances_of_coefficients_are_those_drawn_where_half_is_not_determined(noisy):
    _, problem, _, spacing, _ = noisy
    rng = np.random.default_rng(2)
    radius = problem.form_factor_basis.radius(spacing)
    true = torch.exp(-((radius / 2) ** 2)) * 0.01 + 1e-6
    draws = torch.as_tensor(rng.normal(size=len(radius))) * true.sqrt()
    # Every second coefficient stands at 0, with all of its prior variance open.
    dark = torch.arange(len(radius)) % 2 == 0
    left = torch.where(dark, true, torch.zeros_like(true))[None]
    unknowns = uncertainty.Unknowns(
        torch.where(dark, 0.0, draws)[None], torch.zeros(1, 0), torch.zeros(1, 0)
    )
    prior = replace(problem, prior_variance=true[None])
    found = uncertainty._spread(prior, unknowns, left, spacing)[0]
    inner = (radius > 0) & (radius < 4)
    assert float((found / true)[inner].mean()) == pytest.approx(1, abs=0.25)


def test_without_noise_sigma_is_of_the_size_of_the_error(monkeypatch):
    known = known_plane()
    valid = np.ones(known.plane.shape, bool)
    valid[:34, :40] = False
    plane = known.plane.replace(valid=valid)
    problem, solution, spacing, result = solved(monkeypatch, plane, support=3.4)
    error = result.sro - known.sro
    assert rms(error) < 1e-2
    assert 0.3 < rms(error / result.sro_sigma) < 3
    scale = plane.intensity[valid].mean()
    sigma = uncertainty.form_factor_sigma(problem, solution, spacing)[0].numpy() * scale
    error = (result.form_factor - known.form_factor)[valid]
    assert 0.5 < rms(error / sigma[valid]) < 2
