"""The wheel scrolls a dock, and changes a value only where one is at work."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QScrollBar, QWidget

__all__ = ["WheelGuard"]


class WheelGuard(QObject):
    """Leaves wheel events over editors without focus to what they lie in.

    Parameters
    ----------
    parent : QWidget
        Whose editors are guarded, also those that are added later.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        parent.installEventFilter(self)

    def guard(self) -> None:
        """Guard all editors that there are by now."""
        for kind in (QComboBox, QAbstractSpinBox, QAbstractSlider):
            for editor in self._widget.findChildren(kind):
                if not isinstance(editor, QScrollBar):
                    editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                    editor.removeEventFilter(self)
                    editor.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Ignore the wheel over an editor that has no focus."""
        if event is None:
            return False
        if watched is self._widget:
            # Whatever is added to a dock asks for its place before it is seen.
            if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
                self.guard()
            return False
        if (
            event.type() == QEvent.Type.Wheel
            and isinstance(watched, QWidget)
            and not watched.hasFocus()
        ):
            event.ignore()
            return True
        return False
