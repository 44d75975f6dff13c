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

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from dsfunet_core.network.alternation import continue_form_factor, fold_order, quotient
from dsfunet_core.network.repeats import find_lattice

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Several resolutions down and up again, with skips."""

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

    A first hourglass guesses both factors. From its guess the lattice of the plane is found
    (`find_lattice`), and with that two steps of an alternating solver give an order that all
    cells agree on and a form factor continued into dead zones (`fold_order`,
    `continue_form_factor`). With the better form factor the lattice is looked for again, and
    the one of both that describes the plane better is kept. A second hourglass sees all
    that and says, pixel by pixel, how far to trust it and what to correct. The steps are
    done once more, and a few convolutions have the last word.

    Parameters
    ----------
    widths : tuple of int
        Channels of the first hourglass at its resolutions, each half the one before;
        multiples of 8.
    depths : tuple of int
        Its blocks at each resolution, on the way down and on the way up.
    final_widths, final_depths : tuple of int
        The same of the second.
    patches : tuple of int
        Edge of the squares of pixels that are one at the finest resolution of each hourglass.
    polish : int
        Channels of the last convolutions.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64, 96),
        depths: tuple[int, ...] = (1, 1, 1, 1),
        final_widths: tuple[int, ...] = (32, 64, 96),
        final_depths: tuple[int, ...] = (1, 1, 1),
        patches: tuple[int, int] = (2, 4),
        polish: int = 16,
    ) -> None:
        super().__init__()
        self.options = {
            "widths": widths,
            "depths": depths,
            "final_widths": final_widths,
            "final_depths": final_depths,
            "patches": patches,
            "polish": polish,
        }
        #: Rows and columns must be multiples of this.
        self.multiple = max(
            patch * 2 ** (len(steps) - 1)
            for patch, steps in zip(patches, (widths, final_widths), strict=True)
        )
        self.guess = _Factors(3, 2, widths, depths, patches[0])
        self.correct = _Factors(_SEEN, 4, final_widths, final_depths, patches[1])
        self.polish = nn.Sequential(
            nn.Conv2d(4 * _SEEN, polish, 1),
            nn.GELU(),
            nn.Conv2d(polish, polish, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(polish, 16, 3, padding=1),
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
        intensity = ((scattering + 1) / 2).square() * valid
        logarithm = torch.log(intensity / FLOOR + 1) / 3
        inputs = torch.cat([scattering, valid, logarithm], dim=1)
        guess = self.guess(inputs)
        with _exactly(scattering):
            form_factor = _linear(guess)[:, :1]
            first = _lattices(intensity, valid, form_factor)
            order = fold_order(first, intensity, valid, form_factor)
            form_factor = _continued(intensity, valid, order, form_factor, steps=12)
            second = _lattices(intensity, valid, form_factor)
            lattice, order = _better((first, second), intensity, valid, form_factor)
            solved, seen = _evidence(intensity, inputs, guess, form_factor, order)
        corrected = _weighed(guess.detach(), solved, self.correct(seen))
        with _exactly(scattering):
            form_factor = _linear(corrected)[:, :1]
            order = fold_order(lattice, intensity, valid, form_factor)
            form_factor = _continued(intensity, valid, order, form_factor, steps=24)
            solved, seen = _evidence(intensity, inputs, corrected, form_factor, order)
        polished = self.polish(functional.pixel_unshuffle(seen, 2))
        answer = _weighed(corrected, solved, functional.pixel_shuffle(polished, 2))
        return [guess, corrected, answer]


#: Images that `_evidence` shows.
_SEEN = 10
#: Logit of the trust in what the alternating steps say, before anything is learnt.
_TRUST = 2.0


@contextmanager
def _exactly(like: Tensor) -> Iterator[None]:
    """Single precision whatever is around, and nothing differentiated."""
    with torch.no_grad(), torch.autocast(like.device.type, enabled=False):
        yield


def _linear(factors: Tensor) -> Tensor:
    return ((factors.float().clamp(-1, 1) + 1) / 2).square()


def _weighed(found: Tensor, solved: Tensor, verdict: Tensor) -> Tensor:
    """Between what a network found and what the alternating steps say, corrected."""
    trust = torch.sigmoid(verdict[:, 2:] + _TRUST)
    return found + trust * (solved - found) + verdict[:, :2]


def _lattices(intensity: Tensor, valid: Tensor, form_factor: Tensor) -> Tensor:
    """Lattice of each plane, (n, 2, 2) [cycles a pixel]."""
    order, weight = quotient(intensity, valid, form_factor)
    mean = (order * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp(min=1e-9)
    relative = order / mean[..., None, None].clamp(min=1e-12)
    return find_lattice(relative.clamp(max=3)[:, 0], weight[:, 0])[0] / 2


def _better(
    lattices: tuple[Tensor, Tensor], intensity: Tensor, valid: Tensor, form_factor: Tensor
) -> tuple[Tensor, Tensor]:
    """Whichever of two lattices describes each plane better, and the order with it."""
    orders = [fold_order(one, intensity, valid, form_factor) for one in lattices]
    products = [valid * form_factor * order for order in orders]
    held = [
        (product * intensity).sum(dim=(1, 2, 3)).square()
        / product.square().sum(dim=(1, 2, 3)).clamp(min=1e-20)
        for product in products
    ]
    second = held[1] >= held[0]
    return (
        torch.where(second[:, None, None], lattices[1], lattices[0]),
        torch.where(second[:, None, None, None], orders[1], orders[0]),
    )


def _continued(
    intensity: Tensor, valid: Tensor, order: Tensor, guess: Tensor, steps: int
) -> Tensor:
    """Form factor everywhere, with maximum 1."""
    measured, weight = quotient(intensity, valid, order)
    guess = functional.avg_pool2d(guess, 2)
    scale = (weight * measured).sum(dim=(2, 3), keepdim=True)
    scale = scale / (weight * guess).sum(dim=(2, 3), keepdim=True).clamp(min=1e-9)
    small = continue_form_factor(measured, weight, guess * scale, steps)
    whole = functional.interpolate(small, scale_factor=2, mode="bilinear")
    return whole / whole.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)


def _evidence(
    intensity: Tensor, inputs: Tensor, found: Tensor, form_factor: Tensor, order: Tensor
) -> tuple[Tensor, Tensor]:
    """What the alternating steps say, and all there is to judge it by."""
    valid = inputs[:, 1:2]
    solved = 2 * torch.cat([form_factor, order], dim=1).sqrt() - 1
    measured = torch.log(intensity + FLOOR)
    ratios = [
        (measured - torch.log(image + 10 * FLOOR)) * valid / 3
        for image in (order, form_factor, form_factor * order)
    ]
    return solved, torch.cat([inputs, found.detach().float(), solved, *ratios], dim=1)


class _Factors(nn.Module):
    """Hourglass between the pixels and some images."""

    def __init__(
        self,
        channels: int,
        images: int,
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        patch: int,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.stem = nn.Conv2d(patch**2 * channels, widths[0], 1)
        self.body = Hourglass(widths, depths)
        self.head = nn.Conv2d(widths[0], patch**2 * images, 3, padding=1)
        # The answer begins as what it corrects.
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Images from (n, channels, rows, columns)."""
        features = self.body(self.stem(functional.pixel_unshuffle(x, self.patch)))
        return functional.pixel_shuffle(self.head(features), self.patch)
