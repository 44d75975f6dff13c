"""The model I = E·H·max(S, 0) of a volume, its weights and its normal matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.volume_factorization.bases import cross_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization.bases import FormFactorBasis, OrderBasis

__all__ = ["Fields", "Problem", "Unknowns", "Weights", "evaluate", "normal_equations", "weigh"]

#: Variance floor of counting-like weights, in units of the envelope.
VARIANCE_FLOOR = 0.03
#: Smallest relative misfit that counts as noise: keeps the normal matrix well-posed.
MISFIT_FLOOR = 1e-5
#: Outlier thresholds in standard deviations of the square-root residual (above, below).
#: Bragg remnants add intensity, so the upper one is the tighter.
OUTLIER_CUT = (5.0, 6.5)
#: Smallest square-root residual of an outlier, in units of the envelope's square root.
OUTLIER_SIZE = 0.1
#: Prior standard deviation of an α.
ORDER_SIGMA = 0.3
#: Standard deviation allowed to negative values of H, in units of its mean.
NEGATIVE_SIGMA = 0.05


@dataclass(frozen=True, eq=False)
class Problem:
    """Data, bases and prior.

    Parameters
    ----------
    intensity, valid, envelope : ndarray of float32, shape (n0, n1, n2)
        I, 1 where it may be used, and the smooth fall-off E of the intensity.
    variance, observations : ndarray of float32, same shape, optional
        Variance of I; number of observations merged.
    form_factor, order : FormFactorBasis, OrderBasis
        Bases of H = F/E and of S.
    prior_variance : ndarray, shape (n_P,)
        Of the coefficients of H, whose mean is 1.
    robust : bool
        Whether outliers are rejected.
    """

    intensity: NDArray[np.float32]
    valid: NDArray[np.float32]
    envelope: NDArray[np.float32]
    variance: NDArray[np.float32] | None
    observations: NDArray[np.float32] | None
    form_factor: FormFactorBasis
    order: OrderBasis
    prior_variance: NDArray[np.float64]
    robust: bool = True

    @property
    def prior_mean(self) -> NDArray[np.float64]:
        """1 for the mean of H, 0 for everything else, shape (n_P,)."""
        mean = np.zeros(self.form_factor.size)
        mean[0] = 1.0
        return mean

    @property
    def effective(self) -> int:
        """Unknowns that the prior leaves free."""
        variance = self.prior_variance
        return int((variance > 0.05 * variance[1:].max(initial=0.0)).sum()) + self.order.size

    def without(self, held: NDArray[np.float32]) -> Problem:
        """The problem with some voxels (1 in ``held``) left out."""
        return replace(self, valid=self.valid * (1 - held))


@dataclass(frozen=True, eq=False)
class Unknowns:
    """Coefficients of H, shape (n_P,), and α of each orbit, shape (n_α,)."""

    form_factor: NDArray[np.float64]
    alpha: NDArray[np.float64]

    def moved(self, step: NDArray[np.float64]) -> Unknowns:
        """With a step of all unknowns added."""
        n = len(self.form_factor)
        return Unknowns(self.form_factor + step[:n], self.alpha + step[n:])


@dataclass(frozen=True, eq=False)
class Fields:
    """H, S and the model on the voxels, float32."""

    h: NDArray[np.float32]
    s: NDArray[np.float32]
    model: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of the voxels.

    Parameters
    ----------
    values : ndarray of float32
        1/variance up to ``misfit``; 0 where masked or rejected.
    misfit : float
        Weighted mean square residual per degree of freedom.
    outliers : int
        Voxels rejected.
    """

    values: NDArray[np.float32]
    misfit: float
    outliers: int


def total(*fields: NDArray[np.floating]) -> float:
    """Sum over the voxels of the product of some fields, in double precision."""
    product = fields[0]
    for field in fields[1:]:
        product = product * field
    return float(np.sum(product, dtype=np.float64))


def evaluate(problem: Problem, unknowns: Unknowns) -> Fields:
    """Factors and model on the voxels."""
    h = problem.form_factor.synthesize(unknowns.form_factor)
    s = problem.order.synthesize(unknowns.alpha)
    return Fields(h, s, problem.envelope * h * np.maximum(s, 0))


