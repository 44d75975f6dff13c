"""Factorization with the reciprocal lattice as the constraint.

The short-range order is periodic with the lattice, the form factor is not but belongs to
a molecule of finite size. With the lattice known these two facts over-determine the
factors: see ``docs/factorization.md`` for the mathematics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization.envelope import radial_envelope
from dsfunet_core.factorization.inversion import has_inversion, impose_inversion
from dsfunet_core.factorization.plane_data import PlaneData
from dsfunet_core.factorization.problem import Problem
from dsfunet_core.factorization.solver import Solution, form_factor_step, solve
from dsfunet_core.factorization.support import (
    annular_prior,
    choose_support,
    first_guess,
    with_support,
)
from dsfunet_core.factorization.transforms import FormFactorBasis, SroBasis
from dsfunet_core.factorization.uncertainty import sro_covariance

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LatticeSolution", "factorize_arrays"]

#: Relative misfit assumed at least when filling dead zones: model errors are correlated,
#: and taking them for exact knowledge makes the extrapolation ring.
EXTRAPOLATION_MISFIT = 1e-4
#: Rounds of re-estimating the prior from the solution.
PRIOR_ROUNDS = 2
#: Places told apart along each edge of a reciprocal cell, and the fraction of the cells in
#: which one must have been measured to count as seen.
CELL_BINS, HARDLY = 20, 0.05
#: Degree of the background polynomial along each axis, in total.
BACKGROUND_DEGREE = 3
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
    """

    form_factor: NDArray[np.float64]
    sro: NDArray[np.float64]
    weights: NDArray[np.float64]
    background: NDArray[np.float64] | None
    indices: NDArray[np.int64]
    values: NDArray[np.complex128]
    covariance: NDArray[np.float64] | None
    choices: dict[str, Any]


def factorize_arrays(
    planes: list[PlaneData],
    *,
    order: int = 5,
    support: float | None = None,
    background: bool = False,
    robust: bool = True,
    errors: bool = True,
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
    spacing = np.eye(2) if planes[0].spacing is None else np.asarray(planes[0].spacing, float)
    problem, scale = _problem(planes, order, background, robust, spacing, device)
    basis = np.stack([p.basis for p in planes])
    direct = np.linalg.inv(basis).transpose(0, 2, 1)
    area = np.abs(np.linalg.det(spacing @ direct))
    constant = torch.as_tensor(np.sqrt(area)).to(problem.intensity)

    report.phase("choosing the support", 0, 60)
    if support is None:
        choice = choose_support(
            problem, spacing, constant, tick=report.tick, cancelled=cancelled
        )
        problem, unknowns = choice.problem, choice.unknowns
        radius, scores, capped = choice.factors * constant, choice.scores, choice.capped
    else:
        radius = torch.full_like(constant, support)
        problem, _ = with_support(problem, spacing, radius)
        unknowns = first_guess(problem, spacing, constant)
        scores, capped = [{} for _ in planes], False

    report.phase("refining", 60, 90)
    solution = solve(problem, unknowns, tick=report.tick, cancelled=cancelled)
    if not problem.form_factor_basis.centric and has_inversion(planes, problem, solution):
        problem, unknowns = impose_inversion(problem, solution.unknowns, spacing, radius)
        solution = solve(problem, unknowns, max_cycles=6, tick=report.tick, cancelled=cancelled)
    filled = _fill(problem, solution, spacing)

    covariances: list[Any] = [None] * len(planes)
    kinds = ["none"] * len(planes)
    if errors:
        report.phase("uncertainties", 90, 100)
        model, blocks = sro_covariance(problem, solution)
        for i in range(len(planes)):
            covariance = model[i].cpu().numpy()
            ratio = (blocks[i].diagonal() / model[i].diagonal()).cpu().numpy()
            kinds[i] = "model"
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
                },
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


