"""What is expected of the unknowns before the data speak."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsfunet_core.factorization.problem import Problem

__all__ = ["decay_variance", "prior"]

#: Prior standard deviation of a coefficient C_u before anything is known of its decay.
SRO_PRIOR_SIGMA = 0.3
#: Correlation lengths tried for the prior's decay, in lattice constants.
DECAY_LENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 16.0)
#: The prior's variance exceeds the fitted decay by this factor, and never falls below
#: this standard deviation: it is to bridge holes, not to pull on what was measured.
DECAY_MARGIN, DECAY_FLOOR = 2.0, 0.005
#: Prior standard deviation of the background, in units of the mean intensity.
BACKGROUND_PRIOR_SIGMA = 0.5


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
