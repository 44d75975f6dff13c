"""Network and lattice solver together: each does what it is best at.

The network needs no lattice and has seen many form factors; the solver knows that order is
periodic, is exact where something was measured, and has uncertainties. So the network
gives the first form factor, from which the lattice is found where nobody gave it; the
solver does the rest; and in dead zones both have a say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import CancelledError
from dsfunet_core.factorization.lattice import LatticeSolution, factorize_arrays
from dsfunet_core.factorization.lattice_points import reduced, sublattices
from dsfunet_core.factorization.lattice_search import search_lattice
from dsfunet_core.factorization.network import factorize_by_network
from dsfunet_core.factorization.plane_data import PlaneData
from dsfunet_core.factorization.result import Factorization, SroCoefficients
from dsfunet_core.lattice import PlaneLattice

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dsfunet_core.factorization.found_lattice import FoundLattice
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["blind_solution", "factorize_hybrid"]

#: Support in lattice constants from which a form factor can stand for any order, so that a
#: lattice which asks for it is none.
WIDEST = 1.6
#: Largest index of sublattices that are tried instead of the lattice found, and share of the
#: order's strength that may lie outside of them.
DENSEST, OUTSIDE = 3, 0.02


def blind_solution(
    intensity: NDArray,
    valid: NDArray[np.bool_],
    factors: tuple[NDArray, NDArray],
    *,
    order: int = 5,
    highest_order: Callable[[NDArray[np.float64]], int] | None = None,
    variance: NDArray | None = None,
    observations: NDArray | None = None,
    device: str | None = None,
    cancelled: Callable[[], bool] | None = None,
    **options: Any,
) -> tuple[FoundLattice, LatticeSolution | None]:
    """Search for the lattice, and factorize with it if it was found.

    Parameters
    ----------
    intensity, valid : ndarray, shape (n_rows, n_columns)
        Linear intensity and measured pixels.
    factors : tuple of ndarray, shape (n_rows, n_columns)
        I_FF and I_SRO of a network.
    order : int
        Largest in-plane index of the short-range order.
    highest_order : callable, optional
        Largest index that the pixels can tell apart on a direct lattice.
    variance, observations : ndarray, shape (n_rows, n_columns), optional
        See `PlaneData`.
    device : str, optional
        Torch device.
    cancelled : callable, optional
        Asked on the way.
    **options : object
        Of `factorize_arrays`.

    Returns
    -------
    lattice : FoundLattice
        Outcome of the search.
    solution : LatticeSolution or None
        None where no lattice was found. The phases of its coefficients are counted from
        pixel (n_rows // 2, n_columns // 2).
    """
    found = search_lattice(
        intensity,
        valid,
        form_factor=factors[0],
        sro=factors[1],
        device=device,
        cancelled=cancelled,
    )
    if not found.found or found.direct is None:
        return found, None

    def solved(direct: NDArray) -> LatticeSolution:
        data = PlaneData(
            intensity=np.asarray(intensity, float),
            valid=valid,
            basis=np.linalg.inv(direct).T,
            origin=np.array([n // 2 for n in intensity.shape], float),
            variance=variance,
            observations=observations,
        )
        highest = order if highest_order is None else highest_order(direct)
        (solution,) = factorize_arrays(
            [data],
            order=max(1, min(order, highest)),
            guesses=[factors[0]],
            tune_lattice=True,
            device=device,
            cancelled=cancelled,
            **options,
        )
        return solution

    first = found.direct
    solution = solved(first)
    for matrix in _enough(solution):
        direct = reduced(first @ matrix)
        coarser = solved(direct)
        if _better(coarser.choices, solution.choices):
            solution, found = coarser, replace(found, direct=direct, sigma=None)
    support = solution.choices["support_in_lattice_constants"]
    if support > WIDEST:
        reason = (
            f"The best lattice asks for a form factor that reaches over {support:.1f} lattice "
            "constants, which could make up for any order: it is finer than the plane tells."
        )
        return replace(found, found=False, reason=reason), None
    return found, solution


def _better(coarser: dict[str, Any], finer: dict[str, Any]) -> bool:
    """Whether a coarser lattice explains more, and not by a wider form factor."""
    extent = "support_in_lattice_constants"
    return bool(coarser["misfit"] < finer["misfit"] and coarser[extent] <= finer[extent])


def _enough(solution: LatticeSolution) -> list[NDArray[np.float64]]:
    """Sublattices that hold all but nothing of the order that was found."""
    strength = np.abs(solution.values) ** 2
    found = []
    for matrix in sublattices(DENSEST):
        place = solution.indices @ np.linalg.inv(matrix).T
        outside = np.abs(place - np.rint(place)).max(axis=1) > 1e-6
        if strength[outside].sum() < OUTSIDE * strength.sum():
            found.append(matrix)
    return found


def factorize_hybrid(
    plane: ReciprocalPlane,
    data: PlaneData | None,
    *,
    order: int,
    highest_order: Callable[[NDArray[np.float64]], int],
    support: float | None,
    background: bool,
    robust: bool,
    errors: bool,
    refine_lattice: bool,
    weights: str | Path | None,
    device: str | None,
    callback: Callable[[int, int, str], None] | None,
    cancelled: Callable[[], bool] | None,
) -> Factorization:
    """Factorize a plane with network and solver.

    Parameters
    ----------
    plane : ReciprocalPlane
        What to factorize.
    data : PlaneData or None
        Its arrays and lattice; None where the lattice is not known.
    order : int
        Largest in-plane index of the short-range order.
    highest_order : callable
        Largest index that the pixels can tell apart on a direct lattice.
    support, background, robust, errors, refine_lattice, weights, device
        See `dsfunet_core.factorization.factorize`.
    callback, cancelled : callable, optional
        Progress; whether to stop.

    Returns
    -------
    Factorization
        Of method "hybrid"; of method "network" where no lattice was found, and
        ``choices["why"]`` says why.
    """
    report = callback or (lambda step, total, message: None)
    report(0, 100, "running the network")
    first = factorize_by_network(plane, weights=weights, device=device)
    if cancelled is not None and cancelled():
        raise CancelledError("the factorization was cancelled")
    options: dict[str, Any] = {
        "background": background,
        "robust": robust,
        "errors": errors,
        "refine_lattice": refine_lattice,
        "device": device,
        "callback": None if callback is None else _later(callback),
        "cancelled": cancelled,
    }
    source = {
        "network_weights": first.choices["weights"],
        "network_weights_sha256": first.choices["weights_sha256"],
    }
    if data is not None:
        (solution,) = factorize_arrays(
            [data], order=order, support=support, guesses=[first.form_factor], **options
        )
        given = plane.lattice
        why = "The lattice is known: the plane comes with a cell."
        choices = {"why": why, "lattice_from": "given", **source}
        lattice = given
        if solution.shift is not None:
            lattice = replace(
                given, basis=solution.shift.basis, origin=np.asarray(solution.shift.origin)
            )
        return _result(plane, solution, lattice, choices)
    report(10, 100, "searching for the lattice")
    valid = plane.valid & np.isfinite(plane.intensity)
    found, solved = blind_solution(
        np.asarray(plane.intensity, float),
        valid,
        (first.form_factor, first.sro),
        order=order,
        highest_order=highest_order,
        variance=None if plane.variance is None else np.asarray(plane.variance, float),
        observations=None if plane.counts is None else np.asarray(plane.counts, float),
        **{**options, "refine_lattice": False},
    )
    searched = {
        "lattice_found": found.found,
        "lattice_reason": found.reason,
        "lattice_merit": found.merit,
        "lattice_unexplained": found.unexplained,
    }
    if solved is None or found.basis is None:
        why = (
            "No lattice was found with confidence, so the network's factors stand as they are. "
            + found.reason
        )
        choices = {**first.choices, "why": why, "lattice_from": "none", **searched}
        return replace(first, choices=choices)
    why = "No cell was given, but the plane's lattice was found."
    choices = {"why": why, "lattice_from": "search", **searched, **source}
    lattice = PlaneLattice(
        basis=found.basis if solved.shift is None else solved.shift.basis,
        origin=np.array([n // 2 for n in plane.shape], float),
        directions=np.eye(3, 2, dtype=np.int64),
        offset=np.zeros(3),
    )
    return _result(plane, solved, lattice, choices)


def _later(callback: Callable[[int, int, str], None]) -> Callable[[int, int, str], None]:
    """Progress of the solver after that of network and search."""

    def report(step: int, total: int, message: str) -> None:
        callback(20 + 80 * step // max(total, 1), 100, message)

    return report


def _result(
    plane: ReciprocalPlane,
    solution: LatticeSolution,
    lattice: PlaneLattice,
    choices: dict[str, Any],
) -> Factorization:
    shift = {} if solution.shift is None else solution.shift.as_choices()
    return Factorization(
        plane=plane,
        method="hybrid",
        form_factor=solution.form_factor,
        form_factor_sigma=solution.form_factor_sigma,
        sro=solution.sro,
        background=solution.background,
        weights=solution.weights,
        coefficients=SroCoefficients(solution.indices, solution.values, solution.covariance),
        lattice=lattice,
        choices={**choices, **solution.choices, **shift},
    )
