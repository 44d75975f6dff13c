"""The form factor where nothing was measured."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from dsfunet_core.factorization.normal_equations import solved
from dsfunet_core.factorization.problem import jacobian_fields
from dsfunet_core.factorization.support import annular_prior

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem, Unknowns
    from dsfunet_core.factorization.solver import Solution
    from dsfunet_core.factorization.transforms import FormFactorBasis

__all__ = ["extrapolated", "filled_from", "refilled"]

#: Relative misfit assumed at least when filling dead zones: model errors are correlated,
#: and taking them for exact knowledge makes the extrapolation ring.
EXTRAPOLATION_MISFIT = 1e-4
#: Rounds of re-estimating the prior from the solution.
PRIOR_ROUNDS = 2
#: Cycles of filling dead zones between bounds, after one without.
BOUNDED_CYCLES = 3
#: Neighbourhood of the prior's place-by-place estimate [grid steps], and the share of what
#: is known from |x| alone.
NEIGHBOURS, RING_SHARE = 0.7, 0.05
#: Standard deviation with which a form factor in dead zones keeps to its bounds: below zero
#: in units of the envelope, above the largest measured value in units of that value.
BOUND_SIGMA = 0.1
#: Weight of a network's form factor far from what was measured. It is wrong there for other
#: reasons than the extrapolation, if more often.
FAR_SHARE = 0.2
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
    fit = _Fit(problem, solution)
    coefficients = solution.unknowns.form_factor
    for _ in range(PRIOR_ROUNDS):
        variance = annular_prior(problem.form_factor_basis, spacing, coefficients)
        coefficients = fit.solved(variance)
    problem = replace(problem, prior_variance=variance)
    return problem, replace(solution.unknowns, form_factor=coefficients), fit.misfit


class _Fit:
    """Least squares of the form factor alone, the order as a solution left it.

    Parameters
    ----------
    problem, solution
        Data, bases; short-range order, background and weights.
    """

    def __init__(self, problem: Problem, solution: Solution) -> None:
        basis, weights = problem.form_factor_basis, solution.weights
        power = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
        #: Scale of the variances, not below what correlated model errors amount to.
        self.misfit = solution.misfit.clamp(min=EXTRAPOLATION_MISFIT * power)
        slope, _ = jacobian_fields(problem, solution.fields)
        signal = problem.intensity - solution.fields.background
        scale = self.misfit[:, None]
        self._matrix = basis.gram(weights * slope**2) / scale[..., None]
        self._right = basis.analyze(weights * slope * signal) / scale
        self._mean = torch.zeros_like(self._right)
        self._mean[:, 0] = 1 / math.sqrt(2)

    def solved(
        self, variance: Tensor, matrix: Tensor | None = None, right: Tensor | None = None
    ) -> Tensor:
        """Coefficients under a prior, and under further terms of the normal equations."""
        total = self._matrix.clone() if matrix is None else matrix + self._matrix
        total.diagonal(dim1=1, dim2=2).add_(1 / variance)
        vector = self._right + self._mean / variance + (0 if right is None else right)
        return solved(total, vector)


def extrapolated(problem: Problem, solution: Solution, spacing: NDArray) -> NDArray[np.float64]:
    """Form factor with the best guess in dead zones.

    A least-squares fit whose prior is re-estimated from its own result: first as a function
    of |x| alone, then place by place, so that autocorrelations of few peaks or of long
    molecules are continued as such. Where nothing was measured the form factor is kept
    between zero and its largest measured value.

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
        Not negative, and over its fall-off nowhere larger than in measured pixels.
    """
    basis, envelope = problem.form_factor_basis, problem.envelope
    fit = _Fit(problem, solution)
    coefficients = fit.solved(annular_prior(basis, spacing, solution.unknowns.form_factor))
    # Neighbouring pixels are not independent: one bound for every unknown's worth of them.
    bound = basis.size / math.prod(basis.shape) / BOUND_SIGMA**2
    below = above = torch.zeros_like(problem.valid)
    unseen = problem.valid == 0
    for _ in range(BOUNDED_CYCLES):
        ring = annular_prior(basis, spacing, coefficients)
        variance = local_prior(basis, coefficients, ring)
        h = basis.synthesize(coefficients)
        top = (envelope * h * problem.valid).amax((1, 2), keepdim=True)
        below = torch.where((h < 0) & unseen, 1, below)
        above = torch.where((envelope * h > top) & unseen, 1, above)
        coefficients = fit.solved(
            variance,
            basis.gram(bound * (below + above * (envelope / top) ** 2)),
            basis.analyze(bound * above * envelope / top),
        )
    h = basis.synthesize(coefficients)
    measured = torch.where(problem.valid > 0, h, torch.zeros_like(h))
    h = torch.minimum(h.clamp(min=0), measured.amax((1, 2), keepdim=True))
    return (envelope * h).cpu().numpy()


def local_prior(basis: FormFactorBasis, coefficients: Tensor, ring: Tensor) -> Tensor:
    """Prior variances re-estimated from a solution, place by place.

    Parameters
    ----------
    basis : FormFactorBasis
        Where the unknowns sit.
    coefficients : Tensor, shape (batch, n_P)
        Of the form factor.
    ring : Tensor, shape (batch, n_P)
        Prior variances as a function of |x| alone, of which a little is mixed in.

    Returns
    -------
    Tensor, shape (batch, n_P)
        Prior variances.
    """
    m = len(basis.indices)
    power = coefficients[:, :m] ** 2
    if not basis.centric:
        power[:, 1:] = (power[:, 1:] + coefficients[:, m:] ** 2) / 2
    index = basis.indices.cpu().numpy()
    edge = np.abs(index).max(axis=0) + 3
    at, opposite = tuple((edge + index).T), tuple((edge - index).T)

    def smooth(values: NDArray) -> NDArray:
        grid = np.zeros(2 * edge + 1)
        grid[at] = grid[opposite] = values
        grid[tuple(edge)] = 0
        return np.asarray(ndimage.gaussian_filter(grid, NEIGHBOURS)[at])

    count = np.maximum(smooth(np.ones(m)), 1e-9)
    place = torch.as_tensor(np.stack([smooth(one) / count for one in power.cpu().numpy()]))
    place = place.to(ring)
    if not basis.centric:
        place = torch.cat([place, place[:, 1:]], 1)
    variance = (1 - RING_SHARE) * place + RING_SHARE * ring
    variance[:, 0] = ring[:, 0]
    return variance


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
        A mean of both far from measured pixels, the extrapolation close to them.
    """
    other = np.asarray(other, float)
    scale = (form_factor * other)[valid].sum() / max(float((other[valid] ** 2).sum()), 1e-300)
    away = ndimage.distance_transform_edt(~valid)
    share = FAR_SHARE * (1 - np.exp(-((away * radius / NEAR) ** 2)))
    return np.asarray((1 - share) * form_factor + share * scale * other)
