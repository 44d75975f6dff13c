"""The command line ``dsfunet``.

Commands import what they need when they run, so that ``dsfunet --help`` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from dsfunet_core.cli.console import ReportingGroup, forgiving_streams
from dsfunet_core.cli.convert import convert
from dsfunet_core.cli.evaluate import evaluate
from dsfunet_core.cli.factorize import factorize
from dsfunet_core.cli.factorize_volume import factorize_volume
from dsfunet_core.cli.inspect import info, slice_plane
from dsfunet_core.cli.mask import mask
from dsfunet_core.cli.network import train, weights_app
from dsfunet_core.cli.report import demo, report, reproduce
from dsfunet_core.cli.simulate import simulate
from dsfunet_core.cli.sro import fit_sro
from dsfunet_core.cli.structure import refine, scan
from dsfunet_core.cli.symmetrize import pdf, symmetrize

__all__ = ["app"]

app = typer.Typer(
    name="dsfunet",
    cls=ReportingGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "From a reconstruction to Warren–Cowley parameters:\n\n"
        "[cyan]dsfunet info crystal.h5[/]\n\n"
        "[cyan]dsfunet factorize crystal.h5 --plane hk1 -o hk1.h5[/]\n\n"
        "[cyan]dsfunet fit-sro hk1.h5 --laue 6/m --shells 5 --csv alpha.csv[/]\n\n"
        "[cyan]dsfunet report hk1.h5 -o hk1.html[/]\n\n"
        "Exit codes: 0 done, 1 something about the data or a parameter (the message says "
        "what to change), 2 wrong usage."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import dsfunet_core

        typer.echo(f"dsfunet {dsfunet_core.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            envvar="DSFUNET_TRACEBACK",
            help="Show where in the program an error came from.",
        ),
    ] = False,
) -> None:
    """Separate single-crystal diffuse scattering into form factor and short-range order."""
    forgiving_streams()


app.command("info")(info)
app.command("slice")(slice_plane)
app.command("convert")(convert)
app.command("symmetrize")(symmetrize)
app.command("mask")(mask)
app.command("pdf")(pdf)
app.command("factorize")(factorize)
app.command("factorize-volume")(factorize_volume)
app.command("fit-sro")(fit_sro)
app.command("scan")(scan)
app.command("refine")(refine)
app.command("report")(report)
app.command("evaluate")(evaluate)
app.command("simulate")(simulate)
app.command("train")(train)
app.add_typer(weights_app, name="weights")
app.command("demo")(demo)
app.command("reproduce")(reproduce)
