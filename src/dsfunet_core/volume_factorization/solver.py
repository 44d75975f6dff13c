"""Gauss–Newton solution of I = F·S on a volume, and the support of its form factor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.volume_factorization.bases import FormFactorBasis
from dsfunet_core.volume_factorization.normal import cholesky, solve
from dsfunet_core.volume_factorization.problem import (
    Fields,
    Problem,
    Unknowns,
    Weights,
    evaluate,
    normal_equations,
    objective,
    total,
    weigh,
)

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization.grid import VolumeGrid

__all__ = [
    "Solution",
    "choose_support",
    "refine",
    "shell_prior",
]

#: Support radii tried, in units of the cube root of the cell's volume.
CANDIDATES = (0.35, 0.6, 0.85, 1.15, 1.5, 2.0)
#: Where the search starts.
FIRST = 1
#: The basis reaches beyond the nominal radius; the prior falls off in between.
REACH = 1.1
#: Radius of the first guess, which must not follow the lattice.
SMOOTH = 0.4
#: A larger support must improve the prediction of held-out voxels by this factor, and one
#: that predicts them to this relative mean square needs no better.
IMPROVEMENT, GOOD_ENOUGH = 0.995, 3e-5
#: A support cut down to the largest number of unknowns must still grow by this factor.
WORTHWHILE = 1.1
#: Fraction of the voxels held out, in cubes of this edge.
HELD_OUT, BLOCK = 0.1, 4
#: A cycle that moves no α by more than this is the last.
TOLERANCE = 2e-5
MAX_HALVINGS = 6

Tick = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the refinement ended."""

    problem: Problem
    unknowns: Unknowns
    fields: Fields
    weights: Weights
    cycles: int


def radial_prior(basis: FormFactorBasis, radius: float) -> NDArray[np.float64]:
    """Prior variances that fall to nothing around a radius [Å], shape (n_P,).

    |F|² of a random molecule scatters about its envelope by its own size: they sum to 1.
    """
    shape = np.exp(-((basis.radius / (0.8 * radius)) ** 4)) + 1e-9
    variance = shape / shape[1:].sum() if basis.size > 1 else shape
    variance[0] = 1.0
    return variance


