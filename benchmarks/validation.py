"""Accuracy of the factorizers on simulated planes whose factors are known."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.partial import Partial
from dsfunet_core.evaluate import EvaluationSet
from dsfunet_core.factorization import Factorization, factorize
from dsfunet_core.factorization.lattice_points import same_lattice
from dsfunet_core.metrics import mean_squared_error, summary
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
    ("hybrid", 0.0): {"sro": 3e-4, "form_factor": 3e-3},
    ("hybrid", 5.0): {"sro": 1.5e-3, "form_factor": 0.015},
    ("hybrid, blind", 0.0): {"sro": 3e-3, "form_factor": 5e-3},
    ("hybrid, blind", 5.0): {"sro": 0.015, "form_factor": 0.025},
}
SECONDS = {"lattice": 4.0}
#: What is kept of a plane's description: the table is split by it.
DESCRIBED = ("molecules", "extent", "cell", "axis", "level", "coverage")


def validation_plane(i: int, counts: float) -> SimulatedPlane:
    """Plane ``i`` of the validation set, with ``counts`` counts per pixel."""
    rng = np.random.default_rng([SEED, i])
    plane = random_plane(rng, VALIDATION)
    return add_counting_noise(plane, counts, rng) if counts else plane


def validation_planes(n: int, counts: float) -> list[SimulatedPlane]:
    """The first ``n`` planes of the validation set, with ``counts`` counts per pixel."""
    steps = track(range(n), description=f"simulating {n} planes", transient=True)
    return [validation_plane(i, counts) for i in steps]


def as_set(planes: list[SimulatedPlane]) -> EvaluationSet:
    """Stack simulated planes into a set as ``dsfunet evaluate`` reads it."""
    return EvaluationSet(
        intensity=np.stack([p.plane.intensity for p in planes]),
        valid=np.stack([p.plane.valid for p in planes]),
        form_factor=np.stack([p.form_factor for p in planes]),
        sro=np.stack([p.sro for p in planes]),
        basis=np.stack([p.plane.lattice.basis for p in planes]),
    )


def run(
    n: int,
    counts: float,
    console: Console,
    method: str = "lattice",
    *,
    blind: bool = False,
    first: int = 0,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Measure a method at one noise level and print its table.

    Planes ``first`` to ``n - 1`` are measured. Figures are kept plane by plane in
    ``folder``: a run that was stopped goes on, and the table has all that are there.
    """
    name = f"validation-{method}{'-blind' if blind else ''}-{counts:g}.jsonl"
    partial = Partial(None if folder is None else folder / name)
    for i in track(range(first, n), description="factorizing", transient=True):
        if i not in partial.done:
            partial.add(i, measure(validation_plane(i, counts), method, blind))
    return summarize(partial.first(n), counts, console, method, blind)


def measure(known: SimulatedPlane, method: str, blind: bool) -> dict[str, Any]:
    """Factorize one plane as a user would, and hold the factors against the truth.

    The lattice is known as it is to a user, with the level of the plane; blind, nothing is
    known but the pixels.
    """
    plane = known.plane
    if blind:
        plane = plane.replace(cell=None, origin=None, steps=None)
    started = time.perf_counter()
    result = factorize(plane, method, errors=False)
    extra = {"seconds": round(time.perf_counter() - started, 2)}
    extra |= {key: known.description[key] for key in DESCRIBED}
    if blind:
        extra |= _verdict(result, known)
    pairs = {
        "sro": (result.sro, known.sro, None),
        "form_factor": (result.form_factor, known.form_factor, None),
        "form_factor_measured": (result.form_factor, known.form_factor, plane.valid),
    }
    figures = {name: float(f"{mean_squared_error(*p):.3g}") for name, p in pairs.items()}
    return {"figures": figures, "description": extra}


