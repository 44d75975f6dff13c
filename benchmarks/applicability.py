"""How often planes that break an assumption are told from clean ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.partial import Partial
from dsfunet_core.applicability import assess
from dsfunet_core.factorization import factorize
from dsfunet_core.simulate.crystals import World, random_crystal
from dsfunet_core.simulate.planes import (
    SimulatedPlane,
    level_section,
    measured,
    simulate_plane,
    strongest_levels,
)
from dsfunet_core.simulate.realism import add_counting_noise
from dsfunet_core.simulate.violations import VIOLATIONS, violated

#: First number of every plane's seed; the limits were set on others.
SEED = 20261126
#: Mean intensity added, in units of that of the product.
SHARES = (0.1, 0.2, 0.4)
#: Counts a pixel; 0 is noise-free.
COUNTS = (0.0, 20.0, 5.0)
#: Required shares of planes flagged.
REQUIRED = {"clean": 0.05}
WORLD = World(held_out=True)
KINDS = ("clean", *VIOLATIONS)


def trial_plane(kind: str, i: int) -> tuple[SimulatedPlane, float, float]:
    """Plane ``i`` of a kind, the share of what was added, and the counts a pixel."""
    rng = np.random.default_rng([SEED, KINDS.index(kind), i])
    while True:
        plane = _clean_plane(rng, kind == "thermal")
        # Five cells of order must be told apart.
        if np.linalg.norm(plane.plane.lattice.basis, axis=0).min() > 11:
            break
    counts, share = COUNTS[i % 3], 0.0
    if kind != "clean":
        share = SHARES[(i // 3) % 3]
        plane = violated(plane, kind, share, rng)
    return (add_counting_noise(plane, counts, rng) if counts else plane), share, counts


def _clean_plane(rng: np.random.Generator, with_bragg_positions: bool) -> SimulatedPlane:
    crystal = random_crystal(rng, WORLD)
    q_max = float(rng.uniform(*WORLD.q_max))
    symmetric = crystal.description["system"] in ("hexagonal", "tetragonal")
    axis = 2 if symmetric else int(rng.integers(3))
    levels = strongest_levels(crystal, axis, q_max)
    level = levels[int(rng.integers(len(levels)))]
    if with_bragg_positions:
        # Only planes with Bragg positions in them have thermal scattering around them.
        level = float(np.floor(level))
    plane = simulate_plane(crystal, level_section(axis, level), q_max=q_max)
    return measured(plane, rng, WORLD)


def run(
    n: int, method: str, console: Console, folder: Path | None = None, first: int = 0
) -> dict[str, Any]:
    """Assess planes ``first`` to ``n - 1`` of every kind, twice as many clean ones."""
    table = Table(title=f"{method}: planes said not to be a product, in %")
    for column in ("planes", *(f"{c:g} counts" if c else "noise-free" for c in COUNTS), "all"):
        table.add_column(column, justify="left" if column == "planes" else "right")
    table.add_column("required", justify="right")
    results = {}
    for kind in KINDS:
        name = f"applicability-{method}-{kind.replace(' ', '-')}.jsonl"
        partial = Partial(None if folder is None else folder / name)
        wanted, start = (2 * n, 2 * first) if kind == "clean" else (n, first)
        for i in track(range(start, wanted), description=kind, transient=True):
            if i not in partial.done:
                partial.add(i, _figures(kind, i, method))
        entries = [e for e in partial.first(wanted) if e["plane"] >= start]
        results[kind] = entries
        cells = [_rate([e for e in entries if e["counts"] == c]) for c in COUNTS]
        limit = f"≤ {REQUIRED[kind]:.0%}" if kind in REQUIRED else "≥ 90%"
        table.add_row(kind, *cells, _rate(entries), limit)
        concerns = Counter(name for e in entries for name in e["concerns"])
        console.print(f"{kind}: {dict(concerns)}", style="dim")
    console.print(table)
    return results


def _figures(kind: str, i: int, method: str) -> dict[str, Any]:
    simulated, share, counts = trial_plane(kind, i)
    result = factorize(simulated.plane, method)
    report = assess(result)
    return {
        "share": share,
        "counts": counts,
        "concerns": [check.what for check in report.concerns],
        "values": {check.what: check.value for check in report.checks},
        "description": {key: simulated.description[key] for key in ("system", "coverage")},
    }


def _rate(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return "–"
    flagged = sum(bool(e["concerns"]) for e in entries)
    return f"{100 * flagged / len(entries):.0f} ({flagged}/{len(entries)})"
