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

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsfunet_core.errors import CancelledError

if TYPE_CHECKING:
    from dsfunet_core.factorization.transforms import FormFactorBasis, SroBasis

__all__ = [
    "Problem",
    "Solution",
    "Unknowns",
    "evaluate",
    "form_factor_step",
    "jacobian_fields",
    "normal_matrix",
    "prior",
    "solve",
    "start",
    "with_prior",
]

#: Variance floor of counting-like weights, in units of the envelope.
VARIANCE_FLOOR = 0.03
#: Smallest relative misfit that counts as noise: keeps the normal matrix well-posed.
MISFIT_FLOOR = 1e-5
#: Prior standard deviation of a coefficient C_u before anything is known of its decay.
SRO_PRIOR_SIGMA = 0.3
#: Correlation lengths tried for the prior's decay, in lattice constants.
DECAY_LENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 16.0)
#: The prior's variance exceeds the fitted decay by this factor, and never falls below
#: this standard deviation: it is to bridge holes, not to pull on what was measured.
DECAY_MARGIN, DECAY_FLOOR = 2.0, 0.005
#: Prior standard deviation of the background, in units of the mean intensity.
BACKGROUND_PRIOR_SIGMA = 0.5
#: Standard deviation of a negative S, in any place of the cell, measured or not.
NEGATIVE_SIGMA = 0.02
#: Outlier thresholds in standard deviations of the square-root residual (above, below).
#: Bragg remnants add intensity, so the upper one is the tighter.
OUTLIER_CUT = (4.5, 6.0)
#: Smallest square-root residual of an outlier, in units of the envelope's square root.
OUTLIER_SIZE = 0.1
#: Cycles before convergence is asked about; outliers are rejected from the second on.
MIN_CYCLES = 2
#: Relative misfit (mean square, weighted) below which a refinement has nothing to gain.
CONVERGED_MISFIT = 1e-7


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and bases of one batch of planes.

    Parameters
    ----------
    intensity : Tensor, shape (batch, H, W)
        Linear intensity, 0 where masked.
    valid : Tensor, shape (batch, H, W)
        1 for pixels that take part, 0 otherwise.
    envelope : Tensor, shape (batch, H, W)
        Smooth positive E(p).
    form_factor_basis, sro_basis
        Bases of H and S.
    prior_variance : Tensor, shape (batch, n_P)
        Prior variances of the coefficients of H.
    variance : Tensor, shape (batch, H, W), optional
        Known variances. Without them the variance is taken proportional to the model,
        as for counts, with a scale estimated from the misfit.
    observations : Tensor, shape (batch, H, W), optional
        Number of observations merged into a pixel; divides the counting variance.
    background_basis : Tensor, shape (k, H, W), optional
        Smooth functions spanning the background.
    robust : bool
        Give outliers no weight.
    """

    intensity: Tensor
    valid: Tensor
    envelope: Tensor
    form_factor_basis: FormFactorBasis
    sro_basis: SroBasis
    prior_variance: Tensor
    variance: Tensor | None = None
    observations: Tensor | None = None
    background_basis: Tensor | None = None
    robust: bool = True

    def without(self, held_out: Tensor) -> Problem:
        """The same problem with some pixels (1 in ``held_out``) left out."""
        return replace(self, valid=self.valid * (1 - held_out))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of real unknowns: form factor, short-range order, background."""
        k = 0 if self.background_basis is None else len(self.background_basis)
        return self.form_factor_basis.size, self.sro_basis.size, k

    def mean_intensity(self) -> Tensor:
        """Mean over the valid pixels, shape (batch,)."""
        total = (self.intensity * self.valid).sum((1, 2))
        return total / self.valid.sum((1, 2)).clamp(min=1)