def _verdict(result: Factorization, known: SimulatedPlane) -> dict[str, Any]:
    """Whether the lattice was found, and was right, and how much of it the order shows."""
    found = result.choices.get("lattice_from") == "search"
    right = found and same_lattice(
        np.linalg.inv(result.lattice.basis).T, known.plane.lattice.direct_basis
    )
    return {
        "lattice_right": right,
        "lattice_wrong": found and not right,
        "contrast": contrast(known.coefficients),
    }


def contrast(coefficients: dict[tuple[int, int], complex]) -> float:
    """Standard deviation of the order that is not on its strongest row of lattice points."""
    rows: dict[tuple[int, int], float] = {}
    for u, c in coefficients.items():
        if u != (0, 0):
            n = int(np.gcd(*u))
            along = (u[0] // n, u[1] // n)
            along = max(along, (-along[0], -along[1]))
            rows[along] = rows.get(along, 0.0) + abs(c) ** 2
    return float(np.sqrt(sum(rows.values()) - max(rows.values())))


def summarize(
    entries: list[dict[str, Any]],
    counts: float,
    console: Console,
    method: str,
    blind: bool = False,
) -> dict[str, Any]:
    """Print the table of what was measured so far."""
    planes = {
        key: [entry["figures"][key] for entry in entries] for key in entries[0]["figures"]
    }
    descriptions = [entry["description"] for entry in entries]
    result: dict[str, Any] = {
        "n": len(entries),
        "mse": {key: summary(values) for key, values in planes.items()},
        "seconds_per_plane": float(np.mean([d["seconds"] for d in descriptions])),
        "planes": planes,
    }
    title = f"{method}{', blind' if blind else ''}"
    noise = f"{counts:g} counts per pixel" if counts else "noise-free"
    table = Table(
        title=f"{title}, {len(entries)} planes, {noise}: mean square error, scaled to [−1, 1]"
    )
    for column in ("", "mean", "median", "90 %", "worst", "required mean"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("sro", "form_factor", "form_factor_measured"):
        values = result["mse"][name]
        required = REQUIRED.get((title, counts), {}).get(name)
        table.add_row(
            name,
            *(f"{values[k]:.2e}" for k in ("mean", "median", "p90")),
            f"{max(planes[name]):.2e}",
            "–" if required is None else f"{required:.1e}",
        )
    seconds = f"{result['seconds_per_plane']:.2f}"
    allowed = f"{SECONDS[method]:g}" if method in SECONDS else "–"
    table.add_row("seconds a plane", seconds, "", "", "", allowed)
    if blind:
        for key in ("lattice_right", "lattice_wrong"):
            result[key] = float(np.mean([d[key] for d in descriptions]))
            table.add_row(key.replace("_", " found "), f"{result[key]:.1%}", "", "", "", "")
    commits = Counter(entry.get("commit", "unknown") for entry in entries)
    table.add_row("commits", ", ".join(f"{name} ({k})" for name, k in commits.items()))
    console.print(table)
    console.print(_split(descriptions, result))
    result["planes"]["description"] = descriptions
    return result


def _split(descriptions: list[dict[str, Any]], result: dict[str, Any]) -> Table:
    """Means by kind of disorder, coverage and size of the molecule in its cell."""
    table = Table(title="the same, split (means)")
    for column in ("planes", "n", "sro", "form factor, measured", "form factor, whole"):
        table.add_column(column, justify="right")

    def size(d: dict[str, Any]) -> str:
        ratio = d["extent"] / min(np.delete(d["cell"][:3], d["axis"]))
        if ratio < 0.6:
            return "small in a large cell (< 0.6 of every axis)"
        return "longer than the shortest axis" if ratio > 1 else "0.6–1 of the shortest axis"

    groups = {
        "A and B": lambda d: fragment(d["molecules"][0]).group,
        "measured": lambda d: "40–50 %" if d["coverage"] < 0.5 else (
            "50–60 %" if d["coverage"] < 0.6 else (
                "60–80 %" if d["coverage"] < 0.8 else "80–97 %"
            )
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
