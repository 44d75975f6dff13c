"""Planes of diffuse scattering of disordered crystals, with known factors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.sections import Section
from dsfunet_core.simulate.crystals import TRAINING, DisorderedCrystal, World, random_crystal
from dsfunet_core.simulate.form_factors import axis_form_factors, form_factor_difference
from dsfunet_core.simulate.measurements import random_measurement
from dsfunet_core.simulate.sro import plane_coefficients, sro_on_plane

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "SimulatedPlane",
    "cartesian_grid",
    "level_section",
    "measured",
    "random_plane",
    "simulate_plane",
    "strongest_levels",
]

#: Planes chosen along an axis, those that scatter most (the paper's four).
PLANES_PER_AXIS = 4


@dataclass(frozen=True, eq=False)
class SimulatedPlane:
    """A plane together with the truth it was made from.

    Parameters
    ----------
    plane : ReciprocalPlane
        What a user would be given: intensity, mask and geometry.
    form_factor, sro : ndarray, shape of the plane
        True I_FF [electrons² a cell, or what the radiation gives] and I_SRO (mean 1 over
        a cell).
    coefficients : dict
        True in-plane coefficients (u₁, u₂) → C_u.
    crystal : DisorderedCrystal
        What scatters.
    description : dict
        What was drawn: molecules, cell, order, plane, Q_max, measurement, realism.
    """

    plane: ReciprocalPlane
    form_factor: NDArray[np.floating]
    sro: NDArray[np.floating]
    coefficients: dict[tuple[int, int], complex]
    crystal: DisorderedCrystal
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


def simulate_plane(
    crystal: DisorderedCrystal,
    section: Section,
    *,
    size: int = 256,
    q_max: float = 7.0,
    window: tuple[slice, slice] | None = None,
    radiation: str = "xray",
    dtype: DTypeLike = np.complex128,
) -> SimulatedPlane:
    """Noise-free diffuse scattering of a crystal on a plane, eqs (1), (3) and (5).

    Parameters
    ----------
    crystal : DisorderedCrystal
        What scatters.
    section : Section
        Which plane.
    size : int
        Pixels along each edge.
    q_max : float
        Half the edge [Å⁻¹].
    window : tuple of slice, optional
        Rows and columns of which only to compute; they may lie outside the image.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    dtype : dtype
        Of the amplitudes; complex64 is faster and right to 10⁻⁵.

    Returns
    -------
    SimulatedPlane
        Every pixel valid; I_FF = m_A m_B |F_A − F_B|² (N = 1).
    """
    origin, steps = cartesian_grid(crystal.cell, section, size, q_max)
    shape = (size, size)
    if window is not None:
        origin = origin + steps @ [part.start for part in window]
        shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    blank = np.ones(shape, np.bool_)
    plane = ReciprocalPlane(blank.astype(float), blank, crystal.cell, origin, steps)
    difference = form_factor_difference(
        crystal.mol_a, crystal.mol_b, plane, radiation=radiation, dtype=dtype
    )
    weight = crystal.concentration * (1 - crystal.concentration)
    form_factor = (difference.real**2 + difference.imag**2) * difference.real.dtype.type(weight)
    lattice = plane.lattice
    coefficients = plane_coefficients(crystal.alpha, lattice)
    # A series cut off at five cells can dip below zero a little; intensity cannot.
    sro = np.maximum(sro_on_plane(coefficients, lattice.basis, lattice.origin, shape), 0)
    sro = sro.astype(form_factor.dtype)
    return SimulatedPlane(
        plane=plane.replace(intensity=form_factor * sro),
        form_factor=form_factor,
        sro=sro,
        coefficients=coefficients,
        crystal=crystal,
        description=dict(crystal.description),
    )


def level_section(axis: int, level: float) -> Section:
    """Plane of constant h, k or l (axis 0, 1, 2)."""
    return Section(
        origin=level * np.eye(3)[axis], directions=np.delete(np.eye(3), axis, axis=1)
    )


def strongest_levels(
    crystal: DisorderedCrystal, axis: int, q_max: float, n: int = PLANES_PER_AXIS
) -> list[float]:
    """Levels along an axis on which the crystal scatters most.

    Where α of the next neighbour along the axis is negative, the order peaks half-way
    between lattice planes and the levels are half-integers; otherwise integers.

    Parameters
    ----------
    crystal : DisorderedCrystal
        What scatters.
    axis : int
        0, 1 or 2 for levels of h, k or l.
    q_max : float
        Largest distance of a level from the origin, and half the edge of the planes
        [Å⁻¹].
    n : int
        How many.

    Returns
    -------
    list of float
        Strongest first; fewer than ``n`` where so few lie within ``q_max``.
    """
    next_along = tuple(np.full(3, 5) + np.eye(3, dtype=int)[axis])
    shift = 0.5 if crystal.alpha[next_along] < 0 else 0.0
    to_q = q_matrix(crystal.cell)
    normal = np.cross(*np.delete(to_q, axis, axis=1).T)
    normal /= np.linalg.norm(normal)
    spacing = abs(normal @ to_q[:, axis])
    levels = np.arange(0, max(q_max / float(spacing) - shift, 0.0) + 1e-9) + shift
    strength = axis_form_factors(crystal.mol_a, crystal.mol_b, to_q, axis, levels, q_max)
    order = np.argsort(-strength, kind="stable")[:n]
    return [float(levels[i]) for i in order]


def random_plane(
    rng: np.random.Generator,
    world: World = TRAINING,
    *,
    size: int = 256,
    crop: int | None = None,
    dtype: DTypeLike = np.complex128,
) -> SimulatedPlane:
    """Draw a noise-free plane from a world.

    A random crystal, one of its four strongest planes along a random axis (along the
    unique axis for symmetric order), Q_max, and the dead zones of a measurement.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same plane.
    world : World
        What to draw from.
    size : int
        Pixels along each edge.
    crop : int, optional
        Compute only a random square of so many pixels.
    dtype : dtype
        Of the amplitudes.

    Returns
    -------
    SimulatedPlane
        Noise-free.
    """
    crystal = random_crystal(rng, world)
    q_max = float(rng.uniform(*world.q_max))
    unique = crystal.description["system"] in ("hexagonal", "tetragonal")
    axis = 2 if unique else int(rng.integers(3))
    levels = strongest_levels(crystal, axis, q_max)
    level = levels[int(rng.integers(len(levels)))]
    section = level_section(axis, level)
    edge = crop or size
    first = rng.integers(0, size - edge + 1, size=2)
    if rng.random() >= world.centred:
        first = first + rng.integers(-(size // 4), size // 4 + 1, size=2)
    window = (slice(first[0], first[0] + edge), slice(first[1], first[1] + edge))
    simulated = simulate_plane(
        crystal, section, size=size, q_max=q_max, window=window, dtype=dtype
    )
    drawn = {"axis": axis, "level": level, "q_max": q_max, "first_pixel": first.tolist()}
    return measured(simulated, rng, world, drawn)


def measured(
    simulated: SimulatedPlane,
    rng: np.random.Generator,
    world: World,
    drawn: dict[str, Any] | None = None,
) -> SimulatedPlane:
    """Plane with the dead zones of a random measurement.

    Parameters
    ----------
    simulated : SimulatedPlane
        Whole plane.
    rng : numpy.random.Generator
        Source of randomness.
    world : World
        Coverage, and which detectors.
    drawn : dict, optional
        To add to the description.

    Returns
    -------
    SimulatedPlane
        Intensity is 0 where nothing was measured.
    """
    plane = simulated.plane
    description = {**simulated.description, **(drawn or {})}
    if world.coverage is not None:
        valid, description["measurement"] = random_measurement(
            rng, plane.q(), coverage=world.coverage, held_out=world.held_out
        )
        plane = plane.replace(intensity=np.where(valid, plane.intensity, 0), valid=valid)
    description["coverage"] = float(plane.valid.mean())
    return replace(simulated, plane=plane, description=description)
