"""Pictures of scans and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.frames import plane_frame
from dsfunet_core.overview import display_range
from dsfunet_core.plots import INTENSITY, RESIDUAL, draw_image, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dsfunet_core.structures.compare import Comparison, Target
    from dsfunet_core.structures.scan import Scan

__all__ = ["comparison_axes", "comparison_figure", "scan_axes", "scan_figure"]


def scan_axes(axes: Axes, found: Scan) -> None:
    """Draw agreement against angle, with the minima and their uncertainties.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    found : Scan
        What to draw.
    """
    axes.plot(found.values, found.mse, "-", color="#4c2a85", lw=1.8)
    for number, minimum in enumerate(found.minima):
        colour = "#b5121b" if number == 0 else "#777777"
        axes.axvspan(
            minimum.value - minimum.sigma,
            minimum.value + minimum.sigma,
            color=colour,
            alpha=0.25,
        )
        axes.plot([minimum.value], [minimum.mse], "o", color=colour, ms=5)
    lines = [
        f"{'minimum' if number == 0 else 'another'}: {minimum.value:.2f} ± "
        f"{minimum.sigma:.2f}{found.move.unit}"
        for number, minimum in enumerate(found.minima)
    ]
    axes.text(
        0.5, 0.97, "\n".join(lines), transform=axes.transAxes, ha="center", va="top",
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "0.8"},
    )  # fmt: skip
    axes.set_xlabel(f"{found.move.name} [{found.move.unit}]")
    axes.set_ylabel("mean square error, images on [−1, 1]")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def scan_figure(found: Scan, *, size: float = 7.0) -> Figure:
    """Agreement against angle.

    Parameters
    ----------
    found : Scan
        What to draw.
    size : float
        Width [inches].

    Returns
    -------
    Figure
        For `dsfunet_core.plots.png`.
    """
    figure = new_figure(size, 0.62 * size)
    scan_axes(figure.subplots(), found)
    return figure


def comparison_axes(
    axes: Sequence[Axes], target: Target, found: Comparison, titles: Sequence[str]
) -> None:
    """Draw what was measured, what was calculated, and the difference.

    Parameters
    ----------
    axes : sequence of matplotlib.axes.Axes
        Three.
    target : Target
        What was measured.
    found : Comparison
        What was calculated.
    titles : sequence of str
        Of the three.
    """
    frame = plane_frame(target.plane)
    live = target.weight > 0
    measured = np.where(live, target.intensity, np.nan)
    top = display_range(measured, high=99.7)[1]
    width = max(float(np.nanpercentile(np.abs(found.difference), 99)), 0.05 * top)
    for panel, image, colours, limits, title in zip(
        axes,
        (measured, found.calculated, found.difference),
        (INTENSITY, INTENSITY, RESIDUAL),
        ((0.0, top), (0.0, top), (-width, width)),
        titles,
        strict=True,
    ):
        drawn = draw_image(panel, image, frame, cmap=colours, limits=limits)
        figure = panel.get_figure()
        assert figure is not None
        figure.colorbar(drawn, ax=panel, shrink=0.8)
        panel.set_title(title, fontsize=10)


def comparison_figure(target: Target, found: Comparison, *, size: float = 12.0) -> Figure:
    """Measured, calculated and difference beside each other.

    Parameters
    ----------
    target : Target
        What was measured.
    found : Comparison
        What was calculated.
    size : float
        Width [inches].

    Returns
    -------
    Figure
        For `dsfunet_core.plots.png`.
    """
    figure = new_figure(size, 0.32 * size)
    titles = ("measured", f"calculated, R = {found.r_factor:.3f}", "difference")
    comparison_axes(figure.subplots(1, 3, sharey=True), target, found, titles)
    return figure
