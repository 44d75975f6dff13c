"""The paper's experimental example, redone with simulated data: Table 2 and Fig. 5."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.factorization import factorize
from dsfunet_core.io.files import replacing
from dsfunet_core.plots import new_figure, png
from dsfunet_core.refine import refine_sro
from dsfunet_core.refine.baselines import divide_by_average
from dsfunet_core.simulate import tris_amide
from dsfunet_core.structures.calculate import Amplitude
from dsfunet_core.structures.compare import Target, compare
from dsfunet_core.structures.figures import comparison_axes, scan_axes
from dsfunet_core.structures.model import tris_amide_model
from dsfunet_core.structures.moves import displaced, torsion
from dsfunet_core.structures.scan import Scan, scan

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization

__all__ = ["Column", "Reproduction", "reproduce", "write_reproduction"]

#: True angles of the tert-butyl groups [°], and those that are tried.
ANGLES = (0.0, -7.0, 16.0)
TRIED = np.arange(-60.0, 61.0)
#: What the molecule consists of.
COMPOSITION = {"C": 21, "H": 33, "N": 3, "O": 3}

Callback = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Column:
    """One column of Table 2.

    Parameters
    ----------
    title : str
        What it is.
    alpha : ndarray, shape (15,)
        Warren–Cowley parameters.
    sigma : ndarray, shape (15,), optional
        Standard uncertainties, where they are quoted.
    """

    title: str
    alpha: NDArray[np.float64]
    sigma: NDArray[np.float64] | None = None

    def rms(self, truth: NDArray[np.float64]) -> float:
        """Root mean square difference from other values."""
        return float(np.sqrt(np.mean((self.alpha - truth) ** 2)))


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Table 2 and the scans of Fig. 5(b), from simulated data.

    Parameters
    ----------
    columns : tuple of Column
        The first is the truth.
    scans : dict of float to (Scan, Scan)
        By true angle [°]: against the form factor, and against the scattering.
    result : Factorization
        Of the published structure (0°).
    """

    columns: tuple[Column, ...]
    scans: dict[float, tuple[Scan, Scan]]
    result: Factorization


def reproduce(
    *, counts: float = 5.0, seed: int = 0, callback: Callback | None = None
) -> Reproduction:
    """Simulate hk1 of the benchmark crystal, factorize it, and refine order and structure.

    Dead zones of a rotation, D_w = 0.03 Å², counting noise; true tert-butyl angles of 0°,
    −7° and +16°, the published structure and the two minima that the paper discusses.

    Parameters
    ----------
    counts : float
        Mean counts per measured pixel.
    seed : int
        Of the noise.
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    Reproduction
        Compared with the truth and with the published columns.
    """
    model = tris_amide_model()
    turn = torsion(model, ("N", "C4"))
    plane, _ = tris_amide.benchmark_plane()
    _, sro = tris_amide.simulate(plane)
    amplitude = Amplitude(plane, dtype=np.complex128)
    damping = np.exp(-0.03 * plane.q_norm() ** 2)
    scans: dict[float, tuple[Scan, Scan]] = {}
    results: list[Factorization] = []
    for number, angle in enumerate(ANGLES):
        if callback is not None:
            callback(number, len(ANGLES) + 1, f"tert-butyl groups at {angle:g}°")
        form_factor = np.abs(amplitude(displaced(model, [turn], [angle]))) ** 2 * damping
        clean = form_factor * sro
        clean *= counts / clean[plane.valid].mean()
        noisy = np.random.default_rng([seed, number]).poisson(clean).astype(float)
        result = factorize(plane.replace(intensity=noisy))
        targets = Target.form_factor(result), Target.scattering(result)
        first, second = (scan(target, model, turn, TRIED) for target in targets)
        scans[angle] = (first, second)
        results.append(result)
    if callback is not None:
        callback(len(ANGLES), len(ANGLES) + 1, "short-range order by every method")
    return Reproduction(_columns(results[0]), scans, results[0])


