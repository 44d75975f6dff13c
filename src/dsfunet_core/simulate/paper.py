"""The paper's training set plane by plane: 1,049 pairs of molecules, 200 planes each.

Section 2.1 of Fuller & Rudden (2024) gives 144 planes of every pair Monte Carlo order (12
models, 4 planes along each axis) and 56 symmetric order (14 models, 4 planes normal to the
unique axis): 26 models, although the text speaks of 28. The counts of planes are kept. Their
list of molecules had turned copies; here a pair beyond the library's number of pairs is an
earlier one in new orientations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.simulate.crystals import PAPER, VALIDATION, fragment_crystal
from dsfunet_core.simulate.library import pairs
from dsfunet_core.simulate.molecules import random_rotation
from dsfunet_core.simulate.planes import (
    SimulatedPlane,
    level_section,
    measured,
    simulate_plane,
    strongest_levels,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["PAPER_TRAINING", "PAPER_VALIDATION", "PairSet"]

#: Of the 14 symmetric models of a pair: 3,864 hexagonal and 10,024 tetragonal or cubic sets
#: for 1,049 pairs are 4 and 10.
_SYMMETRIC = ("hexagonal",) * 4 + ("tetragonal",) * 5 + ("cubic",) * 5


@dataclass(frozen=True)
class PairSet:
    """Planes of many pairs of molecules, each with several models of order.

    Parameters
    ----------
    pairs : int
        Pairs of molecules.
    systems : tuple of str
        Lattice system of each model of a pair.
    held_out : bool
        Of the molecules, order and detectors kept for validation.
    """

    pairs: int
    systems: tuple[str, ...]
    held_out: bool = False

    @property
    def planes(self) -> list[tuple[int, int, int]]:
        """Model, axis and rank of the level of every plane of a pair."""
        return [
            (model, axis, rank)
            for model, system in enumerate(self.systems)
            for axis in (range(3) if system == "orthorhombic" else (2,))
            for rank in range(4)
        ]

    def plane(
        self, seed: int, pair: int, number: int, *, dtype: DTypeLike = np.complex128
    ) -> SimulatedPlane:
        """One plane of one pair.

        Parameters
        ----------
        seed : int
            Of the set.
        pair, number : int
            Which.
        dtype : dtype
            Of the amplitudes.

        Returns
        -------
        SimulatedPlane
            Noise-free, with dead zones; the same whenever it is asked for.
        """
        library = pairs(held_out=self.held_out)
        # Shuffled once, so that any number of pairs is spread over the groups.
        order = np.random.default_rng(seed).permutation(len(library))
        members = library[order[pair % len(library)]]
        rng = np.random.default_rng([seed, pair])
        turned = pair >= len(library)
        first, second = (random_rotation(rng) if turned else np.eye(3) for _ in members)
        model, axis, rank = self.planes[number]
        rng = np.random.default_rng([seed, pair, model])
        crystal = fragment_crystal(
            rng, members, (first, second), self.systems[model], held_out=self.held_out
        )
        world = VALIDATION if self.held_out else PAPER
        q_max = float(rng.uniform(*world.q_max))
        levels = strongest_levels(crystal, axis, q_max)
        level = levels[rank % len(levels)]
        simulated = simulate_plane(
            crystal, level_section(axis, level), q_max=q_max, dtype=dtype
        )
        rng = np.random.default_rng([seed, pair, model, axis, rank])
        drawn = {"pair_number": pair, "model": model, "axis": axis, "level": level}
        return measured(simulated, rng, world, {**drawn, "q_max": q_max})


#: 1,049 pairs × (12 × 12 + 14 × 4) = 209,800 planes.
PAPER_TRAINING = PairSet(1049, ("orthorhombic",) * 12 + _SYMMETRIC)
#: 98 pairs × 12 × 12 = 14,112 planes.
PAPER_VALIDATION = PairSet(98, ("orthorhombic",) * 12, held_out=True)
