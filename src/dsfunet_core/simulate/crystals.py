"""Random disordered crystals: a pair of molecules, a lattice to hold them, their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.library import Fragment, fragments, pairs
from dsfunet_core.simulate.molecules import Molecule, random_molecule, random_rotation
from dsfunet_core.simulate.sro import check_realisable, damped_oscillator
from dsfunet_core.simulate.sro_table import sro_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PAPER",
    "TRAINING",
    "VALIDATION",
    "DisorderedCrystal",
    "World",
    "fragment_crystal",
    "random_crystal",
    "vegard_cell",
]

#: Groups whose members sit on their site as listed, unturned.
_FIXED_GROUPS = ("atoms", "perovskites")
_VACANCY = Molecule((), np.zeros((0, 3)), name="vacancy")


def _chances(**values: float) -> Mapping[str, float]:
    return field(default_factory=lambda: MappingProxyType(values))


@dataclass(frozen=True)
class World:
    """What random planes are drawn from; chances are relative.

    Parameters
    ----------
    pairs : mapping
        Chance of "library" (two fragments of a size group), "turned" (one fragment in two
        orientations), "vacancy" (a fragment or nothing) and "grown" (random molecules).
    systems : mapping
        Chance of "orthorhombic" and "oblique" lattices with Monte Carlo order, and of
        "hexagonal", "tetragonal" and "cubic" ones with the damped oscillator of eq. (7).
    q_max : tuple of float
        Range of the planes' half edge [Å⁻¹].
    coverage : tuple of float, optional
        Range of the measured fraction of a plane; without it there are no dead zones.
    centred : float
        Chance that Q = 0 of the plane lies on the middle pixel (rows // 2, columns // 2);
        otherwise up to a quarter of the image away from it.
    held_out : bool
        Draw only from the fragments, the sets of order and the detectors that are kept
        for validation; the others are never drawn then.
    """

    pairs: Mapping[str, float] = _chances(library=0.6, turned=0.12, vacancy=0.1, grown=0.18)
    systems: Mapping[str, float] = _chances(
        orthorhombic=0.55, oblique=0.2, hexagonal=0.1, tetragonal=0.1, cubic=0.05
    )
    q_max: tuple[float, float] = (6.0, 8.0)
    coverage: tuple[float, float] | None = (0.40, 0.97)
    centred: float = 1.0
    held_out: bool = False


#: A wider world than the paper's, for training.
TRAINING = World()
#: The paper's: library pairs, 144 of 200 planes with Monte Carlo order on orthogonal axes.
PAPER = World(
    pairs=MappingProxyType({"library": 1.0}),
    systems=MappingProxyType(
        {"orthorhombic": 144.0, "hexagonal": 15.6, "tetragonal": 20.2, "cubic": 20.2}
    ),
)
#: The paper's validation: Monte Carlo order only, of what training never saw.
VALIDATION = World(
    pairs=MappingProxyType({"library": 1.0}),
    systems=MappingProxyType({"orthorhombic": 1.0}),
    held_out=True,
)


@dataclass(frozen=True, eq=False)
class DisorderedCrystal:
    """One disordered site per cell, occupied by A or B.

    Parameters
    ----------
    mol_a, mol_b : Molecule
        The two species on the site, Cartesian [Å].
    cell : gemmi.UnitCell
        Lattice [Å, °].
    concentration : float
        m_A.
    alpha : ndarray, shape (11, 11, 11)
        Warren–Cowley parameters.
    description : dict
        How it was drawn.
    """

    mol_a: Molecule
    mol_b: Molecule
    cell: gemmi.UnitCell
    concentration: float
    alpha: NDArray[np.float64]
    description: dict[str, Any] = field(default_factory=dict)


@cache
def _library(
    held_out: bool,
) -> tuple[tuple[tuple[Fragment, Fragment], ...], tuple[Fragment, ...]]:
    single = tuple(
        f for f in fragments() if f.held_out == held_out and f.group not in _FIXED_GROUPS
    )
    return tuple(pairs(held_out=held_out)), single


def _choose(rng: np.random.Generator, chances: Mapping[str, float]) -> str:
    names = list(chances)
    weights = np.array([chances[name] for name in names], float)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _turned(fragment: Fragment, rng: np.random.Generator) -> Molecule:
    if fragment.group in _FIXED_GROUPS:
        return fragment.molecule
    return fragment.molecule.transformed(random_rotation(rng))


def _edges(molecule: Molecule, fragment: Fragment | None) -> NDArray[np.float64]:
    """Lengths of the box that holds a molecule with its van der Waals skin [Å]."""
    if fragment is not None and fragment.group in _FIXED_GROUPS:
        return np.array(fragment.cell)
    if not molecule.elements:
        return np.zeros(3)
    radii = np.array([gemmi.Element(e).vdw_r for e in molecule.elements])[:, None]
    upper, lower = molecule.positions + radii, molecule.positions - radii
    return np.asarray(upper.max(axis=0) - lower.min(axis=0))


def vegard_cell(
    edges_a: NDArray,
    edges_b: NDArray,
    concentration: float,
    system: str,
    rng: np.random.Generator | None = None,
) -> gemmi.UnitCell:
    """Unit cell of a mixed crystal by Vegard's law.

    Parameters
    ----------
    edges_a, edges_b : ndarray, shape (3,)
        Room that A and B take along a, b and c [Å]; zeros for a vacancy, which then takes
        as much as the other.
    concentration : float
        m_A.
    system : str
        "orthorhombic"; "oblique" (angles between 72 and 108° are drawn); "hexagonal",
        "tetragonal" (a = b, the larger); "cubic" (the largest).
    rng : numpy.random.Generator, optional
        Needed for oblique cells.

    Returns
    -------
    gemmi.UnitCell
        m_A a_A + m_B a_B, and so on.
    """
    edges_a = edges_a if edges_a.any() else edges_b
    edges_b = edges_b if edges_b.any() else edges_a
    a, b, c = concentration * edges_a + (1 - concentration) * edges_b
    angles = (90.0, 90.0, 90.0)
    if system == "oblique":
        if rng is None:
            raise ParameterError("an oblique cell has random angles: give rng.")
        alpha, beta, gamma = rng.uniform(72, 108, size=3)
        angles = (alpha, beta, gamma)
    elif system == "hexagonal":
        a = b = max(a, b)
        angles = (90.0, 90.0, 120.0)
    elif system == "tetragonal":
        a = b = max(a, b)
    elif system == "cubic":
        a = b = c = max(a, b, c)
    elif system != "orthorhombic":
        raise ParameterError(f"system = {system!r} is not known.")
    return gemmi.UnitCell(a, b, c, *angles)


def _pair(
    rng: np.random.Generator, world: World
) -> tuple[str, list[tuple[Molecule, NDArray[np.float64]]]]:
    kind = _choose(rng, world.pairs)
    if kind == "grown":
        n_heavy = int(rng.choice([2, 4, 6, 9, 13, 18, 24]))
        other = max(1, n_heavy + int(rng.integers(-2, 3)))
        grown = [random_molecule(rng, n) for n in (n_heavy, other)]
        return kind, [(m, _edges(m, None)) for m in grown]
    library, single = _library(world.held_out)
    if kind == "library":
        chosen = library[int(rng.integers(len(library)))]
    elif kind in ("turned", "vacancy"):
        chosen = (single[int(rng.integers(len(single)))],) * 2
    else:
        raise ParameterError(f"pairs: {kind!r} is not known.")
    molecules = [_turned(f, rng) for f in chosen]
    if kind == "vacancy":
        molecules[1] = _VACANCY
    return kind, [(m, _edges(m, f)) for m, f in zip(molecules, chosen, strict=True)]


def _order(
    rng: np.random.Generator, world: World, system: str
) -> tuple[float, NDArray[np.float64], dict[str, Any]]:
    """Concentration, α and how they were drawn."""
    if system in ("orthorhombic", "oblique"):
        table = sro_table()
        index = int(rng.choice(table.indices(held_out=world.held_out)))
        m_a = float(table.concentration[index])
        return m_a, table.alpha(index), {"order": "monte carlo", "sro_set": index}
    while True:
        a, d, w = rng.uniform((0.6, 0.1, 0.0), (1.5, 1.2, 1.0))
        alpha = damped_oscillator(system, a, d, w)
        try:
            check_realisable(alpha)
        except ParameterError:
            continue
        how = {"order": "damped oscillator", "amplitude": a, "decay": d, "frequency": w}
        return 0.5, alpha, how


def random_crystal(rng: np.random.Generator, world: World = TRAINING) -> DisorderedCrystal:
    """Draw a crystal: molecules, order, and a lattice by Vegard's law.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    world : World
        What to draw from.

    Returns
    -------
    DisorderedCrystal
        Its order is realisable.
    """
    kind, species = _pair(rng, world)
    system = _choose(rng, world.systems)
    return _crystal(rng, world, kind, species, system)


def fragment_crystal(
    rng: np.random.Generator,
    pair: tuple[Fragment, Fragment],
    orientations: tuple[NDArray, NDArray],
    system: str,
    *,
    held_out: bool = False,
) -> DisorderedCrystal:
    """Crystal of two given fragments with order and lattice drawn at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    pair : tuple of Fragment
        A and B.
    orientations : tuple of ndarray, shape (3, 3)
        Rotation of each; atoms and perovskites stay as they are.
    system : str
        One of those of `World.systems`.
    held_out : bool
        Draw order from the sets kept for validation.

    Returns
    -------
    DisorderedCrystal
        Its order is realisable.
    """
    species = []
    for member, orientation in zip(pair, orientations, strict=True):
        fixed = member.group in _FIXED_GROUPS
        molecule = member.molecule if fixed else member.molecule.transformed(orientation)
        species.append((molecule, _edges(molecule, member)))
    return _crystal(rng, World(held_out=held_out), "library", species, system)


def _crystal(
    rng: np.random.Generator,
    world: World,
    kind: str,
    species: list[tuple[Molecule, NDArray[np.float64]]],
    system: str,
) -> DisorderedCrystal:
    (mol_a, edges_a), (mol_b, edges_b) = species
    m_a, alpha, how = _order(rng, world, system)
    cell = vegard_cell(edges_a, edges_b, m_a, system, rng)
    description = {
        "pair": kind,
        "molecules": (mol_a.name, mol_b.name),
        "extent": max(mol_a.extent, mol_b.extent),
        "system": system,
        "cell": cell.parameters,
        "m_a": m_a,
        **how,
    }
    return DisorderedCrystal(mol_a, mol_b, cell, m_a, alpha, description)
