"""Drawings of a scan: agreement against angle with a cursor, and maps at the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_dsfunet.widgets.canvas import MovingCanvas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.structures.compare import Comparison, Target
    from dsfunet_core.structures.scan import Scan

__all__ = ["ScanCurve", "ScanMaps"]


class ScanCurve(MovingCanvas):
    """Agreement against angle; ``picked`` tells where the cursor was dragged to.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    picked = Signal(float)

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=230)

    def paint(self, figure: Any, content: tuple[Scan, float]) -> None:
        """Draw a scan and the cursor; see :meth:`Canvas.paint`."""
        from dsfunet_core.structures.figures import scan_axes

        found, angle = content
        axes = figure.subplots()
        scan_axes(axes, found)
        axes.set_ylabel("MSE, images on [−1, 1]")
        for text in list(axes.texts):
            text.remove()  # the dock says it, and the cursor would run through it
        # The curve's violet of printed figures is lost on a dark ground.
        axes.lines[0].set_color("#8f7ae5")
        self.moving = [axes.axvline(angle, color="#ff9f1c", linewidth=1.5)]

    def follow(self, found: Scan, angle: float) -> None:
        """Put the cursor at an angle.

        Parameters
        ----------
        found : Scan
            What is shown.
        angle : float
            In degrees.
        """
        self.change((found, angle), lambda: self.moving[0].set_xdata([angle, angle]))

    def connect_canvas(self, canvas: Any) -> None:
        """Let the cursor be dragged; see :meth:`Canvas.connect_canvas`."""
        super().connect_canvas(canvas)
        canvas.mpl_connect("button_press_event", self._dragged)
        canvas.mpl_connect("motion_notify_event", self._dragged)

    def _dragged(self, event: Any) -> None:
        held = event.button == 1
        if held and event.inaxes is not None and event.xdata is not None:
            self.picked.emit(float(event.xdata))


class ScanMaps(MovingCanvas):
    """Measured, calculated and difference at one angle.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=190)

    def paint(self, figure: Any, content: tuple[Target, Comparison]) -> None:
        """Draw a comparison; see :meth:`Canvas.paint`."""
        from dsfunet_core.frames import plane_frame
        from dsfunet_core.overview import display_range
        from dsfunet_core.plots import INTENSITY, RESIDUAL, draw_image

        target, found = content
        frame = plane_frame(target.plane)
        live = target.weight > 0
        measured = np.where(live, target.intensity, np.nan)
        top = display_range(measured, high=99.7)[1]
        width = max(float(np.nanpercentile(np.abs(found.difference), 99)), 0.05 * top)
        panels = list(figure.subplots(1, 3))
        for axes, values, title, colours, limits in (
            (panels[0], measured, "measured (arb. units)", INTENSITY, (0.0, top)),
            (panels[1], found.calculated, "calculated", INTENSITY, (0.0, top)),
            (panels[2], found.difference, "difference", RESIDUAL, (-width, width)),
        ):
            drawn = draw_image(axes, values, frame, cmap=colours, limits=limits)
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[], title=title)
            bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.9, aspect=14)
            bar.ax.locator_params(nbins=3)
            _zoom(axes, frame.xy(*np.nonzero(live)))
        self.moving = [axes.images[0] for axes in panels[1:]]

    def follow(self, target: Target, found: Comparison) -> None:
        """Show another comparison.

        Parameters
        ----------
        target : Target
            What is shown.
        found : Comparison
            At the angle of the cursor.
        """

        def update() -> None:
            self.moving[0].set_data(found.calculated)
            self.moving[1].set_data(np.ma.masked_invalid(found.difference))

        self.change((target, found), update)


def _zoom(axes: Any, xy: NDArray[np.float64]) -> None:
    """Fill a drawing with what counts, where the array reaches further."""
    if not len(xy):
        return
    (left, bottom), (right, top) = xy.min(axis=0), xy.max(axis=0)
    if right > left and top > bottom:
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
