"""Errors of both maps and of the order's coefficients over their σ on simulated planes."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from dsfunet_core.factorization import factorize
from dsfunet_core.simulate.crystals import VALIDATION
from dsfunet_core.simulate.planes import random_plane
from dsfunet_core.simulate.realism import add_counting_noise

#: First number of every plane's seed.
SEED = 31


def run(n: int, counts: float, method: str, console: Console) -> dict[str, list[float]]:
    """Root mean square of error/σ of every plane; median and range are printed."""
    names = ("C_u", "I_SRO", "I_FF, measured", "I_FF, dead zones")
    pulls: dict[str, list[float]] = {name: [] for name in names}
    for seed in track(range(n), description=f"{method}, {counts:g}", transient=True):
        rng = np.random.default_rng([SEED, seed])
        made = random_plane(rng, VALIDATION)
        if counts:
            made = add_counting_noise(made, counts, rng)
        result: Any = factorize(made.plane, method)
        mean = made.coefficients[(0, 0)].real
        valid = made.plane.valid
        found = result.coefficients
        true = np.array([made.coefficients.get(tuple(u), 0) for u in found.indices.tolist()])
        off = found.values - true / mean
        # Imaginary parts that are zero by symmetry have no σ.
        parts = ((off.real, found.sigma.real), (off.imag, found.sigma.imag))
        sro = (result.sro - made.sro / mean) / result.sro_sigma
        form_factor = (result.form_factor - made.form_factor * mean) / result.form_factor_sigma
        order = np.concatenate([x / s for x, s in parts if np.all(s > 0)])
        found_pulls = (order, sro, form_factor[valid], form_factor[~valid])
        for name, pull in zip(names, found_pulls, strict=True):
            pulls[name].append(float(np.sqrt(np.mean(pull**2))))
    noise = f"{counts:g} counts" if counts else "noise-free"
    for name, values in pulls.items():
        low, middle, high = np.percentile(values, [10, 50, 90])
        console.print(
            f"{method}, {noise}, {name}: {middle:.2f} (80 %: {low:.2f} to {high:.2f})"
        )
    return pulls
