"""Drawings of a fit: maps of one reciprocal cell, α against distance, correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dsfunet.widgets.canvas import Canvas, MovingCanvas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.refine.alpha_table import AlphaByOrbit
    from dsfunet_core.refine.result import SroRefinement

__all__ = ["AlphaPlot", "CellMaps", "CorrelationMap"]


class CellMaps(MovingCanvas):
    """Observed, calculated and difference in one reciprocal cell; the last two follow.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=130)

    def paint(self, figure: Any, content: SroRefinement) -> None:
        """Draw a fit; see :meth:`Canvas.paint`."""
        from dsfunet_core.refine.figures import cells_axes

        panels = list(figure.subplots(1, 3, sharey=True))
        cells_axes(panels, content)
        for axes in panels:
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        self.moving = [axes.images[0] for axes in panels[1:]]

    def follow(self, fit: SroRefinement) -> None:
        """Show another calculation of the same map, and nothing but that anew.

        Parameters
        ----------
        fit : SroRefinement
            With the observed map that is shown.
        """
        from dsfunet_core.refine.figures import spread_out

        def update() -> None:
            calculated, difference = self.moving
            calculated.set_data(fit.calculated.values)
            difference.set_data(np.ma.masked_invalid(spread_out(fit.difference.values)))

        self.change(fit, update)


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
        self, figure: Any, content: tuple[AlphaByOrbit, NDArray[np.float64] | None, str]
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
