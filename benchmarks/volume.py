"""Whole volumes: α of all vectors within five cells from one fit, against the truth."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from rich.console import Console
from rich.table import Table

from dsfunet_core.simulate.molecules import Molecule, random_molecule
from dsfunet_core.simulate.monte_carlo import monte_carlo_order
from dsfunet_core.volume_factorization import (
    SimulatedVolume,
    VolumeFactorization,
    factorize_volume,
    simulate_volume,
)

#: Asked for: rms of α at 128³ with 30 % missing.
REQUIRED = {"rms_alpha": 0.002}
CELL = (7.1, 8.3, 9.2, 78.0, 97.0, 112.0)
MISSING, STEP = 0.3, 1 / 12
#: Sizes of the fragments on the disordered site, in atoms without hydrogen; 0: a vacancy.
SIZES = (6, 7)
#: Others that are measured at a smaller size, with their seeds.
OTHERS = {
    "single atoms": ((-1, -2), 1),
    "6 atoms or none": ((6, 0), 2),
    "2 or 3 atoms": ((2, 3), 4),
    "14 or 12 atoms": ((14, 12), 3),
}
#: α₁₀₀, α₀₁₀, α₀₀₁ of the Monte Carlo crystals.
TARGETS = (0.30, -0.25, 0.20)


def unit(size: int, rng: np.random.Generator) -> Molecule:
    """Fragment of so many atoms, a vacancy (0), or one atom (−1: Cl, −2: C)."""
    if size > 0:
        return random_molecule(rng, size)
    elements = {0: (), -1: ("Cl",), -2: ("C",)}[size]
    return Molecule(elements, np.zeros((len(elements), 3)))


def simulated(
    size: int, counts: float, seed: int, sizes: tuple[int, int] = SIZES
) -> SimulatedVolume:
    """One triclinic volume: Monte Carlo order within five cells, shells and gaps missing."""
    rng = np.random.default_rng(seed)
    order = monte_carlo_order(TARGETS, 0.5, size=24, samples=30, rng=rng)
    first, second = (unit(n, rng) for n in sizes)
    return simulate_volume(
        first,
        second,
        order.alpha,
        gemmi.UnitCell(*CELL),
        size=size,
        step=STEP,
        missing=MISSING,
        counts=counts,
        rng=rng,
    )


def compared(made: SimulatedVolume, result: VolumeFactorization) -> dict[str, float]:
    """Errors of both factors, and the errors of α in units of σ."""
    reach = (len(made.alpha) - 1) // 2
    true = made.alpha[tuple((result.vectors + reach).T)]
    error = result.alpha - true
    seen = np.isfinite(made.volume.intensity)
    off = result.form_factor - made.form_factor
    square = float((made.form_factor**2).mean())
    return {
        "rms_alpha": float(np.sqrt((error**2).mean())),
        "largest_alpha_error": float(np.abs(error).max()),
        "pull": float(np.sqrt(((error / result.sigma) ** 2).mean())),
        "mean_sigma": float(result.sigma.mean()),
        "form_factor_measured": float(np.sqrt((off[seen] ** 2).mean() / square)),
        "form_factor_missing": float(np.sqrt((off[~seen] ** 2).mean() / square)),
    }


def run(
    console: Console,
    counts: list[float],
    folder: Path,
    *,
    size: int = 128,
    seeds: int = 2,
) -> dict[str, Any]:
    """Factorize volumes with and without noise.

    Parameters
    ----------
    console : Console
        Where the table goes.
    counts : list of float
        Mean counts a voxel; 0 for no noise.
    folder : Path
        Where a picture of the last volume goes, ``volume.png``.
    size : int
        Voxels along each edge.
    seeds : int
        Crystals at each level.
    """
    table = Table(title=f"Volumes of {size}³ voxels, {MISSING:.0%} missing, 665 vectors")
    for name in ("counts", "rms α", "pull", "F measured", "F missing", "support Å", "s"):
        table.add_column(name, justify="right")
    table.add_column("on the site")
    rows: list[dict[str, Any]] = []
    for level in counts:
        for seed in range(seeds):
            made = simulated(size, level, seed)
            row, result = _measured(made, {"counts": level, "seed": seed, "size": size})
            rows.append(row)
            _show(table, row, "6 or 7 atoms")
    picture(folder / "volume.png", made, result)
    for level in counts:
        for name, (sizes, seed) in OTHERS.items():
            made = simulated(size // 2, level, seed, sizes)
            about = {"counts": level, "seed": seed, "size": size // 2, "unit": name}
            row, _ = _measured(made, about)
            rows.append(row)
            _show(table, row, f"{name}, {size // 2}³")
    console.print(table)
    return {"required": REQUIRED, "rows": rows}


def _measured(
    made: SimulatedVolume, about: dict[str, Any]
) -> tuple[dict[str, Any], VolumeFactorization]:
    started, busy = time.perf_counter(), time.process_time()
    result = factorize_volume(made.volume)
    row = {**about, **compared(made, result)}
    row["seconds"] = time.perf_counter() - started
    row["processor_seconds"] = time.process_time() - busy
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row["choices"] = {k: v for k, v in result.choices.items() if k != "support_scores"}
    return row, result


def _show(table: Table, row: dict[str, Any], unit: str) -> None:
    table.add_row(
        f"{row['counts']:g}",
        f"{row['rms_alpha']:.6f}",
        f"{row['pull']:.2f}",
        f"{row['form_factor_measured']:.4f}",
        f"{row['form_factor_missing']:.3f}",
        f"{row['choices']['support']:.1f}",
        f"{row['seconds']:.0f}",
        unit,
    )


def picture(path: Path, made: SimulatedVolume, result: VolumeFactorization) -> None:
    """Central layer hk0 of data, factors and truth, as an image file."""
    from dsfunet_core.plots import new_figure, png

    layer = made.volume.shape[2] // 2
    data = np.asarray(made.volume.intensity)[:, :, layer]
    sro = result.sro_volume()[:, :, layer]
    panels = {
        "I (measured)": data,
        "F": result.form_factor[:, :, layer],
        "S": sro,
        "(I − F·S) / √(F·S)": result.residual()[:, :, layer]
        / np.sqrt(np.maximum(result.product()[:, :, layer], 1e-3)),
        "F, true": made.form_factor[:, :, layer],
        "S, true": made.sro[:, :, layer],
    }
    figure = new_figure(10.5, 7.0)
    axes = figure.subplots(2, 3)
    bright = {"F": "F, true", "S": "S, true"}
    edge = abs(float(made.volume.origin[0]))
    for ax, (title, values) in zip(axes.flat, panels.items(), strict=True):
        reference = panels[bright.get(title, title)]
        high = float(np.nanquantile(reference, 0.995))
        signed = title.startswith("(")
        low = -4.0 if signed else 0.0
        shown = ax.imshow(
            values.T,
            origin="lower",
            extent=(-edge, edge, -edge, edge),
            cmap="RdBu_r" if signed else "viridis",
            vmin=low,
            vmax=4.0 if signed else high,
        )
        ax.set_title(title)
        ax.set_facecolor("0.8")
        figure.colorbar(shown, ax=ax, shrink=0.8)
    for ax in axes[1]:
        ax.set_xlabel("h")
    for ax in axes[:, 0]:
        ax.set_ylabel("k")
    path.write_bytes(png(figure))