def _problem(
    planes: list[PlaneData],
    order: int,
    background: bool,
    robust: bool,
    spacing: NDArray,
    device: str | None,
) -> tuple[Problem, NDArray]:
    """Tensors from arrays, with the mean intensity of every plane scaled to 1."""
    shape = planes[0].intensity.shape
    needed = (2 * order + 1) ** 2 * 4
    for i, p in enumerate(planes):
        n = int(p.valid.sum())
        if n < needed:
            raise ParameterError(
                f"plane {i} has {n} valid pixels; at least {needed} are needed for order = "
                f"{order}. Use a larger plane, mask less, or lower order."
            )
        if not np.any(p.intensity[p.valid] > 0):
            raise ParameterError(
                f"plane {i} has no positive intensity in its valid pixels, so there is no "
                "diffuse scattering to factorize. Check the plane and the mask."
            )
    scale = np.array([p.intensity[p.valid].mean() for p in planes])
    if np.any(scale <= 0):
        raise ParameterError(
            f"the mean intensity of plane {int(np.argmin(scale))} is {scale.min():.3g}; it "
            "must be positive. Too much background may have been subtracted."
        )

    def tensor(arrays: list[Any]) -> torch.Tensor:
        stacked = np.stack([np.asarray(a, dtype=np.float64) for a in arrays])
        return torch.as_tensor(stacked, device=device)

    def q_norm(p: PlaneData) -> NDArray:
        if p.q_norm is not None:
            return p.q_norm
        rows, columns = np.indices(shape)
        return np.hypot(rows - p.origin[0], columns - p.origin[1])

    intensity = [
        np.where(p.valid, p.intensity, 0) / s for p, s in zip(planes, scale, strict=True)
    ]
    origin = tensor([p.origin for p in planes])
    centric = all(p.inversion is True for p in planes)
    real = all(p.real_coefficients for p in planes) or centric
    has_variance = all(p.variance is not None for p in planes)
    has_observations = all(p.observations is not None for p in planes)
    observations = None
    if has_observations and not has_variance:
        observations = tensor([_relative(p.observations, p.valid) for p in planes])
    return (
        Problem(
            intensity=tensor(intensity),
            valid=tensor([p.valid for p in planes]),
            envelope=tensor(
                [
                    radial_envelope(y, p.valid, q_norm(p))
                    for y, p in zip(intensity, planes, strict=True)
                ]
            ),
            form_factor_basis=FormFactorBasis.build(shape, spacing, 0.0, centric, origin),
            sro_basis=SroBasis.build(
                shape, order, tensor([p.basis for p in planes]), origin, real, spacing
            ),
            prior_variance=torch.empty(0),
            unseen=tensor([_unseen(p) for p in planes]),
            variance=(
                tensor([p.variance / s**2 for p, s in zip(planes, scale, strict=True)])
                if has_variance
                else None
            ),
            observations=observations,
            background_basis=_polynomials(shape, device) if background else None,
            robust=robust,
        ),
        scale,
    )


def _unseen(plane: PlaneData) -> NDArray[np.bool_]:
    """Pixels whose place in the reciprocal cell was hardly measured in any cell."""
    rows, columns = np.indices(plane.valid.shape)
    pixels = np.stack([rows.ravel() - plane.origin[0], columns.ravel() - plane.origin[1]])
    place = (np.linalg.solve(plane.basis, pixels) + 0.5 / CELL_BINS) % 1
    row, column = np.minimum((place * CELL_BINS).astype(int), CELL_BINS - 1)
    bins = row * CELL_BINS + column
    total = np.bincount(bins, minlength=CELL_BINS**2)
    seen = np.bincount(bins, plane.valid.ravel(), minlength=CELL_BINS**2)
    return (seen < HARDLY * total)[bins].reshape(plane.valid.shape)


def _relative(observations: Any, valid: NDArray[np.bool_]) -> NDArray:
    """Observations a pixel, in units of their mean over the valid ones."""
    return np.where(valid, observations, 0) / np.mean(observations[valid])


def _polynomials(shape: tuple[int, int], device: str | None) -> torch.Tensor:
    """Legendre polynomials over the plane up to a total degree, (k, H, W)."""
    axes = [np.linspace(-1, 1, n) for n in shape]
    vander = [np.polynomial.legendre.legvander(x, BACKGROUND_DEGREE) for x in axes]
    terms = [
        np.outer(vander[0][:, i], vander[1][:, j])
        for i in range(BACKGROUND_DEGREE + 1)
        for j in range(BACKGROUND_DEGREE + 1 - i)
    ]
    return torch.as_tensor(np.stack(terms), device=device)


def _fill(problem: Problem, solution: Solution, spacing: NDArray) -> NDArray[np.float64]:
    """Form factor with its prior re-estimated, for the best guess in dead zones."""
    weights = solution.weights
    signal = (weights * problem.intensity**2).sum((1, 2)) / problem.valid.sum((1, 2))
    smallest = EXTRAPOLATION_MISFIT * signal
    unknowns = solution.unknowns
    for _ in range(PRIOR_ROUNDS):
        prior_variance = annular_prior(problem.form_factor_basis, spacing, unknowns)
        problem = replace(problem, prior_variance=prior_variance)
        unknowns = form_factor_step(
            problem, unknowns, weights, solution.misfit.clamp(min=smallest)
        )
    h = problem.form_factor_basis.synthesize(unknowns.form_factor)
    measured = torch.where(problem.valid > 0, h, torch.zeros_like(h))
    h = torch.minimum(h.clamp(min=0), measured.amax((1, 2), keepdim=True))
    return (problem.envelope * h).cpu().numpy()


def _full_covariance(covariance: NDArray, basis: SroBasis) -> NDArray[np.float64]:
    """Covariance of (Re C, Im C); zero for imaginary parts that are zero by symmetry."""
    if not basis.centric:
        return covariance
    m = len(basis.indices)
    full = np.zeros((2 * m, 2 * m))
    full[:m, :m] = covariance
    return full
