"""``dsfunet factorize-volume``: a whole volume into form factor and short-range order."""

from __future__ import annotations

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
    from dsfunet_core.volume_factorization import VolumeFactorization

__all__ = ["factorize_volume"]

#: Vectors shown on the terminal; all are in the files.
SHOWN = 20


def factorize_volume(
    file: Annotated[Path, typer.Argument(help="Volume.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Result, as NeXus/HDF5 (.h5 or .nxs).")
    ],
    laue: Annotated[
        str | None,
        typer.Option(help="Laue class, such as 6/m; that of the data's file if left out."),
    ] = None,
    order: Annotated[
        int, typer.Option(help="Correlations up to so many cells apart, 1 to 8.")
    ] = 5,
    support: Annotated[
        str,
        typer.Option(
            help="Radius in Å that holds the autocorrelation of the disordered unit, roughly "
            "its diameter; auto chooses it by cross-validation.",
        ),
    ] = "auto",
    limit: Annotated[
        float | None, typer.Option(help="Use voxels with |h|, |k|, |l| up to this.")
    ] = None,
    every: Annotated[int, typer.Option(help="Use every so many voxels along each axis.")] = 1,
    robust: Annotated[
        bool, typer.Option("--robust/--no-robust", help="Give outliers no weight.")
    ] = True,
    max_unknowns: Annotated[
        int,
        typer.Option(
            help="Most unknowns of the form factor: memory grows with their square, and fewer "
            "allow a smaller support only.",
        ),
    ] = 8000,
    csv: Annotated[Path | None, typer.Option(help="Write the table of α here too.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Path of the intensities in an HDF5 file.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Separate a volume into a form factor and α of all vectors at once.

    Mask the Bragg peaks and subtract the background first.

    [dim]Examples:[/]

    [cyan]dsfunet factorize-volume crystal.h5 -o result.h5 --laue 6/m --csv alpha.csv[/]

    [cyan]dsfunet factorize-volume crystal.h5 -o result.h5 --limit 4 --every 2[/]
    """
    from dsfunet_core.io import read
    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.volume_factorization import assess_volume, plan_volume, summarize_volume
    from dsfunet_core.volume_factorization import factorize_volume as solve
    from dsfunet_core.volume_factorization.excerpt import excerpt
    from dsfunet_core.volume_factorization.files import (
        check_suffix,
        write_volume_factorization,
    )

    for path in (output, csv):
        check_writable(path, overwrite)
    check_suffix(output)
    if csv is not None and csv.resolve() == output.resolve():
        raise ParameterError(f"{csv}: result and table need a name each.")
    radius = _support(support)
    with progress("reading") as callback:
        volume = read(file, dataset)
        if not isinstance(volume, ReciprocalVolume):
            raise ParameterError(
                f"{file} holds a plane; factorize it with dsfunet factorize {file}."
            )
        plan = plan_volume(
            volume,
            order=order,
            support=radius,
            laue_class=laue,
            limit=limit,
            every=every,
            max_unknowns=max_unknowns,
        )
        if not json:
            say(plan.describe())
        if limit is not None or every != 1:
            volume = excerpt(volume, limit=limit, every=every)
        result = solve(
            volume,
            order=order,
            support=radius,
            laue_class=laue,
            robust=robust,
            max_unknowns=max_unknowns,
            callback=callback,
        )
        callback(99, 100, "writing")
        write_volume_factorization(output, result, overwrite=overwrite)
        if csv is not None:
            result.to_csv(csv, overwrite=overwrite)
        applicability = assess_volume(result)
    if json:
        print_json({**_as_dict(output, result), "applicability": applicability.to_dict()})
        return
    say(
        "\n".join(
            [summarize_volume(result), "", result.table(SHOWN), "", applicability.table()]
        )
    )
    say(f"Written to {', '.join(str(p) for p in (output, csv) if p is not None)}")


def _support(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise ParameterError(
            f"--support {text}: give a radius in Å such as 9, or auto."
        ) from None


def _as_dict(output: Path, result: VolumeFactorization) -> dict[str, Any]:
    return {
        "output": str(output),
        "laue_class": result.laue_class,
        "choices": {
            key: {f"{k:g}": v for k, v in value.items()} if key == "support_scores" else value
            for key, value in result.choices.items()
        },
        "parameters": [
            {
                "vector": orbit.representative,
                "multiplicity": orbit.multiplicity,
                "length": orbit.length,
                "alpha": float(alpha),
                "sigma": float(sigma),
            }
            for orbit, alpha, sigma in zip(
                result.orbits, result.alpha, result.sigma, strict=True
            )
        ],
    }
