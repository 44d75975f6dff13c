"""Covariance of the order with the form factor marginalised, and the other way round."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsfunet_core.factorization.filling import refilled
from dsfunet_core.factorization.priors import decay_variance, prior
from dsfunet_core.factorization.problem import Problem, jacobian_fields
from dsfunet_core.factorization.solver import (
    Solution,
    cholesky,
    normal_matrix,
    with_prior,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = ["form_factor_sigma", "sro_covariance"]

#: Edge of the square pixel blocks whose residuals may be correlated.
BLOCK = 4


def sro_covariance(problem: Problem, solution: Solution) -> tuple[Tensor, Tensor]:
    """Covariance of the coefficients of S at the solution.

    The inverse Schur complement of the Gauss–Newton matrix is the covariance of the C_u
    with form factor and background marginalised. It trusts the weights and takes the
    pixels for independent. The second estimate trusts neither: it sums the scores over
    blocks of pixels (a "sandwich"), which is what a block bootstrap converges to.

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
        From the scatter of the block scores.
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
    return model, model @ meat @ model


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

    σ² = E² φᵀ Σ φ with the inverse Gauss–Newton matrix Σ under the prior that fills the dead
    zones: in measured pixels it is the noise, far from them the scatter of the form factor
    about its envelope. |F|² scatters in proportion to itself, so where nothing was
    measured σ is that of the prior times the form factor found there, where that is large.

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
    problem, unknowns, misfit = refilled(problem, solution, spacing)
    n, m, _ = problem.sizes
    basis = problem.form_factor_basis
    precision = prior(problem)[0]
    precision[:, n : n + m] = 1 / decay_variance(problem, solution.unknowns.sro)
    matrix = with_prior(
        normal_matrix(problem, solution.fields, solution.weights), misfit, precision
    )
    covariance = torch.cholesky_inverse(cholesky(matrix))[:, :n, :n]
    sigma = problem.envelope * basis.variance(covariance).clamp(min=0).sqrt()
    large = basis.synthesize(unknowns.form_factor).clamp(min=1)
    return torch.where(problem.valid > 0, sigma, sigma * large)
