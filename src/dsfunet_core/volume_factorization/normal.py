"""Normal equations of a volume's factors: factorized, solved, and what they say of errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.volume_factorization.problem import normal_equations
from dsfunet_core.volume_factorization.residuals import correlated, neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization.solver import Solution

__all__ = ["Normal", "cholesky", "normal_at", "order_covariance", "solve"]


@dataclass(frozen=True, eq=False)
class Normal:
    """Normal equations at a solution.

    Parameters
    ----------
    factor : ndarray, shape (n, n)
        Cholesky factor of the matrix in the lower triangle, form factor first.
    right : ndarray, shape (n,)
        Right-hand side: 0 at a solution, but for another prior.
    misfit : float
        What the weights were divided by.
    """

    factor: NDArray[np.float64]
    right: NDArray[np.float64]
    misfit: float


def normal_at(solution: Solution, loosened: float = 1.0) -> Normal:
    """Normal equations at a solution.

    Parameters
    ----------
    solution : Solution
        From :func:`solver.refine`.
    loosened : float
        Factor on the variances that the form factor's coefficients have a priori.

    Returns
    -------
    Normal
        Factorized.
    """
    weights = solution.weights
    if solution.problem.variance is not None:
        # Variances somebody measured are never scaled down.
        weights = replace(weights, misfit=max(weights.misfit, 1.0))
    problem = solution.problem
    problem = replace(problem, prior_variance=loosened * problem.prior_variance)
    matrix, right = normal_equations(problem, solution.unknowns, solution.fields, weights)
    return Normal(cholesky(matrix), right, weights.misfit)


def order_covariance(solution: Solution, factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of α with the form factor marginalised.

    Parameters
    ----------
    solution : Solution
        From :func:`solver.refine`.
    factor : ndarray, shape (n, n)
        Cholesky factor from :func:`normal_at`.

    Returns
    -------
    ndarray, shape (n_α, n_α)
        The inverse Schur complement of the normal matrix: with the form factor's unknowns
        first, the last block of its Cholesky factor is that of the complement.
    """
    from scipy.linalg import solve_triangular

    n = solution.problem.form_factor.size
    block = factor[n:, n:]
    inverse = solve_triangular(block, np.eye(len(block)), lower=True)
    return np.asarray(inverse.T @ inverse) * correlated(neighbours(solution))


def cholesky(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cholesky factor in the lower triangle, of a matrix that may be made a little stiffer.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Symmetric.
    """
    from scipy.linalg import LinAlgError
    from scipy.linalg import cholesky as factorized

    diagonal = np.diag(matrix).copy()
    jitter = 1e-12
    while True:
        try:
            # The transpose of a symmetric matrix in C order is in LAPACK's order.
            copied = matrix.T.copy(order="F")
            return np.asarray(
                factorized(copied, lower=True, overwrite_a=True, check_finite=False)
            )
        except LinAlgError:
            matrix[np.arange(len(matrix)), np.arange(len(matrix))] += jitter * diagonal
            jitter *= 100


def solve(factor: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solution of normal equations.

    Parameters
    ----------
    factor : ndarray, shape (n, n)
        From :func:`cholesky`.
    right : ndarray, shape (n,)
        Right-hand side.
    """
    from scipy.linalg import cho_solve

    return np.asarray(cho_solve((factor, True), right, check_finite=False))
