"""``dsfunet fit-sro``: Warren–Cowley parameters from a factorization."""

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

if TYPE_CHECKING:
    from dsfunet_core.refine.result import SroRefinement

__all__ = ["fit_sro"]


def fit_sro(
    file: Annotated[Path, typer.Argument(help="Result of dsfunet factorize.")],
    laue: Annotated[
        str | None,
        typer.Option(help="Laue class, such as 6/m; that of the data's file if left out."),
    ] = None,
    shells: Annotated[int, typer.Option(help="Pairs up to so many cells apart.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Write the table here too.")] = None,
    json_out: Annotated[
        Path | None, typer.Option(help="Write everything here too, covariance included.")
    ] = None,
    yell: Annotated[
        Path | None, typer.Option(help="Write Correlations for a Yell model here.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Refine Warren–Cowley parameters to the short-range order, and add them to the file.

    [dim]Examples:[/]

    [cyan]dsfunet fit-sro hk1.h5 --laue 6/m --shells 5[/]

    [cyan]dsfunet fit-sro hk1.h5 --laue 6/m --csv alpha.csv --yell model.txt --overwrite[/]
    """
    from dsfunet_core.applicability import assess
    from dsfunet_core.io.results import add_fit, load_fit, load_result
    from dsfunet_core.refine import refine_sro

    for path in (csv, json_out, yell):
        check_writable(path, overwrite)
    with progress("refining"):
        result = load_result(file)
        if not overwrite:
            _refuse_second(file, load_fit(file))
        fit = refine_sro(result, laue_class=laue, shells=shells)
        add_fit(file, fit, overwrite=overwrite)
        if csv is not None:
            fit.to_csv(csv, overwrite=overwrite)
        if json_out is not None:
            fit.to_json(json_out, overwrite=overwrite)
        if yell is not None:
            _write_yell(yell, fit, overwrite)
    if json:
        print_json(_as_dict(file, fit))
        return
    if laue is None:
        given = result.plane.laue_class
        source = "from the data's file" if given else "no symmetry; choose one with --laue"
        say(f"Laue class {fit.laue_class} ({source})")
    say(fit.table())
    if result.method == "network":
        say(
            "The factors come from a network: its own errors are not in these σ. Where the "
            "lattice is known, factorize with --method lattice."
        )
    verdict = assess(result)
    if not verdict.holds and result.method != "network":
        say(f"Careful: {verdict.verdict} That goes for these α, too.")
    written = [str(p) for p in (file, csv, json_out, yell) if p is not None]
    say(f"Written to {', '.join(written)}. Next: dsfunet report {file} -o report.html")


def _refuse_second(file: Path, fit: SroRefinement | None) -> None:
    from dsfunet_core.errors import ParameterError

    if fit is not None:
        raise ParameterError(
            f"{file} holds a refinement already ({len(fit.alpha)} parameters in "
            f"{fit.laue_class}); pass --overwrite to replace it."
        )


def _write_yell(path: Path, fit: SroRefinement, overwrite: bool) -> None:
    from dsfunet_core.io.files import replacing

    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(fit.yell_snippet(), encoding="utf-8")


def _as_dict(file: Path, fit: SroRefinement) -> dict[str, Any]:
    return {
        "file": str(file),
        "laue_class": fit.laue_class,
        "r_factor": fit.r_factor,
        "weighted_r_factor": fit.weighted_r_factor,
        "chi2": fit.chi2,
        "degrees_of_freedom": fit.dof,
        "parameters": [
            {
                "vector": orbit.representative,
                "multiplicity": orbit.multiplicity,
                "length": orbit.length,
                "alpha": float(alpha),
                "sigma": float(sigma),
                "at_bound": bool(bound),
            }
            for orbit, alpha, sigma, bound in zip(
                fit.orbits, fit.alpha, fit.sigma, fit.at_bound, strict=True
            )
        ],
    }
