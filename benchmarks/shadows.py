"""Beam stops, gaps and rings found without being told where, and how many were invented."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import dsfunet_core as ds
from dsfunet_core import ReciprocalPlane
from dsfunet_core.masking import mask_beam_stop, mask_gaps
from dsfunet_core.masking.rings import find_rings
from dsfunet_core.simulate.crystals import VALIDATION, random_crystal
from dsfunet_core.simulate.planes import level_section, simulate_plane

#: First number of every plane's seed.
SEED = 77
#: Mean counts a pixel, even in their logarithm; background in units of the mean, or none.
COUNTS, BACKGROUND = (1.0, 50.0), 0.1
#: Radius of the beam stop and width of the gaps [pixels]; light that comes through the stop.
STOP, GAP, THROUGH = (6.0, 16.0), (4, 10), 0.03
#: Heights of powder rings in units of the mean, and their width σ [Å⁻¹].
RINGS, RING_WIDTH = (0.0, 0.3, 0.6, 1.0, 2.0), (0.01, 0.025)
#: Fraction of a shadow's pixels from which it counts as found.
FOUND = 0.8


def expected_plane(index: int) -> tuple[ReciprocalPlane, np.random.Generator]:
    """Expected counts of a random crystal on level 0, 1 or 2, measured everywhere."""
    rng = np.random.default_rng([SEED, index])
    while True:
        crystal = random_crystal(rng, VALIDATION)
        axis, level = int(rng.integers(3)), int(rng.integers(0, 3))
        cell = crystal.cell
        longest = np.delete(np.array([cell.a, cell.b, cell.c]), axis).max()
        q_max = 128 * (2 * np.pi / longest) / rng.uniform(12, 24)
        plane = simulate_plane(crystal, level_section(axis, level), size=256, q_max=q_max).plane
        if plane.intensity.min() >= 0 and plane.intensity.max() > 0:
            break
    light = plane.intensity / plane.intensity.mean() + rng.choice([0, BACKGROUND])
    light *= np.exp(rng.uniform(*np.log(COUNTS))) / light.mean()
    return plane.replace(intensity=light, valid=np.ones(plane.shape, bool)), rng


def shadowed(
    plane: ReciprocalPlane, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disc of a beam stop, disc with holder, and two gaps, True where they are."""
    rows, columns = np.indices(plane.shape)
    row, column = np.unravel_index(plane.q_norm().argmin(), plane.shape)
    disc = np.hypot(rows - row, columns - column) < rng.uniform(*STOP)
    holder = disc | ((np.abs(columns - column) < 3) & (rows > row))
    width = int(rng.integers(*GAP))
    gaps = np.zeros(plane.shape, dtype=bool)
    gaps[:, 90 : 90 + width] = gaps[150 : 150 + width] = True
    return disc, holder, gaps


def figures(index: int) -> dict[str, float]:
    """Fractions of one plane that are masked, rightly and wrongly."""
    plane, rng = expected_plane(index)
    disc, holder, gaps = shadowed(plane, rng)
    light = plane.intensity

    def measured(expected: np.ndarray) -> ReciprocalPlane:
        return plane.replace(intensity=rng.poisson(expected).astype(float))

    bare = measured(light)
    stop = mask_beam_stop(measured(np.where(holder, THROUGH, 1) * light)).masks["beam stop"]
    gap = mask_gaps(measured(np.where(gaps, 0, light))).masks["gaps"]
    return {
        **rings(plane, rng),
        "disc": float(stop[disc].mean()),
        "stop_invented": float(mask_beam_stop(bare).masks["beam stop"].mean()),
        "gaps": float(gap[gaps].mean()),
        "gaps_invented": float(mask_gaps(bare).masks["gaps"].mean()),
    }


def rings(plane: ReciprocalPlane, rng: np.random.Generator) -> dict[str, float]:
    """Whether a ring of each height was found, and rings that are none."""
    q = plane.q_norm()
    low, high = float(q.min()), float(q.max())
    at = low + rng.uniform(0.25, 0.6) * (high - low)
    sigma = rng.uniform(*RING_WIDTH)
    shape = np.exp(-((q - at) ** 2) / (2 * sigma**2))
    found: dict[str, float] = {}
    for height in RINGS:
        light = plane.intensity + height * plane.intensity.mean() * shape
        there = find_rings(plane.replace(intensity=rng.poisson(light).astype(float)))
        near = [abs(ring.q - at) for ring in there]
        found[f"ring {height:g}"] = float(any(x < 2 * sigma + 0.01 for x in near))
        found[f"rings invented {height:g}"] = float(sum(x > 2 * sigma + 0.05 for x in near))
    return found


def run(console: Console, n: int = 80) -> dict[str, Any]:
    """Look for shadows on ``n`` planes with and without, and on the sample."""
    rows = [figures(i) for i in track(range(n), description="shadows", transient=True)]
    sample = ds.read(ds.sample("tris-amide-hk1")).section("hk1")
    on_sample = {
        "beam stop": int(mask_beam_stop(sample).masks["beam stop"].sum()),
        "gaps": int(mask_gaps(sample).masks["gaps"].sum()),
    }
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    summary = {
        "stops found": int((columns["disc"] > FOUND).sum()),
        "stops invented": int((columns["stop_invented"] > 0).sum()),
        "gaps found": int((columns["gaps"] > FOUND).sum()),
        "pixels taken for gaps, mean": float(columns["gaps_invented"].mean()),
        "pixels taken for gaps, worst": float(columns["gaps_invented"].max()),
    }
    for height in RINGS:
        if height:
            label = f"rings of {height:g} times the mean found"
            summary[label] = int(columns[f"ring {height:g}"].sum())
    summary["rings invented where there are none"] = int(columns["rings invented 0"].sum())
    table = Table(
        title=f"Shadows on {n} simulated planes, {COUNTS[0]:g} to {COUNTS[1]:g} counts"
    )
    table.add_column("")
    table.add_column("", justify="right")
    for label, value in summary.items():
        table.add_row(label, f"{value:.4f}" if isinstance(value, float) else str(value))
    for label, pixels in on_sample.items():
        table.add_row(f"pixels of the tris-amide sample taken for {label}", str(pixels))
    console.print(table)
    return {"planes": rows, "summary": summary, "sample": on_sample}
