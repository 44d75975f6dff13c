"""What the commands share: errors as text, progress, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dsfunet_core.errors import DsfunetError, GeometryError, ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalPlane

__all__ = [
    "JsonOption",
    "OverwriteOption",
    "ReportingGroup",
    "check_writable",
    "forgiving_streams",
    "load_plane",
    "print_json",
    "progress",
    "say",
    "to_plain",
    "with_pixels",
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are there already.")
]

Callback = Callable[[int, int, str], None]


class ReportingGroup(TyperGroup):
    """Turns errors on purpose into one paragraph on standard error and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command.

        Parameters
        ----------
        ctx : click.Context
            As for every group.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (DsfunetError, OSError) as error:
            if ctx.params.get("traceback"):
                raise
            told = error.told("terminal") if isinstance(error, DsfunetError) else error
            typer.secho(f"dsfunet: {told}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            typer.secho("dsfunet: stopped; nothing was written.", err=True)
            raise typer.Exit(130) from None


def forgiving_streams() -> None:
    """Let a terminal without Greek letters show a question mark instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(text: str) -> None:
    """Print a line for people, on standard output."""
    typer.echo(text)


def print_json(content: dict[str, Any]) -> None:
    """Print a dict as JSON on standard output; what is not finite becomes null."""
    typer.echo(json.dumps(to_plain(content), ensure_ascii=False, allow_nan=False, indent=2))


def to_plain(value: Any) -> Any:
    """Content that JSON can hold: NumPy values as Python's, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


@contextmanager
def progress(what: str) -> Iterator[Callback]:
    """Show a bar on standard error, where that is a terminal.

    Parameters
    ----------
    what : str
        What is being done, until the first message comes.

    Yields
    ------
    callable
        To be called with (step, total, message).
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def callback(step: int, total: int, message: str) -> None:
            bar.update(task, completed=step, total=total, description=message)

        yield callback


def check_writable(path: Path | None, overwrite: bool) -> None:
    """Refuse an output file before any work is done for it.

    Parameters
    ----------
    path : Path or None
        Where to write; None passes.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If it cannot be written.
    """
    if path is None:
        return
    target = path.expanduser()
    if target.is_dir():
        raise ParameterError(f"{target} is a folder; add a file name to it.")
    if not target.parent.is_dir():
        raise ParameterError(
            f"the folder {target.parent} of {target.name} is missing; make it first, or choose "
            "another."
        )
    if target.exists() and target.stat().st_size and not overwrite:
        raise ParameterError(
            f"{target} exists already; choose another name, or pass --overwrite."
        )


def load_plane(file: Path, plane: str | None, dataset: str | None) -> ReciprocalPlane:
    """Plane of a file: cut out of a volume, or the plane that the file holds.

    Parameters
    ----------
    file : Path
        Volume or plane.
    plane : str or None
        Such as ``"hk1"``; needed for volumes.
    dataset : str or None
        As in :func:`dsfunet_core.read`.

    Raises
    ------
    ParameterError
        If a volume comes without a plane, or a plane with another.
    GeometryError
        If the plane of a volume holds no measured pixel.
    """
    from dsfunet_core.io import read
    from dsfunet_core.plane import ReciprocalPlane

    data = read(file, dataset)
    if isinstance(data, ReciprocalPlane):
        if plane is not None:
            raise ParameterError(
                f"{file} holds one plane, {data.name!r}, so there is nothing to cut; leave "
                f"out --plane {plane}."
            )
        return data
    if plane is None:
        raise ParameterError(
            f"{file} holds a volume; say which plane of it to use, for example --plane hk1."
        )
    return with_pixels(data.section(plane))


def with_pixels(plane: ReciprocalPlane) -> ReciprocalPlane:
    """A plane cut out of a volume, or an error if nothing of it was measured.

    Parameters
    ----------
    plane : ReciprocalPlane
        As cut.

    Raises
    ------
    GeometryError
        If no pixel is valid.
    """
    if not plane.valid.any():
        raise GeometryError(
            f"none of the {plane.valid.size} pixels of plane {plane.name} was measured (all "
            "NaN or masked), so there is nothing to work with. Choose another plane; "
            "dsfunet info says how much of the volume was measured."
        )
    return plane
