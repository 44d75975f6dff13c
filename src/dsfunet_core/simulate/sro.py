"""Short-range order: Monte Carlo configurations, Warren–Cowley parameters, planes of I_SRO."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dsfunet_core.lattice import PlaneLattice

__all__ = ["monte_carlo_configuration", "plane_coefficients", "sro_on_plane", "warren_cowley"]


@cache
def _swap_sweeps() -> Any:
    import numba

    @numba.njit(cache=True)
    def sweeps(spins, couplings, attempts, rng):  # type: ignore[no-untyped-def]
        n0, n1, n2 = spins.shape
        for _ in range(attempts):
            a0, a1, a2 = rng.integers(0, n0), rng.integers(0, n1), rng.integers(0, n2)
            b0, b1, b2 = rng.integers(0, n0), rng.integers(0, n1), rng.integers(0, n2)
            sa, sb = spins[a0, a1, a2], spins[b0, b1, b2]
            if sa == sb:
                continue
            field_a = (
                couplings[0] * (spins[a0 - 1, a1, a2] + spins[(a0 + 1) % n0, a1, a2])
                + couplings[1] * (spins[a0, a1 - 1, a2] + spins[a0, (a1 + 1) % n1, a2])
                + couplings[2] * (spins[a0, a1, a2 - 1] + spins[a0, a1, (a2 + 1) % n2])
            )
            field_b = (
                couplings[0] * (spins[b0 - 1, b1, b2] + spins[(b0 + 1) % n0, b1, b2])
                + couplings[1] * (spins[b0, b1 - 1, b2] + spins[b0, (b1 + 1) % n1, b2])
                + couplings[2] * (spins[b0, b1, b2 - 1] + spins[b0, b1, (b2 + 1) % n2])
            )
            change = -(sb - sa) * (field_a - field_b)
            # Swapped neighbours see each other, not themselves: put that back. A ring of two
            # sites ties them twice.
            d0, d1, d2 = abs(a0 - b0), abs(a1 - b1), abs(a2 - b2)
            squared = (sb - sa) * (sb - sa)
            if d1 == 0 and d2 == 0:
                change += couplings[0] * squared * ((d0 == 1) + (d0 == n0 - 1))
            elif d0 == 0 and d2 == 0:
                change += couplings[1] * squared * ((d1 == 1) + (d1 == n1 - 1))
            elif d0 == 0 and d1 == 0:
                change += couplings[2] * squared * ((d2 == 1) + (d2 == n2 - 1))
            if change <= 0 or rng.random() < np.exp(-change):
                spins[a0, a1, a2], spins[b0, b1, b2] = sb, sa

    return sweeps


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
    if np.shape(couplings) != (3,):
        raise ParameterError(
            f"couplings has shape {np.shape(couplings)}; three values were expected, for "
            "neighbours along a, b and c."
        )
    n_a = round(concentration * size**3)
    if not 0 < n_a < size**3:
        raise ParameterError(
            f"concentration = {concentration} of {size**3} sites: both A and B must be "
            "present; give a value between 0 and 1, or a larger size."
        )
    flat = np.full(size**3, -1, np.int8)
    flat[:n_a] = 1
    spins = rng.permutation(flat).reshape(size, size, size)
    _swap_sweeps()(spins, np.asarray(couplings, float), sweeps * size**3, rng)
    return spins


def warren_cowley(configuration: NDArray, reach: int = 5) -> NDArray[np.float64]:
    """Warren–Cowley parameters of a configuration, eq. (4), by FFT autocorrelation.

    Parameters
    ----------
    configuration : ndarray, shape (n0, n1, n2)
        Two values, one for A and one for B, periodic.
    reach : int
        Largest |u|, |v|, |w|.

    Returns
    -------
    ndarray, shape (2·reach + 1,) * 3
        α_uvw at index (u + reach, v + reach, w + reach); α_000 = 1.

    Raises
    ------
    ParameterError
        If every site is alike, or the configuration is so small that two of the vectors
        are one and the same in it.
    """
    if 2 * reach + 1 > min(configuration.shape):
        raise ParameterError(
            f"reach = {reach} in a configuration of {configuration.shape} cells: at least "
            f"{2 * reach + 1} along each edge are needed, or vectors repeat."
        )
    if np.ptp(configuration) == 0:
        raise ParameterError("every site of the configuration is alike: there is no order.")
    deviation = configuration - configuration.mean()
    power = np.abs(np.fft.fftn(deviation)) ** 2
    correlation = np.fft.ifftn(power).real
    window = np.ix_(*[np.arange(-reach, reach + 1)] * 3)
    return correlation[window] / correlation[0, 0, 0]


def plane_coefficients(alpha: NDArray, lattice: PlaneLattice) -> dict[tuple[int, int], complex]:
    """Coefficients C_u of I_SRO on a plane from α_v in a box.

    Parameters
    ----------
    alpha : ndarray, shape (2m + 1,) * 3
        α_uvw, centred.
    lattice : PlaneLattice
        Which plane.

    Returns
    -------
    dict
        (u₁, u₂) → C_u, summed over the vectors that the plane cannot tell apart.
    """
    reach = alpha.shape[0] // 2
    grid = np.indices(alpha.shape).reshape(3, -1).T - reach
    terms = alpha.reshape(-1) * lattice.phase(grid)
    indices = lattice.plane_indices(grid)
    unique, inverse = np.unique(indices, axis=0, return_inverse=True)
    sums = np.bincount(inverse, terms.real) + 1j * np.bincount(inverse, terms.imag)
    return {(int(u), int(v)): complex(c) for (u, v), c in zip(unique, sums, strict=True)}


def sro_on_plane(
    coefficients: dict[tuple[int, int], complex],
    basis: NDArray,
    origin: NDArray,
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """I_SRO on a grid of pixels from its in-plane coefficients, eq. (3).

    Parameters
    ----------
    coefficients : dict
        (u₁, u₂) → C_u, both halves.
    basis : ndarray, shape (2, 2)
        Columns: in-plane reciprocal-lattice vectors in pixels.
    origin : ndarray, shape (2,)
        Pixel the phases are counted from.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray, shape ``shape``
        Real part of Σ C_u exp(2πi r_u·p).
    """
    direct = np.linalg.inv(basis).T
    r = np.array(list(coefficients), float) @ direct.T
    row = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) - origin[0], r[:, 0]))
    column = np.exp(2j * np.pi * np.outer(r[:, 1], np.arange(shape[1]) - origin[1]))
    return ((row * np.array(list(coefficients.values()))) @ column).real
