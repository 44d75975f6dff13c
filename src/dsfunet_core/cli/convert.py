"""``dsfunet convert``: from any format that is read to any that is written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dsfunet_core.cli.console import (
    JsonOption,
    OverwriteOption,
    check_writable,
    print_json,
    progress,
    say,
    with_pixels,
)
from dsfunet_core.errors import ParameterError

__all__ = ["convert"]


class Format(StrEnum):
    """Formats of :func:`dsfunet_core.io.write`."""

    NEXUS = "nexus"
    NPZ = "npz"
    TIFF = "tiff"
    YELL = "yell"


def convert(
    file: Annotated[Path, typer.Argument(help="Volume, plane or image, of any program.")],
    output: Annotated[
        Path, typer.Argument(help=".nxs or .h5 (NeXus), .npz, or .tif (planes only).")
    ],
    plane: Annotated[
        str | None, typer.Option(help="Cut this plane out of a volume: hk1, hhl, hk0.5.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Path of the intensities in an HDF5 file, or page of a TIFF."),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="Unit cell 'a b c alpha beta gamma' [Å, °], if the file has none."),
    ] = None,
    section: Annotated[
        str | None, typer.Option(help="Which plane an image is: hk0, hhl, 2kl.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Index along each array axis: kh for an image with k down its rows, lkh for a "
            "volume stored backwards."
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            help="First and last index along each array axis (centres of the pixels): "
            "'10,-10,-8,8'."
        ),
    ] = None,
    format: Annotated[
        Format | None, typer.Option(help="What to write, where the suffix does not say it.")
    ] = None,
    for_fft: Annotated[
        bool,
        typer.Option(
            "--for-fft",
            help="With yell: even grid, origin at N/2, 0 where nothing was measured.",
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Write a file in another format, or give an image its cell.

    Values, mask, weights, cell, axes, Laue class and provenance are kept.

    [dim]Examples:[/]

    [cyan]dsfunet convert crystal.h5 crystal.nxs[/]

    [cyan]dsfunet convert crystal.h5 hk1.tif --plane hk1[/]

    [cyan]dsfunet convert unwarp.img hk0.nxs --cell '14.1 14.1 6.9 90 90 120' --section hk0
    --axes kh --limits '10,-10,-8,8'[/]
    """
    from dsfunet_core.io import read, write
    from dsfunet_core.io.place import numbers_in
    from dsfunet_core.io.writing import format_of
    from dsfunet_core.plane import ReciprocalVolume

    kind = format_of(output, format)
    check_writable(output, overwrite)
    data = read(
        file,
        dataset,
        cell=None if cell is None else numbers_in(cell, "--cell"),
        section=section,
        axes=axes,
        limits=None if limits is None else numbers_in(limits, "--limits"),
    )
    if plane is not None:
        if not isinstance(data, ReciprocalVolume):
            raise ParameterError(
                f"{file} holds one plane, {data.name!r}, so there is nothing to cut; leave out "
                f"--plane {plane}, or say with --section which plane it is."
            )
        data = with_pixels(data.section(plane))
    what = "volume" if isinstance(data, ReciprocalVolume) else "plane"
    with progress(f"writing {output.name}"):
        write(output, data, format=kind, for_fft=for_fft, overwrite=overwrite)
        points = read(output).shape if for_fft else data.shape  # that grid is cut to be even
    if json:
        print_json(
            {
                "output": str(output),
                "format": kind,
                "kind": what,
                "name": data.name,
                "shape": points,
                "unit_cell": None if data.cell is None else data.cell.parameters,
            }
        )
        return
    shape = " × ".join(map(str, points))
    placed = "" if data.cell is not None else ", without a unit cell"
    say(f"The {what} {data.name} of {shape} points{placed} was written to {output} ({kind}).")
