"""Monte Carlo configurations of two species on a lattice, by swaps that keep composition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.sro import warren_cowley

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MonteCarloOrder", "monte_carlo_configuration", "monte_carlo_order"]

#: Stiffness κ of the springs that hold α at its targets: the couplings that order asks for,
#: below 1 kT, stretch them by less than 1/κ.
STIFFNESS = 400.0


@cache
def _neighbours(size: int) -> NDArray[np.int32]:
    """Linear indices of the two neighbours along each axis, shape (size³, 3, 2)."""
    index = np.arange(size**3, dtype=np.int32).reshape(size, size, size)
    pairs = [[np.roll(index, shift, axis) for shift in (1, -1)] for axis in range(3)]
    return np.ascontiguousarray(np.array(pairs).reshape(3, 2, -1).transpose(2, 0, 1))


@cache
def _kernel() -> Any:
    import numba

    @numba.njit(cache=True, nogil=True, error_model="numpy")
    def swaps(  # type: ignore[no-untyped-def]
        spins, neighbours, couplings, stiffness, start, stop, attempts, seed
    ):
        """Attempt swaps under E/kT = −Σ J_i b_i + ½ κ N Σ (α_i − t_i)².

        The targets t move from ``start`` to ``stop`` during the run. Returns the bond
        sums b_i = Σ s s'.
        """
        n = len(spins)
        mean = 0.0
        for i in range(n):
            mean += spins[i]
        mean /= n
        variance = 1 - mean * mean
        bonds = np.zeros(3)
        for i in range(n):
            for axis in range(3):
                bonds[axis] += spins[i] * spins[neighbours[i, axis, 0]]
        pull = np.zeros(3)
        change = np.zeros(3)
        state = np.uint64(seed) | np.uint64(1)
        mask = np.uint64(0xFFFFFFFF)
        for attempt in range(attempts):
            if stiffness > 0 and attempt % 64 == 0:
                done = attempt / attempts
                for axis in range(3):
                    target = start[axis] + (stop[axis] - start[axis]) * done
                    pull[axis] = target
            # xorshift64*, Vigna (2016): one draw gives both sites.
            state ^= state >> np.uint64(12)
            state ^= state << np.uint64(25)
            state ^= state >> np.uint64(27)
            draw = state * np.uint64(2685821657736338717)
            a = np.int64(((draw >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))
            b = np.int64(((draw & mask) * np.uint64(n)) >> np.uint64(32))
            sa, sb = spins[a], spins[b]
            if sa == sb:
                continue
            step = sb - sa
            energy = 0.0
            for axis in range(3):
                a0, a1 = neighbours[a, axis, 0], neighbours[a, axis, 1]
                b0, b1 = neighbours[b, axis, 0], neighbours[b, axis, 1]
                # A swap leaves the bond between the two sites as it was.
                ties = (a0 == b) + (a1 == b)
                delta = step * (spins[a0] + spins[a1] - spins[b0] - spins[b1] - ties * step)
                change[axis] = delta
                energy -= couplings[axis] * delta
                if stiffness > 0:
                    shift = delta / variance
                    alpha = (bonds[axis] / n - mean * mean) / variance
                    energy += stiffness * shift * (alpha - pull[axis] + 0.5 * shift / n)
            accepted = energy <= 0
            if not accepted:
                state ^= state >> np.uint64(12)
                state ^= state << np.uint64(25)
                state ^= state >> np.uint64(27)
                draw = state * np.uint64(2685821657736338717)
                uniform = np.float64(draw >> np.uint64(11)) / 9007199254740992.0
                accepted = uniform < np.exp(-energy)
            if accepted:
                spins[a], spins[b] = sb, sa
                for axis in range(3):
                    bonds[axis] += change[axis]
        return bonds

    return swaps


def _random_crystal(
    concentration: float, size: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    n_a = round(concentration * size**3)
    if not 0 < n_a < size**3:
        raise ParameterError(
            f"concentration = {concentration} of {size**3} sites: both A and B must be "
            "present; give a value between 0 and 1, or a larger size."
        )
    spins = np.full(size**3, -1, np.int8)
    spins[:n_a] = 1
    return rng.permutation(spins)


def _three(name: str, values: ArrayLike) -> NDArray[np.float64]:
    if np.shape(values) != (3,):
        raise ParameterError(
            f"{name} has shape {np.shape(values)}; three values were expected, for "
            "neighbours along a, b and c."
        )
    return np.asarray(values, float)


def _run(
    spins: NDArray[np.int8],
    rng: np.random.Generator,
    sweeps: int,
    *,
    couplings: NDArray | None = None,
    targets: tuple[NDArray, NDArray] | None = None,
) -> NDArray[np.float64]:
    """Sweep a crystal in place; the bond sums along a, b and c come back."""
    zeros = np.zeros(3)
    start, stop = targets if targets is not None else (zeros, zeros)
    bonds: NDArray[np.float64] = _kernel()(
        spins,
        _neighbours(round(len(spins) ** (1 / 3))),
        zeros if couplings is None else couplings,
        0.0 if targets is None else STIFFNESS,
        start,
        stop,
        sweeps * len(spins),
        int(rng.integers(1, 2**63)),
    )
    return bonds


def monte_carlo_configuration(
    couplings: ArrayLike,
    concentration: float,
    *,
    size: int = 20,
    sweeps: int = 60,
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """Binary configuration from a nearest-neighbour Ising model by pair swaps.

    The energy is E = −Σ J_i s s' over neighbours along the three axes, in units of
    kT; swapping two sites keeps the composition.

    Parameters
    ----------
    couplings : array_like, shape (3,)
        J along a, b and c in units of kT; negative for alternating order.
    concentration : float
        Fraction m_A of sites occupied by A, between 0 and 1.
    size : int
        Sites along each edge of the periodic crystal.
    sweeps : int
        Attempted swaps per site.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of int8, shape (size, size, size)
        +1 where A sits, −1 where B sits.

    Raises
    ------
    ParameterError
        If there are not three couplings, or A or B would have no site.
    """
    couplings = _three("couplings", couplings)
    spins = _random_crystal(concentration, size, rng)
    _run(spins, rng, sweeps, couplings=couplings)
    return spins.reshape(size, size, size)


@dataclass(frozen=True, eq=False)
class MonteCarloOrder:
    """Short-range order of a Monte Carlo crystal that meets three targets.

    Parameters
    ----------
    configuration : ndarray of int8, shape (size, size, size)
        The last crystal: +1 where A sits, −1 where B sits.
    alpha : ndarray, shape (11, 11, 11)
        Warren–Cowley parameters α_uvw of every vector within five cells, α_000 in the
        middle; the mean over the crystals sampled.
    targets : tuple of float
        α₁₀₀, α₀₁₀, α₀₀₁ that were asked for.
    concentration : float
        m_A of the configuration.
    """

    configuration: NDArray[np.int8]
    alpha: NDArray[np.float64]
    targets: tuple[float, float, float]
    concentration: float

    @property
    def reached(self) -> tuple[float, float, float]:
        """α₁₀₀, α₀₁₀, α₀₀₁ of the crystal."""
        a = self.alpha
        return float(a[6, 5, 5]), float(a[5, 6, 5]), float(a[5, 5, 6])


def least_alpha(concentration: float) -> float:
    """Most negative α a pair vector can have: every minority site among the others.

    Parameters
    ----------
    concentration : float
        m_A.

    Returns
    -------
    float
        −min(m_A, m_B) / max(m_A, m_B).
    """
    return -min(concentration, 1 - concentration) / max(concentration, 1 - concentration)


def monte_carlo_order(
    targets: ArrayLike,
    concentration: float,
    *,
    size: int = 20,
    sweeps: int = 60,
    samples: int = 1,
    tolerance: float = 0.01,
    rng: np.random.Generator,
) -> MonteCarloOrder:
    """Crystal whose α₁₀₀, α₀₁₀ and α₀₀₁ are given, as in section 2.1 of the paper.

    Pairs of sites are swapped under E/kT = ½ κ N Σ_i (α_i − t_i)²: stiff springs pull
    the three parameters to their targets and leave everything else to chance, so the
    crystal is as random as the targets allow (an Ising crystal whose couplings find
    themselves). The springs' rest moves from 0 to t during the first half of the run.

    Parameters
    ----------
    targets : array_like, shape (3,)
        α₁₀₀, α₀₁₀, α₀₀₁, each between −min(m)/max(m) and 1.
    concentration : float
        Fraction m_A of sites occupied by A, between 0 and 1.
    size : int
        Sites along each edge of the periodic crystal, at least 11.
    sweeps : int
        Attempted swaps per site.
    samples : int
        Crystals whose α are averaged, five sweeps apart; the scatter of one α of one
        crystal is about size^(−3/2).
    tolerance : float
        Largest difference between reached and asked.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    MonteCarloOrder
        Configuration and its α in the box of five cells.

    Raises
    ------
    ParameterError
        If no crystal has such parameters: a target below what the composition allows,
        or together out of reach.

    References
    ----------
    Fuller & Rudden (2024), IUCrJ, section 2.1.
    """
    wanted = _three("targets", targets)
    spins = _random_crystal(concentration, size, rng)
    m_a = float((spins == 1).mean())
    low = least_alpha(m_a)
    for name, value in zip(("α₁₀₀", "α₀₁₀", "α₀₀₁"), wanted, strict=True):
        if not low <= value < 1:
            raise ParameterError(
                f"target {name} = {value:g} with m_A = {m_a:g}: a crystal of this composition "
                f"can have {low:.3f} to 1; choose a value between, or m_A nearer 1/2."
            )
    zeros = np.zeros(3)
    _run(spins, rng, (sweeps + 1) // 2, targets=(zeros, wanted))
    _run(spins, rng, (sweeps + 1) // 2, targets=(wanted, wanted))
    alpha = np.zeros((11, 11, 11))
    for sample in range(samples):
        if sample:
            _run(spins, rng, 5, targets=(wanted, wanted))
        alpha += warren_cowley(spins.reshape(size, size, size)) / samples
    order = MonteCarloOrder(spins.reshape(size, size, size), alpha, tuple(wanted.tolist()), m_a)
    worst = np.abs(np.array(order.reached) - wanted).max()
    if worst > tolerance:
        found = ", ".join(f"{value:.3f}" for value in order.reached)
        asked = ", ".join(f"{value:g}" for value in wanted)
        raise ParameterError(
            f"no crystal of m_A = {m_a:g} with α₁₀₀, α₀₁₀, α₀₀₁ = {asked} was found: the "
            f"nearest has {found}. Choose targets nearer to it, or more sweeps."
        )
    return order
