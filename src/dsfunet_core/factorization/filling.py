"""The form factor where nothing was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from dsfunet_core.factorization.solver import Solution, form_factor_step
from dsfunet_core.factorization.support import annular_prior

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem, Unknowns

__all__ = ["extrapolated", "filled_from", "refilled"]

#: Relative misfit assumed at least when filling dead zones: model errors are correlated,
#: and taking them for exact knowledge makes the extrapolation ring.
EXTRAPOLATION_MISFIT = 1e-4
#: Rounds of re-estimating the prior from the solution.
PRIOR_ROUNDS = 2
#: Weight of a network's form factor far from what was measured. It and the
#: extrapolation are about as often wrong there, for different reasons.
FAR_SHARE = 0.5
#: Distance from measured pixels at which the network begins to count, in units of the
#: distance over which a form factor of that support varies.
NEAR = 0.35


def refilled(
    problem: Problem, solution: Solution, spacing: NDArray
) -> tuple[Problem, Unknowns, Tensor]:
    """Form factor refined once more, with a prior re-estimated from itself.

    Parameters
    ----------
    problem : Problem
        Data, bases, prior.
    solution : Solution
        Its short-range order is kept.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.

    Returns
    -------
    problem : Problem
        With that prior.
    unknowns : Unknowns
        With that form factor.
    misfit : Tensor, shape (batch,)
        Scale of the variances that was assumed.
    """
    weights = solution.weights
    signal = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
    misfit = solution.misfit.clamp(min=EXTRAPOLATION_MISFIT * signal)
    unknowns = solution.unknowns
    for _ in range(PRIOR_ROUNDS):
        prior_variance = annular_prior(problem.form_factor_basis, spacing, unknowns)
        problem = replace(problem, prior_variance=prior_variance)
        unknowns = form_factor_step(problem, unknowns, weights, misfit)
    return problem, unknowns, misfit


def extrapolated(problem: Problem, solution: Solution, spacing: NDArray) -> NDArray[np.float64]:
    """Form factor with its prior re-estimated, for the best guess in dead zones.

    Parameters
    ----------
    problem : Problem
        Data, bases, prior.
    solution : Solution
        Its short-range order is kept.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.

    Returns
    -------
    ndarray, shape (batch, H, W)
        Not negative, and nowhere larger than in measured pixels.
    """
    problem, unknowns, _ = refilled(problem, solution, spacing)
    h = problem.form_factor_basis.synthesize(unknowns.form_factor)
    measured = torch.where(problem.valid > 0, h, torch.zeros_like(h))
    h = torch.minimum(h.clamp(min=0), measured.amax((1, 2), keepdim=True))
    return (problem.envelope * h).cpu().numpy()


def filled_from(
    form_factor: NDArray, other: NDArray, valid: NDArray[np.bool_], radius: float
) -> NDArray[np.float64]:
    """Form factor whose dead zones know of another one, such as a network's.

    Parameters
    ----------
    form_factor : ndarray, shape (H, W)
        Solved where something was measured, extrapolated elsewhere.
    other : ndarray, shape (H, W)
        Another estimate, on any scale.
    valid : ndarray of bool, shape (H, W)
        Measured pixels; they stay as they are.
    radius : float
        Support of the form factor [cycles a pixel].

    Returns
    -------
    ndarray, shape (H, W)
        The mean of both far from measured pixels, the extrapolation close to them.
    """
    other = np.asarray(other, float)
    scale = (form_factor * other)[valid].sum() / max(float((other[valid] ** 2).sum()), 1e-300)
    away = ndimage.distance_transform_edt(~valid)
    share = FAR_SHARE * (1 - np.exp(-((away * radius / NEAR) ** 2)))
    return np.asarray((1 - share) * form_factor + share * scale * other)
