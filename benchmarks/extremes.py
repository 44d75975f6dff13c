"""The hybrid method where molecules and cells do not go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gemmi
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.validation import as_set
from dsfunet_core.evaluate import evaluate_set
from dsfunet_core.simulate.crystals import VALIDATION, fragment_crystal
from dsfunet_core.simulate.library import Fragment, fragments
from dsfunet_core.simulate.molecules import random_rotation
from dsfunet_core.simulate.planes import (
    SimulatedPlane,
    level_section,
    measured,
    simulate_plane,
    strongest_levels,
)

#: First number of every plane's seed.
SEED = 99
#: Half edge of the planes [Å⁻¹].
Q_MAX = 7.0
#: Which fragments, and by how much their cell is larger than Vegard's.
KINDS: dict[str, tuple[Callable[[Fragment], bool], float]] = {
    "single atoms": (lambda f: f.group == "atoms", 1.0),
    "small molecules in cells twice as long": (lambda f: f.group in ("tiny", "small"), 2.0),
}


def extreme_plane(kind: str, seed: int) -> SimulatedPlane:
    """Plane number ``seed`` of a kind."""
    chosen, scale = KINDS[kind]
    pool = [f for f in fragments() if chosen(f)]
    rng = np.random.default_rng([SEED, seed])
    a, b = rng.choice(len(pool), 2, replace=False)
    turns = (random_rotation(rng), random_rotation(rng))
    crystal = fragment_crystal(rng, (pool[a], pool[b]), turns, "orthorhombic", held_out=True)
    lengths, angles = crystal.cell.parameters[:3], crystal.cell.parameters[3:]
    cell = gemmi.UnitCell(*(scale * x for x in lengths), *angles)
    crystal = replace(crystal, cell=cell)
    level = strongest_levels(crystal, 2, Q_MAX)[0]
    plane = simulate_plane(crystal, level_section(2, level), q_max=Q_MAX)
    return measured(plane, rng, VALIDATION)


def run(n: int, console: Console) -> dict[str, Any]:
    """Measure ``n`` planes of every kind, lattice known and blind, and print the table."""
    table = Table(title=f"hybrid, {n} planes of each kind, noise-free: mean square error")
    for column in ("planes", "I_SRO", "worst", "I_FF, whole", "worst", "lattice found"):
        table.add_column(column, justify="left" if column == "planes" else "right")
    results: dict[str, Any] = {}
    for kind in KINDS:
        planes = [extreme_plane(kind, seed) for seed in range(n)]
        for blind in (False, True):
            label = f"{kind}{', blind' if blind else ''}"
            figures = [
                evaluate_set(as_set([plane]), method="hybrid", blind=blind)
                for plane in track(planes, description=label, transient=True)
            ]
            sro, form_factor = (
                [f["planes"][key][0] for f in figures] for key in ("sro", "form_factor")
            )
            found = [f["lattices"][0] is not None for f in figures] if blind else []
            results[label] = {"sro": sro, "form_factor": form_factor, "found": found}
            cells = [f"{v:.1e}" for s in (sro, form_factor) for v in (np.mean(s), max(s))]
            table.add_row(label, *cells, f"{sum(found)} of {n}" if blind else "–")
    console.print(table)
    return results
