"""Drawings of planes, cells and parameters, in true oblique geometry.

Figures are made without pyplot, so that nothing global is touched: a caller embeds
them in a window, or turns them into PNG with :func:`png`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.frames import PlaneFrame, map_frame, plane_frame
from dsfunet_core.overview import display_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.refine.result import SroRefinement

__all__ = [
    "INTENSITY",
    "ORDER",
    "RESIDUAL",
    "alpha_axes",
    "alpha_figure",
    "cell_figure",
    "cells_axes",
    "draw_image",
    "factors_figure",
    "measured_figure",
    "new_figure",
    "plane_figure",
    "png",
]

#: Colour maps: intensities and form factors, short-range order, differences.
INTENSITY, ORDER, RESIDUAL = "inferno", "viridis", "RdBu_r"
#: Shade of pixels that were not measured.
UNMEASURED = "0.75"
#: Percentile drawn as the brightest shade in figures of single planes.
PICTURE_HIGH = 99.7


def draw_image(
    axes: Axes,
    values: NDArray,
    frame: PlaneFrame,
    *,
    cmap: str = INTENSITY,
    limits: tuple[float, float] | None = None,
) -> AxesImage:
    """Draw an array at its true place in Å⁻¹.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    values : ndarray, shape (n_rows, n_columns)
        NaN is drawn in grey.
    frame : PlaneFrame
        Where the pixels lie.
    cmap : str
        Colour map.
    limits : tuple of float, optional
        Values of the darkest and the brightest shade; a robust range when left out.

    Returns
    -------
    matplotlib.image.AxesImage
        What was drawn.
    """
    from matplotlib import colormaps
    from matplotlib.transforms import Affine2D

    rows, columns = values.shape
    low, high = display_range(values) if limits is None else limits
    # imshow counts columns first.
    matrix = frame.affine[:, [1, 0, 2]]
    image = axes.imshow(
        np.ma.masked_invalid(values),
        origin="lower",
        extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
        cmap=colormaps[cmap].with_extremes(bad=UNMEASURED),
        vmin=low,
        vmax=high,
        aspect="equal",
    )
    image.set_transform(Affine2D(matrix) + axes.transData)
    corners = frame.xy(
        np.array([-0.5, -0.5, rows - 0.5, rows - 0.5]),
        np.array([-0.5, columns - 0.5, -0.5, columns - 0.5]),
    )
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xlabel(frame.x_label)
    axes.set_ylabel(frame.y_label)
    return image


def plane_figure(plane: ReciprocalPlane, *, size: float = 6.0) -> Figure:
    """One plane as it was measured.

    Parameters
    ----------
    plane : ReciprocalPlane
        With or without a lattice.
    size : float
        Width of the figure [inch].
    """
    figure = new_figure(size, size * 0.85)
    axes = figure.add_subplot()
    values = np.where(plane.valid, plane.intensity, np.nan)
    frame = _frame_of(plane)
    shades = display_range(values, high=PICTURE_HIGH)
    _panel(axes, values, frame, plane.name, INTENSITY, (min(0.0, shades[0]), shades[1]))
    _zoom_to_measured([axes], plane, frame)
    return figure


def measured_figure(result: Factorization, *, size: float = 12.0) -> Figure:
    """Measured plane, product of the factors, and what is left, on common shades.

    Parameters
    ----------
    result : Factorization
        What to draw.
    size : float
        Width of the figure [inch].
    """
    frame = _frame_of(result.plane)
    measured = np.where(result.plane.valid, result.plane.intensity, np.nan)
    shades = (0.0, display_range(measured, high=PICTURE_HIGH)[1])
    figure = new_figure(size, size * 0.34)
    first, second, third = figure.subplots(1, 3, sharey=True)
    _panel(first, measured, frame, "measured", INTENSITY, shades)
    _panel(second, result.product, frame, "product of the two factors", INTENSITY, shades)
    _panel(
        third, result.residual, frame, "measured − product", RESIDUAL, _even(result.residual)
    )
    for axes in (second, third):
        axes.set_ylabel("")
    _zoom_to_measured([first, second, third], result.plane, frame)
    return figure


def factors_figure(result: Factorization, *, size: float = 10.0) -> Figure:
    """Form factor and short-range order beside each other.

    Parameters
    ----------
    result : Factorization
        What to draw.
    size : float
        Width of the figure [inch].
    """
    frame = _frame_of(result.plane)
    figure = new_figure(size, size * 0.45)
    first, second = figure.subplots(1, 2, sharey=True)
    seen = np.where(result.plane.valid, result.form_factor, np.nan)
    shades = (0.0, display_range(seen, high=PICTURE_HIGH)[1])
    _panel(first, result.form_factor, frame, "form factor", INTENSITY, shades)
    top = display_range(result.sro, high=99.9)[1]
    _panel(second, result.sro, frame, "short-range order", ORDER, (0.0, top))
    second.set_ylabel("")
    _zoom_to_measured([first, second], result.plane, frame)
    return figure


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
    difference = _spread_out(fit.difference.values)
    _panel(axes[0], _spread_out(fit.observed.values), frame, "observed", ORDER, shades)
    _panel(axes[1], fit.calculated.values, frame, "calculated", ORDER, shades)
    _panel(axes[2], difference, frame, "difference", RESIDUAL, _even(difference))
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
    fit: SroRefinement,
    *,
    reference: NDArray[np.float64] | None = None,
    label: str = "published",
) -> None:
    """α against the length of its vector, with error bars of one σ.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    fit : SroRefinement
        What to draw.
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


