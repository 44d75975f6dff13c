"""Gauss–Newton solution of I = F·S (+ B) on a plane whose lattice is known.

The three factors are linear in their unknowns, their product is bilinear:

    M(p) = E(p) · H(p) · max(S(p), 0) + B(p)

E is a smooth radial envelope taken from the data, H = F/E a trigonometric polynomial
over a disc of real-space points (the support), S = 1 + Σ C_u exp(2πi r_u·p), and B an
optional low-order polynomial. All unknowns are refined together by damped Gauss–Newton
on the dense normal matrix, which the Fourier bases fill quickly; alternating between the
factors would take many more cycles because the two are strongly coupled.

H has a Gaussian prior: mean 1, variance falling to nothing beyond the support. In
measured regions the data decide; in dead zones the prior makes the extrapolation the
kriging estimate rather than an extravagant one.

Every array has a leading batch axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dsfunet_core.errors import CancelledError
from dsfunet_core.factorization.form_factor_alone import alone, scatter
from dsfunet_core.factorization.normal_equations import solved
from dsfunet_core.factorization.priors import SRO_PRIOR_SIGMA, decay_variance, prior
from dsfunet_core.factorization.problem import (
    Fields,
    Problem,
    Unknowns,
    evaluate,
    jacobian_fields,
)
from dsfunet_core.factorization.weighting import pixel_weights

__all__ = [
    "Solution",
    "form_factor_step",
    "normal_matrix",
    "solve",
    "start",
    "with_prior",
]

#: Halvings of a step that overshoots.
MAX_HALVINGS = 8
#: Standard deviation of a negative S in places of the cell that nobody measured.
NEGATIVE_SIGMA = 0.02
#: Cycles before convergence is asked about; outliers are rejected from the second on.
MIN_CYCLES = 2
#: Relative misfit (mean square, weighted) below which a refinement has nothing to gain.
CONVERGED_MISFIT = 1e-7


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the refinement ended.

    Parameters
    ----------
    unknowns : Unknowns
        Coefficients.
    fields : Fields
        Factors on the pixels.
    weights : Tensor, shape (batch, H, W)
        1/variance, outliers and masked pixels 0.
    misfit : Tensor, shape (batch,)
        Weighted mean square residual per degree of freedom (reduced χ² where the
        variances are known, otherwise the scale of the counting variance).
    cycles : int
        Cycles done.
    outliers : Tensor, shape (batch,)
        Number of pixels rejected.
    """

    unknowns: Unknowns
    fields: Fields
    weights: Tensor
    misfit: Tensor
    cycles: int
    outliers: Tensor


def normal_matrix(problem: Problem, fields: Fields, weights: Tensor) -> Tensor:
    """JᵀWJ over all unknowns, without the prior, shape (batch, total, total)."""
    n, m, k = problem.sizes
    d_h, d_s = jacobian_fields(problem, fields)
    f_basis, s_basis = problem.form_factor_basis, problem.sro_basis
    matrix = weights.new_empty((len(weights), n + m + k, n + m + k))
    matrix[:, :n, :n] = f_basis.gram(weights * d_h**2)
    matrix[:, n : n + m, n : n + m] = s_basis.gram(weights * d_s**2)
    cross = s_basis.cross(weights * d_h * d_s, f_basis)
    matrix[:, :n, n : n + m] = cross
    matrix[:, n : n + m, :n] = cross.transpose(1, 2)
    if problem.background_basis is not None:
        for i, function in enumerate(problem.background_basis):
            weighted = weights * function
            row = torch.cat(
                [
                    f_basis.analyze(d_h * weighted),
                    s_basis.analyze(d_s * weighted),
                    torch.einsum("bhw,khw->bk", weighted, problem.background_basis),
                ],
                dim=1,
            )
            matrix[:, n + m + i] = row
            matrix[:, : n + m, n + m + i] = row[:, : n + m]
    return matrix


