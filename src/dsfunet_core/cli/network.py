"""``dsfunet train`` and ``dsfunet weights``: make networks, and keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dsfunet_core.cli.console import OverwriteOption, say

__all__ = ["train", "weights_app"]

weights_app = typer.Typer(
    help="Weights of networks: what there is, and taking the published ones in.",
    no_args_is_help=True,
)


def train(
    folder: Annotated[Path, typer.Argument(help="Of the run; one found there is continued.")],
    preset: Annotated[
        str, typer.Option(help="compact: ours; paper: two Pix2Pix GANs, for a GPU.")
    ] = "compact",
    hours: Annotated[
        float, typer.Option(help="Time the whole run is planned for, sittings added up.")
    ] = 10.0,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so many in this sitting.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Pieces of 128 × 128 pixels a step (8), or the paper's planes (32)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and planes.")] = 1,
    disturb: Annotated[
        float, typer.Option(help="Chance that a plane has noise, background and so on.")
    ] = 0.35,
    start: Annotated[
        str | None,
        typer.Option(help="Begin with these weights instead of random ones: name or file."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Part of the network that stays as it is, say guess; repeatable."),
    ] = None,
    full_from: Annotated[
        float,
        typer.Option(help="Fraction of the time after which pieces give way to whole planes."),
    ] = 0.67,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Until it falls at the end: 1.5e-3, or the paper's 2e-4."),
    ] = None,
    validation: Annotated[int, typer.Option(help="Planes watched.")] = 100,
    checkpoint_minutes: Annotated[float, typer.Option(help="Between checkpoints.")] = 10.0,
    workers: Annotated[int, typer.Option(help="Processes that simulate.")] = 1,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda …")] = "auto",
    devices: Annotated[int, typer.Option(help="How many of them.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines, under their launcher.")] = 1,
    precision: Annotated[
        str, typer.Option(help="32-true, 16-mixed or bf16-mixed.")
    ] = "32-true",
) -> None:
    """Train a network on planes simulated while it learns.

    A run that was stopped or killed goes on from its last checkpoint, with the same planes.
    The averaged weights are in best.safetensors, for --weights.

    [dim]Example:[/]  [cyan]dsfunet train runs/mine --hours 20[/]
    """
    from dsfunet_core.network.training import TrainingPlan
    from dsfunet_core.network.training import train as run

    plan = TrainingPlan(
        hours=hours,
        preset=preset,
        batch=batch or (32 if preset == "paper" else 8),
        learning_rate=learning_rate or (2e-4 if preset == "paper" else 1.5e-3),
        cooldown=0.0 if preset == "paper" else 0.25,
        seed=seed,
        disturb=disturb,
        start=start,
        keep=tuple(keep or ()),
        full_from=full_from,
        workers=workers,
    )

    def tell(figures: dict[str, float]) -> None:
        say(
            f"{figures['minutes']:7.1f} min  {figures['seen']:9.0f} planes  "
            f"loss {figures['loss']:.3f}  I_SRO {figures['sro']:.4f} "
            f"(90 % {figures['sro_p90']:.4f})  I_FF {figures['form_factor']:.4f} "
            f"(90 % {figures['form_factor_p90']:.4f})"
        )

    run(
        plan,
        folder,
        minutes=minutes,
        checkpoint_minutes=checkpoint_minutes,
        validation=validation,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
        precision=precision,
        callback=tell,
    )


@weights_app.command("list")
def list_weights() -> None:
    """Show the weights that --weights can name."""
    from dsfunet_core.network.weights import available, load

    for name, path in available().items():
        card = load(path).card
        figures = card.get("figures", {})
        text = ", ".join(
            f"{k} {v:.4f}" for k, v in figures.items() if k in ("sro", "form_factor")
        )
        say(f"{name}: {card['preset']}" + (f", mean square error {text}" if text else ""))
        say(f"    {path}")


@weights_app.command("path")
def weights_path(
    name: Annotated[
        str | None, typer.Argument(help="As listed; the default if not given.")
    ] = None,
) -> None:
    """Print the file of some weights."""
    from dsfunet_core.network.weights import find

    say(str(find(name)))


@weights_app.command("import")
def import_weights(
    form_factor: Annotated[Path, typer.Argument(help="generator_dFF_200.pth")],
    sro: Annotated[Path, typer.Argument(help="generator_SRO_200.pth")],
    name: Annotated[str, typer.Option(help="What to call them.")] = "paper",
    overwrite: OverwriteOption = False,
) -> None:
    """Take in the published weights, downloaded from their authors' repository.

    They are read without executing anything in them, and kept as safetensors.
    """
    from dsfunet_core.network.weights import import_published, user_folder

    target = user_folder() / f"{name}.safetensors"
    import_published(form_factor, sro, target, overwrite=overwrite)
    say(f"Written to {target}. Use them with --method network --weights {name}.")
