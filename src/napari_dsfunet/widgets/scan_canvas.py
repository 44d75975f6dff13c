"""Drawings of a scan: agreement against angle with a cursor, and maps at the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_dsfunet.widgets.canvas import MovingCanvas

if TYPE_CHECKING:
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
        for text in axes.texts:
            text.set_color("black")  # it stands on white in every theme
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
        super().__init__(viewer, height=150)

    def paint(self, figure: Any, content: tuple[Target, Comparison]) -> None:
        """Draw a comparison; see :meth:`Canvas.paint`."""
        from dsfunet_core.structures.figures import comparison_axes

        target, found = content
        panels = list(figure.subplots(1, 3, sharey=True))
        comparison_axes(panels, target, found, ("measured", "calculated", "difference"))
        for axes in panels:
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
            axes.title.set_fontsize(8)
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
        import numpy as np

        def update() -> None:
            self.moving[0].set_data(found.calculated)
            self.moving[1].set_data(np.ma.masked_invalid(found.difference))

        self.change((target, found), update)
