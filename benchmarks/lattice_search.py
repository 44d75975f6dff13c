"""How often the lattice of a plane is found blind, and how often a wrong one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.partial import Partial
from benchmarks.validation import contrast, validation_plane
from dsfunet_core.factorization.lattice_points import same_lattice
from dsfunet_core.factorization.lattice_search import find_lattice
from dsfunet_core.network.inference import factorize_images
from dsfunet_core.network.weights import load

#: Standard deviation of I_SRO, less what lies on its strongest row of lattice points, from
#: which order counts as showing both directions of the lattice.
CONTRAST = 0.1
#: Largest difference of a basis, up to unimodular change.
TOLERANCE = 0.005
#: Required: right among planes with contrast, confidently wrong among all.
RIGHT, WRONG = 0.95, 0.01


def run(n: int, counts: float, console: Console, folder: Path | None = None) -> dict[str, Any]:
    """Search on ``n`` validation planes and print the table."""
    name = f"lattice-search-{counts:g}.jsonl"
    partial = Partial(None if folder is None else folder / name)
    network = load(None).network
    for i in track(range(n), description="searching", transient=True):
        if i in partial.done:
            continue
        known = validation_plane(i, counts)
        plane = known.plane
        ((form_factor, sro),) = factorize_images(network, [plane.intensity], [plane.valid])
        started = time.perf_counter()
        found = find_lattice(plane, form_factor=form_factor, sro=sro)
        right = found.direct is not None and same_lattice(
            found.direct, plane.lattice.direct_basis, TOLERANCE
        )
        partial.add(
            i,
            {
                "right": right,
                "found": found.found,
                "contrast": contrast(known.coefficients),
                "coverage": known.description["coverage"],
                "merit": found.merit,
                "unexplained": found.unexplained,
                "seconds": time.perf_counter() - started,
                **found.notes,
            },
        )
    return summarize(partial.first(n), counts, console)


def summarize(entries: list[dict[str, Any]], counts: float, console: Console) -> dict[str, Any]:
    """Table of how many were right, and how sure."""
    noise = f"{counts:g} counts per pixel" if counts else "noise-free"
    table = Table(title=f"lattice search, {len(entries)} planes, {noise}")
    for column in ("planes", "n", "best guess right", "found and right", "found and wrong"):
        table.add_column(column, justify="left" if column == "planes" else "right")
    results: dict[str, Any] = {}
    groups = {
        "all": lambda e: True,
        f"contrast ≥ {CONTRAST:g}": lambda e: e["contrast"] >= CONTRAST,
        f"contrast < {CONTRAST:g}": lambda e: e["contrast"] < CONTRAST,
        "measured < 50 %": lambda e: e["coverage"] < 0.5,
    }
    for label, chosen in groups.items():
        members = [e for e in entries if chosen(e)]
        if not members:
            continue
        shares = {
            "right": np.mean([e["right"] for e in members]),
            "found and right": np.mean([e["right"] and e["found"] for e in members]),
            "found and wrong": np.mean([e["found"] and not e["right"] for e in members]),
        }
        results[label] = {"n": len(members), **{k: float(v) for k, v in shares.items()}}
        table.add_row(label, str(len(members)), *(f"{v:.1%}" for v in shares.values()))
    table.caption = f"required: {RIGHT:.0%} right with contrast, {WRONG:.0%} wrong"
    seconds = [e["seconds"] for e in entries]
    results["seconds"] = {"mean": float(np.mean(seconds)), "median": float(np.median(seconds))}
    console.print(table)
    console.print(f"{np.mean(seconds):.1f} s a plane, median {np.median(seconds):.1f} s")
    return results
