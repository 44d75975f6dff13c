"""Score tests on volumes: against brute force, noise and known additions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gemmi
import numpy as np
import pytest
from volume_samples import CELL

from dsfunet_core.simulate.molecules import random_molecule
from dsfunet_core.simulate.monte_carlo import monte_carlo_order
from dsfunet_core.simulate.sro import alpha_box
from dsfunet_core.volume_factorization import (
    SimulatedVolume,
    factorize,
    factorize_volume,
    simulate_volume,
)
from dsfunet_core.volume_factorization.normal import normal_at
from dsfunet_core.volume_factorization.problem import Unknowns, evaluate
from dsfunet_core.volume_factorization.score_tests import beyond_the_product

#: Of prior variances, in units of the program's.
LOOSENED = 30.0
#: Positive everywhere.
ALPHA = {(1, 0, 0): 0.15, (0, 1, 0): -0.1, (0, 1, 1): 0.05}
OTHER = {(1, 0, 0): -0.1, (0, 0, 1): 0.15, (1, 1, 0): 0.05}


def made_of(alpha: dict, seed: int, size: int = 32) -> SimulatedVolume:
    pair = np.random.default_rng(seed)
    return simulate_volume(
        random_molecule(pair, 3),
        random_molecule(pair, 2),
        alpha_box(alpha)[4:7, 4:7, 4:7],
        CELL,
        size=size,
        step=0.16,
        rng=np.random.default_rng(0),
    )


def scores(made: SimulatedVolume, seed: int, added: Any = 0.0, counts: float = 10) -> dict:
    product = made.form_factor * made.sro
    drawn = np.random.default_rng(seed).poisson(counts * (product / product.mean() + added))
    intensity = np.where(np.isfinite(made.volume.intensity), drawn, np.nan)
    volume = replace(made.volume, intensity=intensity.astype(np.float32))
    return factorize_volume(volume, order=1, support=4.5).choices["beyond_the_product"]


def test_the_projection_is_that_of_a_dense_jacobian(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    def keep(solution: Any, _: Any) -> Any:
        kept.append(solution)
        return beyond_the_product(solution, normal_at(solution, LOOSENED))

    monkeypatch.setattr(factorize, "beyond_the_product", keep)
    found = scores(made_of(ALPHA, 3, size=18), 0)["background"]
    (solution,) = kept
    problem, unknowns = solution.problem, solution.unknowns
    n, m = problem.form_factor.size, problem.order.size
    columns = []
    for k in range(n + m):
        step = np.zeros(n + m)
        step[k] = 1e-2  # the model is bilinear: central differences are exact
        both = []
        for sign in (1, -1):
            moved = Unknowns(
                unknowns.form_factor + sign * step[:n], unknowns.alpha + sign * step[n:]
            )
            both.append(evaluate(problem, moved).model.astype(float).ravel())
        columns.append((both[0] - both[1]) / 2e-2)
    jacobian = np.stack(columns, axis=1)
    weights = solution.weights.values.astype(float).ravel() / solution.weights.misfit
    loose = LOOSENED * problem.prior_variance
    precision = np.concatenate([1 / loose, np.full(m, 1 / 0.3**2)])
    here = np.concatenate([unknowns.form_factor - problem.prior_mean, unknowns.alpha])
    normal = jacobian.T @ (weights[:, None] * jacobian) + np.diag(precision)
    coupling = jacobian.T @ weights
    variance = weights.sum() - coupling @ np.linalg.solve(normal, coupling)
    residual = (problem.intensity - solution.fields.model).astype(float).ravel()
    # What is left once the unknowns have moved to where the data alone want them.
    right = jacobian.T @ (weights * residual) - precision * here
    score = weights @ residual - coupling @ np.linalg.solve(normal, right)
    # F below zero has a penalty of its own in the program's matrix.
    assert found["sigma"] == pytest.approx(score / np.sqrt(variance), rel=0.02, abs=0.02)


def test_noise_alone_gives_standard_normal_scores() -> None:
    made = made_of(ALPHA, 3)
    drawn = [scores(made, seed) for seed in range(8)]
    for name in ("order", "second product", "contrast", "background"):
        sigma = np.array([one[name]["sigma"] for one in drawn])
        assert abs(sigma.mean()) < 1.1, name  # 3 times 1/√8
        assert np.abs(sigma).max() < 3.5, name


def test_a_large_molecule_with_strong_order_is_no_second_site() -> None:
    """A prior that shrinks F's few largest coefficients once left an order of 12σ."""
    rng = np.random.default_rng(1)
    pair = random_molecule(rng, 6), random_molecule(rng, 7)
    alpha = monte_carlo_order((0.3, -0.25, 0.2), 0.5, size=24, samples=30, rng=rng).alpha
    cell = gemmi.UnitCell(7.1, 8.3, 9.2, 78, 97, 112)
    made = simulate_volume(*pair, alpha, cell, size=72, step=1 / 12, counts=5.0, rng=rng)
    result = factorize_volume(made.volume, order=5, support=9.0)
    found = result.choices["beyond_the_product"]
    assert {name: one["sigma"] for name, one in found.items() if one["sigma"] > 3.5} == {}


def test_a_constant_is_found_with_its_height() -> None:
    found = scores(made_of(ALPHA, 3), 1, added=0.1)["background"]
    assert found["sigma"] > 5
    # One step from where the product alone came to rest.
    assert found["amplitude"] == pytest.approx(0.1 / 1.1, rel=0.4)


def test_a_second_site_is_told() -> None:
    other = made_of(OTHER, 8)
    second = other.form_factor * other.sro
    found = scores(made_of(ALPHA, 3), 2, added=0.2 * second / second.mean())
    assert max(found[k]["sigma"] for k in ("order", "second product", "contrast")) > 5
