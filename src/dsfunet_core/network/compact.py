"""The compact network: one trunk, two factors, and filters that see the whole plane.

I_SRO is periodic over the whole plane, which small convolutions cannot see. Each block
therefore has a second branch that works on the spectrum of its features: every Fourier
component is multiplied by a gate computed from the logarithm of the power around it. Sharp
peaks of the spectrum (the lattice) can so be told from broad ones (the molecules) and kept,
which averages over all cells; and as gates depend on the power alone, what the branch does
moves with the image. It stands in the line of fast Fourier convolutions (Chi, Jiang & Mu,
2020), whose filters are fixed after training; these adapt to the lattice of each plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CompactNet"]

#: Intensity below which the logarithm of the input flattens, in units of the maximum.
FLOOR = 1e-3


class SpectralGate(nn.Module):
    """Filter whose gates are computed from the power spectrum of the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix_in = nn.Conv2d(channels, channels, 1)
        self.around = nn.Conv2d(channels, channels, 3, groups=channels)
        self.gate = nn.Conv2d(channels, channels, 1)
        self.mix_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Filter features (n, channels, rows, columns)."""
        spectrum = torch.fft.rfft2(self.mix_in(x).float(), norm="ortho")
        power = torch.log(spectrum.real.square() + spectrum.imag.square() + 1e-4)
        power = power - power.mean(dim=(2, 3), keepdim=True)
        # Rows of the half spectrum wrap round; columns end at 0 and at the highest one.
        padded = functional.pad(power, (0, 0, 1, 1), mode="circular")
        padded = functional.pad(padded, (1, 1, 0, 0), mode="replicate")
        gate = torch.sigmoid(self.gate(functional.gelu(self.around(padded))))
        filtered = torch.fft.irfft2(spectrum * gate, s=x.shape[-2:], norm="ortho")
        return self.mix_out(filtered.to(x.dtype))


class Block(nn.Module):
    """Residual block: two convolutions beside a spectral gate."""

    def __init__(self, channels: int, spectral: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(8, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.spectral = SpectralGate(channels) if spectral else None
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        inner = self.second(functional.gelu(self.norm(self.first(x))))
        if self.spectral is not None:
            inner = inner + self.spectral(x)
        return x + inner


class Hourglass(nn.Module):
    """Three resolutions down and up again, with skips."""

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        steps = list(zip(widths[:-1], widths[1:], strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths[:-1], depths[:-1], strict=True)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in steps)
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in steps)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        skips = []
        for level, blocks in enumerate(self.down):
            x = blocks(x)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            grown = functional.interpolate(self.grow[level](x), scale_factor=2, mode="nearest")
            x = self.up[level](skips[level] + grown)
        return x


class CompactNet(nn.Module):
    """Factorizer of ours: √I and its mask in, √I_FF and √I_SRO out, all on [−1, 1].

    Parameters
    ----------
    widths : tuple of int
        Channels at 1/2, 1/4, 1/8 … of the resolution; multiples of 8.
    depths : tuple of int
        Blocks at each, on the way down and on the way up.
    stages : int
        Rounds. Each later one sees the factors found so far and the plane divided by
        either, as an alternating solver would.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 96),
        depths: tuple[int, ...] = (1, 2, 2),
        stages: int = 2,
    ) -> None:
        super().__init__()
        self.options = {"widths": widths, "depths": depths, "stages": stages}
        #: Rows and columns must be multiples of this.
        self.multiple = 2 ** len(widths)
        self.stems = nn.ModuleList(
            nn.Conv2d((3 if stage == 0 else 7) * 4, widths[0], 3, padding=1)
            for stage in range(stages)
        )
        self.bodies = nn.ModuleList(Hourglass(widths, depths) for _ in range(stages))
        self.heads = nn.ModuleList(nn.Conv2d(widths[0], 8, 3, padding=1) for _ in range(stages))

    def forward(self, scattering: Tensor, valid: Tensor) -> list[Tensor]:
        """Factorize.

        Parameters
        ----------
        scattering : Tensor, shape (n, 1, rows, columns)
            √I scaled to [−1, 1]; dead pixels −1.
        valid : Tensor, same shape
            1 where measured, 0 elsewhere.

        Returns
        -------
        list of Tensor, shape (n, 2, rows, columns)
            √I_FF and √I_SRO on [−1, 1] after each stage; the last is the answer.
        """
        intensity = ((scattering + 1) / 2).square()
        logarithm = torch.log(intensity / FLOOR + 1) * valid
        inputs = torch.cat([scattering, valid, logarithm / 3], dim=1)
        results: list[Tensor] = []
        features: Tensor | None = None
        for stem, body, head in zip(self.stems, self.bodies, self.heads, strict=True):
            if results:
                roots = (results[-1].clamp(-1, 1) + 1) / 2
                # √I / √I_FF is √I_SRO up to scale, and the other way round.
                quotients = (
                    torch.log((intensity + FLOOR) / (roots.flip(1).square() + 30 * FLOOR))
                    * valid
                )
                stacked = torch.cat([inputs, results[-1], quotients], dim=1)
                features = features + stem(functional.pixel_unshuffle(stacked, 2))
            else:
                features = stem(functional.pixel_unshuffle(inputs, 2))
            features = body(features)
            found = functional.pixel_shuffle(head(features), 2)
            results.append(found if not results else results[-1] + found)
        return results
