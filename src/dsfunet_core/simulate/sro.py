"""Short-range order: Warren–Cowley parameters, whether a crystal can have them, I_SRO."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.symmetry import laue_rotations, shell_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice

__all__ = [
    "SHELL_SYSTEMS",
    "alpha_box",
    "check_realisable",
    "damped_oscillator",
    "least_sro",
    "plane_coefficients",
    "shells",
    "sro_on_plane",
    "warren_cowley",
]

#: Vectors of the box, eq. (6): up to five cells along each axis.
REACH = 5
#: Most negative I_SRO, in units of its mean, that still passes for a series cut off.
TOLERANCE = 0.05
#: Point group whose orbits are the shells of a lattice system.
SHELL_SYSTEMS = {"hexagonal": "6/mmm", "tetragonal": "4/mmm", "cubic": "m-3m"}


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


def alpha_box(
    alpha: dict[tuple[int, int, int], float], laue_class: str = "-1"
) -> NDArray[np.float64]:
    """Box of α_uvw from single values: the user's own order.

    Parameters
    ----------
    alpha : dict
        (u, v, w) → α of one vector of each orbit, |u|, |v|, |w| ≤ 5; α_000 = 1 needs not
        be given, and what is not given is 0.
    laue_class : str
        Hermann–Mauguin symbol; every vector equivalent to a given one gets its α.

    Returns
    -------
    ndarray, shape (11, 11, 11)
        α_uvw at index (u + 5, v + 5, w + 5).

    Raises
    ------
    ParameterError
        If a vector lies outside the box, α_000 is not 1, or two equivalent vectors are
        given different α.
    """
    operations = laue_rotations(laue_class)
    box = np.zeros((2 * REACH + 1,) * 3)
    given: dict[tuple[int, ...], tuple[tuple[int, int, int], float]] = {}
    for vector, value in {(0, 0, 0): 1.0, **alpha}.items():
        if np.shape(vector) != (3,) or np.abs(vector).max() > REACH:
            raise ParameterError(
                f"vector {vector}: three whole numbers between −{REACH} and {REACH} were "
                "expected."
            )
        if not np.isfinite(value) or abs(value) > 1 or (not any(vector) and value != 1):
            raise ParameterError(
                f"α of {vector} is {value}: a Warren–Cowley parameter lies between −1 and 1, "
                "and is 1 at the origin."
            )
        for operation in operations:
            image = tuple(int(x) for x in operation @ np.asarray(vector))
            if np.abs(image).max() > REACH:
                continue
            other, before = given.setdefault(image, (vector, value))
            if before != value:
                raise ParameterError(
                    f"{vector} and {other} are equivalent in {laue_class} but were given "
                    f"α = {value} and {before}; give one of them, or a lower Laue class."
                )
            box[tuple(np.add(image, REACH))] = value
    return box


def least_sro(alpha: NDArray) -> tuple[float, NDArray[np.float64]]:
    """Smallest value of I_SRO = Σ α_v cos(Q·v) in reciprocal space.

    Parameters
    ----------
    alpha : ndarray, shape (2m + 1,) * 3
        α_uvw, centred.

    Returns
    -------
    value : float
        Smallest I_SRO (its mean is α_000 = 1).
    hkl : ndarray, shape (3,)
        Where, in reciprocal-lattice units, each between 0 and 1.
    """
    from scipy.optimize import minimize

    reach = alpha.shape[0] // 2
    n = 4 * reach + 4
    box = np.zeros((n, n, n))
    box[: 2 * reach + 1, : 2 * reach + 1, : 2 * reach + 1] = alpha
    on_grid = np.fft.fftn(np.roll(box, (-reach,) * 3, axis=(0, 1, 2))).real
    start = np.array(np.unravel_index(np.argmin(on_grid), on_grid.shape)) / n
    vectors = np.indices(alpha.shape).reshape(3, -1).T - reach
    values = alpha.reshape(-1)

    def sro(hkl: NDArray) -> tuple[float, NDArray]:
        phase = 2 * np.pi * vectors @ hkl
        gradient = -2 * np.pi * (values * np.sin(phase)) @ vectors
        return float(values @ np.cos(phase)), gradient

    found = minimize(sro, start, jac=True, method="BFGS")
    if found.fun < on_grid.min():
        return float(found.fun), np.mod(found.x, 1)
    return float(on_grid.min()), start


def check_realisable(alpha: NDArray, tolerance: float = TOLERANCE) -> None:
    """Refuse parameters that no crystal can have.

    Parameters
    ----------
    alpha : ndarray, shape (2m + 1,) * 3
        α_uvw, centred.
    tolerance : float
        How far below zero I_SRO may dip, in units of its mean: a series cut off at the
        edge of the box dips a little.

    Raises
    ------
    ParameterError
        Naming the Q where the intensity would be most negative.
    """
    value, hkl = least_sro(alpha)
    if value < -tolerance:
        where = ", ".join(f"{x:.3f}" for x in hkl)
        raise ParameterError(
            f"no crystal has these α: I_SRO would be {value:.3f} at hkl = ({where}), and "
            f"intensity cannot be negative (tolerance {tolerance:g}). Parameters of a real "
            "crystal hang together; let them decay faster, or draw them by Monte Carlo."
        )


@cache
def shells(system: str) -> tuple[NDArray[np.int64], ...]:
    """Orbits of equivalent vectors in the box, shortest first.

    Parameters
    ----------
    system : {"hexagonal", "tetragonal", "cubic"}
        Lattice system. Hexagonal and tetragonal order lies in the plane normal to the
        unique axis (w = 0); cubic order runs in all three directions.

    Returns
    -------
    tuple of ndarray, shape (n, 3)
        The vectors of each shell; an orbit cut by the edge of the box is left out.

    Raises
    ------
    ParameterError
        If the system is not one of the three.
    """
    if system not in SHELL_SYSTEMS:
        raise ParameterError(
            f"system = {system!r} is not known; choose one of: {', '.join(SHELL_SYSTEMS)}."
        )
    cell = gemmi.UnitCell(1, 1, 1, 90, 90, 120 if system == "hexagonal" else 90)
    orbits = shell_vectors(REACH, SHELL_SYSTEMS[system], cell)
    if system != "cubic":
        orbits = [orbit for orbit in orbits if orbit.representative[2] == 0]
    return tuple(orbit.members for orbit in sorted(orbits, key=lambda o: round(o.length, 6)))


def damped_oscillator(
    system: str, amplitude: float, decay: float, frequency: float
) -> NDArray[np.float64]:
    """Symmetric order α_x = A exp(−d x) cos(ω x) of the x-th shell, eq. (7).

    Parameters
    ----------
    system : {"hexagonal", "tetragonal", "cubic"}
        Whose shells.
    amplitude, decay, frequency : float
        A (the paper draws 0.6–1.5), d (0.1–1.2) and ω [radians a shell] (0–1).

    Returns
    -------
    ndarray, shape (11, 11, 11)
        α_uvw; not checked, see `check_realisable`.
    """
    box = np.zeros((2 * REACH + 1,) * 3)
    box[REACH, REACH, REACH] = 1
    for x, orbit in enumerate(shells(system), start=1):
        value = amplitude * np.exp(-decay * x) * np.cos(frequency * x)
        box[tuple((orbit + REACH).T)] = value
    return box


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
    most = int(np.abs(indices).max())
    edge = 2 * most + 1
    flat = (indices + most) @ (edge, 1)
    present = np.bincount(flat, minlength=edge**2) > 0
    sums = np.bincount(flat, terms.real, edge**2) + 1j * np.bincount(flat, terms.imag, edge**2)
    kept = np.flatnonzero(present)
    pairs = zip(*(x.tolist() for x in np.divmod(kept, edge)), sums[kept].tolist(), strict=True)
    return {(u - most, v - most): c for u, v, c in pairs}


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
    vectors = np.array(list(coefficients), float)
    values = np.array(list(coefficients.values()))
    # C_−u is the conjugate of C_u: one half, doubled, is enough for the real part.
    half = (vectors[:, 0] > 0) | ((vectors[:, 0] == 0) & (vectors[:, 1] >= 0))
    values = values[half] * np.where(np.any(vectors[half], axis=1), 2.0, 1.0)
    r = vectors[half] @ direct.T
    # Terms with a row frequency in common are one: eleven at most on an aligned grid.
    frequencies, member = np.unique(np.round(r[:, 0], 12), return_inverse=True)
    columns = np.exp(2j * np.pi * np.outer(r[:, 1], np.arange(shape[1]) - origin[1]))
    summed = np.zeros((len(frequencies), shape[1]), complex)
    np.add.at(summed, member, values[:, None] * columns)
    row = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) - origin[0], frequencies))
    return row.real @ summed.real - row.imag @ summed.imag