@dataclass(frozen=True, eq=False)
class Unknowns:
    """Coefficients of the three factors, each of shape (batch, size)."""

    form_factor: Tensor
    sro: Tensor
    background: Tensor

    def cat(self) -> Tensor:
        """All unknowns in one vector, shape (batch, total)."""
        return torch.cat([self.form_factor, self.sro, self.background], 1)

    def moved(self, step: Tensor) -> Unknowns:
        """Unknowns after a step of the joint vector."""
        n, m = self.form_factor.shape[1], self.sro.shape[1]
        return Unknowns(
            self.form_factor + step[:, :n],
            self.sro + step[:, n : n + m],
            self.background + step[:, n + m :],
        )


@dataclass(frozen=True, eq=False)
class Fields:
    """The factors on the pixels, (batch, H, W) each."""

    h: Tensor
    s: Tensor
    background: Tensor | float
    model: Tensor


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
    history: list[Tensor] = field(default_factory=list)


def evaluate(problem: Problem, unknowns: Unknowns) -> Fields:
    """Factors and model on the pixels for given unknowns."""
    h = problem.form_factor_basis.synthesize(unknowns.form_factor)
    s = 1 + problem.sro_basis.synthesize(unknowns.sro)
    model = problem.envelope * h * s.clamp(min=0)
    background: Tensor | float = 0.0
    if problem.background_basis is not None:
        background = torch.einsum("bk,khw->bhw", unknowns.background, problem.background_basis)
        model = model + background
    return Fields(h, s, background, model)


def prior(problem: Problem) -> tuple[Tensor, Tensor]:
    """Precision and mean of every unknown, shape (batch, total)."""
    n, m, k = problem.sizes
    batch, device = len(problem.intensity), problem.intensity.device
    precision = torch.empty((batch, n + m + k), dtype=torch.float64, device=device)
    precision[:, :n] = 1 / problem.prior_variance
    precision[:, n : n + m] = 1 / SRO_PRIOR_SIGMA**2
    precision[:, n + m :] = (BACKGROUND_PRIOR_SIGMA * problem.mean_intensity()[:, None]) ** -2
    mean = torch.zeros_like(precision)
    mean[:, 0] = 1 / math.sqrt(2)
    return precision, mean


def decay_variance(problem: Problem, sro: Tensor) -> Tensor:
    """Prior variances of the C_u: an exponential decay with |u| fitted to the C_u.

    Correlations fall off with distance. Where the same part of every cell is hidden (by
    masked Bragg peaks), this is what bridges the hole: the smoothest order that agrees
    with the rest of the cell.

    Parameters
    ----------
    problem : Problem
        Its lattice tells the distances.
    sro : Tensor, shape (batch, n_C)
        Present coefficients.

    Returns
    -------
    Tensor, shape (batch, n_C)
        The decay of largest likelihood over :data:`DECAY_LENGTHS`, with a margin.
    """
    distance = problem.sro_basis.distance
    if not problem.sro_basis.centric:
        distance = torch.cat([distance, distance], 1)
    length = torch.tensor(DECAY_LENGTHS, dtype=sro.dtype, device=sro.device)
    shape = torch.exp(-2 * distance[:, None] / length[:, None])  # batch, lengths, n_C
    power = sro[:, None] ** 2 + DECAY_FLOOR**2
    amplitude = (power / shape).mean(-1)
    likelihood = -(torch.log(amplitude[..., None] * shape)).sum(-1)
    best = likelihood.argmax(1)
    rows = torch.arange(len(sro), device=sro.device)
    fitted = amplitude[rows, best][:, None] * shape[rows, best]
    return (DECAY_MARGIN * fitted).clamp(DECAY_FLOOR**2, SRO_PRIOR_SIGMA**2 * 4)


