"""``dsfunet factorize``: one plane into its two factors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsfunet_core.cli.console import (
    JsonOption,
    OverwriteOption,
    check_writable,
    load_plane,
    print_json,
    progress,
    say,
)
from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.factorization.result import Factorization

__all__ = ["factorize", "print_choices"]


def factorize(
    file: Annotated[Path, typer.Argument(help="Volume or plane.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Result, as NeXus/HDF5 (.h5 or .nxs).")
    ],
    plane: Annotated[
        str | None, typer.Option(help="Which plane of a volume: hk1, h0l, hhl, hk0.5.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="lattice: with the reciprocal lattice; network: blind, trained; hybrid: both, "
            "and a search for the lattice where the file has no cell."
        ),
    ] = "lattice",
    weights: Annotated[
        str | None,
        typer.Option(help="Of the network: a name from `dsfunet weights list`, or a file."),
    ] = None,
    support: Annotated[
        str,
        typer.Option(
            help="Radius in Å that holds the autocorrelation of the disordered unit, roughly "
            "its diameter; auto chooses it by cross-validation.",
        ),
    ] = "auto",
    order: Annotated[
        str,
        typer.Option(
            help="Correlations up to so many cells apart, 1 to 12; auto is 5, or less where "
            "the plane has too few pixels a cell."
        ),
    ] = "auto",
    background: Annotated[
        bool, typer.Option("--background", help="Refine a smooth additive background too.")
    ] = False,
    robust: Annotated[
        bool, typer.Option("--robust/--no-robust", help="Give outliers no weight.")
    ] = True,
    refine_lattice: Annotated[
        bool,
        typer.Option(
            "--refine-lattice",
            help="Refine cell and origin as part of the solution: for cells half a percent "
            "and origins a pixel off.",
        ),
    ] = False,
    bragg_radius: Annotated[
        float | None,
        typer.Option(help="Mask spheres of this radius in Å⁻¹ around the Bragg positions."),
    ] = None,
    centring: Annotated[
        str, typer.Option(help="Lattice centring for that mask: P A B C I F R_obv.")
    ] = "P",
    device: Annotated[
        str | None, typer.Option(help="Torch device such as cuda; the CPU if not given.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Path of the intensities in an HDF5 file.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Separate a plane into form factor and short-range order.

    [dim]Examples:[/]

    [cyan]dsfunet factorize crystal.h5 --plane hk1 -o hk1.h5[/]

    [cyan]dsfunet factorize crystal.h5 --plane h0l --bragg-radius 0.05 --centring C -o h0l.h5[/]

    [cyan]dsfunet slice crystal.h5 --plane hk1 --thickness 0.1 -o hk1.npz[/]
    [cyan]dsfunet factorize hk1.npz -o hk1.h5[/]

    [cyan]dsfunet factorize image.tif --method hybrid -o image.h5[/]
    """
    check_writable(output, overwrite)
    radius = _support(support)
    with progress("reading") as callback:
        data = load_plane(file, plane, dataset)
        if bragg_radius is not None:
            from dsfunet_core.masking.bragg import mask_bragg

            data = mask_bragg(data, bragg_radius, centring=centring)
        callback(0, 100, "starting")
        from dsfunet_core import factorization

        result = factorization.factorize(
            data,
            method,
            order=_order(order),
            support=radius,
            background=background,
            robust=robust,
            refine_lattice=refine_lattice,
            weights=weights,
            device=device,
            callback=callback,
        )
        callback(100, 100, "writing")
        from dsfunet_core.io.results import save_result

        save_result(output, result, overwrite=overwrite)
    if json:
        from dsfunet_core.applicability import assess

        print_json(
            {
                "output": str(output),
                "plane": result.plane.name,
                "method": result.method,
                "shape": result.plane.shape,
                "valid_pixels": int(result.plane.valid.sum()),
                "r_factor": result.r_factor,
                "reduced_chi2": result.reduced_chi2,
                "choices": result.choices,
                "applicability": assess(result).to_dict(),
            }
        )
        return
    print_choices(result)
    following = f" Next: dsfunet fit-sro {output}" if result.plane.has_geometry else ""
    say(f"Written to {output}.{following}")


def print_choices(result: Factorization) -> None:
    """Print the summary of a factorization, whether it applies, and what was chosen and why."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from dsfunet_core.applicability import assess
    from dsfunet_core.explain import explain_choices, summarize

    console = Console(highlight=False)
    console.print(summarize(result), markup=False)
    for choice in explain_choices(result):
        console.print(Text(f"{choice.what}: {choice.value}", style="bold"))
        console.print(Padding(Text(choice.why), (0, 0, 0, 4), expand=False))
    found = assess(result)
    console.print(Text(found.verdict, style="bold" if found.holds else "bold yellow"))
    for check in (*found.concerns, *found.shortcomings):
        console.print(Text(f"{check.what}: {check.shown}", style="bold"))
        console.print(Padding(Text(check.sentence), (0, 0, 0, 4), expand=False))


def _support(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise ParameterError(
            f"--support {text}: give a radius in Å such as 14, or auto."
        ) from None


def _order(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise ParameterError(
            f"--order {text}: give a whole number such as 3, or auto."
        ) from None
