"""Drawing of a fit: one reciprocal cell three times, and α against distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from dsfunet_core.refine.result import SroRefinement

__all__ = ["FitCanvas"]


class FitCanvas(QWidget):
    """Drawn by the core's plots; matplotlib is imported with the first fit.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._canvas: Any = None
        self._pending: SroRefinement | None = None
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(340)

    def show_fit(self, fit: SroRefinement) -> None:
        """Draw a fit, as soon as the dock is seen.

        Parameters
        ----------
        fit : SroRefinement
            What to draw.
        """
        self._pending = fit
        if self.isVisible():
            self._draw()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Draw what came while nobody looked."""
        super().showEvent(event)
        if self._pending is not None:
            self._draw()

    def _draw(self) -> None:
        fit, self._pending = self._pending, None
        if fit is None:
            return
        from matplotlib import rc_context
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        from dsfunet_core.plots import alpha_axes, cells_axes

        if self._canvas is None:
            self._canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
            layout = self.layout()
            assert layout is not None
            layout.addWidget(self._canvas)
        figure = self._canvas.figure
        figure.clear()
        with rc_context(_style(self._viewer)):
            figure.set_facecolor(_style(self._viewer)["figure.facecolor"])
            above, below = figure.subfigures(2, 1, height_ratios=(2, 5))
            cells = list(above.subplots(1, 3, sharey=True))
            cells_axes(cells, fit)
            for axes in cells:
                axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
            above.suptitle("short-range order in one reciprocal cell")
            alpha_axes(below.subplots(), fit)
        self._canvas.draw_idle()


def _style(viewer: Any) -> Any:
    """Drawing settings for the viewer's theme."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    ground, text = theme.background.as_hex(), theme.text.as_hex()
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        "font.size": 8,
        "axes.titlesize": 8,
        "figure.titlesize": 8,
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        **dict.fromkeys(inked, text),
    }
