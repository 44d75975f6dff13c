"""What all equivalent pixels of a plane agree on, without being told the lattice.

Short-range order is the same in every reciprocal cell. Given first guesses of both factors,
the translations after which the guess of the order repeats itself are found from its
autocorrelation; the order is then the least-squares quotient over all pixels those translations
bring together, S(p) = Σ_τ K(τ) (F·I)(p + τ) / Σ_τ K(τ) F²(p + τ). It is the step of an
alternating solver that refines the order with the form factor held fixed, with a lattice found
on the way, and it fills dead zones from all other cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PeriodicConsensus"]

#: Translations as short as this [pixels] are no lattice vectors.
NEAREST = 3


class PeriodicConsensus(nn.Module):
    """Periodic order from guesses of both factors.

    Parameters
    ----------
    sharpness : tuple of float
        How strictly translations are chosen, one answer for each: K = exp(β (ρ/ρ_max − 1)),
        with ρ the correlation after a translation and ρ_max the best.
    """

    def __init__(self, sharpness: tuple[float, ...] = (8.0, 40.0)) -> None:
        super().__init__()
        self.sharpness = sharpness

    def forward(
        self, intensity: Tensor, valid: Tensor, form_factor: Tensor, sro: Tensor
    ) -> Tensor:
        """Order that the plane agrees on.

        Parameters
        ----------
        intensity, valid, form_factor, sro : Tensor, shape (n, 1, rows, columns)
            Linear intensity, mask, and guesses of the factors, linear, up to scale.

        Returns
        -------
        Tensor, shape (n, len(sharpness), rows, columns)
            Linear, with the mean of the guess over the measured pixels.
        """
        rows, columns = intensity.shape[-2:]
        reach = (rows // 2, columns // 2)
        # Long enough that no translation up to the reach comes round from the other side.
        padded = (rows + reach[0], columns + reach[1])
        with torch.no_grad():
            kernels = self._kernels(valid.float(), sro.float(), reach, padded)
        weighted = valid * form_factor
        numerator = torch.fft.rfft2((weighted * intensity).float(), s=padded)
        denominator = torch.fft.rfft2((weighted * form_factor).float(), s=padded)
        above = torch.fft.irfft2(kernels * numerator, s=padded)[..., :rows, :columns]
        below = torch.fft.irfft2(kernels * denominator, s=padded)[..., :rows, :columns]
        above, below = above.clamp(min=0), below.clamp(min=0)
        # Where the form factor vanishes in every cell the guess, on the same scale, stands.
        floor = 1e-3 * below.mean(dim=(2, 3), keepdim=True) + 1e-12
        common = above.sum(dim=(2, 3), keepdim=True) / (
            (below * sro).sum(dim=(2, 3), keepdim=True) + 1e-12
        )
        order = (above + floor * common * sro) / (below + floor)
        scale = (valid * sro).sum(dim=(2, 3), keepdim=True) / (
            (valid * order).sum(dim=(2, 3), keepdim=True) + 1e-6
        )
        return order * scale

    def _kernels(
        self, valid: Tensor, sro: Tensor, reach: tuple[int, int], padded: tuple[int, int]
    ) -> Tensor:
        """Transforms of the weights of translations, (n, len(sharpness), …)."""
        count = valid.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        mean = (valid * sro).sum(dim=(2, 3), keepdim=True) / count
        deviation = valid * (sro - mean)
        power = torch.fft.rfft2(deviation, s=padded).abs().square()
        overlap = torch.fft.irfft2(torch.fft.rfft2(valid, s=padded).abs().square(), s=padded)
        rho = torch.fft.irfft2(power, s=padded) / (overlap + 0.1 * overlap[..., :1, :1] + 1e-6)
        rho = rho / rho[..., :1, :1].clamp(min=1e-12)
        rho = torch.fft.fftshift(rho, dim=(2, 3))
        centre = (padded[0] // 2, padded[1] // 2)
        rho = rho[
            ...,
            centre[0] - reach[0] : centre[0] + reach[0] + 1,
            centre[1] - reach[1] : centre[1] + reach[1] + 1,
        ]
        y = torch.arange(-reach[0], reach[0] + 1, device=rho.device)[:, None]
        x = torch.arange(-reach[1], reach[1] + 1, device=rho.device)[None, :]
        away = (y.square() + x.square()) > NEAREST**2
        peak = (functional.max_pool2d(rho, 5, 1, 2) == rho) & away
        best = rho.masked_fill(~peak, 0.0).amax(dim=(2, 3), keepdim=True).clamp(min=0.02)
        ratio = torch.minimum(rho, best) / best
        kernels = torch.cat([torch.exp(b * (ratio - 1)) for b in self.sharpness], dim=1)
        whole = kernels.new_zeros((*kernels.shape[:2], *padded))
        whole[..., : 2 * reach[0] + 1, : 2 * reach[1] + 1] = kernels
        whole = whole.roll((-reach[0], -reach[1]), dims=(2, 3))
        return torch.fft.rfft2(whole).real.to(torch.complex64)