def weigh(problem: Problem, fields: Fields, robust: bool) -> Weights:
    """Weights from counting statistics or known variances, less the outliers."""
    floor = VARIANCE_FLOOR * problem.envelope
    expected = np.maximum(fields.model, 0)
    if problem.variance is not None:
        variance = problem.variance
    else:
        variance = expected + floor
        if problem.observations is not None:
            variance = variance / np.maximum(problem.observations, 1e-9)
    weights = problem.valid / variance
    used = total(problem.valid)
    diluted = 1.0
    if problem.variance is None:
        # The floor adds to the variance what counting does not: take it out of the scale.
        diluted = total(expected / (expected + floor), problem.valid) / used
    misfit = _mean_square(problem, fields, weights) / diluted
    outliers = 0
    if robust:
        # On the square-root scale counting noise is symmetric and uniform, so that a single
        # count in a dark region is no outlier.
        unit = misfit * variance / (expected + floor)
        shift = 0.375 * unit + floor
        root = 2 * (
            np.sqrt(np.maximum(problem.intensity, 0) + shift) - np.sqrt(expected + shift)
        )
        t = root / np.sqrt(unit)
        sample = np.abs(t[problem.valid > 0])
        sample = sample[:: max(1, len(sample) // 200_000)]
        spread = max(1.4826 * float(np.median(sample)), 1e-12)
        visible = np.abs(root) > OUTLIER_SIZE * np.sqrt(problem.envelope)
        far = (t > OUTLIER_CUT[0] * spread) | (t < -OUTLIER_CUT[1] * spread)
        rejected = visible & far & (problem.valid > 0)
        outliers = int(rejected.sum())
        weights[rejected] = 0
        misfit = _mean_square(problem, fields, weights) / diluted
    signal = total(weights, problem.intensity**2) / used
    return Weights(weights, max(misfit, MISFIT_FLOOR**2 * signal), outliers)


def _mean_square(problem: Problem, fields: Fields, weights: NDArray[np.float32]) -> float:
    used = float((weights > 0).sum())
    share = used / max(total(problem.valid), 1.0)
    dof = max(used - share * problem.effective, 0.1 * used)
    return total(weights, (problem.intensity - fields.model) ** 2) / dof


def negative_precision(problem: Problem) -> float:
    """Precision of H ≥ 0 on a voxel: one condition an independent value of H."""
    return problem.effective / (problem.intensity.size * NEGATIVE_SIGMA**2)


def objective(problem: Problem, unknowns: Unknowns, fields: Fields, weights: Weights) -> float:
    """Twice the negative log posterior."""
    data = total(weights.values, (problem.intensity - fields.model) ** 2) / weights.misfit
    below = negative_precision(problem) * total(np.minimum(fields.h, 0) ** 2)
    away = (unknowns.form_factor - problem.prior_mean) ** 2 / problem.prior_variance
    return data + below + float(away.sum()) + float((unknowns.alpha**2).sum()) / ORDER_SIGMA**2


def normal_equations(
    problem: Problem,
    unknowns: Unknowns,
    fields: Fields,
    weights: Weights,
    *,
    form_factor: bool = True,
    order: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and right-hand side of a Gauss–Newton step.

    Parameters
    ----------
    problem, unknowns, fields, weights : Problem, Unknowns, Fields, Weights
        Where the step starts.
    form_factor, order : bool
        Which unknowns move.

    Returns
    -------
    matrix : ndarray, shape (n, n)
        With the prior; the form factor's unknowns come first.
    right : ndarray, shape (n,)
        Its solution is the step.
    """
    n = problem.form_factor.size if form_factor else 0
    m = problem.order.size if order else 0
    matrix, right = np.empty((n + m, n + m)), np.empty(n + m)
    w = weights.values / np.float32(weights.misfit)
    residual = problem.intensity - fields.model
    d_h = problem.envelope * np.maximum(fields.s, 0)
    d_s = problem.envelope * fields.h * (fields.s > 0)
    if form_factor:
        below = np.float32(negative_precision(problem)) * (fields.h < 0)
        matrix[:n, :n] = problem.form_factor.gram(w * d_h**2 + below)
        right[:n] = problem.form_factor.analyze(w * d_h * residual - below * fields.h)
        matrix[np.arange(n), np.arange(n)] += 1 / problem.prior_variance
        right[:n] -= (unknowns.form_factor - problem.prior_mean) / problem.prior_variance
    if order:
        matrix[n:, n:] = problem.order.gram(w * d_s**2)
        right[n:] = problem.order.analyze(w * d_s * residual)
        own = np.arange(n, n + m)
        matrix[own, own] += 1 / ORDER_SIGMA**2
        right[n:] -= unknowns.alpha / ORDER_SIGMA**2
    if form_factor and order:
        # ∂²M/∂H∂S enters through the product of the two derivatives alone.
        cross = cross_matrix(problem.form_factor, problem.order, w * d_h * d_s)
        matrix[:n, n:], matrix[n:, :n] = cross, cross.T
    return matrix, right
