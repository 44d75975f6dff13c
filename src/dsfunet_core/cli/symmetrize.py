"""``dsfunet symmetrize`` and ``dsfunet pdf``: averages over equivalents, and 3D-ΔPDFs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dsfunet_core.cli.console import (
    JsonOption,
    OverwriteOption,
    check_writable,
    print_json,
    progress,
    say,
)
from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["pdf", "symmetrize"]


class Window(StrEnum):
    """Windows of :func:`dsfunet_core.pdf.delta_pdf`."""

    GAUSSIAN = "gaussian"
    WELCH = "welch"
    HANN = "hann"
    BLACKMAN = "blackman"
    NONE = "none"


class Fill(StrEnum):
    """What :func:`dsfunet_core.pdf.delta_pdf` puts where nothing was measured."""

    SHELL = "shell"
    ZERO = "zero"


MemoryOption = Annotated[float, typer.Option(help="What arrays may take [GiB].")]
DatasetOption = Annotated[
    str | None, typer.Option(help="Path of the intensities in an HDF5 file.")
]


def symmetrize(
    file: Annotated[Path, typer.Argument(help="Volume, or plane (.npz).")],
    output: Annotated[
        Path | None,
        typer.Argument(help="File for the average: .h5 of a volume, .npz of a plane."),
    ] = None,
    laue: Annotated[
        str | None,
        typer.Option(help="Laue class, such as 6/m; that of the data's file if left out."),
    ] = None,
    outliers: Annotated[
        float | None,
        typer.Option(help="Reject equivalents so many times their scatter off the median."),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Compare all Laue classes that the cell allows.")
    ] = False,
    max_memory: MemoryOption = 1.0,
    dataset: DatasetOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Average over the operations of a Laue class; gaps are filled by their equivalents.

    A volume is read and written in pieces, however large it is.

    [dim]Examples:[/]

    [cyan]dsfunet symmetrize crystal.h5 --test[/]

    [cyan]dsfunet symmetrize crystal.h5 average.h5 --laue 6/m --outliers 5[/]
    """
    from dsfunet_core.io import read

    if output is None and not test:
        raise ParameterError(
            "say where to write the average (dsfunet symmetrize IN OUT --laue 6/m), or ask for "
            "a comparison of the Laue classes with --test."
        )
    check_writable(output, overwrite)
    data = read(file, dataset)
    about: dict[str, Any] = {"file": str(file)}
    if test:
        from dsfunet_core.symmetrize import rank_laue_classes

        with progress("comparing equivalents") as callback:
            ranking = rank_laue_classes(data, callback=callback)
        about["test"] = ranking.as_dict()
        if not json:
            say(ranking.table())
    if output is not None:
        report = _average(data, output, laue, outliers, max_memory, overwrite)
        about |= {"output": str(output), "report": report.as_dict()}
        if not json:
            say(f"{report}\nwritten to {output}")
    if json:
        print_json(about)


def _average(
    data: ReciprocalVolume | ReciprocalPlane,
    output: Path,
    laue: str | None,
    outliers: float | None,
    max_memory: float,
    overwrite: bool,
) -> Any:
    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.symmetrize import symmetrize_plane, write_symmetrized

    wanted = ".npz" if isinstance(data, ReciprocalPlane) else ".h5"
    suffixes = (".npz",) if isinstance(data, ReciprocalPlane) else (".h5", ".hdf5")
    if output.suffix.lower() not in suffixes:
        kind = "plane" if isinstance(data, ReciprocalPlane) else "volume"
        raise ParameterError(
            f"{output}: the average of a {kind} is written as {wanted}; give it that ending."
        )
    with progress("averaging equivalents") as callback:
        if not isinstance(data, ReciprocalPlane):
            return write_symmetrized(
                output,
                data,
                laue,
                outliers=outliers,
                max_memory=max_memory,
                overwrite=overwrite,
                callback=callback,
            )
        from dsfunet_core.io.numpy import write_npz

        done = symmetrize_plane(data, laue, outliers=outliers)
        write_npz(output, done.plane, overwrite=overwrite)
    return done.report


