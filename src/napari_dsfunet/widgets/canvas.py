"""What all drawings in docks share: the viewer's theme, and patience while nobody looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

__all__ = ["Canvas", "MovingCanvas", "theme_style"]


class Canvas(QWidget):
    """Matplotlib drawing, made once it is seen; matplotlib is imported with the first one.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    height : int
        Height in pixels of the screen.
    """

    def __init__(self, viewer: Any, height: int) -> None:
        super().__init__()
        self._viewer = viewer
        self.canvas: Any = None
        self._content: Any = None
        self._stale = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(height)
        viewer.events.theme.connect(self._themed)
        self.destroyed.connect(lambda: viewer.events.theme.disconnect(self._themed))

    def paint(self, figure: Any, content: Any) -> None:
        """Draw into an empty figure.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            Where.
        content : object
            What :meth:`show_content` was given.
        """
        raise NotImplementedError

    def show_content(self, content: Any) -> None:
        """Draw something, as soon as the dock is seen.

        Parameters
        ----------
        content : object
            What to draw; None empties the drawing.
        """
        self._content, self._stale = content, True
        if self.isVisible():
            self.redraw()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Draw what came while nobody looked."""
        super().showEvent(event)
        if self._stale:
            self.redraw()

    def redraw(self) -> None:
        """Draw the content from scratch."""
        self._stale = False
        if self.canvas is None:
            if self._content is None:
                return
            self._make()
        from matplotlib import rc_context

        style = theme_style(self._viewer)
        figure = self.canvas.figure
        figure.clear()
        with rc_context(style):
            figure.set_facecolor(style["figure.facecolor"])
            if self._content is not None:
                self.paint(figure, self._content)
        self.canvas.draw_idle()

    def _make(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.canvas)
        self.connect_canvas(self.canvas)

    def connect_canvas(self, canvas: Any) -> None:
        """Connect mouse events of the drawing, once it is there.

        Parameters
        ----------
        canvas : matplotlib.backends.backend_qtagg.FigureCanvasQTAgg
            The drawing.
        """

    def _themed(self, event: Any = None) -> None:
        self._stale = True
        if self.isVisible():
            self.redraw()


class MovingCanvas(Canvas):
    """Drawing of which some artists move while the rest stands still.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    height : int
        Height in pixels of the screen.
    """

    def __init__(self, viewer: Any, height: int) -> None:
        super().__init__(viewer, height)
        self.moving: list[Any] = []
        self._ground: Any = None

    def redraw(self) -> None:
        """Draw all from scratch."""
        self.moving, self._ground = [], None
        super().redraw()
        for artist in self.moving:
            artist.set_animated(True)

    def change(self, content: Any, update: Callable[[], None]) -> None:
        """Draw only what moves.

        Parameters
        ----------
        content : object
            What is drawn when all is drawn again, for another size or theme.
        update : callable
            Changes the artists in ``moving``.
        """
        self._content = content
        if not self.moving or not self.isVisible():
            self._stale = True
            return
        update()
        if self._ground is None:
            return  # all of it is about to be drawn
        self.canvas.restore_region(self._ground)
        self._draw_moving()
        # repaint, not update: it is on the screen when this returns.
        self.canvas.repaint()

    def connect_canvas(self, canvas: Any) -> None:
        """Keep what stands still whenever all is drawn; see :meth:`Canvas.connect_canvas`."""
        canvas.mpl_connect("draw_event", self._drawn)

    def _drawn(self, event: Any) -> None:
        self._ground = self.canvas.copy_from_bbox(self.canvas.figure.bbox)
        self._draw_moving()

    def _draw_moving(self) -> None:
        for artist in self.moving:
            artist.axes.draw_artist(artist)


def theme_style(viewer: Any) -> Any:
    """Drawing settings for the viewer's theme.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose.
    """
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    ground, text = theme.background.as_hex(), theme.text.as_hex()
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        "font.size": 8,
        "axes.titlesize": 8,
        "figure.titlesize": 8,
        "legend.fontsize": 8,
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "legend.facecolor": ground,
        **dict.fromkeys(inked, text),
    }
