"""How wrong a network is on planes of each kind, kept on the card of its weights.

What a product leaves unexplained is known without the truth; how wrong the factors are is
not. On planes whose truth is known both are measured, and classes of the one with
quantiles of the other go with the weights. Half of the planes make the classes, the other
half tests them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dsfunet_core.metrics import mean_squared_error, unexplained
from dsfunet_core.network import weights
from dsfunet_core.network.inference import factorize_images
from dsfunet_core.plots import new_figure, png
from dsfunet_core.simulate.crystals import VALIDATION
from dsfunet_core.simulate.stream import plane_number

#: Seed of the planes: they are used for nothing else. A third is disturbed, as in training.
SEED, DISTURBED = 20241123, 0.35
#: Quantiles that bound the classes.
CLASSES = (0.25, 0.5, 0.75, 0.9, 1.0)
FACTORS = {"sro": "left", "form_factor": "coverage"}


def measure(n: int, name: str | None = None) -> dict[str, np.ndarray]:
    """Errors of both factors, share unexplained and coverage of ``n`` planes."""
    network = weights.load(name).network
    rows = []
    for i in track(range(n), description=f"factorizing {n} planes", transient=True):
        made = plane_number(SEED, i, VALIDATION, disturb=DISTURBED)
        intensity, valid = made.plane.intensity, made.plane.valid
        ((form_factor, sro),) = factorize_images(network, [intensity], [valid])
        rows.append(
            (
                mean_squared_error(sro, made.sro),
                mean_squared_error(form_factor, made.form_factor),
                unexplained(np.where(valid, intensity, 0), form_factor * sro, valid),
                valid.mean(),
            )
        )
    names = ("sro", "form_factor", "left", "coverage")
    return dict(zip(names, np.array(rows).T, strict=True))


def classes(measured: dict[str, np.ndarray], factor: str) -> list[dict[str, float]]:
    """Classes of what is known, with quantiles of the error."""
    known, errors = measured[FACTORS[factor]], measured[factor]
    edges = np.quantile(known, CLASSES)
    found, low = [], -np.inf
    for high in edges:
        inside = errors[(known > low) & (known <= high)]
        median, p90 = np.quantile(inside, (0.5, 0.9))
        found.append({"to": float(high), "median": float(median), "p90": float(p90)})
        low = high
    return found


def run(n: int, console: Console) -> dict[str, Any]:
    """Calibrate on half of the planes and test on the other half."""
    measured = measure(n)
    half = {k: v[::2] for k, v in measured.items()}, {k: v[1::2] for k, v in measured.items()}
    result: dict[str, Any] = {"n": n, "calibration": {}, "tested": {}}
    for factor in FACTORS:
        found = classes(half[0], factor)
        result["calibration"][factor] = found
        known, errors = half[1][FACTORS[factor]], half[1][factor]
        title = f"{factor}: classes of {FACTORS[factor]}, tested on {len(errors)} other planes"
        table = Table(title=title)
        for column in ("up to", "median", "90 %", "below the median", "below the 90 %"):
            table.add_column(column, justify="right")
        low, tested = -np.inf, []
        for one in found:
            last = one is found[-1]
            inside = errors[(known > low) & ((known <= one["to"]) | last)]
            shares = [float((inside < one[k]).mean()) for k in ("median", "p90")]
            tested.append(shares)
            table.add_row(
                f"{one['to']:.4g}", f"{one['median']:.2g}", f"{one['p90']:.2g}",
                *(f"{share:.0%}" for share in shares),
            )  # fmt: skip
            low = one["to"]
        result["tested"][factor] = tested
        console.print(table)
    return result


def keep(result: dict[str, Any], path: Path) -> None:
    """Write the classes on the card of some weights."""
    loaded = weights.load(path)
    card = {k: v for k, v in loaded.card.items() if k not in ("preset", "options")}
    card["calibration"] = result["calibration"]
    weights.save(path, loaded.network, loaded.card["preset"], card, overwrite=True)


def picture(measured: dict[str, np.ndarray], path: Path) -> None:
    """Errors against what is known, with the classes."""
    figure = new_figure(11.0, 4.2)
    labels = {"left": "share of the variance left unexplained", "coverage": "measured"}
    titles = {"sro": "I_SRO", "form_factor": "I_FF"}
    for axes, factor in zip(figure.subplots(1, 2), FACTORS, strict=True):
        known, errors = measured[FACTORS[factor]], measured[factor]
        axes.plot(known, errors, ".", ms=3, color="#4c2a85", alpha=0.4)
        low = known.min()
        for one in classes(measured, factor):
            axes.hlines(one["median"], low, one["to"], color="k", lw=2)
            axes.hlines(one["p90"], low, one["to"], color="#b5121b", lw=2)
            low = one["to"]
        axes.set_yscale("log")
        if factor == "sro":
            axes.set_xscale("log")
        axes.set_xlabel(labels[FACTORS[factor]])
        axes.set_ylabel(f"mean square error of {titles[factor]}")
        axes.set_title("black: median, red: 90 % below", fontsize=10)
    path.write_bytes(png(figure, dpi=100))