def _columns(result: Factorization) -> tuple[Column, ...]:
    def published(title: str, values: dict[tuple[int, int, int], float]) -> Column:
        return Column(title, np.array(list(values.values())))

    def refined(title: str, one: Factorization, errors: bool = True) -> Column:
        fit = refine_sro(one, laue_class=tris_amide.LAUE_CLASS, shells=5)
        order = [tuple(orbit.representative) for orbit in fit.orbits]
        place = [order.index(v) for v in tris_amide.YELL_ALPHA]
        sigma = np.asarray(fit.sigma)[place] if errors else None
        return Column(title, np.asarray(fit.alpha)[place], sigma)

    blind = factorize(result.plane, method="network")
    divided = divide_by_average(result.plane, COMPOSITION)
    return (
        published("truth", tris_amide.YELL_ALPHA),
        refined("lattice", result),
        refined("network", blind, errors=False),
        refined("division", divided, errors=False),
        published("published division", tris_amide.DIVISION_ALPHA),
        published("published DSFU-Net", tris_amide.DSFU_NET_ALPHA),
    )


def write_reproduction(
    folder: str | Path, found: Reproduction, *, overwrite: bool = False
) -> list[Path]:
    """Write the table, the figures and all numbers.

    Parameters
    ----------
    folder : path-like
        Made if missing.
    found : Reproduction
        What to write.
    overwrite : bool
        Whether files may be replaced.

    Returns
    -------
    list of Path
        ``table-2.csv``, ``figure-5.png``, ``scans.png`` and ``figures.json``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / n for n in ("table-2.csv", "figure-5.png", "scans.png", "figures.json")]
    with replacing(paths[0], overwrite=overwrite) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table_rows(found))
    for path, picture in ((paths[1], _figure_5(found)), (paths[2], _scans(found))):
        with replacing(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(png(picture))
    with replacing(paths[3], overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(_numbers(found), indent=1), encoding="utf-8")
    return paths


def table_rows(found: Reproduction) -> list[list[str]]:
    """Table 2 as text: a heading, a row an orbit, and the rms distance from the truth.

    Parameters
    ----------
    found : Reproduction
        What to show.
    """
    truth = found.columns[0].alpha
    rows = [["u v w", *(column.title for column in found.columns)]]
    for i, vector in enumerate(tris_amide.YELL_ALPHA):
        row = [" ".join(map(str, vector))]
        for column in found.columns:
            text = f"{column.alpha[i]:.4f}"
            row.append(text if column.sigma is None else f"{text} ± {column.sigma[i]:.4f}")
        rows.append(row)
    distances = ["rms from truth", "", *(f"{c.rms(truth):.4f}" for c in found.columns[1:])]
    return [*rows, distances]


def _figure_5(found: Reproduction) -> Figure:
    """Measured form factor, calculated one, difference: at 0° and at 60°."""
    model = tris_amide_model()
    turn = torsion(model, ("N", "C4"))
    target = Target.form_factor(found.result)
    figure = new_figure(12.0, 7.6)
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    damping = compare(target, model).debye_waller
    for row, angle in zip(axes, (0.0, 60.0), strict=True):
        fit = compare(target, displaced(model, [turn], [angle]), debye_waller=damping)
        titles = (
            "form factor found",
            f"calculated, tert-butyl at {angle:g}°: MSE {fit.mse:.2g}",
            "difference",
        )
        comparison_axes(row, target, fit, titles)
    return figure


def _scans(found: Reproduction) -> Figure:
    figure = new_figure(12.0, 3.8)
    for axes, (angle, pair) in zip(
        figure.subplots(1, len(found.scans), sharey=True), found.scans.items(), strict=True
    ):
        scan_axes(axes, pair[0])
        axes.axvline(angle, color="0.6", ls="--", lw=1)
        axes.set_title(f"true angle {angle:g}°", fontsize=10)
        axes.set_xlabel("tert-butyl rotation [°]")
    return figure


def _numbers(found: Reproduction) -> dict[str, object]:
    truth = found.columns[0].alpha
    return {
        "rms": {column.title: column.rms(truth) for column in found.columns[1:]},
        "scans": {
            f"{angle:g}": {
                name: {
                    "minima": [vars(minimum) for minimum in one.minima],
                    "mse at -60": float(one.mse[0]),
                    "mse at 60": float(one.mse[-1]),
                }
                for name, one in zip(("form factor", "scattering"), pair, strict=True)
            }
            for angle, pair in found.scans.items()
        },
    }
