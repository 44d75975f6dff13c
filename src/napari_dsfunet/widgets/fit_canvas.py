"""Drawings of a fit: maps of one reciprocal cell, α against distance, correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dsfunet.widgets.canvas import Canvas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.refine.result import SroRefinement

__all__ = ["AlphaPlot", "CellMaps", "CorrelationMap"]


class CellMaps(Canvas):
    """Observed, calculated and difference in one reciprocal cell; the last two follow.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=130)
        self._moving: list[Any] = []
        self._ground: Any = None

    def paint(self, figure: Any, content: SroRefinement) -> None:
        """Draw a fit; see :meth:`Canvas.paint`."""
        from dsfunet_core.refine.figures import cells_axes

        self._ground = None
        panels = list(figure.subplots(1, 3, sharey=True))
        cells_axes(panels, content)
        for axes in panels:
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        self._moving = [axes.images[0] for axes in panels[1:]]
        for image in self._moving:
            image.set_animated(True)

    def follow(self, fit: SroRefinement) -> None:
        """Show another calculation of the same map, and nothing but that anew.

        Parameters
        ----------
        fit : SroRefinement
            With the observed map that is shown.
        """
        from dsfunet_core.refine.figures import spread_out

        # What is drawn when the dock is seen again, or with another theme.
        self._content = fit
        if not self._moving or not self.isVisible():
            self._stale = True
            return
        calculated, difference = self._moving
        calculated.set_data(fit.calculated.values)
        difference.set_data(np.ma.masked_invalid(spread_out(fit.difference.values)))
        if self._ground is None:
            return  # all of it is about to be drawn
        self.canvas.restore_region(self._ground)
        self._draw_moving()
        # repaint, not update: the map is on the screen when this returns.
        self.canvas.repaint()

    def connect_canvas(self, canvas: Any) -> None:
        """Keep what stands still whenever all is drawn; see :meth:`Canvas.connect_canvas`."""
        canvas.mpl_connect("draw_event", self._drawn)

    def _drawn(self, event: Any) -> None:
        self._ground = self.canvas.copy_from_bbox(self.canvas.figure.bbox)
        self._draw_moving()

    def _draw_moving(self) -> None:
        for image in self._moving:
            image.axes.draw_artist(image)


class AlphaPlot(Canvas):
    """α against distance with error bars, and known values beside them.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=230)

    def paint(
        self, figure: Any, content: tuple[SroRefinement, NDArray[np.float64] | None, str]
    ) -> None:
        """Draw a fit and its reference; see :meth:`Canvas.paint`."""
        from dsfunet_core.refine.figures import alpha_axes

        fit, reference, label = content
        alpha_axes(figure.subplots(), fit, reference=reference, label=label)


class CorrelationMap(Canvas):
    """Correlation matrix of the refined parameters.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=260)

    def paint(self, figure: Any, content: SroRefinement) -> None:
        """Draw a fit's correlations; see :meth:`Canvas.paint`."""
        from dsfunet_core.refine.figures import correlation_axes

        correlation_axes(figure.subplots(), content)
