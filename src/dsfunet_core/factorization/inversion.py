"""Inversion centres of planes: found in the data, and imposed on the solution."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.factorization.support import carried_prior, embed, with_support

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.factorization.plane_data import PlaneData
    from dsfunet_core.factorization.problem import Problem, Unknowns
    from dsfunet_core.factorization.solver import Solution

__all__ = ["has_inversion", "impose_inversion"]

#: Pairs of pixels related by inversion needed for the test, and the excess allowed.
MIN_PAIRS, INVERSION_EXCESS = 200, 1.15


def has_inversion(planes: list[PlaneData], problem: Problem, solution: Solution) -> bool:
    """Whether every plane of the batch has an inversion centre at its origin.

    Friedel's law gives one to every plane through Q = 0, and a twofold axis along the
    normal to the others. Where nobody says, pairs of pixels related by inversion must
    agree within the noise that the unconstrained solution found.

    Parameters
    ----------
    planes : list of PlaneData
        The planes; an ``inversion`` that is not None is believed.
    problem, solution
        Their solution without an inversion centre imposed.
    """
    return all(
        _pairs_agree(plane, problem, solution, i)
        if plane.inversion is None
        else plane.inversion
        for i, plane in enumerate(planes)
    )


def _pairs_agree(plane: PlaneData, problem: Problem, solution: Solution, i: int) -> bool:
    mirror = 2 * plane.origin
    if np.abs(mirror - np.rint(mirror)).max() > 0.02:
        return False
    n_rows, n_columns = plane.valid.shape
    rows, columns = np.indices((n_rows, n_columns))
    other = np.rint(mirror).astype(int)
    row, column = other[0] - rows, other[1] - columns
    inside = (row >= 0) & (row < n_rows) & (column >= 0) & (column < n_columns)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    weights = solution.weights[i].cpu().numpy()
    y = problem.intensity[i].cpu().numpy()
    pair = inside & (weights > 0) & (weights[row, column] > 0)
    pair &= (rows * n_columns + columns) > (row * n_columns + column)
    if pair.sum() < MIN_PAIRS:
        return False
    w1, w2 = weights[pair], weights[row[pair], column[pair]]
    difference = y[pair] - y[row[pair], column[pair]]
    excess = np.mean(difference**2 / (1 / w1 + 1 / w2))
    signal = float((solution.weights[i] * problem.intensity[i] ** 2).sum() / pair.sum())
    return bool(excess < INVERSION_EXCESS * float(solution.misfit[i]) + 1e-6 * signal)


def impose_inversion(
    problem: Problem, unknowns: Unknowns, spacing: NDArray, radius: Tensor
) -> tuple[Problem, Unknowns]:
    """The same problem with cosines only."""
    old_f, old_s = problem.form_factor_basis, problem.sro_basis
    new_f, new_s = replace(old_f, centric=True), replace(old_s, centric=True)
    before, problem = problem, replace(problem, form_factor_basis=new_f, sro_basis=new_s)
    unknowns = replace(
        unknowns,
        form_factor=embed(unknowns.form_factor, old_f, new_f),
        sro=unknowns.sro[:, : new_s.size],
    )
    problem, carried = with_support(problem, spacing, radius, unknowns)
    assert carried is not None
    return replace(problem, prior_variance=carried_prior(before, problem)), carried
