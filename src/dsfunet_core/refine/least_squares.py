"""Linear least squares for a scale and parameters relative to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import lsq_linear

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Solution", "solve", "whitening"]

#: How much more precise than the data a condition is taken to be that holds exactly.
_EXACT = 1e3
#: Largest condition number of the normalised design that is still inverted.
_WORST_CONDITION = 1e7


@dataclass(frozen=True, eq=False)
class Solution:
    """Scale k and parameters α that minimise the squared norm of y − k·X·(1, α).

    Parameters
    ----------
    alpha : ndarray, shape (n,)
        Parameters.
    covariance : ndarray, shape (n, n)
        Their covariance, the scale's uncertainty included.
    scale, scale_sigma : float
        k and its standard uncertainty.
    at_bound : ndarray of bool, shape (n,)
        True where α was held at a bound.
    chi2 : float
        Sum of squared residuals; NaN where the data came without variances.
    dof : float
        Degrees of freedom.
    """

    alpha: NDArray[np.float64]
    covariance: NDArray[np.float64]
    scale: float
    scale_sigma: float
    at_bound: NDArray[np.bool_]
    chi2: float
    dof: float


def whitening(covariance: NDArray[np.float64] | None, size: int) -> NDArray[np.float64]:
    """Matrix that turns data with a covariance into independent data of unit variance.

    Parameters
    ----------
    covariance : ndarray, shape (size, size), optional
        None for data that all count alike.
    size : int
        Number of data.

    Returns
    -------
    ndarray, shape (rank, size)
        Combinations without variance (such as sines that a centric plane excludes, or
        differences of coefficients that symmetry made equal) are left out: they were
        never measured.
    """
    if covariance is None:
        return np.eye(size)
    if np.shape(covariance) != (size, size) or not np.isfinite(covariance).all():
        raise ParameterError(
            f"coefficients.covariance has shape {np.shape(covariance)} or is not finite; "
            f"({size}, {size}) was expected. Factorize again with errors=True."
        )
    variances, vectors = np.linalg.eigh(covariance)
    kept = variances > 1e-12 * variances.max()
    return (vectors[:, kept] / np.sqrt(variances[kept])).T


def solve(
    data: NDArray[np.float64],
    design: NDArray[np.float64],
    *,
    freedom: float,
    variances_known: bool,
    scale: bool,
    bounds: NDArray[np.float64] | None = None,
    fixed: Mapping[int, float] | None = None,
    exactly: NDArray[np.float64] | None = None,
    precision: float = 1.0,
) -> Solution:
    """Least squares for k and α with data of unit variance.

    Parameters
    ----------
    data : ndarray, shape (m,)
        y.
    design : ndarray, shape (m, 1 + n)
        X; the first column belongs to α_000 = 1.
    freedom : float
        Degrees of freedom if every parameter is free.
    variances_known : bool
        Whether the unit of variance is known. If not, it is taken from the residuals.
    scale : bool
        Refine k; 1 without.
    bounds : ndarray, shape (n, 2), optional
        Lowest and highest allowed α.
    fixed : mapping of int to float, optional
        Index → α of what is not refined.
    exactly : ndarray, shape (1 + n,), optional
        Row x for which k·x·(1, α) = 1 must hold.
    precision : float
        1/σ of typical data in the unit of that condition. It is imposed as a datum a
        thousand times as precise.

    Returns
    -------
    Solution
        Parameters, covariance and χ².

    Raises
    ------
    ParameterError
        If the data do not determine the parameters.
    """
    if exactly is not None:
        heavy = _EXACT * precision
        data = np.append(data, heavy)
        design = np.vstack([design, heavy * exactly])
    if fixed:
        return _with_fixed(
            data,
            design,
            fixed,
            bounds,
            freedom=freedom,
            variances_known=variances_known,
            scale=scale,
        )
    n = design.shape[1] - 1
    k, alpha = _estimate(data, design, scale)
    at_bound = np.zeros(n, dtype=bool)
    if bounds is not None and np.any((alpha < bounds[:, 0]) | (alpha > bounds[:, 1])):
        k, alpha, at_bound = _bounded(data, design, k, bounds, scale)
    residual = data - k * (design @ np.append(1.0, alpha))
    chi2 = float(residual @ residual)
    freedom = freedom + int(at_bound.sum())
    covariance, k_variance = _covariance(design, k, alpha, at_bound, scale)
    if not variances_known:
        unit = chi2 / freedom if freedom > 0 else float("nan")
        covariance, k_variance, chi2 = covariance * unit, k_variance * unit, float("nan")
    return Solution(
        alpha, covariance, k, float(np.sqrt(k_variance)), at_bound, chi2, float(freedom)
    )


def _with_fixed(
    data: NDArray[np.float64],
    design: NDArray[np.float64],
    fixed: Mapping[int, float],
    bounds: NDArray[np.float64] | None,
    **options: Any,
) -> Solution:
    """Solve for the others: what is fixed belongs to the column of α_000."""
    n = design.shape[1] - 1
    held = np.array(sorted(fixed), dtype=int)
    free = np.setdiff1d(np.arange(n), held)
    values = np.array([fixed[i] for i in held])
    constant = design[:, 0] + design[:, 1 + held] @ values
    some = solve(
        data,
        np.column_stack([constant, design[:, 1 + free]]),
        bounds=None if bounds is None else bounds[free],
        **options,
    )
    alpha, at_bound, covariance = np.empty(n), np.zeros(n, bool), np.zeros((n, n))
    alpha[held], alpha[free] = values, some.alpha
    at_bound[free] = some.at_bound
    covariance[np.ix_(free, free)] = some.covariance
    return replace(some, alpha=alpha, covariance=covariance, at_bound=at_bound)


def _least_squares(
    design: NDArray[np.float64], data: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not design.shape[1]:
        return np.zeros(0)
    norms = np.linalg.norm(design, axis=0)
    orthogonal, triangle = np.linalg.qr(design / np.where(norms > 0, norms, 1))
    singular = np.linalg.svd(triangle, compute_uv=False)
    if len(data) < design.shape[1] or singular.min() * _WORST_CONDITION < singular.max():
        raise ParameterError(
            f"the data do not determine all {design.shape[1]} parameters: parts of the "
            "reciprocal cell are never measured. Use fewer shells, a higher Laue class if "
            "the crystal has it, a lower threshold, or mask less."
        )
    return np.linalg.solve(triangle, orthogonal.T @ data) / norms


def _estimate(
    data: NDArray[np.float64], design: NDArray[np.float64], scale: bool
) -> tuple[float, NDArray[np.float64]]:
    """Free least squares: linear in k and β = k·α."""
    if not scale:
        return 1.0, _least_squares(design[:, 1:], data - design[:, 0])
    solution = _least_squares(design, data)
    if solution[0] <= 0:
        raise ParameterError(
            f"the scale comes out as {solution[0]:.3g}, not positive: the map is no "
            "short-range order (its mean must be positive). Check background and mask."
        )
    return float(solution[0]), solution[1:] / solution[0]


def _bounded(
    data: NDArray[np.float64],
    design: NDArray[np.float64],
    k: float,
    bounds: NDArray[np.float64],
    scale: bool,
) -> tuple[float, NDArray[np.float64], NDArray[np.bool_]]:
    """Least squares with bounded α, alternately for α and k until they settle.

    The problem is convex in (k, k·α), so what the two agree on is its minimum.
    """
    for _ in range(500):
        fit = lsq_linear(
            k * design[:, 1:], data - k * design[:, 0], bounds=bounds.T, method="bvls"
        )
        alpha = fit.x
        if not scale:
            break
        shape = design @ np.append(1.0, alpha)
        previous, k = k, float(shape @ data / (shape @ shape))
        if abs(k - previous) < 1e-12 * abs(k):
            break
    at_bound = fit.active_mask != 0
    bound = np.where(fit.active_mask > 0, bounds[:, 1], bounds[:, 0])
    return k, np.where(at_bound, bound, alpha), at_bound


def _covariance(
    design: NDArray[np.float64],
    k: float,
    alpha: NDArray[np.float64],
    at_bound: NDArray[np.bool_],
    scale: bool,
) -> tuple[NDArray[np.float64], float]:
    """Covariance of α, and variance of k, for data of unit variance."""
    free = np.flatnonzero(~at_bound)
    n = len(alpha)
    covariance = np.zeros((n, n))
    # Derivatives of k·X·(1, α) by k and by the free α.
    jacobian = k * design[:, 1 + free]
    if scale:
        jacobian = np.column_stack([design @ np.append(1.0, alpha), jacobian])
    if not jacobian.shape[1]:
        return covariance, 0.0
    norms = np.linalg.norm(jacobian, axis=0)
    _, triangle = np.linalg.qr(jacobian / norms)
    inverse = np.linalg.inv(triangle) / norms[:, None]
    full = inverse @ inverse.T
    covariance[np.ix_(free, free)] = full[int(scale) :, int(scale) :]
    return covariance, float(full[0, 0]) if scale else 0.0
