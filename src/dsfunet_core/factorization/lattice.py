"""Factorization with the reciprocal lattice as the constraint.

The short-range order is periodic with the lattice, the form factor is not but belongs to
a molecule of finite size. With the lattice known these two facts over-determine the
factors: see ``docs/factorization.md`` for the mathematics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dsfunet_core.factorization.filling import extrapolated, filled_from
from dsfunet_core.factorization.first_solution import (
    FirstSolution,
    solved_first,
    without_false_outliers,
)
from dsfunet_core.factorization.inversion import has_inversion, impose_inversion
from dsfunet_core.factorization.plane_data import PlaneData
from dsfunet_core.factorization.preparation import build_problem
from dsfunet_core.factorization.score_tests import beyond_the_product
from dsfunet_core.factorization.shift import LatticeShift, shift_lattice, tuned
from dsfunet_core.factorization.solver import Solution, solve
from dsfunet_core.factorization.transforms import SroBasis
from dsfunet_core.factorization.uncertainty import form_factor_sigma, sro_covariance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.problem import Problem

__all__ = ["LatticeSolution", "factorize_arrays"]

#: Relative change of the misfit from which a refinement goes on, and times what where the
#: same place of every cell is hidden.
TOLERANCE, HIDDEN = 1e-3, 1e-3
#: Cycles after lattice or symmetry were put right.
AGAIN = 6
#: Median ratio of the block variances to the model's from which the former count.
BLOCK_EXCESS = 1.25


@dataclass(frozen=True, eq=False)
class LatticeSolution:
    """One plane factorized, as arrays.

    Parameters
    ----------
    form_factor, sro, weights : ndarray, shape (H, W)
        The factors (not negative) and the final weights.
    background : ndarray, shape (H, W), optional
        Smooth background, where refined.
    indices : ndarray of int, shape (m, 2)
        Half set of in-plane indices.
    values : ndarray of complex, shape (m,)
        C_u.
    covariance : ndarray, shape (2m, 2m), optional
        Of (Re C, Im C).
    choices : dict
        What was chosen and why.
    shift : LatticeShift, optional
        Where the lattice was refined to.
    form_factor_sigma : ndarray, shape (H, W), optional
        Standard uncertainties of the form factor.
    """

    form_factor: NDArray[np.float64]
    sro: NDArray[np.float64]
    weights: NDArray[np.float64]
    background: NDArray[np.float64] | None
    indices: NDArray[np.int64]
    values: NDArray[np.complex128]
    covariance: NDArray[np.float64] | None
    choices: dict[str, Any]
    shift: LatticeShift | None = None
    form_factor_sigma: NDArray[np.float64] | None = None


def factorize_arrays(
    planes: list[PlaneData],
    *,
    order: int = 5,
    support: float | None = None,
    background: bool = False,
    robust: bool = True,
    errors: bool = True,
    refine_lattice: bool = False,
    tune_lattice: bool = False,
    guesses: Sequence[NDArray] | None = None,
    device: str | None = None,
    callback: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[LatticeSolution]:
    """Factorize a batch of planes of one shape and pixel metric.

    Parameters
    ----------
    planes : list of PlaneData
        Same shape and ``spacing`` throughout. What holds for every plane of the batch is
        used (real coefficients, an inversion centre), what holds for some is not: batch
        like with like.
    order : int
        Largest in-plane index of the short-range order.
    support : float, optional
        Radius of the form factor's real-space support, in units of ``spacing``; chosen
        by cross-validation when left out.
    background : bool
        Refine a smooth additive background too.
    robust : bool
        Reject outliers such as leftover Bragg peaks.
    errors : bool
        Compute the covariance of the coefficients.
    refine_lattice : bool
        Refine the lattice of every plane first: cell errors of a percent, origins off by
        a pixel or two.
    tune_lattice : bool
        Refine a lattice that was found, all but right, together with the factors; for a
        single plane without a background.
    guesses : sequence of ndarray, shape (H, W), optional
        Form factors of the planes as a network sees them, on any scale: dead zones are
        filled with their help.
    device : str, optional
        A torch device; the CPU when left out.
    callback : callable, optional
        Called with (step, total, message).
    cancelled : callable, optional
        Asked before every cycle.

    Returns
    -------
    list of LatticeSolution
        In the order given.

    Raises
    ------
    CancelledError
        If ``cancelled()`` returns True.
    ParameterError
        If a plane has too few valid pixels.
    """
    report = _Progress(callback)
    shifts: list[LatticeShift | None] = [None] * len(planes)
    if refine_lattice:
        report.phase("refining the lattice", 0, 20)
        pairs = [
            shift_lattice(plane, support=support, robust=robust, device=device)
            for plane in planes
        ]
        planes, shifts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    spacing = np.eye(2) if planes[0].spacing is None else np.asarray(planes[0].spacing, float)
    problem, scale = build_problem(planes, order, background, robust, spacing, device)
    basis = np.stack([p.basis for p in planes])
    direct = np.linalg.inv(basis).transpose(0, 2, 1)
    area = np.abs(np.linalg.det(spacing @ direct))
    constant = torch.as_tensor(np.sqrt(area)).to(problem.intensity)

    # Where the same place of every cell is hidden, the order changes long after the misfit
    # has all but come to rest.
    tolerance = HIDDEN * TOLERANCE if bool(problem.unseen.any()) else TOLERANCE
    refined = partial(solve, tolerance=tolerance, tick=report.tick, cancelled=cancelled)

    def solved(problem: Problem) -> FirstSolution:
        return solved_first(
            problem,
            spacing,
            constant,
            support,
            refined,
            phase=report.phase,
            tick=report.tick,
            cancelled=cancelled,
        )

    first = solved(problem)
    if robust:
        everything = replace(problem, robust=False)
        first = without_false_outliers(first, lambda: solved(everything), refined)
    problem, solution, radius = first.problem, first.solution, first.radius
    scores, capped = first.scores, first.capped
    if tune_lattice and not background:
        problem, unknowns, plane, shifts[0] = tuned(
            problem, solution, planes[0], spacing, errors=errors
        )
        planes = [plane]
        solution = refined(problem, unknowns, max_cycles=AGAIN)
    if not problem.form_factor_basis.centric and has_inversion(planes, problem, solution):
        problem, unknowns = impose_inversion(problem, solution.unknowns, spacing, radius)
        solution = refined(problem, unknowns, max_cycles=AGAIN)
    filled = solved_alone = extrapolated(problem, solution, spacing)
    if guesses is not None:
        # A disc of real space is an ellipse of cycles a pixel: its mean radius will do.
        per_pixel = radius.cpu().numpy() / np.sqrt(abs(np.linalg.det(spacing)))
        filled = np.stack(
            [
                filled_from(solved, np.asarray(guess), plane.valid, float(r))
                for solved, guess, plane, r in zip(
                    solved_alone, guesses, planes, per_pixel, strict=True
                )
            ]
        )

    covariances: list[Any] = [None] * len(planes)
    sigmas: list[Any] = [None] * len(planes)
    kinds = ["none"] * len(planes)
    beyond: list[dict[str, Any]] = [{} for _ in planes]
    if errors:
        report.phase("uncertainties", 90, 100)
        model, blocks = sro_covariance(problem, solution)
        sigma = form_factor_sigma(problem, solution, spacing).cpu().numpy()
        # Where a guess had its say, as much as it changed is not known either.
        sigma = np.hypot(sigma, filled - solved_alone)
        beyond = [
            {name: asdict(score) for name, score in one.items()}
            for one in beyond_the_product(problem, solution)
        ]
        for i in range(len(planes)):
            covariance = model[i].cpu().numpy()
            ratio = (blocks[i].diagonal() / model[i].diagonal()).cpu().numpy()
            kinds[i] = "model"
            sigmas[i] = sigma[i] * scale[i]
            if np.median(ratio) > BLOCK_EXCESS:
                # Residuals are correlated or the weights wrong: widen, never narrow.
                widen = np.sqrt(np.maximum(ratio, 1))
                covariance = covariance * np.outer(widen, widen)
                kinds[i] = "model, widened to the scatter of pixel blocks"
            covariances[i] = _full_covariance(covariance, problem.sro_basis)
    report.done()

    values = problem.sro_basis.complex_values(solution.unknowns.sro).cpu().numpy()
    results = []
    for i in range(len(planes)):
        known = planes[i].variance is not None
        results.append(
            LatticeSolution(
                form_factor=filled[i] * scale[i],
                sro=solution.fields.s[i].clamp(min=0).cpu().numpy(),
                weights=solution.weights[i].cpu().numpy()
                / _variance_unit(solution, scale, i, known),
                background=(
                    solution.fields.background[i].cpu().numpy() * scale[i]
                    if isinstance(solution.fields.background, torch.Tensor)
                    else None
                ),
                indices=problem.sro_basis.indices,
                values=values[i],
                covariance=covariances[i],
                choices={
                    "support": float(radius[i]),
                    "support_in_lattice_constants": float(radius[i] / constant[i]),
                    "support_chosen_by": "user" if support is not None else "cross-validation",
                    "support_scores": {f"{k:g}": v for k, v in scores[i].items()},
                    "support_capped": bool(capped),
                    "order": order,
                    "inversion_centre": bool(problem.form_factor_basis.centric),
                    "unknowns": list(problem.sizes),
                    "cycles": solution.cycles,
                    "outliers": int(solution.outliers[i]),
                    "weighting": "file variances" if known else "counting statistics",
                    "misfit": float(solution.misfit[i]) * (1.0 if known else float(scale[i])),
                    "reduced_chi2": float(solution.misfit[i]) if known else None,
                    "covariance": kinds[i],
                    "beyond_the_product": beyond[i],
                },
                shift=shifts[i],
                form_factor_sigma=sigmas[i],
            )
        )
    return results


def _variance_unit(solution: Solution, scale: NDArray, i: int, known: bool) -> float:
    """Factor from the solver's 1/weight to a variance in the intensity's units squared."""
    return (
        float(solution.misfit[i]) * float(scale[i]) ** 2 if not known else float(scale[i]) ** 2
    )


class _Progress:
    """Turns the solver's cycles into (step, total, message)."""

    def __init__(self, callback: Callable[[int, int, str], None] | None) -> None:
        self._callback = callback
        self._message, self._at, self._end = "", 0.0, 0.0

    def phase(self, message: str, start: int, end: int) -> None:
        self._message, self._at, self._end = message, start, end
        self._send()

    def tick(self, cycle: int) -> None:
        self._at += (self._end - self._at) / 8
        self._send()

    def done(self) -> None:
        self._message, self._at = "done", 100
        self._send()

    def _send(self) -> None:
        if self._callback is not None:
            self._callback(int(self._at), 100, self._message)


def _full_covariance(covariance: NDArray, basis: SroBasis) -> NDArray[np.float64]:
    """Covariance of (Re C, Im C); zero for imaginary parts that are zero by symmetry."""
    if not basis.centric:
        return covariance
    m = len(basis.indices)
    full = np.zeros((2 * m, 2 * m))
    full[:m, :m] = covariance
    return full
