"""Drawing of what was masked in a plane and why, and of a background taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.frames import PlaneFrame, plane_frame
from dsfunet_core.overview import display_range
from dsfunet_core.plots import INTENSITY, UNMEASURED, draw_image, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["mask_figure"]

#: One colour a layer, told apart by readers of every kind of colour vision (Okabe & Ito).
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#0072b2")
#: Shade of intensities below 0, which a background leaves behind.
NEGATIVE = "#6699ee"
#: Percentile of what is used that is drawn as the brightest shade.
HIGH = 99.5


def mask_figure(
    before: ReciprocalPlane, after: ReciprocalPlane, *, size: float = 13.0
) -> Figure:
    """Draw a plane as measured, the layers of its mask, and what is used of it.

    Parameters
    ----------
    before : ReciprocalPlane
        As measured.
    after : ReciprocalPlane
        The same pixels, masked. Where its intensities are others, a background was taken
        off; it gets a panel of its own, and what is below 0 afterwards is blue.
    size : float
        Width of the figure [inch].
    """
    frame = (
        plane_frame(before)
        if before.has_geometry
        else PlaneFrame(np.eye(3), "row (pixels)", "column (pixels)")
    )
    seen = np.where(before.valid, before.intensity, np.nan)
    used = np.where(after.valid, after.intensity, np.nan)
    background = np.where(
        before.valid & after.valid, before.intensity - after.intensity, np.nan
    )
    taken = bool(np.nanmax(np.abs(background), initial=0.0) > 0)
    explained = not taken or any(layer.any() for layer in after.masks.values())
    panels = 2 + taken + explained
    figure = new_figure(size, size / panels + 0.6)
    axes = figure.subplots(1, panels, sharey=True)
    top = _top(np.where(after.valid, before.intensity, np.nan))
    _draw(axes[0], seen, frame, top, "measured")
    if explained:
        _layers(axes[1], seen, after, frame, top)
    if taken:
        _draw(axes[-2], background, frame, top, "background")
    _draw(axes[-1], used, frame, top, "used")
    for ax in axes:
        ax.label_outer()
    return figure


def _top(values: NDArray) -> float:
    return display_range(values, high=HIGH)[1]


def _draw(axes: Axes, values: NDArray, frame: PlaneFrame, top: float, title: str) -> None:
    """Square roots, which bring out the weak parts; their sign stays."""
    roots = np.sign(values) * np.sqrt(np.abs(values))
    limit = float(np.sqrt(max(top, 1e-300)))
    image = draw_image(axes, roots, frame, cmap=INTENSITY, limits=(0.0, limit))
    below = bool((roots < 0).any())
    if below:
        image.set_cmap(image.get_cmap().with_extremes(under=NEGATIVE, bad=UNMEASURED))
    axes.set_title(f"{title} (√I{', blue: I < 0' if below else ''})")


def _layers(
    axes: Axes, seen: NDArray, plane: ReciprocalPlane, frame: PlaneFrame, top: float
) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    grey = np.sqrt(np.maximum(seen, 0))
    draw_image(
        axes, grey, frame, cmap="Greys", limits=(0.0, 2 * float(np.sqrt(max(top, 1e-300))))
    )
    axes.set_title("why pixels are out")
    shown = {name: layer for name, layer in plane.masks.items() if layer.any()}
    if not shown:
        return
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(shown))]
    number = np.full(plane.shape, np.nan)
    for i, layer in enumerate(shown.values()):
        number[layer] = i
    image = draw_image(axes, number, frame, limits=(-0.5, len(shown) - 0.5))
    # What is in no layer lets the plane show through.
    image.set_cmap(ListedColormap(colours).with_extremes(bad=(0, 0, 0, 0)))
    handles = [
        Patch(color=colour, label=f"{name}: {int(layer.sum()):,}")
        for colour, (name, layer) in zip(colours, shown.items(), strict=True)
    ]
    axes.figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 8), frameon=False
    )
