"""Score tests of what no product takes up: against brute force, noise and known additions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factorization_planes import known_plane

from dsfunet_core import factorize
from dsfunet_core.factorization import lattice
from dsfunet_core.factorization.priors import decay_variance, prior
from dsfunet_core.factorization.problem import Unknowns, evaluate
from dsfunet_core.factorization.score_tests import beyond_the_product, normal_score

SUPPORT = 5.0
FAMILIES = {"order", "second product", "contrast", "background"}


@pytest.fixture
def captured(monkeypatch):
    """Problem and solution of the last factorization."""
    kept = {}

    def keep(problem, solution):
        kept.update(problem=problem, solution=solution)
        return beyond_the_product(problem, solution)

    monkeypatch.setattr(lattice, "beyond_the_product", keep)
    return kept


def counted(known, seed, counts=20.0, added=0.0):
    """The plane with so many counts a pixel, and something added in units of its mean."""
    product = known.plane.intensity / known.plane.intensity.mean()
    drawn = np.random.default_rng(seed).poisson(counts * (product + added))
    valid = np.ones(product.shape, bool)
    valid[: len(product) // 4, : len(product) // 3] = False
    return known.with_intensity(drawn.astype(float)).replace(valid=valid)


def scores(plane, **options):
    return factorize(plane, support=SUPPORT, **options).choices["beyond_the_product"]


def test_the_projection_is_that_of_a_dense_jacobian(captured):
    """A constant's score and variance, with J from finite differences column by column."""
    known = known_plane(n=48, step=0.17)
    found = scores(counted(known, 0), order=2)["background"]
    problem, solution = captured["problem"], captured["solution"]
    n, m, _ = problem.sizes
    base = solution.unknowns.cat()
    columns = []
    for k in range(n + m):
        step = torch.zeros_like(base)
        step[0, k] = 1e-6
        both = [
            evaluate(problem, Unknowns(x[:, :n], x[:, n : n + m], x[:, n + m :])).model
            for x in (base + step, base - step)
        ]
        columns.append((both[0] - both[1]).ravel() / 2e-6)
    jacobian = torch.stack(columns, 1)
    weights = (solution.weights / solution.misfit[:, None, None]).ravel()
    precision, _ = prior(problem)
    precision[:, n:] = 1 / decay_variance(problem, solution.unknowns.sro)
    normal = jacobian.T @ (weights[:, None] * jacobian) + torch.diag(precision[0])
    coupling = jacobian.T @ weights
    variance = weights.sum() - coupling @ torch.linalg.solve(normal, coupling)
    residual = (problem.intensity - solution.fields.model).ravel()
    score = (weights * residual).sum()
    assert found["sigma"] == pytest.approx(float(score / variance.sqrt()), rel=1e-3, abs=1e-3)
    assert found["amplitude"] == pytest.approx(float(score / variance), rel=1e-3, abs=1e-6)


def test_noise_alone_gives_standard_normal_scores():
    known = known_plane()
    drawn = [scores(counted(known, seed)) for seed in range(12)]
    for name in FAMILIES:
        sigma = np.array([one[name]["sigma"] for one in drawn])
        # Twelve draws: the mean scatters by 0.3, the spread by 0.2.
        assert abs(sigma.mean()) < 1.2, name
        assert 0.5 < sigma.std() < 1.6, name
        assert np.abs(sigma).max() < 3.5, name


@pytest.mark.parametrize("level", [0.1, -0.05])
def test_a_constant_is_found_with_its_height(level):
    plane = counted(known_plane(), 3, added=max(level, 0))
    if level < 0:
        # As where too much background was subtracted.
        mean = plane.intensity[plane.valid].mean()
        plane = plane.replace(intensity=plane.intensity + level * mean)
    found = scores(plane)["background"]
    assert found["sigma"] * np.sign(level) > 5
    # One step from where the product alone came to rest.
    assert found["amplitude"] == pytest.approx(level / (1 + level), rel=0.3)


def test_a_constant_that_is_refined_is_no_longer_asked_about():
    known = known_plane()
    found = scores(counted(known, 1, added=0.2), background=True)
    assert "background" not in found
    assert all(abs(score["sigma"]) < 3.5 for score in found.values())


def test_a_second_site_is_told_from_a_fifth_of_the_intensity():
    known, other = known_plane(), known_plane(seed=5)
    # Another form factor and, by turning the plane upside down, another order.
    second = other.form_factor * known.sro[:, ::-1]
    weak = scores(counted(known, 2, added=0.2 * second / second.mean()))
    assert max(weak[k]["sigma"] for k in ("order", "second product", "contrast")) > 5


def test_units_of_the_intensity_change_nothing():
    plane = counted(known_plane(), 0)
    plain, scaled = scores(plane), scores(plane.replace(intensity=1e4 * plane.intensity))
    for name, score in plain.items():
        for figure, value in score.items():
            expected = value if value is None else pytest.approx(value, rel=1e-3, abs=1e-6)
            assert scaled[name][figure] == expected, (name, figure)


@pytest.mark.parametrize("number", [2, 9, 60])
def test_chi_square_becomes_a_normal_deviate(number):
    drawn = np.random.default_rng(number).chisquare(number, 4000)
    deviates = np.array([normal_score(x, number) for x in drawn])
    assert abs(deviates.mean()) < 0.06
    assert deviates.std() == pytest.approx(1, abs=0.05)
