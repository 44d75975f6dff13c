"""Refine a structure against a form factor, or against the diffuse scattering itself.

Against the scattering, the coefficients of the short-range order are refined together with
the structure: the intensity is k exp(−D_w Q²) |ΔF|² (1 + Σ C_u …), linear in k and k·C_u.
These are eliminated (variable projection; Golub & Pereyra, Inverse Problems 19 (2003) R1), and
what is left are a few moves and D_w.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.structures.calculate import Amplitude, velocities
from dsfunet_core.structures.compare import HIGHEST, LOWEST, Comparison, Target, comparison
from dsfunet_core.structures.contacts import Contacts
from dsfunet_core.structures.errors import correlated_covariance
from dsfunet_core.structures.moves import displaced

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.moves import Move

__all__ = ["StructureRefinement", "refine_structure"]

#: Cycles at most, and the shift in units of σ at which they end.
CYCLES, CONVERGED = 40, 0.01


@dataclass(frozen=True, eq=False)
class StructureRefinement:
    """A refined structure.

    Parameters
    ----------
    moves : tuple of Move
        What was refined.
    values, sigma : ndarray, shape (n_moves,)
        Their values and standard uncertainties, each in its unit.
    covariance : ndarray, shape (n_moves, n_moves)
        Of the values.
    comparison : Comparison
        The structure beside the target; its D_w and scale with their uncertainties.
    model : DisorderModel
        The structure after the moves.
    cycles : int
        Cycles of least squares.
    converged : bool
        Whether the last shifts were small.
    """

    moves: tuple[Move, ...]
    values: NDArray[np.float64]
    sigma: NDArray[np.float64]
    covariance: NDArray[np.float64]
    comparison: Comparison
    model: DisorderModel
    cycles: int
    converged: bool


def refine_structure(
    target: Target,
    model: DisorderModel,
    moves: Sequence[Move],
    start: ArrayLike | None = None,
    *,
    debye_waller: float | None = None,
    contacts: bool = True,
    radiation: str = "xray",
    callback: Callable[[int, int, str], None] | None = None,
) -> StructureRefinement:
    """Refine moves of a structure, its scale and D_w by least squares.

    Parameters
    ----------
    target : Target
        `Target.form_factor`, or `Target.scattering` with the order refined along.
    model : DisorderModel
        The structure where all moves are 0.
    moves : sequence of Move
        Done one after the other: torsions, rotations, shifts, occupancies.
    start : array_like, shape (n_moves,), optional
        Where to begin, best a minimum of a `scan`; 0 when left out.
    debye_waller : float, optional
        D_w [Å²] to hold; refined when left out.
    contacts : bool
        Keep atoms that are not bonded apart, see `Contacts`.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    callback : callable, optional
        Called with (cycle, cycles, message); an exception raised there ends it.

    Returns
    -------
    StructureRefinement
        Uncertainties count neighbouring pixels as erring together, and include those of
        scale, D_w and order.

    Raises
    ------
    ParameterError
        If a move changes nothing on this plane, or two of them the same.
    """
    if not moves:
        raise ParameterError("moves is empty; give at least one, see torsion().")
    values = np.zeros(len(moves)) if start is None else np.atleast_1d(np.array(start, float))
    if values.shape != (len(moves),):
        raise ParameterError(
            f"start has shape {values.shape} for {len(moves)} moves; one value each."
        )
    problem = _Problem(target, model, moves, debye_waller, radiation)
    restraint = Contacts(model, moves) if contacts else None
    damping = debye_waller if debye_waller is not None else _first_damping(problem, values)
    state = problem.at(values, damping)
    trust, cycle, converged = 1e-3, 0, False
    for cycle in range(1, CYCLES + 1):
        if callback is not None:
            callback(cycle, CYCLES, f"cycle {cycle}, R = {state.cost**0.5:.4f}")
        normal, right = problem.step(state)
        penalty = _penalty(restraint, state, normal, right)
        scale = np.diag(normal).copy()
        if (scale <= 1e-12 * max(scale.max(), 1e-300)).any():
            weak = [m.name for m, s in zip(moves, scale, strict=False) if s <= 1e-12]
            raise ParameterError(
                f"{', '.join(weak) or 'a move'} changes nothing on this plane; leave it out, "
                "or use another plane."
            )
        sigma = np.sqrt(state.variance / scale)
        for _ in range(12):
            step = np.linalg.solve(normal + trust * np.diag(scale), right)
            trial = problem.at(
                state.values + step[: len(moves)],
                float(np.clip(state.damping + sum(step[len(moves) :]), LOWEST, HIGHEST)),
            )
            if trial.chi2 + _contact_cost(restraint, trial, state.variance) <= (
                state.chi2 + penalty
            ) * (1 + 1e-10):
                state, trust = trial, max(trust / 5, 1e-9)
                break
            trust *= 8
        else:
            converged = bool(np.all(np.abs(step) < sigma))
            break
        if np.all(np.abs(step) < CONVERGED * sigma):
            converged = True
            break
    covariance = problem.covariance(state)[: len(moves), : len(moves)]
    return StructureRefinement(
        moves=tuple(moves),
        values=state.values,
        sigma=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        comparison=problem.comparison(state),
        model=displaced(model, moves, state.values),
        cycles=cycle,
        converged=converged,
    )


def _first_damping(problem: _Problem, values: NDArray) -> float:
    """D_w that suits the start, without the order's help."""
    from dsfunet_core.structures.compare import ScaleFit

    moved = displaced(problem.model, problem.moves, values)
    square = np.abs(problem.amplitude(moved)) ** 2
    return ScaleFit(problem.target).solve(square)[1]


