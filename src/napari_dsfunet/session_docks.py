"""Docks of a viewer in a session: which are open, what they show, which one is in front."""

from __future__ import annotations

from typing import Any

__all__ = ["docks_state", "restore_docks"]


def docks_state(viewer: Any) -> list[dict[str, Any]]:
    """What the open docks say about themselves.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose.

    Returns
    -------
    list of dict
        ``title``, ``state``, ``raised`` and ``width`` [pixels of the screen], in types that
        JSON knows.
    """
    return [
        {
            "title": dock.title,
            "state": dock.state(),
            "raised": not dock.visibleRegion().isEmpty(),
            "width": dock.width(),
        }
        for dock in _open_docks(viewer)
    ]


def restore_docks(viewer: Any, docks: list[dict[str, Any]], names: dict[str, str]) -> None:
    """Open docks, fill them in, and bring to the front those that were there.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose.
    docks : list of dict
        From :func:`docks_state`, perhaps of another version.
    names : dict
        Name of a layer then → now; beside others of its name it got another one.
    """
    order = _working_order()

    def place(dock: dict[str, Any]) -> tuple[bool, int]:
        title = dock["title"]
        known = order.index(title) if title in order else len(order)
        return bool(dock.get("raised")), known

    for dock in sorted(docks, key=place):
        widget = _open_dock(viewer, dock["title"], dock.get("width"))
        if widget is not None:
            widget.restore_state(_renamed(dock["state"], names))


def _working_order() -> list[str]:
    """Titles of all docks as the menu has them."""
    from npe2 import PluginManager

    widgets = PluginManager.instance().get_manifest("napari-dsfunet").contributions.widgets
    return [widget.display_name for widget in widgets or []]


def _renamed(state: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {
        **state,
        "layers": {k: names.get(v, v) for k, v in state.get("layers", {}).items()},
        "added": [names.get(name, name) for name in state.get("added", [])],
    }


def _open_docks(viewer: Any) -> list[Any]:
    """Docks of ours in the viewer's window, in no particular order."""
    window = getattr(viewer, "window", None)
    if window is None:
        return []
    from napari_dsfunet.widgets.dock import Dock

    return [d for d in window._qt_window.findChildren(Dock) if d.viewer is viewer]


def _open_dock(viewer: Any, title: str, width: int | None) -> Any:
    """Dock of a title, opened if it is not; None without a window."""
    for dock in _open_docks(viewer):
        if dock.title == title:
            return dock
    if getattr(viewer, "window", None) is None:
        return None
    try:
        around, dock = viewer.window.add_plugin_dock_widget(
            "napari-dsfunet", title, tabify=True
        )
    except (KeyError, ValueError):  # a dock of another version
        return None
    around.raise_()
    if width:
        from qtpy.QtCore import Qt

        window = viewer.window._qt_window
        window.resizeDocks([around], [width], Qt.Orientation.Horizontal)
    return dock
