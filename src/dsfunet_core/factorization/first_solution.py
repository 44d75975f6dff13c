"""The support of the form factors, both factors with it, and whether outliers are any."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization.support import choose_support, first_guess, with_support

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem, Unknowns
    from dsfunet_core.factorization.solver import Solution

__all__ = ["FirstSolution", "solved_first", "without_false_outliers"]

#: Unknowns of the form factor at most: 2 GB for the normal equations.
MOST_UNKNOWNS = 15_000
#: Share of rejected pixels from which it is asked whether they are outliers, and share of
#: them that may be left if they were none.
MANY, FEWER = 2e-3, 0.5


@dataclass(frozen=True, eq=False)
class FirstSolution:
    """Planes solved with a support.

    Parameters
    ----------
    problem : Problem
        With the support.
    solution : Solution
        Both factors.
    radius : Tensor, shape (batch,)
        Of the support, in real-space units.
    scores : list of dict
        Of the supports that were tried, a plane each.
    capped : bool
        Whether a larger one would have had too many unknowns.
    """

    problem: Problem
    solution: Solution
    radius: Tensor
    scores: list[dict[float, float]]
    capped: bool


def solved_first(
    problem: Problem,
    spacing: NDArray,
    constant: Tensor,
    support: float | None,
    refine: Callable[[Problem, Unknowns], Solution],
    *,
    phase: Callable[[str, int, int], None],
    tick: Callable[[int], None],
    cancelled: Callable[[], bool] | None,
) -> FirstSolution:
    """Choose the support, unless it is given, and refine with it.

    Parameters
    ----------
    problem : Problem
        With any support.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    constant : Tensor, shape (batch,)
        Lattice constants, in real-space units.
    support : float or None
        Radius, in that unit; None chooses.
    refine : callable
        Problem and where to start → solution.
    phase, tick, cancelled : callable
        Progress and cancellation.

    Returns
    -------
    FirstSolution
        Solved.

    Raises
    ------
    ParameterError
        If a support that is given has too many unknowns.
    """
    phase("choosing the support", 0, 60)
    if support is None:
        choice = choose_support(problem, spacing, constant, tick=tick, cancelled=cancelled)
        problem, unknowns = choice.problem, choice.unknowns
        radius, scores, capped = choice.factors * constant, choice.scores, choice.capped
    else:
        radius = torch.full_like(constant, support)
        problem, _ = with_support(problem, spacing, radius)
        _check_size(problem.form_factor_basis.size, support)
        unknowns = first_guess(problem, spacing, constant)
        scores, capped = [{} for _ in problem.valid], False
    phase("refining", 60, 90)
    return FirstSolution(problem, refine(problem, unknowns), radius, scores, capped)


def without_false_outliers(
    first: FirstSolution,
    again: Callable[[], FirstSolution],
    refine: Callable[[Problem, Unknowns], Solution],
) -> FirstSolution:
    """Ask a solution that rejects many pixels whether they are outliers.

    Where the form factor starts far too small, as at a maximum beside a gap, all that is
    bright looks like Bragg remnants; once rejected, it is never fitted. So both factors are
    solved for once more with all pixels, and outliers are rejected from there on. Those of
    real remnants are as many as before: no product explains them.

    Parameters
    ----------
    first : FirstSolution
        With outliers rejected.
    again : callable
        Solves without rejecting any.
    refine : callable
        Problem and where to start → solution.

    Returns
    -------
    FirstSolution
        The one that rejects fewer pixels, if it is fewer than half.
    """
    share = first.solution.outliers / first.problem.valid.sum((1, 2))
    if float(share.max()) < MANY:
        return first
    whole = again()
    problem = replace(whole.problem, robust=True)
    solution = refine(problem, whole.solution.unknowns)
    if solution.outliers.sum() > FEWER * first.solution.outliers.sum():
        return first
    return replace(whole, problem=problem, solution=solution)


def _check_size(unknowns: int, support: float) -> None:
    """Refuse a support with more unknowns than there is room for."""
    if unknowns > MOST_UNKNOWNS:
        allowed = support * math.sqrt(MOST_UNKNOWNS / unknowns)
        raise ParameterError(
            f"support = {support:g} Å makes {unknowns:,} unknowns on this plane; at most "
            f"{MOST_UNKNOWNS:,} are solved for, which reach {allowed:.1f} Å.",
            python='Choose that or less, or "auto".',
            terminal="Choose that or less, or leave --support out.",
            napari="Choose that or less, or turn Support down to auto.",
        )