def _penalty(
    restraint: Contacts | None, state: _State, normal: NDArray, right: NDArray
) -> float:
    """Add the contacts to the normal equations; what they cost comes back."""
    if restraint is None:
        return 0.0
    misfit, slopes = restraint.at(state.values)
    n = len(state.values)
    normal[:n, :n] += state.variance * slopes.T @ slopes
    right[:n] -= state.variance * slopes.T @ misfit
    return float(state.variance * misfit @ misfit)


def _contact_cost(restraint: Contacts | None, state: _State, variance: float) -> float:
    if restraint is None:
        return 0.0
    misfit = restraint.misfit(state.values)
    return float(variance * misfit @ misfit)


@dataclass(frozen=True, eq=False)
class _State:
    """A trial structure with the best linear parameters."""

    values: NDArray[np.float64]
    damping: float
    linear: NDArray[np.float64]
    columns: NDArray[np.float64]
    square: NDArray[np.float64]
    amplitude: NDArray[np.complexfloating]
    residual: NDArray[np.float64]
    chi2: float
    variance: float
    cost: float


class _Problem:
    """Calculated intensities on the live pixels, and their derivatives."""

    def __init__(
        self,
        target: Target,
        model: DisorderModel,
        moves: Sequence[Move],
        held: float | None,
        radiation: str,
    ) -> None:
        self.target, self.model, self.moves, self.held = target, model, moves, held
        self.amplitude = Amplitude(target.plane, radiation=radiation)
        self.amplitude.require_contrast(model)
        self.live = target.weight > 0
        self.root = np.sqrt(target.weight[self.live])
        self.observed = target.intensity[self.live]
        self.q2 = (target.plane.q_norm() ** 2)[self.live]
        order = (
            np.ones(self.observed.shape) if target.order is None else target.order[self.live]
        )
        if target.order_basis is None:
            self.basis = order[None]
        else:
            free = target.order_basis[:, self.live]
            self.basis = np.concatenate([np.ones((1, free.shape[1])), free])

    def at(self, values: NDArray, damping: float) -> _State:
        """Structure at some values, linear parameters eliminated."""
        amplitude = self.amplitude(displaced(self.model, self.moves, values))
        square = (amplitude.real**2 + amplitude.imag**2)[self.live].astype(float)
        columns = self.root * np.exp(-damping * self.q2) * square * self.basis
        normal = columns @ columns.T
        observed = self.root * self.observed
        hold = 1e-10 * np.trace(normal) / len(normal) * np.eye(len(normal))
        linear = np.linalg.solve(normal + hold, columns @ observed)
        residual = observed - linear @ columns
        chi2 = float(residual @ residual)
        freedom = max(len(observed) - len(linear) - len(values) - 1, 1)
        cost = chi2 / float(observed @ observed)
        return _State(
            values, damping, linear, columns, square, amplitude, residual, chi2,
            chi2 / freedom, cost,
        )  # fmt: skip

    def gradients(self, state: _State) -> NDArray[np.float64]:
        """√w times derivatives by the moves and D_w, shape (n, pixels)."""
        velocity, growth = velocities(self.model, self.moves, state.values)
        moved = displaced(self.model, self.moves, state.values)
        change = self.amplitude.derivatives(moved, velocity, growth)[:, self.live]
        factor = self.root * np.exp(-state.damping * self.q2) * (state.linear @ self.basis)
        rows = [2 * factor * (state.amplitude[self.live].conj() * c).real for c in change]
        if self.held is None:
            rows.append(-self.q2 * (state.linear @ state.columns))
        return np.array(rows, float)

    def step(self, state: _State) -> tuple[NDArray, NDArray]:
        """Normal equations for the moves and D_w, linear parameters eliminated."""
        rows = self.gradients(state)
        across = np.linalg.lstsq(
            state.columns @ state.columns.T, state.columns @ rows.T, rcond=1e-12
        )[0]
        rows = rows - across.T @ state.columns
        return rows @ rows.T, rows @ state.residual

    def covariance(self, state: _State) -> NDArray[np.float64]:
        """Of moves, D_w, and the linear parameters."""
        rows = np.concatenate([self.gradients(state), state.columns])
        lengths = np.linalg.norm(rows, axis=1)
        images = np.zeros((len(rows), *self.live.shape), np.float32)
        # The roots of the weights are in the rows already.
        images[:, self.live] = (rows / lengths[:, None]).astype(np.float32)
        residual = np.zeros(self.live.shape)
        noisy = self.root * self.target.scattered[self.live]
        residual[self.live] = noisy - state.linear @ state.columns
        scaled = correlated_covariance(images, residual, self.live.astype(float))
        return scaled / np.outer(lengths, lengths)

    def comparison(self, state: _State) -> Comparison:
        """The structure beside the target, with the order as refined."""
        from dataclasses import replace

        from dsfunet_core.structures.compare import ScaleFit

        target = self.target
        if target.order_basis is not None:
            relative = state.linear[1:] / state.linear[0]
            order = 1 + np.tensordot(relative, target.order_basis, 1)
            target = replace(target, order=order, order_basis=None)
        square = np.abs(state.amplitude) ** 2
        fit = ScaleFit(target, self.held)
        return comparison(target, fit, square, float(state.linear[0]), state.damping)