def shell_prior(
    basis: FormFactorBasis, coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Prior variances re-estimated from a solution in shells of distance.

    Parameters
    ----------
    basis : FormFactorBasis
        Where the unknowns sit.
    coefficients : ndarray, shape (n_P,)
        Solution.

    Returns
    -------
    ndarray, shape (n_P,)
        Mean squares in shells one step thick, smoothed over neighbouring shells.
    """
    if basis.size < 8:
        return radial_prior(basis, float(basis.radius[-1]) or 1.0)
    shell = (basis.radius / basis.radius[1]).astype(int)
    count = np.bincount(shell[1:], minlength=shell[-1] + 1)
    power = np.bincount(shell[1:], coefficients[1:] ** 2, minlength=shell[-1] + 1)
    mean = power / np.maximum(count, 1)
    largest = mean.max()
    log = np.log(np.where(count > 0, mean, largest) + 1e-10 * largest)
    kernel = np.exp(-0.5 * np.arange(-2.0, 3.0) ** 2)
    smooth = np.convolve(np.pad(log, 2, mode="edge"), kernel / kernel.sum(), "valid")
    variance = np.exp(smooth)[shell] + 1e-9 * largest
    variance[0] = 1.0
    return np.asarray(variance)


def with_support(problem: Problem, cell: gemmi.UnitCell, radius: float) -> Problem:
    """The problem with another support [Å]."""
    basis = FormFactorBasis.build(problem.form_factor.grid, cell, REACH * radius)
    return replace(problem, form_factor=basis, prior_variance=radial_prior(basis, radius))


def refine(
    problem: Problem,
    unknowns: Unknowns,
    *,
    max_cycles: int,
    tick: Tick,
    robust_from: int = 1,
) -> Solution:
    """Refine form factor and order together.

    Parameters
    ----------
    problem : Problem
        Data and bases.
    unknowns : Unknowns
        Where to start.
    max_cycles : int
        Most cycles.
    tick : callable
        Called with a message before each cycle; may raise to stop.
    robust_from : int
        First cycle in which outliers are rejected.

    Returns
    -------
    Solution
        Its weights belong to its fields.
    """
    fields = evaluate(problem, unknowns)
    cycle = 0
    for cycle in range(1, max_cycles + 1):
        tick(f"cycle {cycle} with {problem.form_factor.size} points")
        weights = weigh(problem, fields, problem.robust and cycle > robust_from)
        matrix, right = normal_equations(problem, unknowns, fields, weights)
        step = solve(cholesky(matrix), right)
        del matrix
        before = objective(problem, unknowns, fields, weights)
        for halving in range(MAX_HALVINGS):
            trial = unknowns.moved(step / 2**halving)
            trial_fields = evaluate(problem, trial)
            if objective(problem, trial, trial_fields, weights) <= before:
                break
        moved = float(np.abs(trial.alpha - unknowns.alpha).max())
        unknowns, fields = trial, trial_fields
        if moved < TOLERANCE:
            break
    weights = weigh(problem, fields, problem.robust)
    return Solution(problem, unknowns, fields, weights, cycle)


def form_factor_step(problem: Problem, alpha: NDArray[np.float64], spread: float) -> Unknowns:
    """Best form factor for a given order.

    Parameters
    ----------
    problem : Problem
        Data and bases.
    alpha : ndarray, shape (n_α,)
        Order.
    spread : float
        Scale of the variances: weighted mean square of what the fit leaves.
    """
    unknowns = Unknowns(problem.prior_mean, alpha)
    fields = evaluate(problem, unknowns)
    weights = Weights(problem.valid / problem.envelope, spread, 0)
    matrix, right = normal_equations(problem, unknowns, fields, weights, order=False)
    return Unknowns(unknowns.form_factor + solve(cholesky(matrix), right), alpha)


def start(problem: Problem, cell: gemmi.UnitCell, constant: float) -> Unknowns:
    """Starting values: data averaged over a cell for F, then the best S for it.

    Parameters
    ----------
    problem : Problem
        Its support is that of the result.
    cell : gemmi.UnitCell
        For distances.
    constant : float
        Cube root of the cell's volume [Å].

    Notes
    -----
    S has mean 1 over a cell, so a form factor too smooth to follow the lattice is fitted to
    the data first; the lattice is the noise of this fit.
    """
    smooth = with_support(problem, cell, SMOOTH * constant)
    nothing = np.zeros(problem.order.size)
    residual = problem.intensity - problem.envelope
    spread = total(problem.valid / problem.envelope, residual**2) / total(problem.valid)
    guess = form_factor_step(smooth, nothing, spread)
    fields = evaluate(smooth, guess)
    h = np.maximum(fields.h, 0.02)
    fields = Fields(h, fields.s, problem.envelope * h)
    weights = Weights(problem.valid / fields.model, spread, 0)
    matrix, right = normal_equations(smooth, guess, fields, weights, form_factor=False)
    alpha = solve(cholesky(matrix), right)
    return form_factor_step(problem, alpha, spread)


def held_out_blocks(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.float32]:
    """Random cubes of voxels for cross-validation, 1 where held out."""
    coarse = [math.ceil(n / BLOCK) for n in shape]
    held = (np.random.default_rng(seed).random(coarse) < HELD_OUT).astype(np.float32)
    for axis in range(3):
        held = np.repeat(held, BLOCK, axis=axis)
    return held[: shape[0], : shape[1], : shape[2]]


def choose_support(
    problem: Problem,
    cell: gemmi.UnitCell,
    *,
    max_unknowns: int,
    tick: Tick,
) -> tuple[Problem, Unknowns, dict[str, Any]]:
    """Grow the support for as long as it predicts held-out voxels better.

    Parameters
    ----------
    problem : Problem
        With any support.
    cell : gemmi.UnitCell
        For distances.
    max_unknowns : int
        Largest number of unknowns of the form factor.
    tick : callable
        Called with a message before each cycle.

    Returns
    -------
    problem : Problem
        With the chosen support, no voxel held out.
    unknowns : Unknowns
        Refined against the voxels that were not held out.
    record : dict
        ``support`` [Å], ``support_scores`` (radius → relative mean square error of the
        prediction), ``support_capped``.
    """
    constant = cell.volume ** (1 / 3)
    held = held_out_blocks(problem.form_factor.grid.shape)
    test = problem.valid * held / problem.envelope
    mean = total(test, problem.intensity**2)
    scores: dict[float, float] = {}
    capped = False

    def fitted(radius: float, known: Unknowns | None) -> tuple[float, Problem, Unknowns]:
        trial = with_support(problem, cell, radius)
        training = trial.without(held)
        if known is None:
            begin = start(training, cell, constant)
        else:
            begin = form_factor_step(training, known.alpha, spread)
        tick(f"support {radius:.1f} Å")
        found = refine(training, begin, max_cycles=4 if known is None else 2, tick=tick)
        error = (problem.intensity - found.fields.model) ** 2
        scores[radius] = total(test, error) / mean
        return found.weights.misfit, trial, found.unknowns

    spread = 1.0
    radius = CANDIDATES[FIRST] * constant
    radius = min(radius, largest_radius(problem.form_factor.grid, cell, max_unknowns))
    spread, best, unknowns = fitted(radius, None)
    for factor in CANDIDATES[FIRST + 1 :]:
        if scores[radius] < GOOD_ENOUGH or capped:
            break
        wanted = factor * constant
        allowed = largest_radius(problem.form_factor.grid, cell, max_unknowns)
        if wanted > allowed:
            capped, wanted = True, allowed
            if wanted < WORTHWHILE * radius:
                break
        _, trial, moved = fitted(wanted, unknowns)
        if scores[wanted] > IMPROVEMENT * scores[radius]:
            capped = False
            break
        radius, best, unknowns = wanted, trial, moved
    if radius == CANDIDATES[FIRST] * constant:
        smaller = CANDIDATES[0] * constant
        _, trial, moved = fitted(smaller, unknowns)
        if scores[smaller] < scores[radius]:
            radius, best, unknowns = smaller, trial, moved
    record = {"support": radius, "support_scores": scores, "support_capped": capped}
    return best, unknowns, record


def largest_radius(grid: VolumeGrid, cell: gemmi.UnitCell, max_unknowns: int) -> float:
    """Largest support [Å] with no more than so many unknowns of the form factor."""
    # The number of points grows with the cube of the radius; their spacing hardly varies.
    radius = cell.volume ** (1 / 3)
    for _ in range(12):
        size = FormFactorBasis.build(grid, cell, REACH * radius).size
        if 0.9 * max_unknowns <= size <= max_unknowns:
            break
        radius *= (0.96 * max_unknowns / size) ** (1 / 3)
    return radius
