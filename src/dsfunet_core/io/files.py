"""Write files so that a crash or a refusal never leaves half of one behind."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dsfunet_core.errors import FileFormatError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["existing_file", "replacing"]


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Path of a file that is there.

    Parameters
    ----------
    path : path-like
        File to read.

    Raises
    ------
    FileFormatError
        If nothing is there, or a folder is.
    """
    found = Path(path).expanduser()
    if found.is_dir():
        raise FileFormatError(f"{found} is a folder; name one file in it.")
    if not found.exists():
        raise FileFormatError(f"{found} does not exist; check the name and the folder.")
    return found


@contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside ``path``, and rename it when all went well.

    Parameters
    ----------
    path : path-like
        Where the file is to end up.
    overwrite : bool
        Whether a file that is already there may be replaced.

    Yields
    ------
    Path
        Where to write. On an error it is removed, and ``path`` stays as it was.

    Raises
    ------
    ParameterError
        If ``path`` exists and ``overwrite`` is False, or its folder is missing.
    """
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise ParameterError(f"path={str(target)!r}: the folder {target.parent} is missing.")
    _refuse(target, overwrite)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield temporary
        _refuse(target, overwrite)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise ParameterError(f"path={str(target)!r} is a folder; add a file name to it.")
    # An empty file is a name somebody reserved; there is nothing in it to lose.
    if target.exists() and target.stat().st_size and not overwrite:
        raise ParameterError(
            f"path={str(target)!r} exists already and is not replaced unless asked.",
            python="Choose another name, or pass overwrite=True.",
            terminal="Choose another name, or give --overwrite.",
            napari="Choose another name.",
        )
