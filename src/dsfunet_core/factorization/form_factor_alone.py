"""Form factors fitted without any order: where the search for a lattice starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from dsfunet_core.factorization.normal_equations import solved

if TYPE_CHECKING:
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem

__all__ = ["alone", "determined"]


def alone(problem: Problem, expected: float) -> Tensor:
    """Coefficients of form factors that explain as much as they can alone.

    Parameters
    ----------
    problem : Problem
        Planes, or pieces of one, as a batch.
    expected : float
        Share of the scatter about the envelope that is not the form factor's: 1 leaves it
        smooth, little lets it follow all its support allows.

    Returns
    -------
    Tensor, shape (batch, n_P)
        Of the form factor over the envelope.
    """
    h = solved(*_normal(problem, expected))
    h[:, 0] += 1 / math.sqrt(2)
    return h


def determined(problem: Problem, expected: float) -> float:
    """Number of unknowns of `alone` that the data determine, not the prior.

    Parameters
    ----------
    problem, expected
        See `alone`.

    Returns
    -------
    float
        Trace of the matrix that turns intensities into fitted ones, over the batch.
    """
    matrix, _ = _normal(problem, expected)
    held = torch.linalg.inv(matrix).diagonal(dim1=1, dim2=2) / problem.prior_variance
    return float((1 - held).sum())


def _normal(problem: Problem, expected: float) -> tuple[Tensor, Tensor]:
    """Normal matrix, prior included, and right-hand side."""
    envelope, basis = problem.envelope, problem.form_factor_basis
    weights = problem.valid / envelope
    scatter = (weights * (problem.intensity - envelope) ** 2).sum() / problem.valid.sum()
    weights = weights / (expected * scatter)
    matrix = basis.gram(weights * envelope**2)
    matrix.diagonal(dim1=1, dim2=2).add_(1 / problem.prior_variance)
    return matrix, basis.analyze(weights * envelope * (problem.intensity - envelope))