def png(figure: Figure, *, dpi: int = 130) -> bytes:
    """Figure as PNG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any.
    dpi : int
        Pixels per inch.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    return buffer.getvalue()


def alpha_figure(fit: SroRefinement, *, size: float = 8.0, **options: Any) -> Figure:
    """α against distance as a figure of its own; options as in :func:`alpha_axes`."""
    figure = new_figure(size, size * 0.5)
    alpha_axes(figure.add_subplot(), fit, **options)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """Empty figure that no window shows.

    Parameters
    ----------
    width, height : float
        Inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _panel(
    axes: Axes,
    values: NDArray,
    frame: PlaneFrame,
    title: str,
    cmap: str,
    limits: tuple[float, float] | None = None,
) -> None:
    image = draw_image(axes, values, frame, cmap=cmap, limits=limits)
    axes.set_title(title)
    figure = axes.get_figure()
    assert figure is not None
    # An inset is as high as the picture, whatever the picture's shape.
    figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.035, 1)))


def _frame_of(plane: ReciprocalPlane) -> PlaneFrame:
    if plane.has_geometry:
        return plane_frame(plane)
    return PlaneFrame(np.eye(3), "row (pixels)", "column (pixels)")


def _zoom_to_measured(
    panels: Sequence[Axes], plane: ReciprocalPlane, frame: PlaneFrame
) -> None:
    """Leave out margins of the array where nothing was measured."""
    if not plane.valid.any():
        return
    xy = frame.xy(*np.nonzero(plane.valid))
    pixel = np.abs(frame.affine[:2, :2]).sum(axis=1)
    (left, bottom), (right, top) = xy.min(axis=0) - pixel, xy.max(axis=0) + pixel
    for axes in panels:
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)


def _spread_out(values: NDArray) -> NDArray:
    """Map of a cell in which bins between samples show the nearest sample.

    Where a plane's grid has a whole number of pixels in a cell, its samples fall on few
    bins. Holes wider than the distance between samples stay empty.
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


def _even(values: NDArray) -> tuple[float, float]:
    """Range with 0 in its middle, for a map of differences."""
    finite = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(finite, 99.5)) if finite.size else 1.0
    return (-top, top) if top > 0 else (-1.0, 1.0)
