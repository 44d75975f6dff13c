"""Errors a user can act on. Each text says what was wrong, expected, and the mend."""

from __future__ import annotations

__all__ = ["DsfunetError", "FileFormatError", "GeometryError", "ParameterError"]


class DsfunetError(Exception):
    """Base class of every error raised on purpose by dsfunet_core.

    Parameters
    ----------
    text : str
        What was wrong and what was expected; how to mend it, too, where that can be said in
        the same words to everybody.
    python, terminal, napari : str
        How to mend it in the words of who reads it: arguments, options, fields of a dock.
        ``str(error)`` has Python's, and whoever has no words of his own gets them.
    """

    def __init__(
        self, text: str = "", *, python: str = "", terminal: str = "", napari: str = ""
    ) -> None:
        super().__init__(f"{text} {python}".rstrip())
        self._told = {
            who: f"{text} {mend}"
            for who, mend in {"terminal": terminal, "napari": napari}.items()
            if mend
        }

    def told(self, who: str) -> str:
        """Text in the words of who reads it.

        Parameters
        ----------
        who : str
            ``"python"``, ``"terminal"`` or ``"napari"``.
        """
        return self._told.get(who, str(self))


class FileFormatError(DsfunetError, ValueError):
    """A file is not what it should be: unknown layout, truncated, missing keys."""


class GeometryError(DsfunetError, ValueError):
    """Cell, lattice or grid are missing, degenerate or contradict each other."""


class ParameterError(DsfunetError, ValueError):
    """A parameter is outside what is allowed."""


class CancelledError(DsfunetError):
    """The user asked for a running computation to stop."""
