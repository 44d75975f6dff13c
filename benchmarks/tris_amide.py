"""Recovery of the benchmark crystal's Warren–Cowley parameters, and honesty of their errors."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import dsfunet_core as ds
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate import tris_amide

#: Required: rms error of the 15 α noise-free and at 5 counts, and the range of the
#: standard deviation of (estimate − truth)/σ over noise seeds.
REQUIRED_RMS = {0.0: 0.0003, 5.0: 0.0015}
REQUIRED_PULL = (0.7, 1.4)


def estimate(plane: ReciprocalPlane) -> tuple[np.ndarray, np.ndarray]:
    """The 15 α and their σ, as a user gets them."""
    fit = ds.refine_sro(ds.factorize(plane), laue_class="6/m", shells=5)
    order = [tuple(orbit.representative) for orbit in fit.orbits]
    position = [order.index(v) for v in tris_amide.YELL_ALPHA]
    return np.asarray(fit.alpha)[position], np.asarray(fit.sigma)[position]


def run(seeds: int, console: Console) -> dict[str, Any]:
    """Noise-free recovery, then ``seeds`` noise realisations at 5 counts per pixel."""
    plane, intensity = tris_amide.benchmark_plane()
    truth = np.array(list(tris_amide.YELL_ALPHA.values()))
    started = time.perf_counter()
    alpha, _ = estimate(plane.replace(intensity=intensity))
    exact = float(np.sqrt(np.mean((alpha - truth) ** 2)))
    seconds = time.perf_counter() - started
    scale = 5 / intensity[plane.valid].mean()
    estimates, sigmas = [], []
    for seed in track(range(seeds), description="noise realisations", transient=True):
        counts = np.random.default_rng(seed).poisson(intensity * scale).astype(float)
        alpha, sigma = estimate(plane.replace(intensity=counts))
        estimates.append(alpha)
        sigmas.append(sigma)
    error = np.array(estimates) - truth
    pull = (error / np.array(sigmas)).std(axis=0, ddof=1)
    rms = np.sqrt((error**2).mean(axis=1))
    table = Table(title=f"tris-amide hk1, {plane.valid.mean():.0%} measured, D_w = 0.03 Å²")
    for column in ("", "measured", "required"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("rms error of 15 α, noise-free", f"{exact:.1e}", f"{REQUIRED_RMS[0.0]:g}")
    table.add_row(
        f"rms error of 15 α, 5 counts, {seeds} seeds",
        f"{rms.mean():.5f}",
        f"{REQUIRED_RMS[5.0]:g}",
    )
    table.add_row("worst seed", f"{rms.max():.5f}", "")
    table.add_row(
        "σ of (estimate − truth)/σ, smallest to largest",
        f"{pull.min():.2f} – {pull.max():.2f}",
        f"{REQUIRED_PULL[0]:g} – {REQUIRED_PULL[1]:g}",
    )
    table.add_row("seconds a plane, with errors", f"{seconds:.1f}", "")
    console.print(table)
    detail = Table(title="each α at 5 counts per pixel")
    for column in ("v", "truth", "mean estimate", "mean σ", "scatter", "pull σ"):
        detail.add_column(column, justify="right")
    for i, vector in enumerate(tris_amide.YELL_ALPHA):
        detail.add_row(
            str(vector).replace(" ", ""),
            f"{truth[i]:.4f}",
            f"{truth[i] + error[:, i].mean():.4f}",
            f"{np.mean(sigmas, axis=0)[i]:.4f}",
            f"{error[:, i].std(ddof=1):.4f}",
            f"{pull[i]:.2f}",
        )
    console.print(detail)
    return {
        "rms_noise_free": exact,
        "rms_5_counts": float(rms.mean()),
        "pull": pull.tolist(),
        "seeds": seeds,
        "seconds": seconds,
    }
