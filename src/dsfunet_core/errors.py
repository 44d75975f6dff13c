"""Errors a user can act on. Each text says what was wrong, expected, and the mend."""

from __future__ import annotations

__all__ = ["DsfunetError", "FileFormatError", "GeometryError", "ParameterError"]


class DsfunetError(Exception):
    """Base class of every error raised on purpose by dsfunet_core."""


class FileFormatError(DsfunetError, ValueError):
    """A file is not what it should be: unknown layout, truncated, missing keys."""


class GeometryError(DsfunetError, ValueError):
    """Cell, lattice or grid are missing, degenerate or contradict each other."""


class ParameterError(DsfunetError, ValueError):
    """A parameter is outside what is allowed."""


class CancelledError(DsfunetError):
    """The user asked for a running computation to stop."""
