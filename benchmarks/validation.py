"""Accuracy of the factorizers on simulated planes whose factors are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dsfunet_core.evaluate import EvaluationSet, evaluate_set
from dsfunet_core.metrics import summary
from dsfunet_core.simulate.crystals import VALIDATION
from dsfunet_core.simulate.library import fragment
from dsfunet_core.simulate.planes import SimulatedPlane, random_plane
from dsfunet_core.simulate.realism import add_counting_noise

#: First number of every plane's seed: these planes are used for nothing else.
SEED = 20240131
#: Required means of the mean square error (paper's scale) by method and counts a pixel.
REQUIRED = {
    ("lattice", 0.0): {"sro": 5e-4, "form_factor_measured": 1e-3, "form_factor": 8e-3},
    ("lattice", 5.0): {"sro": 2e-3},
    ("network", 0.0): {"sro": 0.015, "form_factor": 0.006},
}
SECONDS = {"lattice": 4.0}


def validation_planes(n: int, counts: float) -> list[SimulatedPlane]:
    """The first ``n`` planes of the validation set, with ``counts`` counts per pixel."""
    planes = []
    for i in track(range(n), description=f"simulating {n} planes", transient=True):
        rng = np.random.default_rng([SEED, i])
        plane = random_plane(rng, VALIDATION)
        planes.append(add_counting_noise(plane, counts, rng) if counts else plane)
    return planes


def as_set(planes: list[SimulatedPlane]) -> EvaluationSet:
    """Stack simulated planes into a set as ``dsfunet evaluate`` reads it."""
    return EvaluationSet(
        intensity=np.stack([p.plane.intensity for p in planes]),
        valid=np.stack([p.plane.valid for p in planes]),
        form_factor=np.stack([p.form_factor for p in planes]),
        sro=np.stack([p.sro for p in planes]),
        basis=np.stack([p.plane.lattice.basis for p in planes]),
    )


def run(n: int, counts: float, console: Console, method: str = "lattice") -> dict[str, Any]:
    """Measure a method at one noise level and print its table."""
    planes = validation_planes(n, counts)
    steps = iter(track(range(n), description="factorizing", transient=True))
    next(steps)
    result = evaluate_set(as_set(planes), method=method, callback=lambda *_: next(steps, None))
    noise = f"{counts:g} counts per pixel" if counts else "noise-free"
    table = Table(
        title=f"{method}, {n} planes, {noise}: mean square error, images scaled to [−1, 1]"
    )
    for column in ("", "mean", "median", "90 %", "worst", "required mean"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("sro", "form_factor", "form_factor_measured"):
        values = result["mse"][name]
        required = REQUIRED.get((method, counts), {}).get(name)
        table.add_row(
            name,
            *(f"{values[k]:.2e}" for k in ("mean", "median", "p90")),
            f"{max(result['planes'][name]):.2e}",
            "–" if required is None else f"{required:.0e}",
        )
    seconds = f"{result['seconds_per_plane']:.2f}"
    allowed = f"{SECONDS[method]:g}" if method in SECONDS else "–"
    table.add_row("seconds a plane", seconds, "", "", "", allowed)
    console.print(table)
    console.print(_split(planes, result))
    result["planes"]["description"] = [p.description for p in planes]
    return result


def _split(planes: list[SimulatedPlane], result: dict[str, Any]) -> Table:
    """Means by kind of disorder, coverage and size of the molecule in its cell."""
    table = Table(title="the same, split (means)")
    for column in ("planes", "n", "sro", "form factor, measured", "form factor, whole"):
        table.add_column(column, justify="right")
    descriptions = [p.description for p in planes]

    def size(d: dict[str, Any]) -> str:
        ratio = d["extent"] / min(np.delete(d["cell"][:3], d["axis"]))
        return "longer than the shortest axis" if ratio > 1 else "shorter than every axis"

    groups = {
        "A and B": lambda d: fragment(d["molecules"][0]).group,
        "measured": lambda d: "40–60 %" if d["coverage"] < 0.6 else (
            "60–80 %" if d["coverage"] < 0.8 else "80–97 %"
        ),
        "molecule": size,
    }  # fmt: skip
    for title, key in groups.items():
        labels = [key(d) for d in descriptions]
        for label in sorted(set(labels)):
            members = [i for i, x in enumerate(labels) if x == label]
            row = [
                f"{summary([result['planes'][q][i] for i in members])['mean']:.1e}"
                for q in ("sro", "form_factor_measured", "form_factor")
            ]
            table.add_row(f"{title}: {label}", str(len(members)), *row)
        table.add_section()
    return table
