"""How often volumes that break an assumption are told from clean ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.partial import Partial
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate.crystals import DisorderedCrystal, World, random_crystal
from dsfunet_core.simulate.violations import (
    VIOLATIONS,
    second_site,
    size_effect,
    thermal_diffuse,
)
from dsfunet_core.volume_factorization import (
    SimulatedVolume,
    assess_volume,
    factorize_volume,
    simulate_volume,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: First number of every volume's seed; the limits were set on others.
SEED = 20261127
#: Mean intensity added, in units of that of the product, and counts a voxel.
SHARES, COUNTS = (0.15, 0.3), (5.0, 20.0)
SIZE, STEP, MISSING, ORDER = 48, 0.13, 0.3, 3
WORLD = World(held_out=True)
KINDS = ("clean", *VIOLATIONS)


def trial_volume(kind: str, i: int) -> tuple[SimulatedVolume, float, float]:
    """Volume ``i`` of a kind, the share of what was added, and the counts a voxel."""
    rng = np.random.default_rng([SEED, KINDS.index(kind), i])
    crystal = _within(random_crystal(rng, WORLD))
    made = simulate_volume(
        crystal.mol_a,
        crystal.mol_b,
        crystal.alpha,
        crystal.cell,
        size=SIZE,
        step=STEP,
        missing=MISSING,
        rng=rng,
    )
    counts, share = COUNTS[i % 2], 0.0
    seen = np.isfinite(made.volume.intensity)
    product = made.form_factor.astype(float) * made.sro
    intensity = product
    if kind != "clean":
        share = SHARES[(i // 2) % 2]
        intensity = _violated(kind, share, made, crystal, product, seen, rng)
    intensity = intensity * counts / intensity[seen].mean()
    drawn = rng.poisson(np.maximum(intensity, 0)).astype(np.float32)
    drawn[~seen] = np.nan
    return replace(made, volume=replace(made.volume, intensity=drawn)), share, counts


def _within(crystal: DisorderedCrystal) -> DisorderedCrystal:
    """With α up to the order that is refined, tapered so that S stays positive."""
    half = crystal.alpha.shape[0] // 2
    inner = slice(half - ORDER, half + ORDER + 1)
    taper = 1 - np.abs(np.arange(-ORDER, ORDER + 1)) / (ORDER + 1)
    alpha = crystal.alpha[inner, inner, inner] * np.einsum("i,j,k->ijk", taper, taper, taper)
    return replace(crystal, alpha=alpha)


def _violated(
    kind: str,
    share: float,
    made: SimulatedVolume,
    crystal: DisorderedCrystal,
    product: NDArray[np.float64],
    seen: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    def layers(function: Callable[[ReciprocalPlane], NDArray]) -> NDArray[np.float64]:
        return np.stack([function(plane) for plane in _layers(made)])

    if kind == "displacements":
        ratio = product / np.maximum(layers(lambda p: size_effect(p, crystal, 0.0)[0]), 1e-9)
        plus = layers(lambda p: size_effect(p, crystal, 1.0)[0]) * ratio
        minus = layers(lambda p: size_effect(p, crystal, -1.0)[0]) * ratio
        linear, square = (plus - minus) / 2, (plus + minus) / 2 - product
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            change = np.abs(middle * linear + middle**2 * square)[seen].mean()
            wanted = share * product[seen].mean()
            low, high = (middle, high) if change < wanted else (low, middle)
        return product + high * linear + high**2 * square
    if kind == "second site":
        other = _within(random_crystal(rng, WORLD))
        extra = layers(lambda p: second_site(p, other, crystal))
    elif kind == "thermal":
        extra = layers(lambda p: thermal_diffuse(p, crystal))
    else:
        q = layers(lambda p: p.q_norm())
        constant, radial, width = rng.uniform(0.2, 1), rng.uniform(0.2, 1), rng.uniform(0.3, 1)
        extra = constant + radial * np.exp(-((q / (width * q.max())) ** 2))
    return product + share * product[seen].mean() / extra[seen].mean() * extra


def _layers(made: SimulatedVolume) -> list[ReciprocalPlane]:
    volume = made.volume
    steps = np.asarray(volume.steps)
    blank = np.ones(volume.shape[1:])
    return [
        ReciprocalPlane(
            blank,
            blank > 0,
            volume.cell,
            np.asarray(volume.origin) + k * steps[:, 0],
            steps[:, 1:],
            name=f"layer {k}",
        )
        for k in range(volume.shape[0])
    ]


def run(n: int, console: Console, folder: Path | None = None, first: int = 0) -> dict[str, Any]:
    """Assess volumes ``first`` to ``n - 1`` of every kind."""
    table = Table(title=f"volumes of {SIZE}³ said not to be a product, in %")
    for column in ("volumes", *(f"{c:g} counts" for c in COUNTS), "all"):
        table.add_column(column, justify="left" if column == "volumes" else "right")
    results = {}
    for kind in KINDS:
        name = f"applicability-volume-{kind.replace(' ', '-')}.jsonl"
        partial = Partial(None if folder is None else folder / name)
        for i in track(range(first, n), description=kind, transient=True):
            if i not in partial.done:
                partial.add(i, _figures(kind, i))
        entries = [e for e in partial.first(n) if e["plane"] >= first]
        results[kind] = entries
        rates = [[bool(e["concerns"]) for e in entries if e["counts"] == c] for c in COUNTS]
        rates.append([bool(e["concerns"]) for e in entries])
        table.add_row(kind, *(f"{sum(r)} of {len(r)}" for r in rates))
        concerns = Counter(name for e in entries for name in e["concerns"])
        console.print(f"{kind}: {dict(concerns)}", style="dim")
    console.print(table)
    return results


def _figures(kind: str, i: int) -> dict[str, Any]:
    made, share, counts = trial_volume(kind, i)
    result = factorize_volume(made.volume, order=ORDER)
    report = assess_volume(result)
    return {
        "share": share,
        "counts": counts,
        "concerns": [check.what for check in report.concerns],
        "values": {check.what: check.value for check in report.checks},
        "beyond": {k: v["sigma"] for k, v in result.choices["beyond_the_product"].items()},
    }
