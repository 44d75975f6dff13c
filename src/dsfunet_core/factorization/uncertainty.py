"""Covariance of the order with the form factor marginalised, and the other way round."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsfunet_core.factorization.filling import EXTRAPOLATION_MISFIT, refilled
from dsfunet_core.factorization.normal_equations import cholesky, solved
from dsfunet_core.factorization.priors import decay_variance, prior
from dsfunet_core.factorization.problem import Problem, Unknowns, jacobian_fields
from dsfunet_core.factorization.solver import (
    Solution,
    gradient,
    normal_matrix,
    with_prior,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = ["form_factor_sigma", "sro_covariance"]

#: Edge of the square pixel blocks whose residuals may be correlated.
BLOCK = 4
#: Edge of the blocks left out to see how much the order moves, and their share of the plane.
JACKKNIFE_BLOCK, JACKKNIFE_SHARE = 12, 0.2
#: Least share of the prior that the data are credited with having determined.
DETERMINED = 0.2
#: Short-range order below which a residual is not put down to the form factor.
WEAK = 0.1


def sro_covariance(problem: Problem, solution: Solution) -> tuple[Tensor, Tensor]:
    """Covariance of the coefficients of S at the solution.

    The inverse Schur complement of the Gauss–Newton matrix is the covariance of the C_u
    with form factor and background marginalised. It trusts the weights and takes the
    pixels for independent. The second estimate trusts neither: it sums the scores over
    blocks of pixels (a "sandwich"), which is what a block bootstrap converges to.

    Next to no noise is another matter. What is left then is the model's own error, most
    of which the unknowns have taken up, so that no residual tells. The second estimate is
    then at least as wide as what the coefficients move by when blocks are left out.

    Parameters
    ----------
    problem : Problem
        Data and bases.
    solution : Solution
        From :func:`solver.solve`.

    Returns
    -------
    model : Tensor, shape (batch, m, m)
        From the Gauss–Newton matrix.
    blocks : Tensor, shape (batch, m, m)
        From the scatter of the block scores, or of solutions without some blocks.
    """
    n, m, k = problem.sizes
    weights, misfit = solution.weights, solution.misfit
    if problem.variance is not None:
        # Variances somebody measured are never scaled down.
        misfit = misfit.clamp(min=1)
    precision, _ = prior(problem)
    matrix = with_prior(normal_matrix(problem, solution.fields, weights), misfit, precision)
    sro = torch.arange(n, n + m, device=matrix.device)
    other = torch.cat([torch.arange(n), torch.arange(n + m, n + m + k)]).to(matrix.device)
    coupling = matrix[:, other][:, :, sro]
    explained = torch.cholesky_solve(coupling, cholesky(matrix[:, other][:, :, other]))
    schur = matrix[:, sro][:, :, sro] - coupling.transpose(1, 2) @ explained
    model = torch.cholesky_inverse(cholesky(schur))

    residual = problem.intensity - solution.fields.model
    used = (weights > 0).sum((1, 2)).to(weights.dtype)
    score = weights * residual / misfit[:, None, None]
    blocks = torch.stack(
        [
            _block_sums(score * direction)
            for direction in _orthogonal_directions(problem, solution, explained)
        ],
        dim=2,
    )
    correction = (used / (used - m).clamp(min=1))[:, None, None]
    meat = blocks.transpose(1, 2) @ blocks * correction
    scatter = model @ meat @ model
    signal = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
    noiseless = solution.misfit < EXTRAPOLATION_MISFIT * signal
    if bool(noiseless.any()):
        moved = _moved_without_blocks(problem, solution, model)
        moved = torch.where(noiseless, moved, torch.zeros_like(moved))
        ratio = scatter.diagonal(dim1=1, dim2=2) / model.diagonal(dim1=1, dim2=2)
        lacking = (moved[:, None] / ratio.clamp(min=1e-12)).clamp(min=1).sqrt()
        scatter = scatter * lacking[:, :, None] * lacking[:, None, :]
    return model, scatter


def _moved_without_blocks(problem: Problem, solution: Solution, model: Tensor) -> Tensor:
    """How far the order moves without some blocks, in units of what noise would move it.

    A delete-group jackknife of one group and one Gauss–Newton step, shape (batch,): the mean
    over the coefficients' principal axes of squared shift over variance.
    """
    n, m, _ = problem.sizes
    rows, columns = problem.intensity.shape[1:]
    edge = JACKKNIFE_BLOCK
    drawn = torch.rand(
        (math.ceil(rows / edge), math.ceil(columns / edge)),
        generator=torch.Generator().manual_seed(0),
    )
    held = (drawn < JACKKNIFE_SHARE).to(problem.intensity)
    held = held.repeat_interleave(edge, 0).repeat_interleave(edge, 1)[:rows, :columns]
    weights = solution.weights * (1 - held)
    precision, mean = prior(problem)
    precision[:, n : n + m] = 1 / decay_variance(problem, solution.unknowns.sro)
    matrix = with_prior(
        normal_matrix(problem, solution.fields, weights), solution.misfit, precision
    )
    residual = weights * (problem.intensity - solution.fields.model)
    right = gradient(problem, solution.fields, residual) / solution.misfit[:, None]
    right = right - precision * (solution.unknowns.cat() - mean)
    step = solved(matrix, right)[:, n : n + m, None]
    share = 1 - (weights > 0).sum((1, 2)) / (solution.weights > 0).sum((1, 2)).clamp(min=1)
    squared = (step * torch.linalg.solve(model, step)).sum((1, 2)) / m
    return squared * (1 - share) / share.clamp(min=1e-3)


def _orthogonal_directions(
    problem: Problem, solution: Solution, explained: Tensor
) -> list[Tensor]:
    """∂M/∂C_u less what form factor and background would take up, (batch, H, W) each."""
    n, m, k = problem.sizes
    d_h, d_s = jacobian_fields(problem, solution.fields)
    directions = []
    for column in range(m):
        unit = problem.intensity.new_zeros(len(d_h), m)
        unit[:, column] = 1
        direction = d_s * problem.sro_basis.synthesize(unit)
        direction = direction - d_h * problem.form_factor_basis.synthesize(
            explained[:, :n, column]
        )
        if problem.background_basis is not None:
            direction = direction - torch.einsum(
                "bk,khw->bhw", explained[:, n:, column], problem.background_basis
            )
        directions.append(direction)
    return directions


def _block_sums(field: Tensor) -> Tensor:
    """Sums over square blocks of pixels, (batch, H, W) → (batch, blocks)."""
    rows = math.ceil(field.shape[1] / BLOCK) * BLOCK - field.shape[1]
    columns = math.ceil(field.shape[2] / BLOCK) * BLOCK - field.shape[2]
    padded = torch.nn.functional.pad(field, (0, columns, 0, rows))
    pooled = torch.nn.functional.avg_pool2d(padded[:, None], BLOCK) * BLOCK**2
    return pooled.flatten(1)


def form_factor_sigma(problem: Problem, solution: Solution, spacing: np.ndarray) -> Tensor:
    """Standard uncertainty of the form factor on every pixel, order marginalised.

    The form factor is the estimate under a prior and an assumed noise,
    Σ = (JᵀWJ/misfit + P)⁻¹. Its errors are the true noise, κ of what was assumed, and what the
    prior keeps from it, with the variances V the coefficients are found to have:
    σ² = E² φᵀ [κ (Σ − ΣPΣ) + ΣPVPΣ] φ. In measured pixels that is the noise, far from them the
    scatter of the form factor about its envelope. Smooth residuals add to it: form factor
    the support had no room for. |F|² scatters in proportion to itself, so where nothing was
    measured σ is times the form factor found there, where that is large.

    Parameters
    ----------
    problem : Problem
        Data, bases, prior.
    solution : Solution
        From :func:`solver.solve`.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.

    Returns
    -------
    Tensor, shape (batch, H, W)
        In units of the problem's intensity.
    """
    problem, unknowns, assumed = refilled(problem, solution, spacing)
    n, m, _ = problem.sizes
    basis = problem.form_factor_basis
    precision = prior(problem)[0]
    precision[:, n : n + m] = 1 / decay_variance(problem, solution.unknowns.sro)
    matrix = with_prior(
        normal_matrix(problem, solution.fields, solution.weights), assumed, precision
    )
    inverse = torch.cholesky_inverse(cholesky(matrix))[:, :n, :n]
    del matrix
    misfit = solution.misfit if problem.variance is None else solution.misfit.clamp(min=1)
    noise = (misfit / assumed)[:, None]
    spread = _spread(problem, unknowns, inverse.diagonal(dim1=1, dim2=2), spacing)
    strength = precision[:, :n]
    change = strength**2 * spread - noise * strength
    covariance = noise[..., None] * inverse + (inverse * change[:, None, :]) @ inverse
    variance = basis.variance(covariance).clamp(min=0)
    variance = problem.envelope**2 * variance + _smooth_residual(problem, solution, misfit)
    large = basis.synthesize(unknowns.form_factor).clamp(min=1)
    sigma = variance.sqrt()
    return torch.where(problem.valid > 0, sigma, sigma * large)


def _spread(problem: Problem, unknowns: Unknowns, left: Tensor, spacing: np.ndarray) -> Tensor:
    """Variances of the form factor's coefficients, as a function of |x|, (batch, n).

    The mean square in rings, over the share of the prior that the data determined: where
    they say nothing the coefficients stand at 0 without being so.
    """
    radius = problem.form_factor_basis.radius(spacing)
    ring = (radius / radius[radius > 0].min()).long()
    rings = torch.zeros(int(ring.max()) + 1, len(radius), dtype=radius.dtype)
    rings = rings.to(radius.device)
    rings[ring[1:], torch.arange(1, len(radius), device=ring.device)] = 1

    def means(values: Tensor) -> Tensor:
        return ((values @ rings.T) / rings.sum(1).clamp(min=1))[:, ring]

    open_share = means(left) / means(problem.prior_variance).clamp(min=1e-300)
    spread = means(unknowns.form_factor**2) / (1 - open_share).clamp(min=DETERMINED)
    # The mean is no draw from the others' distribution.
    spread[:, 0] = problem.prior_variance[:, 0]
    return spread


def _smooth_residual(problem: Problem, solution: Solution, misfit: Tensor) -> Tensor:
    """Variance of form factor that stayed in the residual, shape (batch, H, W).

    Products of neighbouring residuals do not contain noise.
    """
    used = (solution.weights > 0).to(problem.intensity)
    z = solution.weights.sqrt() * (problem.intensity - solution.fields.model)
    total = z.new_zeros(len(z))
    pairs = z.new_zeros(len(z))
    for axis in (1, 2):
        n = z.shape[axis] - 1
        total += (z.narrow(axis, 1, n) * z.narrow(axis, 0, n)).sum((1, 2))
        pairs += (used.narrow(axis, 1, n) * used.narrow(axis, 0, n)).sum((1, 2))
    square = (z**2).sum((1, 2)) / used.sum((1, 2)).clamp(min=1)
    # A correlation of one standard deviation is what chance alone gives.
    correlation = total / (pairs * square).clamp(min=1e-300) - pairs.clamp(min=1) ** -0.5
    scale = (correlation.clamp(min=0) * misfit)[:, None, None] * used
    # Where the order is weak a residual says least about the form factor.
    local = scale / (solution.weights * solution.fields.s.clamp(min=WEAK) ** 2).clamp(
        min=1e-300
    )
    local = local * used
    share = (local.sum((1, 2)) / (used * problem.envelope**2).sum((1, 2)))[:, None, None]
    return torch.where(used > 0, local, share * problem.envelope**2)