def pdf(
    file: Annotated[Path, typer.Argument(help="Volume, or plane (.npz).")],
    output: Annotated[
        Path,
        typer.Argument(help="3D-ΔPDF of a volume: .h5. Patterson map of a plane: .png, .npz."),
    ],
    plane: Annotated[
        str | None,
        typer.Option(help="Cut this plane, hk1 for example, and make its Patterson map."),
    ] = None,
    window: Annotated[Window, typer.Option(help="Weight that falls with |Q|.")] = (
        Window.GAUSSIAN
    ),
    q_max: Annotated[
        float | None,
        typer.Option(help="Where the window ends [Å⁻¹]; as far as there are data if left out."),
    ] = None,
    fill: Annotated[
        Fill, typer.Option(help="For gaps: the mean at the same |Q|, or zero.")
    ] = Fill.SHELL,
    extent: Annotated[
        float | None, typer.Option(help="Largest |u|, |v|, |w| of a 3D-ΔPDF.")
    ] = None,
    max_memory: MemoryOption = 4.0,
    dataset: DatasetOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Transform diffuse scattering: 3D-ΔPDF of a volume, Patterson map of a plane.

    Mask the Bragg peaks first.

    [dim]Examples:[/]

    [cyan]dsfunet pdf crystal.h5 pdf.h5 --extent 10[/]

    [cyan]dsfunet pdf crystal.h5 hk1.png --plane hk1[/]
    """
    from dsfunet_core.cli.console import load_plane
    from dsfunet_core.io import read
    from dsfunet_core.plane import ReciprocalPlane

    check_writable(output, overwrite)
    options: dict[str, Any] = {"window": window.value, "q_max": q_max, "fill": fill.value}
    data = load_plane(file, plane, dataset) if plane is not None else read(file, dataset)
    with progress("Fourier transform") as callback:
        if isinstance(data, ReciprocalPlane):
            made: Any = _patterson(data, output, options, overwrite)
        else:
            from dsfunet_core.pdf import delta_pdf, write_pdf

            if output.suffix.lower() not in (".h5", ".hdf5"):
                raise ParameterError(
                    f"{output}: a 3D-ΔPDF is written as .h5; give it that ending, or choose a "
                    "plane with --plane."
                )
            made = delta_pdf(
                data, **options, extent=extent, max_memory=max_memory, callback=callback
            )
            write_pdf(output, made, overwrite=overwrite)
    record = made.provenance["processing"][-1]
    if json:
        print_json({"output": str(output), "shape": made.values.shape, **record})
        return
    say(
        f"{record['step']}: {' × '.join(map(str, made.values.shape))} points, "
        f"{record['window']} window to {record['q_max']:.2f} Å⁻¹, "
        f"{record['filled']:.1%} filled ({record['fill']}), written to {output}"
    )


def _patterson(
    plane: ReciprocalPlane, output: Path, options: dict[str, Any], overwrite: bool
) -> Any:
    import numpy as np

    from dsfunet_core import plots
    from dsfunet_core.io.files import replacing
    from dsfunet_core.pdf import plane_patterson

    if output.suffix.lower() not in (".png", ".npz"):
        raise ParameterError(
            f"{output}: a Patterson map is written as .png (picture) or .npz (values, and the "
            "place of every point in Å); give it one of these endings."
        )
    made = plane_patterson(plane, **options)
    with replacing(output, overwrite=overwrite) as temporary:
        if output.suffix.lower() == ".png":
            temporary.write_bytes(plots.png(made.figure()))
        else:
            index = np.moveaxis(np.indices(made.values.shape), 0, -1)
            with temporary.open("wb") as file:
                np.savez_compressed(file, values=made.values, xy=made.xy(index))
    return made
