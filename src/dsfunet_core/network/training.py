"""Training of a network on planes simulated while it learns.

A run can be killed at any moment: what it needs to go on is written every few minutes, under
a temporary name that is then renamed, and the planes are numbered, so that it goes on with
the plane after the last one that counted.
"""

from __future__ import annotations

import copy
import csv
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from dsfunet_core.errors import ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.metrics import mean_squared_error, summary
from dsfunet_core.network import weights
from dsfunet_core.network.losses import linear
from dsfunet_core.network.paper import PaperNet
from dsfunet_core.network.pictures import samples_figure
from dsfunet_core.network.recipes import CompactRecipe, PaperRecipe, Recipe
from dsfunet_core.plots import png
from dsfunet_core.simulate.crystals import PAPER, VALIDATION
from dsfunet_core.simulate.stream import (
    PlaneStream,
    as_paper_sample,
    as_sample,
    plane_number,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TrainingPlan", "train", "validate", "validation_samples"]

#: Seed of the planes that are watched during training; training itself never draws them.
VALIDATION_SEED = 20240202
#: Of them, in the picture that is written beside the log.
PICTURED = 4
_COLUMNS = ("minutes", "seen", "loss", "sro", "form_factor", "sro_p90", "form_factor_p90")


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained.

    Parameters
    ----------
    hours : float
        Time the learning rate is planned for. A longer plan can take over a run that is
        under way.
    preset : {"compact", "paper"}
        Which network, and with it the recipe: ours, or two Pix2Pix GANs on the paper's
        planes (no crops, no disturbances, each image scaled from its own minimum).
    network : mapping
        Size of the compact network where it is not the usual one, see `CompactNet`.
    batch : int
        Planes a step.
    crop : int
        Edge of the pieces [pixels] that the compact network is trained on first.
    full_from : float
        Fraction of the time after which whole planes of 256 pixels follow, fewer a step.
    cooldown : float
        Fraction of the time, at the end, in which the learning rate falls to zero.
    learning_rate : float
        In between.
    disturb : float
        Chance that a plane has noise, background and so on.
    seed : int
        Of weights and planes.
    workers : int
        Processes that simulate.
    start : str, optional
        Weights to begin with, see `dsfunet_core.network.weights.find`. The time and the
        planes on their card count as done, and the network has their size.
    keep : tuple of str
        Parts of the network that stay as they are, say ("guess",) of the compact one.
    """

    hours: float = 1.0
    preset: str = "compact"
    network: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 16
    crop: int = 128
    full_from: float = 0.67
    cooldown: float = 0.25
    learning_rate: float = 1.5e-3
    disturb: float = 0.5
    seed: int = 1
    workers: int = 1
    start: str | None = None
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.hours > 0 or self.batch < 1 or not self.learning_rate > 0:
            raise ParameterError(
                f"hours = {self.hours}, batch = {self.batch}, learning_rate = "
                f"{self.learning_rate}: all three must be positive."
            )

    def rate(self, elapsed: float, seen: int) -> float:
        """Learning rate after a fraction of the time and a number of planes."""
        warm = min(1.0, (seen + 1) / (300 * self.batch))
        left = min(1.0, max(1 - elapsed, 0.0) / self.cooldown) if self.cooldown else 1.0
        return self.learning_rate * warm * (0.002 + 0.998 * left)


@dataclass
class _Progress:
    """What of a run is written besides weights."""

    seconds: float = 0.0
    seen: int = 0
    best: float = float("inf")
    figures: dict[str, float] = field(default_factory=dict)


def validation_samples(n: int) -> list[dict[str, Tensor]]:
    """Whole noise-free planes of held-out molecules, order and detectors.

    Parameters
    ----------
    n : int
        How many.

    Returns
    -------
    list of dict
        See `as_sample`.
    """
    return [as_sample(plane_number(VALIDATION_SEED, i, VALIDATION)) for i in range(n)]


@torch.inference_mode()
def validate(
    model: torch.nn.Module, samples: list[dict[str, Tensor]], device: torch.device
) -> dict[str, float]:
    """Mean square error of both factors on the paper's scale.

    Parameters
    ----------
    model : Module
        Takes (scattering, valid).
    samples : list of dict
        From `validation_samples`.
    device : torch.device
        Where the model is.

    Returns
    -------
    dict
        ``sro``, ``form_factor`` (means) and ``sro_p90``, ``form_factor_p90``.
    """
    was_training = model.training
    model.eval()
    errors: dict[str, list[float]] = {"form_factor": [], "sro": []}
    for sample in samples:
        inputs = (sample[name][None].to(device) for name in ("scattering", "valid"))
        found = linear(model(*inputs)[-1][0].clamp(-1, 1)).float().cpu().numpy()
        for image, name in zip(found, errors, strict=True):
            errors[name].append(mean_squared_error(image, linear(sample[name][0]).numpy()))
    model.train(was_training)
    result = {}
    for name, values in errors.items():
        figures = summary(values)
        result[name], result[name + "_p90"] = figures["mean"], figures["p90"]
    return result


def _batches(plan: TrainingPlan, start: int, whole: bool) -> Iterator[dict[str, Tensor]]:
    if plan.preset == "paper":
        batch = plan.batch
        stream = PlaneStream(
            plan.seed, PAPER, start=start, block=batch, transform=as_paper_sample
        )
    else:
        batch = max(1, plan.batch * plan.crop**2 // 256**2) if whole else plan.batch
        stream = PlaneStream(
            plan.seed,
            crop=None if whole else plan.crop,
            disturb=plan.disturb,
            start=start,
            block=batch,
        )
    loader = DataLoader(
        stream,
        batch_size=batch,
        num_workers=plan.workers,
        prefetch_factor=4 if plan.workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _network(plan: TrainingPlan) -> tuple[torch.nn.Module, _Progress]:
    """Network to train, and how far it has come."""
    if plan.start is None:
        return weights.build(plan.preset, plan.network), _Progress()
    loaded = weights.load(plan.start)
    if loaded.card["preset"] != plan.preset:
        raise ParameterError(
            f"start = {plan.start!r} are weights of the {loaded.card['preset']} network, but "
            f"preset = {plan.preset!r} was asked for."
        )
    progress = _Progress(**loaded.card.get("progress", {}))
    return copy.deepcopy(loaded.network).train(), progress


def _one_thread(_worker: int) -> None:
    """Small matrices gain nothing from threads, which would steal from the training."""
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def _symmetric(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Batch turned and mirrored at random: the physics does not mind."""
    turn, mirror = torch.randint(0, 4, (2,), generator=generator).tolist()
    images = {name: image.rot90(turn, (2, 3)) for name, image in batch.items()}
    return {name: image.flip(3) if mirror % 2 else image for name, image in images.items()}


def train(
    plan: TrainingPlan,
    folder: str | Path,
    *,
    minutes: float | None = None,
    checkpoint_minutes: float = 10.0,
    validation: int = 64,
    accelerator: str = "auto",
    devices: int | str = 1,
    nodes: int = 1,
    precision: Any = "32-true",
    callback: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Train, or go on training, a network.

    Parameters
    ----------
    plan : TrainingPlan
        What to do.
    folder : path-like
        Where ``last.ckpt``, ``best.safetensors``, ``log.csv``, ``samples.png`` and, where
        it is installed, what TensorBoard shows go; a run found there is continued.
    minutes : float, optional
        Stop after so many in this sitting; the run can be continued.
    checkpoint_minutes : float
        Between checkpoints and looks at the validation planes.
    validation : int
        Planes watched.
    accelerator, devices, nodes, precision
        As for Lightning Fabric.
    callback : callable, optional
        Called with the figures at every checkpoint.

    Returns
    -------
    dict
        The last figures.
    """
    from lightning_fabric import Fabric

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fabric = Fabric(
        accelerator=accelerator, devices=devices, num_nodes=nodes, precision=precision
    )
    fabric.launch()
    torch.manual_seed(plan.seed)
    network, progress = _network(plan)
    for part in plan.keep:
        network.get_submodule(part).requires_grad_(False)
    recipe: Recipe
    if isinstance(network, PaperNet):
        recipe = PaperRecipe(network, fabric)
    else:
        recipe = CompactRecipe(network, fabric)
    last = folder / "last.ckpt"
    if last.exists():
        rest = fabric.load(last, recipe.state())
        progress = _Progress(**rest["progress"])
    samples = validation_samples(validation)
    started, before = time.monotonic(), progress.seconds
    next_look = before + 60 * checkpoint_minutes
    losses: list[float] = []
    whole: bool | None = None
    batches: Iterator[dict[str, Tensor]] = iter(())

    def look() -> None:
        progress.figures = validate(recipe.result, samples, fabric.device)
        progress.figures |= {
            "minutes": progress.seconds / 60,
            "seen": progress.seen,
            "loss": float(np.mean(losses)) if losses else float("nan"),
        }
        losses.clear()
        score = progress.figures["sro"] + progress.figures["form_factor"]
        better = score < progress.best
        progress.best = min(score, progress.best)
        content = {**recipe.state(), "progress": asdict(progress), "plan": asdict(plan)}
        temporary = last.with_suffix(".partial")
        fabric.save(temporary, content)
        if fabric.is_global_zero:
            os.replace(temporary, last)
        if fabric.is_global_zero:
            if better:
                card = {
                    "figures": progress.figures,
                    "plan": asdict(plan),
                    "progress": asdict(progress),
                }
                target = folder / "best.safetensors"
                weights.save(target, recipe.result, plan.preset, card, overwrite=True)
            _log(folder, progress.figures)
            picture = samples_figure(recipe.result, samples[:PICTURED], fabric.device)
            with replacing(folder / "samples.png", overwrite=True) as temporary:
                temporary.write_bytes(png(picture, dpi=70))
            if callback is not None:
                callback(progress.figures)

    while True:
        elapsed = progress.seconds / (3600 * plan.hours)
        spent = progress.seconds - before
        if elapsed >= 1 or (minutes is not None and spent >= 60 * minutes):
            break
        if whole != (elapsed >= plan.full_from):
            whole = elapsed >= plan.full_from
            batches = _batches(plan, progress.seen, whole)
        batch = next(batches)
        generator = torch.Generator().manual_seed(progress.seen)
        batch = fabric.to_device(_symmetric(batch, generator))
        losses.append(recipe.step(batch, plan.rate(elapsed, progress.seen)))
        progress.seen += len(batch["sro"]) * fabric.world_size
        progress.seconds = before + time.monotonic() - started
        if progress.seconds >= next_look:
            look()
            # Looking does not count as training.
            started += time.monotonic() - started - (progress.seconds - before)
            next_look = progress.seconds + 60 * checkpoint_minutes
    if losses or not progress.figures:
        look()
    return progress.figures


def _log(folder: Path, figures: dict[str, float]) -> None:
    """Add a line to log.csv, and to what TensorBoard shows where that is installed."""
    path = folder / "log.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(_COLUMNS)
        writer.writerow(f"{figures[name]:.6g}" for name in _COLUMNS)
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as board:
        for name in _COLUMNS[2:]:
            board.add_scalar(name, figures[name], int(figures["seen"]))
