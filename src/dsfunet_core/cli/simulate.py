"""``dsfunet simulate``: write a set of planes with known factors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dsfunet_core.cli.console import progress, say

__all__ = ["simulate"]

#: Bytes of a plane of 256 × 256 pixels on disk, about.
BYTES_A_PLANE = 620_000


def simulate(
    folder: Annotated[
        Path, typer.Argument(help="New folder, or one whose set was left unfinished.")
    ],
    preset: Annotated[
        str,
        typer.Option(
            help="training: our wider world; validation: what is kept from training; paper "
            "and paper-validation: the sets of Fuller & Rudden (2024)."
        ),
    ] = "training",
    planes: Annotated[
        int | None,
        typer.Option(help="How many; all of the paper's sets, 1000 of the others."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 0,
    size: Annotated[int, typer.Option(help="Pixels along each edge.")] = 256,
    disturb: Annotated[
        float,
        typer.Option(help="Chance that a plane has noise, background, Bragg remnants …"),
    ] = 0.0,
    unique: Annotated[
        bool,
        typer.Option("--unique", help="Leave out planes that tell nothing new (slow)."),
    ] = False,
    processes: Annotated[int, typer.Option(help="Shards made at once.")] = 1,
) -> None:
    """Write simulated planes with their true factors, as sharded HDF5.

    A run that was stopped goes on where it was, and ends with the same bytes.

    [dim]Example:[/]  [cyan]dsfunet simulate planes --preset paper --planes 2000[/]
    """
    from dsfunet_core.simulate.sets import SetPlan, write_set_shards

    plan = SetPlan(preset, planes, seed, size, disturb, unique)
    room = plan.total * BYTES_A_PLANE * (plan.size / 256) ** 2 / 1e9
    shards = "1 shard" if plan.shards == 1 else f"{plan.shards} shards"
    say(f"{plan.total} planes in {shards}, about {room:.2g} GB.")
    try:
        with progress("simulating") as callback:
            written = write_set_shards(plan, folder, processes=processes, callback=callback)
    except KeyboardInterrupt:
        say("Stopped. The same command goes on with the shards that are missing.")
        raise typer.Exit(130) from None
    say(
        f"{written} planes are in {folder}. Next: dsfunet evaluate {folder}, or one of them: "
        f"dsfunet factorize {folder}/shard-00000.h5 --dataset 0 -o result.h5"
    )
