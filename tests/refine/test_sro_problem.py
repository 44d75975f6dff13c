"""Refining again with parameters fixed or bounded, as a table with sliders does."""

from __future__ import annotations

import numpy as np
import pytest
from sro_planes import TRICLINIC, factorized, make_plane, sro_at

from dsfunet_core.errors import ParameterError
from dsfunet_core.refine import SroProblem, project, refine_sro
from dsfunet_core.refine.result import SroRefinement

TRUE = {(1, 0, 0): -0.21, (0, 1, 0): 0.12, (1, 1, 0): 0.05, (1, -1, 0): -0.03}


def noisy(rng, size=0.05):
    plane = make_plane("hk1", TRICLINIC, shape=(140, 150), reach=3.7, skew=0.2)
    sro = sro_at(plane.hkl(), TRUE, "-1")
    return factorized(plane, sro * (1 + rng.normal(0, size, sro.shape)))


def problem_of(rng, **options):
    return SroProblem(project(noisy(rng), laue_class="-1"), shells=1, **options)


def test_a_fixed_parameter_leaves_the_minimum_under_that_condition(rng):
    problem = problem_of(rng)
    held = {(0, 1, 0): 0.2}
    fit = problem.refine(fixed=held)
    assert fit[0, 1, 0] == 0.2
    assert fit[0, -1, 0] == 0.2
    i = problem.index((0, 1, 0))
    assert fit.fixed.tolist() == [j == i for j in range(len(fit.orbits))]
    assert np.all(fit.covariance[i] == 0)
    assert "(fixed)" in fit.table()

    def cost(alpha, k):
        o = problem.observed
        use = o.weight > 0
        return (o.weight * (o.values - problem.calculated(alpha, k)) ** 2)[use].sum()

    best = cost(fit.alpha, fit.scale)
    for j in np.flatnonzero(~fit.fixed):
        for step in (-1e-3, 1e-3):
            moved = fit.alpha.copy()
            moved[j] += step
            assert cost(moved, fit.scale) > best


def test_fixed_at_the_estimate_changes_nothing_and_takes_its_share_of_the_errors(rng):
    problem = problem_of(rng)
    free = problem.refine()
    i = problem.index((1, 0, 0))
    held = problem.refine(fixed={(-1, 0, 0): float(free.alpha[i])})
    np.testing.assert_allclose(held.alpha, free.alpha, atol=1e-10)
    others = np.arange(len(free.alpha)) != i
    # The conditional covariance: Schur complement of the variance of what is held.
    column = free.covariance[:, i]
    expected = free.covariance - np.outer(column, column) / free.covariance[i, i]
    np.testing.assert_allclose(
        held.covariance[np.ix_(others, others)],
        expected[np.ix_(others, others)],
        rtol=1e-3,
        atol=1e-9,
    )


def test_everything_fixed_is_a_comparison(rng):
    problem = problem_of(rng)
    free = problem.refine()
    fixed = {o.representative: a for o, a in zip(free.orbits, free.alpha, strict=True)}
    same = problem.refine(fixed=fixed)
    assert same.scale == pytest.approx(free.scale)
    assert same.r_factor == pytest.approx(free.r_factor)
    worse = problem.refine(fixed={v: 0.0 for v in fixed})
    assert worse.r_factor > 2 * free.r_factor


def test_bounds_of_single_parameters_hold(rng):
    problem = problem_of(rng)
    free = problem.refine()
    bounds = np.tile([-1.0, 1.0], (len(free.alpha), 1))
    i = problem.index((1, 0, 0))
    bounds[i] = -0.15, 1
    fit = problem.refine(bounds=bounds)
    assert fit.alpha[i] == -0.15
    assert fit.at_bound.tolist() == [j == i for j in range(len(fit.alpha))]
    held = problem.refine(fixed={(1, 0, 0): -0.15})
    np.testing.assert_allclose(fit.alpha, held.alpha, atol=1e-6)
    with pytest.raises(ParameterError, match="the lower one must be below"):
        problem.refine(bounds=bounds[:, ::-1])


def test_a_problem_refines_as_refine_sro_does(rng):
    result = noisy(rng)
    direct = refine_sro(result, laue_class="-1", shells=2)
    problem = SroProblem(result, laue_class="-1", shells=2)
    again = [problem.refine() for _ in range(2)][-1]
    np.testing.assert_allclose(again.alpha, direct.alpha, atol=1e-12)
    np.testing.assert_allclose(again.covariance, direct.covariance, atol=1e-15)
    np.testing.assert_allclose(
        problem.calculated(again.alpha, again.scale), again.calculated.values, atol=1e-12
    )


def test_what_was_fixed_is_written_and_read(rng, tmp_path):
    fit = problem_of(rng).refine(fixed={(1, 0, 0): -0.2})
    path = fit.to_json(tmp_path / "fit.json")
    again = SroRefinement.from_json(path)
    assert again.fixed.tolist() == fit.fixed.tolist()
    assert again.table() == fit.table()
    rows = fit.to_csv(tmp_path / "fit.csv").read_text().splitlines()
    assert rows[0].endswith("at_bound,fixed")
    assert sum(row.endswith(",1") for row in rows[1:]) == 1


def test_a_vector_that_is_not_there_is_named(rng):
    with pytest.raises(ParameterError, match="was not refined"):
        problem_of(rng).refine(fixed={(4, 0, 0): 0.1})
