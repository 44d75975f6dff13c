"""Box to choose one of the viewer's layers, kept up to date."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from dsfunet_core.plane import ReciprocalPlane
from napari_dsfunet.layers import entry

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["LayerChoice"]


class LayerChoice(QComboBox):
    """Layers that a dock can work on.

    The choice stays with its layer when that is renamed or moved; when it is deleted, the
    box falls back to another one. A new layer that fits becomes the choice (of several the
    topmost that is visible), unless it holds
    the known truth of a simulation: that is chosen by hand, or if there is nothing else. So
    are layers that are not preferred, once a preferred one is there.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers.
    accepts : callable
        Whether a layer is offered.
    prefers : callable, optional
        Whether a layer goes before others that are offered.
    parent : QWidget, optional
        Parent.
    """

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Layer], bool],
        prefers: Callable[[Layer], bool] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._accepts = viewer, accepts
        self._prefers = prefers or (lambda layer: True)
        self.setPlaceholderText("nothing to choose yet")
        self._offered: list[Layer] = []
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for event in ("inserted", "removed", "reordered", "renamed"):
            getattr(viewer.layers.events, event).connect(self.refresh)
        self.refresh()

    def layer(self) -> Layer | None:
        """The chosen layer, if there is one."""
        index = self.currentIndex()
        return self._offered[index] if 0 <= index < len(self._offered) else None

    def choose(self, layer: Layer) -> None:
        """Choose a layer, if it is offered."""
        if any(layer is other for other in self._offered):
            self.setCurrentIndex([layer is other for other in self._offered].index(True))

    def refresh(self, event: Any = None) -> None:
        """Offer what the viewer holds now, the topmost layer first."""
        chosen = self.layer()
        before = self._offered
        offered = [x for x in reversed(list(self._viewer.layers)) if self._accepts(x)]
        found = [x for x in offered if not _is_truth(x)]
        found = [x for x in found if self._prefers(x)] or found
        new = [x for x in found if not any(x is other for other in before)]
        if new:
            # Of several results of the same plane the one that is seen is the latest.
            chosen = next((x for x in new if x.visible), new[0])
        elif not any(x is chosen for x in offered):
            chosen = next(iter(found or offered), None)
        self._offered = offered
        index = next((i for i, x in enumerate(offered) if x is chosen), -1)
        self.blockSignals(True)
        self.clear()
        self.addItems([x.name for x in offered])
        self.setCurrentIndex(index)
        self.blockSignals(False)
        self.currentIndexChanged.emit(index)


def _is_truth(layer: Layer) -> bool:
    known = entry(layer)
    if known is None or "truth" not in known:
        return False
    # The measured plane tells its truth, too.
    return not isinstance(known["object"], ReciprocalPlane)
