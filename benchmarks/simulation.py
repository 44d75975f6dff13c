"""Planes a second, as published and ours, and Monte Carlo crystals a second, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from dsfunet_core.simulate.crystals import DisorderedCrystal, vegard_cell
from dsfunet_core.simulate.form_factors import atomic_form_factor
from dsfunet_core.simulate.library import fragment
from dsfunet_core.simulate.molecules import random_rotation
from dsfunet_core.simulate.monte_carlo import monte_carlo_order
from dsfunet_core.simulate.planes import level_section, simulate_plane
from dsfunet_core.simulate.sro_table import sro_table
from dsfunet_core.simulate.stream import as_sample, plane_number

#: Asked for: times the direct sum, and crystals a second.
REQUIRED = {"ratio": 200.0, "configurations": 20.0}


def crystal() -> DisorderedCrystal:
    """Two molecules of 20 atoms (hexane in two orientations) on an orthorhombic lattice."""
    rng = np.random.default_rng(0)
    hexane = fragment("hexane")
    a, b = (hexane.molecule.transformed(random_rotation(rng)) for _ in range(2))
    edges = np.array(hexane.cell)
    table = sro_table()
    m_a = float(table.concentration[0])
    cell = vegard_cell(edges, edges, m_a, "orthorhombic")
    return DisorderedCrystal(a, b, cell, m_a, table.alpha(0))


def direct_sum(made: DisorderedCrystal, q: np.ndarray) -> np.ndarray:
    """I_FF · I_SRO as published: an exponential an atom, a cosine a vector (666 of them)."""
    norm = np.linalg.norm(q, axis=-1)
    amplitude = np.zeros(norm.shape, complex)
    for sign, molecule in ((1, made.mol_a), (-1, made.mol_b)):
        for element, x in zip(molecule.elements, molecule.positions, strict=True):
            amplitude += sign * atomic_form_factor(element, norm) * np.exp(1j * (q @ x))
    to_space = np.array(made.cell.orth.mat.tolist())
    sro = np.zeros(norm.shape)
    for index in np.ndindex(made.alpha.shape):
        v = np.array(index) - 5
        if tuple(v) >= (0, 0, 0):
            weight = 2.0 if v.any() else 1.0
            sro += weight * made.alpha[index] * np.cos(q @ (to_space @ v))
    m_a = made.concentration
    return m_a * (1 - m_a) * np.abs(amplitude) ** 2 * np.maximum(sro, 0)


def seconds(work: Callable[[], object], at_least: float = 0.5) -> float:
    """Time of one call: mean over as many as fill the time."""
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < at_least:
        work()
        calls += 1
    return (time.perf_counter() - started) / calls


def run(console: Console, rounds: int = 7) -> dict[str, Any]:
    """Measure in turn, so that both see the same machine, and print medians."""
    made, section = crystal(), level_section(2, 1)
    fast = simulate_plane(made, section, dtype=np.complex64)
    q = fast.plane.q()
    reference = direct_sum(made, q)
    error = np.abs(fast.plane.intensity - reference).max() / reference.max()
    rng = np.random.default_rng(1)
    targets, m_a = sro_table().targets[0], made.concentration
    numbers = iter(range(10**9))
    works: dict[str, Callable[[], object]] = {
        "direct sum": lambda: direct_sum(made, q),
        "ours": lambda: simulate_plane(made, section, dtype=np.complex64),
        "sample": lambda: as_sample(plane_number(0, next(numbers), dtype=np.complex64)),
        "configuration": lambda: monte_carlo_order(targets, m_a, size=20, rng=rng),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    with threadpool_limits(1):
        for work in works.values():
            work()
        for _ in range(rounds):
            for name, work in works.items():
                times[name].append(seconds(work))
    median = {name: float(np.median(values)) for name, values in times.items()}
    ratios = np.array(times["direct sum"]) / np.array(times["ours"])
    result = {
        "seconds": median,
        "planes_per_second": 1 / median["ours"],
        "samples_per_second": 1 / median["sample"],
        "configurations_per_second": 1 / median["configuration"],
        "ratio": {
            "median": float(np.median(ratios)),
            "min": float(ratios.min()),
            "max": float(ratios.max()),
        },
        "largest_difference": float(error),
    }
    table = Table(title=f"one core, medians of {rounds} rounds")
    for column in ("", "time", "a second", "required"):
        table.add_column(column, justify="left" if not column else "right")
    rows = {
        "direct sum": "plane by direct sum, 2 × 20 atoms, 256 × 256",
        "ours": "the same plane, ours",
        "sample": "random sample with dead zones, as training sees it",
        "configuration": "Monte Carlo crystal, 20³ sites, three targets met",
    }
    for name, label in rows.items():
        needed = f"{REQUIRED['configurations']:g}" if name == "configuration" else ""
        table.add_row(label, f"{median[name] * 1e3:.2f} ms", f"{1 / median[name]:.3g}", needed)
    table.add_row(
        "ratio of the first two",
        "",
        f"{result['ratio']['median']:.0f} ({ratios.min():.0f}–{ratios.max():.0f})",
        f"{REQUIRED['ratio']:g}",
    )
    console.print(table)
    console.print(f"largest difference between the two: {error:.1e} of the maximum")
    return result
