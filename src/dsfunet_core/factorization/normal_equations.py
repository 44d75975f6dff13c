"""Positive definite systems of linear equations, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.linalg.lapack import dpotrf, dpotrs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["cholesky", "solved"]

#: Relative diagonal added where rounding left a matrix not positive definite; a hundred
#: times more at every further trial.
JITTER = 1e-12


def cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factor, with a little more diagonal where rounding asks for it.

    Parameters
    ----------
    matrix : Tensor, shape (batch, n, n)
        Symmetric; left as it is.

    Returns
    -------
    Tensor, shape (batch, n, n)
        Zero above the diagonal.
    """
    if matrix.device.type != "cpu":
        return _cholesky_on_device(matrix)
    factor = matrix.clone(memory_format=torch.contiguous_format)
    for one in factor.numpy():
        _factor(one.T)
        one[np.triu_indices(len(one), 1)] = 0
    return factor


def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Solution x of matrix · x = right.

    Parameters
    ----------
    matrix : Tensor, shape (batch, n, n)
        Symmetric, positive definite but for rounding; its memory is used for the factor.
    right : Tensor, shape (batch, n)
        Right-hand sides.

    Returns
    -------
    Tensor, shape (batch, n)
        Solutions.
    """
    if matrix.device.type != "cpu":
        return torch.cholesky_solve(right[..., None], _cholesky_on_device(matrix))[..., 0]
    # SciPy's LAPACK takes half of the time of the one that torch brings, and copies nothing;
    # this is half of all work.
    result = np.empty(right.shape)
    for i, one in enumerate(matrix.contiguous().numpy()):
        columns = one.T
        _factor(columns)
        result[i] = dpotrs(columns, right[i].numpy(), lower=0)[0]
    return torch.from_numpy(result)


def _factor(matrix: NDArray[np.float64]) -> None:
    """Cholesky factor over the upper triangle of a matrix in Fortran order, in place."""
    diagonal = matrix.diagonal().copy()
    jitter = JITTER
    while dpotrf(matrix, lower=0, clean=0, overwrite_a=1)[1] > 0:
        # The other triangle still has the matrix.
        matrix[:] = np.tril(matrix, -1) + np.tril(matrix, -1).T
        np.fill_diagonal(matrix, (1 + jitter) * diagonal)
        jitter *= 100


def _cholesky_on_device(matrix: Tensor) -> Tensor:
    factor, info = torch.linalg.cholesky_ex(matrix)
    jitter = JITTER
    while bool((info > 0).any()):
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        factor, info = torch.linalg.cholesky_ex(matrix + torch.diag_embed(jitter * diagonal))
        jitter *= 100
    return factor
