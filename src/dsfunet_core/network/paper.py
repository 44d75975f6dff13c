"""The published network: two Pix2Pix GANs, one for each factor.

Layer by layer as in section 2.1 of the supporting information of Fuller & Rudden (2024), and
with the names of its published weights, so that those can be loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Discriminator", "Generator", "PaperNet"]


class _Down(nn.Module):
    def __init__(
        self, inside: int, outside: int, *, norm: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(inside, outside, 4, 2, 1, bias=False)]
        if norm:
            layers.append(nn.InstanceNorm2d(outside))
        layers.append(nn.LeakyReLU(0.2))
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Half the resolution."""
        result: Tensor = self.model(x)
        return result


class _Up(nn.Module):
    def __init__(self, inside: int, outside: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False),
            nn.InstanceNorm2d(outside),
            nn.ReLU(inplace=True),
        ]
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Twice the resolution, with what was kept on the way down."""
        return torch.cat((self.model(x), skip), 1)


class Generator(nn.Module):
    """U-Net of six levels: √I in, one factor out, both on [−1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = _Down(1, 64, norm=False)
        self.down2 = _Down(64, 128)
        self.down3 = _Down(128, 256)
        self.down4 = _Down(256, 512, dropout=0.5)
        self.down5 = _Down(512, 512, dropout=0.5)
        self.down6 = _Down(512, 512, norm=False, dropout=0.5)
        self.up3 = _Up(512, 512, dropout=0.5)
        self.up4 = _Up(1024, 512, dropout=0.5)
        self.up5 = _Up(1024, 256)
        self.up6 = _Up(512, 128)
        self.up7 = _Up(256, 64)
        self.final = nn.Sequential(
            nn.Upsample(scale_factor=2),
            nn.ZeroPad2d((1, 0, 1, 0)),
            nn.Conv2d(128, 1, 4, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """One factor.

        Parameters
        ----------
        x : Tensor, shape (n, 1, rows, columns)
            √I on [−1, 1], dead pixels −1; both edges multiples of 64.

        Returns
        -------
        Tensor, same shape
            On [−1, 1].
        """
        d1 = self.down1(x)
        d2 = self.down2(d1)
        d3 = self.down3(d2)
        d4 = self.down4(d3)
        d5 = self.down5(d4)
        u = self.up3(self.down6(d5), d5)
        u = self.up4(u, d4)
        u = self.up5(u, d3)
        u = self.up6(u, d2)
        result: Tensor = self.final(self.up7(u, d1))
        return result


class Discriminator(nn.Module):
    """PatchGAN: is this factor the true one of that clean plane? One answer a patch."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 2
        for outside in (64, 128, 256, 512):
            layers.append(nn.Conv2d(channels, outside, 4, stride=2, padding=1))
            if channels > 2:
                layers.append(nn.InstanceNorm2d(outside))
            layers.append(nn.LeakyReLU(0.2))
            channels = outside
        layers += [nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(512, 1, 4, padding=1, bias=False)]
        self.model = nn.Sequential(*layers)

    def forward(self, factor: Tensor, clean: Tensor) -> Tensor:
        """Patch map, a sixteenth of the edge.

        Parameters
        ----------
        factor, clean : Tensor, shape (n, 1, rows, columns)
            True or found factor, and the scattering without dead zones.

        Returns
        -------
        Tensor, shape (n, 1, rows // 16, columns // 16)
            1 for true, 0 for found.
        """
        result: Tensor = self.model(torch.cat((factor, clean), 1))
        return result


def initialise(module: nn.Module) -> None:
    """Weights of convolutions from N(0, 0.02), as published."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)


class PaperNet(nn.Module):
    """Both published generators behind the interface of `CompactNet`."""

    #: Rows and columns must be multiples of this.
    multiple = 64

    def __init__(self) -> None:
        super().__init__()
        self.options: dict[str, object] = {}
        self.form_factor = Generator()
        self.sro = Generator()
        initialise(self)

    def train(self, mode: bool = True) -> PaperNet:
        """Dropout stays on, as published: it is the noise z of eq. (8)."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.Dropout):
                part.train()
        return self

    def forward(self, scattering: Tensor, valid: Tensor) -> list[Tensor]:
        """Factorize; the mask is in the −1 of the dead pixels already.

        Parameters
        ----------
        scattering : Tensor, shape (n, 1, rows, columns)
            √I scaled to [−1, 1]; dead pixels −1.
        valid : Tensor, same shape
            Not used.

        Returns
        -------
        list of Tensor, shape (n, 2, rows, columns)
            √I_FF and √I_SRO on [−1, 1].
        """
        if self.training:
            return [torch.cat([self.form_factor(scattering), self.sro(scattering)], dim=1)]
        # The same plane gives the same answer.
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return [torch.cat([self.form_factor(scattering), self.sro(scattering)], dim=1)]