def _weights(problem: Problem, fields: Fields, robust: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Weights 1/variance, misfit per degree of freedom, and outlier counts."""
    floor = VARIANCE_FLOOR * problem.envelope
    if problem.variance is not None:
        variance = problem.variance
    else:
        variance = fields.model.clamp(min=0) + floor
        if problem.observations is not None:
            variance = variance / problem.observations.clamp(min=1e-9)
    weights = problem.valid / variance
    residual = problem.intensity - fields.model
    rejected = torch.zeros_like(problem.valid)
    diluted: Tensor | float = 1.0
    if problem.variance is None:
        # The floor adds to the variance what counting does not: take it out of the scale.
        share = fields.model.clamp(min=0) / (fields.model.clamp(min=0) + floor)
        diluted = (share * problem.valid).sum((1, 2)) / problem.valid.sum((1, 2))
    if robust:
        # On the square-root scale counting noise is symmetric and uniform, so that a
        # single count in a dark region is no outlier.
        misfit = (_mean_square(problem, weights, residual) / diluted)[:, None, None]
        unit = misfit * variance / (fields.model.clamp(min=0) + floor)
        shift = 0.375 * unit + floor
        root = 2 * (
            (problem.intensity.clamp(min=0) + shift).sqrt()
            - (fields.model.clamp(min=0) + shift).sqrt()
        )
        t = root / unit.sqrt()
        spread = _robust_spread(t, problem.valid)[:, None, None].clamp(min=1e-12)
        # Without noise the largest model error is no outlier either.
        visible = root.abs() > OUTLIER_SIZE * problem.envelope.sqrt()
        rejected = visible & ((t > OUTLIER_CUT[0] * spread) | (t < -OUTLIER_CUT[1] * spread))
        rejected = rejected.to(t.dtype) * problem.valid
        weights = weights * (1 - rejected)
    misfit = _mean_square(problem, weights, residual) / diluted
    signal = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
    return weights, torch.maximum(misfit, MISFIT_FLOOR**2 * signal), rejected.sum((1, 2))


def _mean_square(problem: Problem, weights: Tensor, residual: Tensor) -> Tensor:
    """Weighted Σr² per degree of freedom, shape (batch,)."""
    used = (weights > 0).sum((1, 2))
    n, m, k = problem.sizes
    # Unknowns far out in the prior's tail are no degrees of freedom.
    effective = (
        problem.prior_variance > 0.05 * problem.prior_variance[:, 1:].amax(1, True)
    ).sum(1)
    share = used / problem.valid.sum((1, 2)).clamp(min=1)
    dof = (used - share * (effective + m + k)).clamp(min=0.1 * used)
    return (weights * residual**2).sum((1, 2)) / dof


def _robust_spread(t: Tensor, valid: Tensor) -> Tensor:
    """1.4826 × median |t| over valid pixels, shape (batch,)."""
    spread = [1.4826 * a[v > 0].abs().median() for a, v in zip(t, valid, strict=True)]
    return torch.stack(spread)


def jacobian_fields(problem: Problem, fields: Fields) -> tuple[Tensor, Tensor]:
    """∂M/∂H and ∂M/∂S on the pixels."""
    positive = fields.s > 0
    return (
        problem.envelope * fields.s.clamp(min=0),
        problem.envelope * fields.h * positive,
    )


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


def cholesky(matrix: Tensor) -> Tensor:
    """Cholesky factor; a matrix on the edge of positive definite gets a little more diagonal."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    jitter = 1e-12
    while bool((info > 0).any()):
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        factor, info = torch.linalg.cholesky_ex(matrix + torch.diag_embed(jitter * diagonal))
        jitter *= 100
    return factor


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
    n, m, k = problem.sizes
    batch = len(problem.intensity)
    zeros = problem.intensity.new_zeros
    unknowns = Unknowns(zeros((batch, n)), zeros((batch, m)), zeros((batch, k)))
    unknowns.form_factor[:, 0] = 1 / math.sqrt(2)
    envelope, valid = problem.envelope, problem.valid
    weights = valid / envelope
    # The lattice is the noise of this first fit: its relative size is about one.
    noise = (weights * (problem.intensity - envelope) ** 2).sum((1, 2)) / valid.sum((1, 2))
    matrix = problem.form_factor_basis.gram(weights * envelope**2)
    matrix = with_prior(matrix, noise, 1 / smooth)
    right = (
        problem.form_factor_basis.analyze(weights * envelope * (problem.intensity - envelope))
        / noise[:, None]
    )
    step = torch.cholesky_solve(right[..., None], cholesky(matrix))[..., 0]
    unknowns = replace(unknowns, form_factor=unknowns.form_factor + step)
    f = envelope * problem.form_factor_basis.synthesize(unknowns.form_factor).clamp(min=0.02)
    weights = valid / f
    matrix = problem.sro_basis.gram(weights * f**2)
    scale = (weights * (problem.intensity - f) ** 2).sum((1, 2)) / valid.sum((1, 2))
    matrix = matrix + torch.diag_embed((scale / SRO_PRIOR_SIGMA**2)[:, None].expand(-1, m))
    right = problem.sro_basis.analyze(weights * f * (problem.intensity - f))
    step = torch.cholesky_solve(right[..., None], cholesky(matrix))[..., 0]
    return replace(unknowns, sro=step)


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
        weights, misfit, _ = _weights(problem, fields, robust=problem.robust)
    d_h, _ = jacobian_fields(problem, fields)
    basis = problem.form_factor_basis
    residual = weights * (problem.intensity - fields.model)
    matrix = with_prior(basis.gram(weights * d_h**2), misfit, precision[:, :n])
    right = basis.analyze(d_h * residual) / misfit[:, None]
    right = right - precision[:, :n] * (unknowns.form_factor - mean[:, :n])
    step = torch.cholesky_solve(right[..., None], cholesky(matrix))[..., 0]
    return replace(unknowns, form_factor=unknowns.form_factor + step)


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
    cells = problem.sro_basis.cells[:, None, None]
    negative_weight = 1 / (NEGATIVE_SIGMA**2 * cells)
    fields = evaluate(problem, unknowns)
    weights, misfit, outliers = _weights(problem, fields, robust=False)
    history = [misfit]
    cycle = 0
    for cycle in range(1, max_cycles + 1):
        if cancelled is not None and cancelled():
            raise CancelledError("the factorization was cancelled")
        residual = problem.intensity - fields.model
        scale = misfit[:, None]
        precision[:, n : n + m] = 1 / decay_variance(problem, unknowns.sro)
        matrix = with_prior(normal_matrix(problem, fields, weights), misfit, precision)
        now = unknowns.cat()
        right = gradient(problem, fields, weights * residual) / scale - precision * (now - mean)
        # An intensity is not negative, also where nobody looked.
        negative = (fields.s < 0) * negative_weight
        matrix[:, n : n + m, n : n + m] += problem.sro_basis.gram(negative)
        right[:, n : n + m] -= problem.sro_basis.analyze(negative * fields.s)
        step = torch.cholesky_solve(right[..., None], cholesky(matrix))[..., 0]

        def objective(at: Unknowns, fields: Fields) -> Tensor:
            data = (weights * (problem.intensity - fields.model) ** 2).sum((1, 2)) / misfit
            below = (negative_weight * fields.s.clamp(max=0) ** 2).sum((1, 2))
            return data + below + (precision * (at.cat() - mean) ** 2).sum(1)

        before = objective(unknowns, fields)
        length = torch.ones_like(scale)
        for _ in range(8):
            trial = unknowns.moved(length * step)
            trial_fields = evaluate(problem, trial)
            worse = objective(trial, trial_fields) > before
            if not bool(worse.any()):
                break
            length = torch.where(worse[:, None], length / 2, length)
        unknowns, fields = trial, trial_fields
        weights, misfit, outliers = _weights(
            problem, fields, robust=problem.robust and cycle >= 2
        )
        history.append(misfit)
        if tick is not None:
            tick(cycle)
        change = (history[-1] - history[-2]).abs() / history[-2]
        signal = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
        if cycle >= MIN_CYCLES and bool(
            ((change < tolerance) | (misfit < CONVERGED_MISFIT * signal)).all()
        ):
            break
    return Solution(unknowns, fields, weights, misfit, cycle, outliers, history)
