"""Scripts and errors as docks tell them."""

from __future__ import annotations

from dsfunet_core.errors import DsfunetError, ParameterError

__all__ = ["error_text", "html", "python_text", "told"]


def python_text(lines: tuple[str, ...]) -> str:
    """Script of the given lines.

    Parameters
    ----------
    lines : tuple of str
        What was done, from reading the file on.

    Raises
    ------
    ParameterError
        If nobody knows how the layer came about.
    """
    if not lines:
        raise ParameterError(
            "this layer was not read from a file, so a script cannot make it again. Open "
            "the file in napari and repeat the steps."
        )
    return "\n".join(["import dsfunet_core", "", *lines, ""])


def told(error: Exception) -> str:
    """What an error says to somebody in front of a dock.

    Parameters
    ----------
    error : Exception
        Of the core, or of the system.
    """
    return error.told("napari") if isinstance(error, DsfunetError) else str(error)


def error_text(text: str) -> str:
    """Text as labels show what went wrong.

    Parameters
    ----------
    text : str
        Plain.
    """
    return f'<span style="color: #e8705f">{html(text)}</span>'


def html(text: str) -> str:
    """Plain text as it stands in rich text.

    Parameters
    ----------
    text : str
        Plain.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;")
