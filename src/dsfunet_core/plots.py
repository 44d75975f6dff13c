"""Drawings of planes, cells and parameters, in true oblique geometry.

Figures are made without pyplot, so that nothing global is touched: a caller embeds
them in a window, or turns them into PNG with :func:`png`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.frames import PlaneFrame, plane_frame
from dsfunet_core.overview import display_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.plane import ReciprocalPlane

__all__ = [
    "INTENSITY",
    "ORDER",
    "RESIDUAL",
    "draw_image",
    "even_range",
    "factors_figure",
    "measured_figure",
    "new_figure",
    "panel",
    "plane_figure",
    "png",
    "uncertainty_figure",
]

#: Colour maps: intensities and form factors, short-range order, differences, uncertainties.
INTENSITY, ORDER, RESIDUAL, UNCERTAINTY = "inferno", "viridis", "RdBu_r", "cividis"
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
    panel(axes, values, frame, plane.name, INTENSITY, (min(0.0, shades[0]), shades[1]))
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
    panel(first, measured, frame, "measured", INTENSITY, shades)
    panel(second, result.product, frame, "product of the two factors", INTENSITY, shades)
    panel(
        third,
        result.residual,
        frame,
        "measured − product",
        RESIDUAL,
        even_range(result.residual),
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
    panel(first, result.form_factor, frame, "form factor", INTENSITY, shades)
    top = display_range(result.sro, high=99.9)[1]
    panel(second, result.sro, frame, "short-range order", ORDER, (0.0, top))
    second.set_ylabel("")
    _zoom_to_measured([first, second], result.plane, frame)
    return figure


def uncertainty_figure(result: Factorization, *, size: float = 10.0) -> Figure:
    """Standard uncertainties of both factors, on the shades of the factors' own figure.

    Parameters
    ----------
    result : Factorization
        With uncertainties.
    size : float
        Width of the figure [inch].
    """
    sigma, sro_sigma = result.form_factor_sigma, result.sro_sigma
    assert sigma is not None
    assert sro_sigma is not None
    frame = _frame_of(result.plane)
    figure = new_figure(size, size * 0.45)
    first, second = figure.subplots(1, 2, sharey=True)
    typical = float(np.median(result.form_factor[result.plane.valid]))
    title = "σ of the form factor / its median"
    top = display_range(sigma / typical, high=99.0)[1]
    panel(first, sigma / typical, frame, title, UNCERTAINTY, (0.0, top))
    top = display_range(sro_sigma, high=99.9)[1]
    panel(second, sro_sigma, frame, "σ of the short-range order", UNCERTAINTY, (0.0, top))
    second.set_ylabel("")
    _zoom_to_measured([first, second], result.plane, frame)
    return figure


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


def panel(
    axes: Axes,
    values: NDArray,
    frame: PlaneFrame,
    title: str,
    cmap: str,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw an array with a title and a colour bar as high as the picture.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    values, frame, cmap, limits
        As in :func:`draw_image`.
    title : str
        What it is.
    """
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


def even_range(values: NDArray) -> tuple[float, float]:
    """Range with 0 in its middle, for a map of differences.

    Parameters
    ----------
    values : ndarray
        NaN does not count.
    """
    finite = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(finite, 99.5)) if finite.size else 1.0
    return (-top, top) if top > 0 else (-1.0, 1.0)
