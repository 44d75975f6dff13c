"""Bragg peaks in every cell: what the grown masks remove, what they cost, what is left in α."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dsfunet_core import ReciprocalPlane, factorize, mask_bragg, refine_sro
from dsfunet_core.simulate.crystals import VALIDATION, random_crystal
from dsfunet_core.simulate.measurements import random_measurement
from dsfunet_core.simulate.planes import SimulatedPlane, level_section, simulate_plane

#: First number of every plane's seed.
SEED = 20240517
#: Mean diffuse counts a pixel.
COUNTS = 20.0
#: Heights over the mean of the diffuse scattering; widths (standard deviation) in pixels.
HEIGHTS, WIDTHS = (1.0, 1000.0), (0.6, 1.5)
#: Pixels along the shorter edge of a reciprocal cell.
CELL = (15.0, 24.0)
#: A pixel is diffuse if the peaks put less than this fraction of its noise into it.
DIFFUSE = 0.1
#: Asked for: removed at least, lost at most, bias over σ at most.
REQUIRED = {"removed": 0.99, "lost": 0.03, "bias": 1.0}


@dataclass(frozen=True)
class PeakedPlane:
    """Counts with and without peaks, and what was expected."""

    simulated: SimulatedPlane
    with_peaks: ReciprocalPlane
    without: ReciprocalPlane
    diffuse: np.ndarray
    peaks: np.ndarray


def gaussian_peaks(
    plane: ReciprocalPlane, rng: np.random.Generator, heights: tuple, widths: tuple
) -> np.ndarray:
    """Peaks at every lattice point: heights and widths even in their logarithms.

    Ellipses whose long axis is up to 1.5 times the short one, in any direction, up to a
    third of a pixel off their positions.
    """
    lattice = plane.lattice
    rows, columns = plane.shape
    corners = np.array([[r, c] for r in (0, rows) for c in (0, columns)])
    indices = (corners - lattice.origin) @ np.linalg.inv(lattice.basis).T
    low, high = np.floor(indices.min(axis=0)).astype(int), np.ceil(indices.max(axis=0))
    grid = np.mgrid[low[0] : int(high[0]) + 1, low[1] : int(high[1]) + 1].reshape(2, -1).T
    image = np.zeros(plane.shape)
    y, x = np.mgrid[:rows, :columns]
    for centre in grid @ lattice.basis.T + lattice.origin:
        height = np.exp(rng.uniform(*np.log(heights)))
        width = np.exp(rng.uniform(*np.log(widths)))
        ratio, turn = rng.uniform(1, 1.5), rng.uniform(0, np.pi)
        row, column = centre + rng.uniform(-1 / 3, 1 / 3, size=2)
        r0, c0, reach = int(row), int(column), int(8 * width * ratio) + 2
        part = (
            slice(max(r0 - reach, 0), max(r0 + reach + 1, 0)),
            slice(max(c0 - reach, 0), max(c0 + reach + 1, 0)),
        )
        dy, dx = y[part] - row, x[part] - column
        along, across = (
            np.cos(turn) * dx + np.sin(turn) * dy,
            np.cos(turn) * dy - np.sin(turn) * dx,
        )
        squared = (along / ratio) ** 2 + across**2
        image[part] += height * np.exp(-squared / (2 * width**2))
    return image


def peaked_plane(index: int, counts: float = COUNTS) -> PeakedPlane:
    """A random crystal's plane of integer level with dead zones, peaks and Poisson noise."""
    rng = np.random.default_rng([SEED, index])
    while True:
        crystal = random_crystal(rng, VALIDATION)
        axis, level = int(rng.integers(3)), int(rng.integers(1, 4))
        cell = crystal.cell
        edges = np.delete(np.array([cell.a, cell.b, cell.c]), axis)
        size, pixels = 256, rng.uniform(*CELL)
        q_max = size / 2 * (2 * np.pi / edges.max()) / pixels
        simulated = simulate_plane(crystal, level_section(axis, level), size=size, q_max=q_max)
        if simulated.plane.intensity.min() >= 0 and simulated.plane.intensity.max() > 0:
            break
    plane = simulated.plane
    valid = random_measurement(rng, plane.q(), coverage=(0.7, 0.95))[0]
    diffuse = plane.intensity * counts / plane.intensity[valid].mean()
    peaks = counts * gaussian_peaks(plane, rng, HEIGHTS, WIDTHS)
    seen, extra = rng.poisson(diffuse), rng.poisson(peaks)
    return PeakedPlane(
        simulated,
        plane.replace(intensity=(seen + extra).astype(float), valid=valid),
        plane.replace(intensity=seen.astype(float), valid=valid),
        diffuse,
        peaks,
    )


