"""Drawings of a refinement: maps of one reciprocal cell, α against distance, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.frames import map_frame
from dsfunet_core.plots import ORDER, RESIDUAL, even_range, new_figure, panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dsfunet_core.refine.alpha_table import AlphaByOrbit
    from dsfunet_core.refine.result import SroRefinement

__all__ = [
    "alpha_axes",
    "alpha_figure",
    "cell_figure",
    "cells_axes",
    "correlation_axes",
    "fit_figure",
    "spread_out",
]


def cells_axes(axes: Sequence[Axes], fit: SroRefinement) -> None:
    """One reciprocal cell: observed, calculated, difference.

    Parameters
    ----------
    axes : sequence of three matplotlib.axes.Axes
        Where.
    fit : SroRefinement
        What to draw.
    """
    frame = map_frame(fit.observed)
    both = np.concatenate([fit.observed.values.ravel(), fit.calculated.values.ravel()])
    top = float(np.nanmax(both)) if np.isfinite(both).any() else 1.0
    shades = (min(0.0, float(np.nanmin(both, initial=0.0))), top)
    difference = spread_out(fit.difference.values)
    panel(axes[0], spread_out(fit.observed.values), frame, "observed", ORDER, shades)
    panel(axes[1], fit.calculated.values, frame, "calculated", ORDER, shades)
    panel(axes[2], difference, frame, "difference", RESIDUAL, even_range(difference))
    for other in axes[1:]:
        other.set_ylabel("")


def cell_figure(fit: SroRefinement, *, size: float = 11.0) -> Figure:
    """One reciprocal cell: observed, calculated and difference, drawn oblique.

    Parameters
    ----------
    fit : SroRefinement
        What to draw.
    size : float
        Width of the figure [inch].
    """
    figure = new_figure(size, size * 0.3)
    cells_axes(list(figure.subplots(1, 3, sharey=True)), fit)
    return figure


def alpha_axes(
    axes: Axes,
    fit: AlphaByOrbit,
    *,
    reference: NDArray[np.float64] | None = None,
    label: str = "published",
) -> None:
    """α against the length of its vector, with error bars of one σ.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    fit : AlphaByOrbit
        What to draw: a refinement, or the factorization of a volume.
    reference : ndarray, shape (n,), optional
        Other values of α to compare with, NaN where unknown.
    label : str
        What to call them.
    """
    lengths = np.array([orbit.length for orbit in fit.orbits])
    x_label = "distance between the cells (Å)"
    if np.isnan(lengths).any():
        lengths, x_label = np.arange(1.0, len(lengths) + 1), "orbit, in the order of the table"
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    if reference is not None:
        axes.plot(
            lengths,
            reference,
            linestyle="none",
            marker="o",
            markersize=9,
            markerfacecolor="none",
            color="tab:orange",
            label=label,
        )
    axes.vlines(lengths, 0, fit.alpha, color="tab:blue", linewidth=1, alpha=0.3)
    axes.errorbar(
        lengths,
        fit.alpha,
        yerr=fit.sigma,
        linestyle="none",
        marker=".",
        markersize=6,
        color="tab:blue",
        capsize=2.5,
        linewidth=1,
        label="refined",
    )
    axes.set_xlabel(x_label)
    axes.set_ylabel("Warren–Cowley α")
    if reference is not None:
        axes.legend(frameon=False)


def alpha_figure(fit: AlphaByOrbit, *, size: float = 8.0, **options: Any) -> Figure:
    """α against distance as a figure of its own; options as in :func:`alpha_axes`."""
    figure = new_figure(size, size * 0.5)
    alpha_axes(figure.add_subplot(), fit, **options)
    return figure


def correlation_axes(axes: Axes, fit: SroRefinement) -> None:
    """Correlation matrix of the refined parameters, in the order of the table.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    fit : SroRefinement
        What to draw.
    """
    image = axes.imshow(fit.correlation, cmap=RESIDUAL, vmin=-1, vmax=1)
    labels = [orbit.label for orbit in fit.orbits]
    every = max(1, -(-len(labels) // 16))
    ticks = range(0, len(labels), every)
    axes.set_xticks(ticks, [labels[i] for i in ticks], rotation=90)
    axes.set_yticks(ticks, [labels[i] for i in ticks])
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=axes, label="correlation of two α")


def fit_figure(
    fit: SroRefinement,
    *,
    reference: NDArray[np.float64] | None = None,
    label: str = "published",
    size: float = 9.0,
) -> Figure:
    """Maps of one cell above α against distance.

    Parameters
    ----------
    fit : SroRefinement
        What to draw.
    reference : ndarray, shape (n,), optional
        Other values of α to compare with, NaN where unknown.
    label : str
        What to call them.
    size : float
        Width of the figure [inch].
    """
    figure = new_figure(size, size * 0.75)
    parts: Any = figure.subfigures(2, 1, height_ratios=(3, 4))
    above, below = parts
    cells_axes(list(above.subplots(1, 3, sharey=True)), fit)
    alpha_axes(below.subplots(), fit, reference=reference, label=label)
    return figure


def spread_out(values: NDArray) -> NDArray:
    """Map of a cell in which bins between samples show the nearest sample.

    Where a plane's grid has a whole number of pixels in a cell, its samples fall on few
    bins. Holes wider than the distance between samples stay empty.

    Parameters
    ----------
    values : ndarray, shape (n1, n2)
        NaN in empty bins.
    """
    from scipy.ndimage import distance_transform_edt

    filled = np.isfinite(values)
    if not filled.any() or filled.all():
        return values
    rows, columns = values.shape
    tiled = np.tile(values, (3, 3))
    distance, nearest = distance_transform_edt(~np.isfinite(tiled), return_indices=True)
    spacing = np.sqrt(values.size / filled.sum())
    near = np.where(distance <= 0.8 * spacing, tiled[tuple(nearest)], np.nan)
    return near[rows : 2 * rows, columns : 2 * columns]
