"""Weights of the pixels: counting statistics or known variances, less the outliers."""

from __future__ import annotations

import torch
from torch import Tensor

from dsfunet_core.factorization.problem import Fields, Problem

__all__ = ["pixel_weights"]

#: Variance floor of counting-like weights, in units of the envelope.
VARIANCE_FLOOR = 0.03
#: Smallest relative misfit that counts as noise: keeps the normal matrix well-posed.
MISFIT_FLOOR = 1e-5
#: Outlier thresholds in standard deviations of the square-root residual (above, below).
#: Bragg remnants add intensity, so the upper one is the tighter.
OUTLIER_CUT = (4.5, 6.0)
#: Smallest square-root residual of an outlier, in units of the envelope's square root.
OUTLIER_SIZE = 0.1


def pixel_weights(
    problem: Problem, fields: Fields, robust: bool
) -> tuple[Tensor, Tensor, Tensor]:
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
