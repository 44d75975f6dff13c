"""``dsfunet report`` and ``dsfunet demo``: results as a page that explains itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dsfunet_core.cli.console import OverwriteOption, check_writable, load_plane, progress, say

__all__ = ["demo", "report", "reproduce"]

_SAMPLE = "tris-amide-hk1"
_INTRODUCTION = (
    "The example that comes with dsfunet: the plane hk1 of tris-tert-butyl-1,3,5-benzene "
    "tricarboxamide. Columns of molecules along c stand in one of two orientations, and "
    "neighbouring columns prefer opposite ones. The measurement is simulated from the "
    "published structure and the published short-range order, with counting noise, detector "
    "gaps and thermal motion, so that the right answer is known."
)
_NOTE = (
    "The data were simulated with these values, so they are the truth here; the separation "
    "was not told them."
)


def report(
    file: Annotated[Path, typer.Argument(help="Result of dsfunet factorize.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write a result as one HTML file: pictures, parameters, what was chosen and why.

    [dim]Example:[/]  [cyan]dsfunet report hk1.h5 -o hk1.html[/]
    """
    from dsfunet_core.io.results import load_fit, load_result
    from dsfunet_core.report import write_report

    check_writable(output, overwrite)
    with progress("reading") as callback:
        result, fit = load_result(file), load_fit(file)
        write_report(output, result, fit, overwrite=overwrite, callback=callback)
    if fit is None:
        say(f"{file} holds no Warren–Cowley parameters yet; add them with dsfunet fit-sro.")
    say(f"Written to {output}.")


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write to; made if missing.")
    ] = Path("demo"),
) -> None:
    """Factorize the bundled example and explain the result in a report.

    Writes report.html and the result tris-amide-hk1.h5, replacing those of an earlier run.

    [dim]Example:[/]  [cyan]dsfunet demo --output demo[/]
    """
    from dsfunet_core.cli.factorize import print_choices
    from dsfunet_core.data import sample
    from dsfunet_core.factorization import factorize
    from dsfunet_core.io.results import save_result
    from dsfunet_core.refine import refine_sro
    from dsfunet_core.refine.reference import Reference
    from dsfunet_core.report import write_report
    from dsfunet_core.simulate.tris_amide import LAUE_CLASS, YELL_ALPHA

    output.mkdir(parents=True, exist_ok=True)
    page, stored = output / "report.html", output / f"{_SAMPLE}.h5"
    with progress("reading") as callback:
        plane = load_plane(sample(_SAMPLE), "hk1", None)
        result = factorize(plane, callback=callback)
        fit = refine_sro(result, laue_class=LAUE_CLASS, shells=5)
        save_result(stored, result, fit, overwrite=True)
        write_report(
            page,
            result,
            fit,
            reference=Reference(YELL_ALPHA, "published", _NOTE),
            introduction=_INTRODUCTION,
            overwrite=True,
            callback=callback,
        )
    print_choices(result)
    say("")
    say(fit.table())
    say(f"\nWritten: {page} (open it in a browser) and {stored}.")


def reproduce(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write to; made if missing.")
    ] = Path("reproduction"),
    counts: Annotated[float, typer.Option(help="Mean counts per measured pixel.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Redo the paper's Table 2 and Fig. 5 with simulated data, by every method.

    The plane hk1 of tris-amide is simulated from the published structure and order, with dead
    zones and noise, for three angles of the tert-butyl groups; then both are to be found
    again.

    [dim]Example:[/]  [cyan]dsfunet reproduce -o reproduction[/]
    """
    from rich.console import Console
    from rich.table import Table

    from dsfunet_core.reproduce import reproduce as run
    from dsfunet_core.reproduce import table_rows, write_reproduction

    for name in ("table-2.csv", "figure-5.png", "scans.png", "figures.json"):
        if output.is_dir():
            check_writable(output / name, overwrite)
    with progress("simulating") as callback:
        found = run(counts=counts, seed=seed, callback=callback)
        paths = write_reproduction(output, found, overwrite=overwrite)
    heading, *rows = table_rows(found)
    table = Table(title="Warren–Cowley parameters", box=None)
    for title in heading:
        table.add_column(title, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=max(100, Console().width)).print(table, markup=False)
    for angle, pair in found.scans.items():
        for name, one in zip(("form factor", "scattering"), pair, strict=True):
            best = one.minima[0]
            say(
                f"tert-butyl at {angle:g}°, found from the {name}: {best.value:.2f} ± "
                f"{best.sigma:.2f}° (MSE {best.mse:.5f}, at ±60° {one.mse[0]:.4f} and "
                f"{one.mse[-1]:.4f})"
            )
    say("Written: " + ", ".join(str(path) for path in paths))
