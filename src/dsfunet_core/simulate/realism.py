"""What a measurement adds to the product: noise, damping, background, Bragg remnants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.form_factors import molecular_form_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.simulate.planes import SimulatedPlane

__all__ = ["Realism", "add_counting_noise", "disturbed", "random_realism"]


@dataclass(frozen=True)
class Realism:
    """Disturbances of a plane that the paper's simulation leaves out.

    Parameters
    ----------
    debye_waller : float
        D_w [Å²] of eq. (13): I_FF is damped by exp(−D_w Q²), in the truth, too.
    displacement : float
        Root mean square displacement of whole molecules along any direction [Å],
        independent of each other and of the order: the product is damped by exp(−u²Q²) and
        (1 − exp(−u²Q²)) ⟨|F|²⟩ is added.
    background : float
        Mean of a smooth background, in units of the plane's mean intensity.
    bragg : float
        Height of leftover Bragg peaks (σ 1 pixel), in units of the plane's mean; on
        levels that are not integers there are none.
    counts : float
        Mean counts per measured pixel; 0 for no noise.
    """

    debye_waller: float = 0.0
    displacement: float = 0.0
    background: float = 0.0
    bragg: float = 0.0
    counts: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value >= 0):
                raise ParameterError(f"{name} = {value}: give a number, 0 or more.")


def random_realism(rng: np.random.Generator) -> Realism:
    """Draw disturbances as measurements have them; each is absent from half the planes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Realism
        D_w up to 0.05 Å², displacements to 0.15 Å, background to a fifth and Bragg
        remnants to five times the mean, 0.5 to 200 counts a pixel.
    """

    def perhaps(value: float) -> float:
        return value if rng.random() < 0.5 else 0.0

    return Realism(
        debye_waller=perhaps(rng.uniform(0, 0.05)),
        displacement=perhaps(rng.uniform(0, 0.15)),
        background=perhaps(rng.uniform(0, 0.2)),
        bragg=perhaps(rng.uniform(0, 5)),
        counts=perhaps(float(np.exp(rng.uniform(np.log(0.5), np.log(200))))),
    )


def disturbed(
    simulated: SimulatedPlane, realism: Realism, rng: np.random.Generator
) -> SimulatedPlane:
    """Plane with disturbances; the truth follows where it is still a product.

    Parameters
    ----------
    simulated : SimulatedPlane
        Noise-free plane.
    realism : Realism
        What to add.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    SimulatedPlane
        Its I_FF is the one that multiplies I_SRO, damped and scaled to counts.
    """
    plane = simulated.plane
    form_factor = simulated.form_factor
    extra = np.zeros(plane.shape)
    if realism.debye_waller or realism.displacement:
        q2 = plane.q_norm() ** 2
        damping = np.exp(-realism.debye_waller * q2)
        if realism.displacement:
            crystal = simulated.crystal
            mean = sum(
                m * np.abs(molecular_form_factor(molecule, plane)) ** 2
                for m, molecule in (
                    (crystal.concentration, crystal.mol_a),
                    (1 - crystal.concentration, crystal.mol_b),
                )
            )
            moved = np.exp(-(realism.displacement**2) * q2)
            extra = extra + damping * (1 - moved) * mean
            damping = damping * moved
        form_factor = form_factor * damping
    clean = form_factor * simulated.sro
    seen = plane.valid
    mean_intensity = float(clean[seen].mean()) if seen.any() else float(clean.mean())
    if realism.background:
        extra = extra + realism.background * mean_intensity * _background(plane.shape, rng)
    if realism.bragg:
        extra = extra + realism.bragg * mean_intensity * _bragg_peaks(plane, rng)
    result = replace(
        simulated,
        plane=plane.replace(intensity=np.where(seen, clean + extra, 0)),
        form_factor=form_factor,
        description={**simulated.description, "realism": vars(realism)},
    )
    return add_counting_noise(result, realism.counts, rng) if realism.counts else result


def _background(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth and positive, mean 1: a broad hump and a slope, as air scatter leaves."""
    row, column = (np.linspace(-1, 1, n) for n in shape)
    y, x = row[:, None], column[None, :]
    y0, x0 = rng.uniform(-0.5, 0.5, size=2)
    hump = np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * rng.uniform(0.3, 1.0) ** 2))
    slope = 1 + 0.5 * (rng.uniform(-1, 1) * y + rng.uniform(-1, 1) * x)
    background = slope + rng.uniform(0, 3) * hump
    return np.asarray(background / background.mean())


def _bragg_peaks(plane: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussians (σ 1 pixel) at the reciprocal-lattice points of an integer level."""
    lattice = plane.lattice
    peaks = np.zeros(plane.shape)
    if not np.allclose(lattice.offset, np.rint(lattice.offset), atol=1e-6):
        return peaks
    corners = np.array([[r, c] for r in (0, plane.shape[0]) for c in (0, plane.shape[1])])
    indices = (corners - lattice.origin) @ np.linalg.inv(lattice.basis).T
    low, high = (
        np.floor(indices.min(axis=0)).astype(int),
        np.ceil(indices.max(axis=0)).astype(int),
    )
    grid = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1].reshape(2, -1).T
    for row, column in grid @ lattice.basis.T + lattice.origin:
        height = rng.exponential()
        r0, c0 = int(np.floor(row)) - 4, int(np.floor(column)) - 4
        rows = np.arange(max(r0, 0), min(r0 + 10, plane.shape[0]))
        columns = np.arange(max(c0, 0), min(c0 + 10, plane.shape[1]))
        if len(rows) and len(columns):
            spot = np.exp(-((rows[:, None] - row) ** 2 + (columns - column) ** 2) / 2)
            peaks[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += height * spot
    return peaks


def add_counting_noise(
    simulated: SimulatedPlane, counts_per_pixel: float, rng: np.random.Generator
) -> SimulatedPlane:
    """Poisson noise at a given mean number of counts per measured pixel.

    Parameters
    ----------
    simulated : SimulatedPlane
        Noise-free plane.
    counts_per_pixel : float
        Mean counts over the valid pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    SimulatedPlane
        With integer counts as intensity and the truth scaled to counts.
    """
    plane = simulated.plane
    scale = counts_per_pixel / plane.intensity[plane.valid].mean()
    counts = rng.poisson(np.maximum(plane.intensity * scale, 0)).astype(float)
    return replace(
        simulated,
        plane=plane.replace(intensity=np.where(plane.valid, counts, 0.0)),
        form_factor=simulated.form_factor * scale,
        description={**simulated.description, "counts_per_pixel": counts_per_pixel},
    )
