"""Docks of ours as tabs beside each other: stacked, none would have room."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

__all__ = ["become_tab_later"]


def become_tab_later(widget: QWidget, kind: type[QWidget]) -> None:
    """Put a widget beside others of its kind once it has its place in the window.

    Parameters
    ----------
    widget : QWidget
        With a ``title``; about to be made a dock. One that is pulled out stays alone.
    kind : type
        Of the others.
    """
    timer = QTimer(widget)
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: _become_tab(widget, kind))
    timer.start(0)


def _become_tab(widget: Any, kind: type[QWidget]) -> None:
    own, window = _frame(widget)
    if own is None or window is None or own.isFloating():
        return
    # The text of its tab; with the plugin's name behind it four would not fit.
    own.setWindowTitle(widget.title)
    area = window.dockWidgetArea(own)
    for other in window.findChildren(kind):
        frame, _ = _frame(other)
        if frame is None or frame is own or frame.isFloating() or frame.isHidden():
            continue
        if window.dockWidgetArea(frame) == area:
            if frame not in window.tabifiedDockWidgets(own):
                window.tabifyDockWidget(frame, own)
                own.raise_()
            return


def _frame(widget: QWidget) -> tuple[QDockWidget | None, QMainWindow | None]:
    """What holds a widget in the window, and the window; None where it has none."""
    frame: QDockWidget | None = None
    around = widget.parentWidget()
    while around is not None and not isinstance(around, QMainWindow):
        if isinstance(around, QDockWidget):
            frame = around
        around = around.parentWidget()
    return frame, around
