"""Form factors fitted without any order: where solver and search for a lattice start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from dsfunet_core.factorization.normal_equations import solved

if TYPE_CHECKING:
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem

__all__ = ["alone", "determined", "scatter"]


def scatter(problem: Problem) -> Tensor:
    """Mean square about the envelope, relative to it, of every plane.

    Parameters
    ----------
    problem : Problem
        Planes, as a batch.

    Returns
    -------
    Tensor, shape (batch,)
        In units of the envelope.
    """
    square = problem.valid / problem.envelope * (problem.intensity - problem.envelope) ** 2
    return square.sum((1, 2)) / problem.valid.sum((1, 2))


def alone(problem: Problem, noise: Tensor) -> Tensor:
    """Coefficients of form factors that explain as much as they can alone.

    Parameters
    ----------
    problem : Problem
        Planes, or pieces of one, as a batch.
    noise : Tensor, shape (batch,) or (1,)
        How much of the scatter about the envelope is not the form factor's: all of it
        leaves it smooth, little lets it follow all its support allows.

    Returns
    -------
    Tensor, shape (batch, n_P)
        Of the form factor over the envelope.
    """
    h = solved(*_normal(problem, noise))
    h[:, 0] += 1 / math.sqrt(2)
    return h


def determined(problem: Problem, noise: Tensor) -> float:
    """Number of unknowns of `alone` that the data determine, not the prior.

    Parameters
    ----------
    problem, noise
        See `alone`.

    Returns
    -------
    float
        Trace of the matrix that turns intensities into fitted ones, over the batch.
    """
    matrix, _ = _normal(problem, noise)
    held = torch.linalg.inv(matrix).diagonal(dim1=1, dim2=2) / problem.prior_variance
    return float((1 - held).sum())


def _normal(problem: Problem, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Normal matrix, prior included, and right-hand side."""
    envelope, basis = problem.envelope, problem.form_factor_basis
    weights = problem.valid / envelope / noise[:, None, None]
    matrix = basis.gram(weights * envelope**2)
    matrix.diagonal(dim1=1, dim2=2).add_(1 / problem.prior_variance)
    return matrix, basis.analyze(weights * envelope * (problem.intensity - envelope))
