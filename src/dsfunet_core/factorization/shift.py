"""A lattice that is nearly right, refined before the plane is factorized with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dsfunet_core.factorization.lattice_refinement import (
    RefinedLattice,
    refine_lattice,
    scatter_of_halves,
)
from dsfunet_core.factorization.plane_data import PlaneData
from dsfunet_core.factorization.preparation import build_problem
from dsfunet_core.factorization.solver import Solution, solve
from dsfunet_core.factorization.support import choose_support, first_guess, with_support
from dsfunet_core.factorization.uncertainty import sro_covariance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.problem import Problem, Unknowns

__all__ = ["LatticeShift", "shift_lattice", "tuned"]

#: Highest index while the lattice may still be far off, and at the end.
ORDERS = (2, 4)
#: Unknowns of the form factor at most, and cycles, in either step.
MOST_UNKNOWNS, CYCLES = (1100, 2600), (5, 5)
#: Cycles in which a lattice that was found settles.
TUNING_CYCLES = 2
#: Coefficients this many standard uncertainties large tell the phase of the origin.
SIGNIFICANT = 5.0
#: Largest shift of the origin that is looked for, in cells.
FARTHEST = 0.35


@dataclass(frozen=True, eq=False)
class LatticeShift:
    """How far a lattice was moved.

    Parameters
    ----------
    basis, given_basis : ndarray, shape (2, 2)
        Columns: reciprocal-lattice vectors in pixels, refined and as they were.
    covariance : ndarray, shape (4, 4)
        Of the components 00, 01, 10, 11 of the direct basis [cycles a pixel].
    origin, sigma_origin, given_origin : ndarray, shape (2,)
        The same of the origin [pixels]. Where the coefficients of the order need not be
        real, the data do not tell the origin: it stays, with uncertainties of NaN.
    """

    basis: NDArray[np.float64]
    given_basis: NDArray[np.float64]
    covariance: NDArray[np.float64]
    origin: NDArray[np.float64]
    sigma_origin: NDArray[np.float64]
    given_origin: NDArray[np.float64]

    @property
    def sigma_basis(self) -> NDArray[np.float64]:
        """Standard uncertainties of ``basis``, shape (2, 2)."""
        # d(D⁻ᵀ) = −D⁻ᵀ dDᵀ D⁻ᵀ
        slope = np.einsum("ai,jb->abji", self.basis, self.basis).reshape(4, 4)
        variance = np.einsum("ki,ij,kj->k", slope, self.covariance, slope)
        return np.sqrt(np.maximum(variance, 0)).reshape(2, 2)

    def as_choices(self) -> dict[str, Any]:
        """For ``result.choices``: shifts in pixels with their uncertainties."""
        known = bool(np.isfinite(self.sigma_origin).all())
        return {
            "basis_shift": (self.basis - self.given_basis).tolist(),
            "basis_sigma": self.sigma_basis.tolist(),
            "lattice_covariance": self.covariance.tolist(),
            "origin_shift": (self.origin - self.given_origin).tolist() if known else None,
            "origin_sigma": self.sigma_origin.tolist() if known else None,
        }


def shift_lattice(
    plane: PlaneData,
    *,
    support: float | None = None,
    robust: bool = True,
    device: str | None = None,
) -> tuple[PlaneData, LatticeShift]:
    """Refine basis and origin of a plane's lattice together with its factors.

    The basis is refined with complex coefficients, which leave the origin free. Where
    they must be real (planes through lattice points, or half-way between), the origin is
    then put where they are: their phases are −2π r_u·δ if it is off by δ.

    Parameters
    ----------
    plane : PlaneData
        With the lattice as it was given.
    support : float, optional
        Radius of the form factor's support, in units of ``spacing``; by cross-validation
        when left out.
    robust : bool
        Reject outliers.
    device : str, optional
        Torch device.

    Returns
    -------
    plane : PlaneData
        With the refined lattice.
    shift : LatticeShift
        What changed, with uncertainties.
    """
    spacing = np.eye(2) if plane.spacing is None else np.asarray(plane.spacing, float)
    free = replace(plane, inversion=None, real_coefficients=False)
    direct = np.linalg.inv(plane.basis).T
    constant = float(np.sqrt(abs(np.linalg.det(spacing @ direct))))
    radius = constant if support is None else support
    coarse = _refined(free, direct, 0, radius, robust, spacing, device)
    if support is None:
        lengths = torch.tensor([constant], dtype=torch.float64)
        lengths = lengths.to(coarse.problem.intensity)
        chosen = choose_support(coarse.problem, spacing, lengths)
        radius = float(chosen.factors[0]) * constant
    fine = _refined(free, coarse.direct, 1, radius, robust, spacing, device)
    origin, sigma_origin = plane.origin, np.full(2, np.nan)
    if plane.real_coefficients or plane.inversion:
        solution = solve(fine.problem, fine.unknowns, max_cycles=3)
        found = _origin(fine.problem, solution, fine.direct)
        if found is not None:
            origin, sigma_origin = plane.origin + found[0], found[1]
    shift = LatticeShift(
        np.asarray(np.linalg.inv(fine.direct).T, float),
        plane.basis,
        fine.covariance * _excess(fine, plane),
        origin,
        sigma_origin,
        plane.origin,
    )
    return replace(plane, basis=shift.basis, origin=np.asarray(origin)), shift


def tuned(
    problem: Problem,
    solution: Solution,
    plane: PlaneData,
    spacing: NDArray,
    *,
    errors: bool = True,
) -> tuple[Problem, Unknowns, PlaneData, LatticeShift]:
    """A lattice that was found, refined with the problem it is going to be used in.

    Parameters
    ----------
    problem : Problem
        Of the plane alone, with complex coefficients and no background.
    solution : Solution
        With the lattice as it was found.
    plane : PlaneData
        The plane.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    errors : bool
        Widen the covariance where residuals are no noise.

    Returns
    -------
    problem, unknowns, plane
        With the refined lattice.
    shift : LatticeShift
        What changed, and its covariance; the origin stays.
    """
    origin = torch.as_tensor(plane.origin, dtype=torch.float64)[None].to(problem.intensity)
    direct = np.linalg.inv(plane.basis).T
    refined = refine_lattice(
        problem, solution.unknowns, direct, origin, spacing, max_cycles=TUNING_CYCLES
    )
    shift = LatticeShift(
        np.asarray(np.linalg.inv(refined.direct).T, float),
        plane.basis,
        refined.covariance * (_excess(refined, plane) if errors else 1.0),
        plane.origin,
        np.full(2, np.nan),
        plane.origin,
    )
    return refined.problem, refined.unknowns, replace(plane, basis=shift.basis), shift


def _excess(refined: RefinedLattice, plane: PlaneData) -> float:
    """Factor by which residuals that are no noise widen the covariance."""
    problem = refined.problem
    origin = torch.as_tensor(plane.origin, dtype=torch.float64)[None].to(problem.intensity)
    return max(1.0, scatter_of_halves(problem, refined.unknowns, origin))


def _refined(
    plane: PlaneData,
    direct: NDArray,
    step: int,
    radius: float,
    robust: bool,
    spacing: NDArray,
    device: str | None,
) -> RefinedLattice:
    moved = replace(plane, basis=np.linalg.inv(direct).T)
    problem, _ = build_problem([moved], ORDERS[step], False, robust, spacing, device)
    d = torch.as_tensor(direct)[None].to(problem.intensity)
    origin = torch.as_tensor(plane.origin, dtype=torch.float64)[None].to(problem.intensity)
    constant = torch.linalg.det(torch.as_tensor(spacing).to(d) @ d).abs().sqrt()
    problem, _ = with_support(problem, spacing, torch.full_like(constant, radius))
    size = problem.form_factor_basis.size
    if size > MOST_UNKNOWNS[step]:
        radius *= float(np.sqrt(MOST_UNKNOWNS[step] / size))
        problem, _ = with_support(problem, spacing, torch.full_like(constant, radius))
    start = solve(problem, first_guess(problem, spacing, constant), max_cycles=2)
    return refine_lattice(
        problem, start.unknowns, direct, origin, spacing, max_cycles=CYCLES[step]
    )


def _origin(
    problem: Problem, solution: Solution, direct: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Shift that makes the coefficients real, and its uncertainty [pixels]."""
    values = problem.sro_basis.complex_values(solution.unknowns.sro)[0].cpu().numpy()
    covariance = sro_covariance(problem, solution)[0][0].cpu().numpy()
    m = len(values)
    variance = covariance.diagonal()[:m] + covariance.diagonal()[m:]
    indices = problem.sro_basis.indices
    size = np.abs(values)
    use = size > SIGNIFICANT * np.sqrt(variance / 2)
    if use.sum() < 2 or np.linalg.matrix_rank(indices[use]) < 2:
        return None
    # Phases are known modulo π; the shift with the largest Σ (Re C exp(iφ))² begins.
    u, c = indices[use], values[use]
    weight = 1 / (variance[use] / 2)
    grid = np.linspace(-FARTHEST, FARTHEST, 71)
    shifts = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    turned = c * np.exp(2j * np.pi * shifts @ u.T)
    shift = shifts[np.argmin((weight * turned.imag**2).sum(1))]
    for _ in range(10):
        turned = c * np.exp(2j * np.pi * u @ shift)
        slope = (2 * np.pi * turned.real)[:, None] * u
        normal = slope.T @ (weight[:, None] * slope)
        step = -np.linalg.solve(normal, slope.T @ (weight * turned.imag))
        shift = shift + step
    # In cells; one cell is a reciprocal-lattice vector.
    basis = np.linalg.inv(direct).T
    chi2 = float((weight * turned.imag**2).sum()) / max(len(u) - 2, 1)
    uncertainty = basis @ np.linalg.inv(normal) @ basis.T * max(chi2, 1.0)
    return basis @ shift, np.sqrt(np.diag(uncertainty))
