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

from dsfunet_core.network.consensus import PeriodicConsensus

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

    A first hourglass guesses both factors. What the guessed order has in common after
    translations gives an order that all cells agree on (`PeriodicConsensus`), and the plane
    divided by that a better form factor; a second hourglass weighs it all and corrects. The
    cells are asked once more, and a few convolutions have the last word.

    Parameters
    ----------
    widths : tuple of int
        Channels of the first hourglass at 1/2, 1/4, 1/8 … of the resolution; multiples of 8.
    depths : tuple of int
        Its blocks at each resolution, on the way down and on the way up.
    final_widths, final_depths : tuple of int
        The same of the second.
    sharpness, final_sharpness : tuple of float
        How strictly equivalent pixels are chosen the first and the second time, see
        `PeriodicConsensus`; the order of the first is what is corrected.
    polish : int
        Channels of the last convolutions.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64, 96),
        depths: tuple[int, ...] = (1, 1, 1, 1),
        final_widths: tuple[int, ...] = (16, 48, 96, 128),
        final_depths: tuple[int, ...] = (1, 1, 1, 1),
        sharpness: tuple[float, ...] = (16.0, 50.0),
        final_sharpness: tuple[float, ...] = (30.0, 90.0),
        polish: int = 16,
    ) -> None:
        super().__init__()
        self.options = {
            "widths": widths,
            "depths": depths,
            "final_widths": final_widths,
            "final_depths": final_depths,
            "sharpness": sharpness,
            "final_sharpness": final_sharpness,
            "polish": polish,
        }
        #: Rows and columns must be multiples of this.
        self.multiple = 2 ** max(len(widths), len(final_widths))
        self.guess = _Factors(3, widths, depths)
        self.consensus = PeriodicConsensus(tuple(sharpness))
        self.correct = _Factors(6 + 2 * len(sharpness), final_widths, final_depths)
        self.final_consensus = PeriodicConsensus(tuple(final_sharpness))
        seen = 4 * (6 + 2 * len(final_sharpness))
        self.polish = nn.Sequential(
            nn.Conv2d(seen, polish, 1),
            nn.GELU(),
            nn.Conv2d(polish, polish, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(polish, 8, 3, padding=1),
        )
        for parameter in self.polish[-1].parameters():
            nn.init.zeros_(parameter)

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
            √I_FF and √I_SRO on [−1, 1]: the guess, the correction, and last the answer.
        """
        intensity = ((scattering + 1) / 2).square()
        logarithm = torch.log(intensity / FLOOR + 1) * valid / 3
        inputs = torch.cat([scattering, valid, logarithm], dim=1)
        guess = self.guess(inputs)
        base, seen = _agreement(self.consensus, intensity, inputs, guess)
        corrected = base + self.correct(seen)
        base, seen = _agreement(self.final_consensus, intensity, inputs, corrected)
        polished = self.polish(functional.pixel_unshuffle(seen, 2))
        return [guess, corrected, base + functional.pixel_shuffle(polished, 2)]


def _agreement(
    consensus: PeriodicConsensus, intensity: Tensor, inputs: Tensor, found: Tensor
) -> tuple[Tensor, Tensor]:
    """Factors with the order that cells agree on, and all there is to judge them by."""
    valid = inputs[:, 1:2]
    with torch.no_grad():
        factors = ((found.clamp(-1, 1) + 1) / 2).square()
        form_factor, sro = factors[:, :1], factors[:, 1:]
        order = consensus(intensity, valid, form_factor, sro).clamp(0, 1.5)
        # The plane divided by either factor is the other, up to scale.
        quotients = torch.log((intensity + FLOOR) / (order + 10 * FLOOR)) * valid / 3
        direct = torch.log((intensity + FLOOR) / (form_factor + 10 * FLOOR)) * valid / 3
        roots = 2 * order.sqrt() - 1
    base = torch.cat([found[:, :1], roots[:, :1]], dim=1)
    return base, torch.cat([inputs, found.detach(), roots, quotients, direct], dim=1)


class _Factors(nn.Module):
    """Hourglass between the pixels and two images."""

    def __init__(self, channels: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * channels, widths[0], 1)
        self.body = Hourglass(widths, depths)
        self.head = nn.Conv2d(widths[0], 8, 3, padding=1)
        # The answer begins as what it corrects.
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Two images from (n, channels, rows, columns)."""
        features = self.body(self.stem(functional.pixel_unshuffle(x, 2)))
        return functional.pixel_shuffle(self.head(features), 2)
