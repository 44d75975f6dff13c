"""``dsfunet evaluate``: measure a method on planes whose factors are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dsfunet_core.cli.console import OverwriteOption, check_writable, progress, say, to_plain

__all__ = ["evaluate"]


def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help=".npz with intensity, valid, form_factor, sro, basis; or a folder written "
            "by dsfunet simulate."
        ),
    ],
    method: Annotated[
        str, typer.Option(help="Method to measure: lattice, network or hybrid.")
    ] = "lattice",
    blind: Annotated[
        bool,
        typer.Option("--blind", help="Keep the lattice from hybrid: it has to find it."),
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(help="Of the network: a name from `dsfunet weights list`, or a file."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all figures here, plane by plane.")
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="TorchScript file of the 2015 Inception network, for FID and KID; it does "
            "not come with this package."
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Planes solved at once: 1 on a CPU, 16 or more on a GPU.")
    ] = 1,
    device: Annotated[
        str | None, typer.Option(help="Torch device such as cuda; the CPU if not given.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Factorize every plane of a set and compare with the true factors.

    The errors are mean squares on images scaled to [−1, 1], as in Fuller & Rudden (2024).

    [dim]Example:[/]  [cyan]dsfunet evaluate planes.npz --method lattice --json figures.json[/]
    """
    from dsfunet_core.evaluate import evaluate_set

    check_writable(json, overwrite)
    with progress("reading the set") as callback:
        figures = evaluate_set(
            file,
            method=method,
            blind=blind,
            batch_size=batch_size,
            weights=weights,
            inception=inception,
            device=device,
            callback=callback,
        )
    if json is not None:
        _write(json, figures, overwrite)
    _print(figures)
    if json is not None:
        say(f"Written to {json}.")


def _write(path: Path, figures: dict[str, Any], overwrite: bool) -> None:
    from json import dumps

    from dsfunet_core.io.files import replacing

    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(dumps(to_plain(figures), indent=2) + "\n", encoding="utf-8")


def _print(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="mean square error, images scaled to [−1, 1]", box=None)
    table.add_column("")
    statistics = list(next(iter(figures["mse"].values())))
    for statistic in statistics:
        table.add_column(statistic, justify="right")
    table.add_column("noise", justify="right")
    for quantity, values in figures["mse"].items():
        name, root, _ = quantity.partition("_sqrt")
        numbers = [f"{values[s]:.3g}" for s in statistics]
        numbers.append(f"{figures['noise'][quantity]:.3g}")
        table.add_row(name.replace("_", " ") + (" of √I" if root else ""), *numbers)
    console = Console()
    console.print(table, markup=False)
    for name, title in (("sro", "I_SRO"), ("form_factor", "I_FF")):
        distances = (figures["inception"] or {}).get(name)
        text = (
            "not available (give --inception)"
            if distances is None
            else (f"{distances['fid']:.3g} and {distances['kid']:.3g}")
        )
        console.print(f"{title}: FID and KID {text}", highlight=False)
    _print_splits(figures["splits"], console)
    planes = "1 plane" if figures["n"] == 1 else f"{figures['n']} planes"
    console.print(
        f"{planes}, method {figures['method']}, {figures['seconds_per_plane']:.2f} s a plane",
        highlight=False,
    )


def _print_splits(splits: dict[str, list[dict[str, Any]]], console: Any) -> None:
    from rich.table import Table

    names = {
        "coverage": "measured",
        "q_max": "Q_max, Å⁻¹",
        "extent": "size of the molecules, Å",
        "counts": "counts a pixel",
    }
    if not splits:
        return
    table = Table(title="means by kind of plane", box=None)
    for column in ("", "planes", "sro", "form factor"):
        table.add_column(column, justify="left" if not column else "right")
    for name, classes in splits.items():
        for entry in classes:
            span = f"{names[name]} {entry['from']:g}–{entry['to']:g}"
            numbers = (f"{entry[key]:.3g}" for key in ("sro", "form_factor"))
            table.add_row(span, str(entry["n"]), *numbers)
    console.print(table, markup=False)