def with_prior(matrix: Tensor, misfit: Tensor, precision: Tensor) -> Tensor:
    """Normal matrix in units of the misfit plus the prior's precision, in place."""
    matrix.div_(misfit[:, None, None])
    matrix.diagonal(dim1=1, dim2=2).add_(precision)
    return matrix


def gradient(problem: Problem, fields: Fields, weighted_residual: Tensor) -> Tensor:
    """JᵀWr over all unknowns, shape (batch, total)."""
    d_h, d_s = jacobian_fields(problem, fields)
    parts = [
        problem.form_factor_basis.analyze(d_h * weighted_residual),
        problem.sro_basis.analyze(d_s * weighted_residual),
    ]
    if problem.background_basis is not None:
        parts.append(torch.einsum("bhw,khw->bk", weighted_residual, problem.background_basis))
    return torch.cat(parts, 1)


def start(problem: Problem, smooth: Tensor) -> Unknowns:
    """Starting values: the data averaged over a cell for H, then the best S for it.

    Parameters
    ----------
    problem : Problem
        Data.
    smooth : Tensor, shape (batch, n_P)
        Prior variances for a form factor so smooth that it cannot follow the lattice.

    Returns
    -------
    Unknowns
        S has mean 1 over a cell, so data averaged over a cell are F to first order.
    """
    _, m, k = problem.sizes
    envelope, valid = problem.envelope, problem.valid
    # The lattice is the noise of this first fit: its relative size is about one.
    h = alone(replace(problem, prior_variance=smooth), scatter(problem))
    f = envelope * problem.form_factor_basis.synthesize(h).clamp(min=0.02)
    weights = valid / f
    matrix = problem.sro_basis.gram(weights * f**2)
    scale = (weights * (problem.intensity - f) ** 2).sum((1, 2)) / valid.sum((1, 2))
    matrix = matrix + torch.diag_embed((scale / SRO_PRIOR_SIGMA**2)[:, None].expand(-1, m))
    right = problem.sro_basis.analyze(weights * f * (problem.intensity - f))
    return Unknowns(h, solved(matrix, right), h.new_zeros(len(h), k))


def form_factor_step(
    problem: Problem,
    unknowns: Unknowns,
    weights: Tensor | None = None,
    misfit: Tensor | None = None,
) -> Unknowns:
    """Best form factor for a given short-range order: one linear least-squares step.

    Parameters
    ----------
    problem : Problem
        Data, bases and prior.
    unknowns : Unknowns
        Short-range order and background are kept.
    weights : Tensor, shape (batch, H, W), optional
        Weights 1/variance; made from the unknowns when left out.
    misfit : Tensor, shape (batch,), optional
        Scale of the variances, likewise.

    Returns
    -------
    Unknowns
        With another form factor.
    """
    precision, mean = prior(problem)
    n = problem.sizes[0]
    fields = evaluate(problem, unknowns)
    if weights is None or misfit is None:
        weights, misfit, _ = pixel_weights(problem, fields, robust=problem.robust)
    d_h, _ = jacobian_fields(problem, fields)
    basis = problem.form_factor_basis
    residual = weights * (problem.intensity - fields.model)
    matrix = with_prior(basis.gram(weights * d_h**2), misfit, precision[:, :n])
    right = basis.analyze(d_h * residual) / misfit[:, None]
    right = right - precision[:, :n] * (unknowns.form_factor - mean[:, :n])
    step = solved(matrix, right)
    return replace(unknowns, form_factor=unknowns.form_factor + step)