def masked_figures(made: PeakedPlane, masked: ReciprocalPlane) -> dict[str, float]:
    """Fraction of the peaks' intensity removed, and of the pixels lost."""
    measured = made.with_peaks.valid
    out = measured & ~masked.valid
    diffuse = measured & (made.peaks < DIFFUSE * np.sqrt(made.diffuse + 1))
    return {
        "removed": float(made.peaks[out].sum() / made.peaks[measured].sum()),
        "lost": float((out & diffuse).sum() / diffuse.sum()),
        "out": float(out.sum() / measured.sum()),
        "peaked": float(1 - diffuse.sum() / measured.sum()),
        "left": float(made.peaks[masked.valid].sum() / made.diffuse[masked.valid].sum()),
    }


def refined(plane: ReciprocalPlane) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """α, σ and in-plane indices of the vectors."""
    fit = refine_sro(factorize(plane))
    vectors = np.array([orbit.representative for orbit in fit.orbits])
    indices = [tuple(u) for u in plane.lattice.plane_indices(vectors).tolist()]
    return fit.alpha, fit.sigma, indices


def true_alpha(simulated: SimulatedPlane, indices: list[tuple[int, int]]) -> np.ndarray:
    """Parameters that the plane was made with, scaled as the plane determines them."""
    c = simulated.coefficients
    mean = np.real(c[(0, 0)])
    return np.array([np.real(c.get(u, c.get((-u[0], -u[1]), 0))) / mean for u in indices])


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def run(console: Console, n: int = 24) -> dict[str, Any]:
    """Mask and refine ``n`` planes and print what came of it."""
    rows = []
    for index in track(range(n), description="planes with peaks", transient=True):
        made = peaked_plane(index)
        masked = mask_bragg(made.with_peaks)
        figures = masked_figures(made, masked)
        alpha, sigma, indices = refined(masked)
        # The same pixels and counts, but for those of the peaks.
        clean, _, _ = refined(made.without.replace(valid=masked.valid))
        bare, bare_sigma, _ = refined(made.without)
        truth = true_alpha(made.simulated, indices)
        figures["bias"] = rms((alpha - clean) / sigma)
        figures["pull"] = rms((alpha - truth) / sigma)
        figures["pull_without_peaks"] = rms((bare - truth) / bare_sigma)
        figures["sigma"] = float(np.median(sigma))
        figures["sigma_without_peaks"] = float(np.median(bare_sigma))
        figures["error"] = rms(alpha - truth)
        bragg, _, _ = refined(made.with_peaks)
        figures["error_unmasked"] = rms(bragg - truth)
        rows.append(figures)
    table = Table(title=f"Bragg peaks in every cell of {n} planes, {COUNTS:g} counts a pixel")
    for column in ("", "median", "mean", "worst", "required"):
        table.add_column(column, justify="left" if not column else "right")
    labels = {
        "removed": "peak intensity removed",
        "lost": "diffuse pixels lost",
        "out": "measured pixels masked",
        "peaked": "measured pixels with peak in them",
        "left": "peak left over, of the diffuse",
        "bias": "bias of α by what is left, over σ",
        "pull": "α − truth, over σ",
        "pull_without_peaks": "the same, never any peaks",
        "error": "α − truth",
        "error_unmasked": "α − truth, peaks not masked",
        "sigma": "σ(α)",
        "sigma_without_peaks": "σ(α), never any peaks",
    }
    for name, label in labels.items():
        values = np.array([row[name] for row in rows])
        worst = values.min() if name == "removed" else values.max()
        table.add_row(
            label,
            *(f"{x:.4f}" for x in (np.median(values), values.mean(), worst)),
            f"{REQUIRED[name]:g}" if name in REQUIRED else "",
        )
    console.print(table)
    return {"planes": rows}
