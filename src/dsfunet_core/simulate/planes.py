"""Simulated planes of diffuse scattering with known factors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate.dead_zones import Detector, measured_mask
from dsfunet_core.simulate.form_factors import molecular_form_factor
from dsfunet_core.simulate.molecules import Molecule, random_molecule, random_rotation
from dsfunet_core.simulate.sro import (
    monte_carlo_configuration,
    plane_coefficients,
    sro_on_plane,
    warren_cowley,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.sections import Section

__all__ = ["SimulatedPlane", "add_counting_noise", "cartesian_grid", "random_plane"]

#: Largest sum of the three absolute couplings.
LARGEST_COUPLING = 0.6


@dataclass(frozen=True, eq=False)
class SimulatedPlane:
    """A plane together with the truth it was made from.

    Parameters
    ----------
    plane : ReciprocalPlane
        What a user would be given: intensity, mask and geometry.
    form_factor, sro : ndarray, shape of the plane
        True I_FF [electrons²] and I_SRO (mean 1 over a cell).
    coefficients : dict
        True in-plane coefficients (u₁, u₂) → C_u.
    description : dict
        What was drawn: molecules, cell, concentration, couplings, plane, Q_max.
    """

    plane: ReciprocalPlane
    form_factor: NDArray[np.float64]
    sro: NDArray[np.float64]
    coefficients: dict[tuple[int, int], complex]
    description: dict[str, Any] = field(default_factory=dict)


def cartesian_grid(
    cell: gemmi.UnitCell, section: Section, size: int, q_max: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Affine map of a grid that is square in Å⁻¹, with the section's origin in its middle.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Unit cell.
    section : Section
        Plane; its origin falls on pixel (size // 2, size // 2).
    size : int
        Pixels along each edge.
    q_max : float
        Half the edge of the grid [Å⁻¹].

    Returns
    -------
    origin : ndarray, shape (3,)
        *hkl* of pixel (0, 0).
    steps : ndarray, shape (3, 2)
        *hkl* per row (along the section's first direction) and per column.
    """
    to_q = q_matrix(cell)
    first, second = (to_q @ np.asarray(section.directions, float)).T
    first = first / np.linalg.norm(first)
    second = second - (second @ first) * first
    second /= np.linalg.norm(second)
    steps = np.linalg.inv(to_q) @ np.stack([first, second], axis=1) * (2 * q_max / size)
    origin = np.asarray(section.origin, float) - steps @ np.full(2, size // 2)
    return origin, steps


def add_counting_noise(
    simulated: SimulatedPlane, counts_per_pixel: float, rng: np.random.Generator
) -> SimulatedPlane:
    """Poisson noise at a given mean number of counts per measured pixel.

    Parameters
    ----------
    simulated : SimulatedPlane
        Noise-free plane.
    counts_per_pixel : float
        Mean counts over the valid pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    SimulatedPlane
        With integer counts as intensity and the truth scaled to counts.
    """
    plane = simulated.plane
    scale = counts_per_pixel / plane.intensity[plane.valid].mean()
    counts = rng.poisson(np.maximum(plane.intensity * scale, 0)).astype(float)
    return SimulatedPlane(
        plane=plane.replace(intensity=np.where(plane.valid, counts, 0.0)),
        form_factor=simulated.form_factor * scale,
        sro=simulated.sro,
        coefficients=simulated.coefficients,
        description={**simulated.description, "counts_per_pixel": counts_per_pixel},
    )


def _random_pair(rng: np.random.Generator) -> tuple[str, Molecule, Molecule]:
    kind = str(
        rng.choice(["different", "rotated", "vacancy", "atoms"], p=[0.5, 0.25, 0.15, 0.1])
    )
    n_heavy = int(rng.choice([3, 6, 9, 13, 18]))
    if kind == "atoms":
        symbols = rng.choice(["C", "O", "Cl", "Fe", "Br", "Pb"], size=2, replace=False)
        a, b = (Molecule((str(s),), np.zeros((1, 3)), name=str(s)) for s in symbols)
        return kind, a, b
    a = random_molecule(rng, n_heavy)
    if kind == "vacancy":
        return kind, a, Molecule((), np.zeros((0, 3)), name="vacancy")
    if kind == "rotated":
        return kind, a, a.transformed(random_rotation(rng))
    return kind, a, random_molecule(rng, max(1, n_heavy + int(rng.integers(-2, 3))))


def _random_cell(
    rng: np.random.Generator, pair: tuple[Molecule, Molecule], m_a: float
) -> gemmi.UnitCell:
    """Lattice parameters from the molecules' extent along each axis and Vegard's law."""
    extents = []
    for molecule in pair:
        span = np.ptp(molecule.positions, axis=0) if len(molecule.elements) else np.zeros(3)
        extents.append(span + 3.4)
    a, b, c = m_a * extents[0] + (1 - m_a) * extents[1]
    system = rng.choice(["orthogonal", "hexagonal", "oblique"])
    if system == "hexagonal":
        return gemmi.UnitCell(max(a, b), max(a, b), c, 90, 90, 120)
    if system == "orthogonal":
        return gemmi.UnitCell(a, b, c, 90, 90, 90)
    alpha, beta, gamma = rng.uniform(72, 108, size=3)
    return gemmi.UnitCell(a, b, c, alpha, beta, gamma)


def _random_couplings(rng: np.random.Generator) -> NDArray[np.float64]:
    """Ising couplings along a, b, c [kT] on the disordered side of the transition.

    Beyond it (at ΣJ = 0.665 for equal couplings) there is long-range order, whose α do
    not end within any box.
    """
    couplings = rng.uniform(-0.35, 0.35, size=3)
    return couplings * min(1.0, LARGEST_COUPLING / np.abs(couplings).sum())


def random_mask(rng: np.random.Generator, q: NDArray, axis: NDArray) -> NDArray[np.bool_]:
    """Dead zones of a random measurement that leave 50 to 95 % of a plane.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    q : ndarray, shape (n_rows, n_columns, 3)
        Scattering vectors [Å⁻¹].
    axis : ndarray, shape (3,)
        Axis near which the crystal is mounted.

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
        True where measured.
    """
    while True:
        detector = Detector(
            distance=rng.uniform(95, 210),
            beam=(rng.uniform(-60, 60), rng.uniform(-25, 25)),
            wavelength=rng.uniform(0.6, 0.75),
            beam_stop=rng.uniform(1.5, 4),
        )
        mounting = axis / np.linalg.norm(axis) + rng.normal(scale=0.5, size=3)
        seen = measured_mask(
            q, detector, rotation=(0, rng.choice([180, 270, 360])), axis=mounting
        )
        if 0.5 <= seen.mean() <= 0.95:
            return seen


def random_plane(rng: np.random.Generator, *, size: int = 256) -> SimulatedPlane:
    """Draw a plane from the world of section 2.1 of Fuller & Rudden (2024).

    Two random molecules (or an atom pair, a rotated copy, a vacancy) on an orthogonal,
    hexagonal or triclinic lattice scaled to them, Monte Carlo short-range order at a
    random concentration, a plane along a random axis at an integer or half-integer
    level, Q_max 6–8 Å⁻¹, and the dead zones of a rotating-crystal measurement.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same plane.
    size : int
        Pixels along each edge.

    Returns
    -------
    SimulatedPlane
        Noise-free.
    """
    from dsfunet_core.sections import Section

    kind, mol_a, mol_b = _random_pair(rng)
    m_a = rng.uniform(0.1, 0.9)
    cell = _random_cell(rng, (mol_a, mol_b), m_a)
    couplings = _random_couplings(rng)
    alpha = warren_cowley(monte_carlo_configuration(couplings, m_a, rng=rng))
    q_max = rng.uniform(6, 8)
    axis = int(rng.integers(3))
    level = float(rng.choice([0, 0.5, 1, 2, 3]))
    section = Section(
        origin=level * np.eye(3)[axis], directions=np.delete(np.eye(3), axis, axis=1)
    )
    origin, steps = cartesian_grid(cell, section, size, q_max)
    blank = np.ones((size, size))
    plane = ReciprocalPlane(
        blank, blank > 0, cell, origin, steps, name=f"axis {axis} = {level:g}"
    )
    difference = molecular_form_factor(mol_a, plane) - molecular_form_factor(mol_b, plane)
    form_factor = m_a * (1 - m_a) * np.abs(difference) ** 2
    coefficients = plane_coefficients(alpha, plane.lattice)
    # The truncated box can dip below zero by its truncation error; intensity cannot.
    sro = np.maximum(
        sro_on_plane(coefficients, plane.lattice.basis, plane.lattice.origin, plane.shape), 0
    )
    valid = random_mask(rng, plane.q(), q_matrix(cell)[:, int(rng.integers(3))])
    intensity = np.where(valid, form_factor * sro, 0.0)
    return SimulatedPlane(
        plane=plane.replace(intensity=intensity, valid=valid),
        form_factor=form_factor,
        sro=sro,
        coefficients=coefficients,
        description={
            "kind": kind,
            "molecules": (mol_a.name, mol_b.name),
            "extent": max(mol_a.extent, mol_b.extent),
            "cell": cell.parameters,
            "m_a": m_a,
            "couplings": couplings.tolist(),
            "axis": axis,
            "level": level,
            "q_max": q_max,
            "coverage": float(valid.mean()),
        },
    )