@dataclass(frozen=True, eq=False)
class _Target:
    """What one cycle minimises: weighted residuals, prior, negative order in holes."""

    problem: Problem
    weights: Tensor
    misfit: Tensor
    precision: Tensor
    mean: Tensor

    @property
    def _negative_weight(self) -> Tensor:
        cells = self.problem.sro_basis.cells[:, None, None]
        return self.problem.unseen / (NEGATIVE_SIGMA**2 * cells)

    def value(self, unknowns: Unknowns, fields: Fields) -> Tensor:
        """Twice the negative log posterior, shape (batch,)."""
        residual = self.problem.intensity - fields.model
        data = (self.weights * residual**2).sum((1, 2)) / self.misfit
        below = (self._negative_weight * fields.s.clamp(max=0) ** 2).sum((1, 2))
        return data + below + (self.precision * (unknowns.cat() - self.mean) ** 2).sum(1)

    def step(self, unknowns: Unknowns, fields: Fields) -> Tensor:
        """Gauss–Newton step of all unknowns, shape (batch, total)."""
        problem = self.problem
        n, m, _ = problem.sizes
        matrix = with_prior(
            normal_matrix(problem, fields, self.weights), self.misfit, self.precision
        )
        residual = self.weights * (problem.intensity - fields.model)
        right = gradient(problem, fields, residual) / self.misfit[:, None]
        right -= self.precision * (unknowns.cat() - self.mean)
        # Where there are data, S is cut off at zero; elsewhere it must not get there.
        negative = (fields.s < 0) * self._negative_weight
        matrix[:, n : n + m, n : n + m] += problem.sro_basis.gram(negative)
        right[:, n : n + m] -= problem.sro_basis.analyze(negative * fields.s)
        return solved(matrix, right)

    def improve(self, unknowns: Unknowns, fields: Fields) -> tuple[Unknowns, Fields]:
        """Take the step, halved for the planes where it overshoots."""
        step = self.step(unknowns, fields)
        before = self.value(unknowns, fields)
        length = torch.ones_like(self.misfit)[:, None]
        for _ in range(MAX_HALVINGS):
            trial = unknowns.moved(length * step)
            trial_fields = evaluate(self.problem, trial)
            worse = self.value(trial, trial_fields) > before
            if not bool(worse.any()):
                break
            length = torch.where(worse[:, None], length / 2, length)
        return trial, trial_fields


def solve(
    problem: Problem,
    unknowns: Unknowns,
    *,
    max_cycles: int = 12,
    tolerance: float = 1e-3,
    tick: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Solution:
    """Refine all unknowns together until the misfit stands still.

    Parameters
    ----------
    problem : Problem
        Data and bases.
    unknowns : Unknowns
        Where to start.
    max_cycles : int
        Largest number of Gauss–Newton cycles.
    tolerance : float
        Stop when the misfit changes by less than this fraction, for every plane.
    tick : callable, optional
        Called with the cycle number.
    cancelled : callable, optional
        Asked before every cycle.

    Returns
    -------
    Solution
        Weights and misfit belong to the returned unknowns.

    Raises
    ------
    CancelledError
        If ``cancelled()`` returns True.
    """
    precision, mean = prior(problem)
    n, m, _ = problem.sizes
    fields = evaluate(problem, unknowns)
    weights, misfit, outliers = pixel_weights(problem, fields, robust=False)
    cycle = 0
    for cycle in range(1, max_cycles + 1):
        if cancelled is not None and cancelled():
            raise CancelledError("the factorization was cancelled")
        precision[:, n : n + m] = 1 / decay_variance(problem, unknowns.sro)
        target = _Target(problem, weights, misfit, precision, mean)
        unknowns, fields = target.improve(unknowns, fields)
        previous = misfit
        weights, misfit, outliers = pixel_weights(
            problem, fields, robust=problem.robust and cycle >= MIN_CYCLES
        )
        if tick is not None:
            tick(cycle)
        still = (misfit - previous).abs() < tolerance * previous
        signal = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
        exact = misfit < CONVERGED_MISFIT * signal
        if cycle >= MIN_CYCLES and bool((still | exact).all()):
            break
    return Solution(unknowns, fields, weights, misfit, cycle, outliers)
