"""One step of training: ours for the compact network, the published one for the paper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from dsfunet_core.network.losses import factor_loss, joint_loss
from dsfunet_core.network.paper import Discriminator, PaperNet, initialise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CompactRecipe", "PaperRecipe", "Recipe"]

#: What an early stage of the compact network counts against the last.
EARLY_STAGE = 0.3
#: Weight of L1 against the adversarial loss, λ of eq. (10).
L1_WEIGHT = 100.0


class Recipe(Protocol):
    """What the training loop asks of a recipe."""

    @property
    def result(self) -> nn.Module:
        """Network that is validated and written."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint must hold: modules and optimizers by name."""
        ...

    def step(self, batch: dict[str, Tensor], rate: float) -> float:
        """Learn from a batch at a learning rate; the loss comes back."""
        ...


def _running_average(average: Tensor, current: Tensor, n: Tensor | int) -> Tensor:
    """Exponential average over about a thousand steps, fewer at the start."""
    return average.lerp(current, 1 - min((1 + int(n)) / (10 + int(n)), 0.999))


def _set_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


class CompactRecipe:
    """AdamW on the losses of `factor_loss`, clipped gradients, averaged weights.

    Parameters
    ----------
    network : Module
        A `CompactNet`.
    fabric : lightning_fabric.Fabric
        Where and how precisely it runs.
    """

    def __init__(self, network: nn.Module, fabric: Any) -> None:
        self.fabric, self.network = fabric, network
        self.average = AveragedModel(network, avg_fn=_running_average)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.model, self.optimizer = fabric.setup(network, optimizer)
        self.average = self.average.to(fabric.device)

    @property
    def result(self) -> nn.Module:
        """The averaged network."""
        return self.average.module

    def state(self) -> dict[str, Any]:
        """Network, average and optimizer."""
        return {"model": self.model, "average": self.average, "optimizer": self.optimizer}

    def step(self, batch: dict[str, Tensor], rate: float) -> float:
        """One step of gradient descent."""
        _set_rate(self.optimizer, rate)
        truth = torch.cat([batch["form_factor"], batch["sro"]], dim=1)
        found = self.model(batch["scattering"], batch["valid"])
        loss = factor_loss(found[-1], truth)
        for early in found[:-1]:
            loss = loss + EARLY_STAGE * factor_loss(early, truth)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.model, self.optimizer, max_norm=1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update_parameters(self.network)
        return float(loss.detach())


class PaperRecipe:
    """Two Pix2Pix GANs in parallel and the joint step, section 2.2 of the paper.

    For each factor the generator learns from the adversarial (least squares) loss and 100
    times L1, the discriminator from true and found factors beside the clean scattering;
    then both generators learn together from their product, eqs (11) and (12). Adam with
    β = (0.5, 0.999). The generators see dead zones, the discriminators never do.

    Parameters
    ----------
    network : PaperNet
        Both generators.
    fabric : lightning_fabric.Fabric
        Where and how precisely it runs.
    """

    def __init__(self, network: PaperNet, fabric: Any) -> None:
        self.fabric = fabric
        self.names = ("form_factor", "sro")
        self.generators: dict[str, Any] = {}
        self.discriminators: dict[str, Any] = {}
        self.optimizers: dict[str, Any] = {}
        for name in self.names:
            discriminator = Discriminator()
            initialise(discriminator)
            for role, module, kept in (
                ("generator", network.get_submodule(name), self.generators),
                ("discriminator", discriminator, self.discriminators),
            ):
                optimizer = torch.optim.Adam(module.parameters(), lr=2e-4, betas=(0.5, 0.999))
                kept[name], self.optimizers[f"{role}_{name}"] = fabric.setup(module, optimizer)
        self.network = network

    @property
    def result(self) -> nn.Module:
        """Both generators."""
        return self.network

    def state(self) -> dict[str, Any]:
        """Generators, discriminators and their optimizers."""
        modules = {f"generator_{k}": v for k, v in self.generators.items()}
        modules |= {f"discriminator_{k}": v for k, v in self.discriminators.items()}
        return modules | {f"optimizer_{k}": v for k, v in self.optimizers.items()}

    def step(self, batch: dict[str, Tensor], rate: float) -> float:
        """Generator and discriminator of each factor, then the joint step."""
        for optimizer in self.optimizers.values():
            _set_rate(optimizer, rate)
        total = sum(self._pair(name, batch) for name in self.names)
        return total + self._joint(batch)

    def _pair(self, name: str, batch: dict[str, Tensor]) -> float:
        generator, discriminator = self.generators[name], self.discriminators[name]
        found = generator(batch["scattering"])
        discriminator.requires_grad_(False)
        verdict = discriminator(found, batch["clean"])
        loss = functional.mse_loss(verdict, torch.ones_like(verdict))
        loss = loss + L1_WEIGHT * functional.l1_loss(found, batch[name])
        self._descend(loss, f"generator_{name}")
        discriminator.requires_grad_(True)
        true = discriminator(batch[name], batch["clean"])
        fake = discriminator(found.detach(), batch["clean"])
        judged = functional.mse_loss(true, torch.ones_like(true))
        judged = (judged + functional.mse_loss(fake, torch.zeros_like(fake))) / 2
        self._descend(judged, f"discriminator_{name}")
        return float(loss.detach())

    def _joint(self, batch: dict[str, Tensor]) -> float:
        found = torch.cat([self.generators[n](batch["scattering"]) for n in self.names], dim=1)
        truth = torch.cat([batch[n] for n in self.names], dim=1)
        loss = joint_loss(found, truth)
        self._descend(loss, *(f"generator_{n}" for n in self.names))
        return float(loss.detach())

    def _descend(self, loss: Tensor, *names: str) -> None:
        self.fabric.backward(loss)
        for name in names:
            self.optimizers[name].step()
            self.optimizers[name].zero_grad()
