"""Drawing of a fit: one reciprocal cell three times, and α against distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_dsfunet.widgets.canvas import Canvas

if TYPE_CHECKING:
    from dsfunet_core.refine.result import SroRefinement

__all__ = ["FitCanvas"]


class FitCanvas(Canvas):
    """Drawn by the core's plots.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=340)

    def paint(self, figure: Any, content: SroRefinement) -> None:
        """Draw a fit; see :meth:`Canvas.paint`."""
        from dsfunet_core.plots import alpha_axes, cells_axes

        above, below = figure.subfigures(2, 1, height_ratios=(2, 5))
        cells = list(above.subplots(1, 3, sharey=True))
        cells_axes(cells, content)
        for axes in cells:
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        above.suptitle("short-range order in one reciprocal cell")
        alpha_axes(below.subplots(), content)
