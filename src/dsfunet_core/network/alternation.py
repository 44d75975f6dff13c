"""Two steps of an alternating solver for the factors of a plane, without any weights to learn.

With the form factor held fixed, the order is the least-squares quotient over all cells,
folded into one (`fold_order`). With the order held fixed, the form factor is the
quotient where something was measured, continued into dead zones as the most probable field
with its own power spectrum (`continue_form_factor`; kriging, or Wiener interpolation).
Both work on batches and on any device; nothing is differentiated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["continue_form_factor", "fold_order", "quotient"]

#: Bins along each edge of the cell, width of their smoothing, and highest harmonic.
BINS, SMOOTHING, HIGHEST = 64, 1.0, 5
#: Widest features of the form factor, as a fraction of the image: the envelope.
ENVELOPE = 0.2
#: Least uncertainty of a measured form factor, relative to its envelope.
LEAST_ERROR = 0.04


def quotient(intensity: Tensor, valid: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares quotient I / factor over squares of 2 × 2 pixels, and its weight.

    Parameters
    ----------
    intensity, valid, factor : Tensor, shape (n, 1, rows, columns)
        Linear intensity, mask, and one of the factors.

    Returns
    -------
    quotient, weight : Tensor, shape (n, 1, rows / 2, columns / 2)
        The weight rises from 0 where the factor vanishes to 1.
    """
    factor = factor / factor.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
    measured = functional.avg_pool2d(valid, 2)
    above = functional.avg_pool2d(valid * factor * intensity, 2)
    below = functional.avg_pool2d(valid * factor.square(), 2)
    weight = measured * below / (below + 0.05 * measured + 1e-9)
    return above / (below + 1e-4 * measured + 1e-9), weight


def fold_order(
    lattice: Tensor, intensity: Tensor, valid: Tensor, form_factor: Tensor
) -> Tensor:
    """Order that all cells agree on, S = Σ F·I / Σ F² over equivalent pixels.

    Parameters
    ----------
    lattice : Tensor, shape (n, 2, 2)
        See `find_lattice`.
    intensity, valid, form_factor : Tensor, shape (n, 1, rows, columns)
        Linear.

    Returns
    -------
    Tensor, shape (n, 1, rows, columns)
        With harmonics up to the fifth and maximum 1.
    """
    n, _, rows, columns = intensity.shape
    y = torch.arange(rows, device=intensity.device, dtype=torch.float32)
    x = torch.arange(columns, device=intensity.device, dtype=torch.float32)
    position = lattice[:, :, 0, None, None] * y[:, None] + lattice[:, :, 1, None, None] * x
    position = (position - position.floor()) * BINS
    corner = position.floor().clamp(max=BINS - 1)
    part = position - corner
    corner = corner.long()
    plane = BINS**2 * torch.arange(n, device=intensity.device)[:, None, None]
    weighted = (valid * form_factor)[:, 0]
    values = (weighted * intensity[:, 0], weighted * form_factor[:, 0])
    # The middle of a bin stands for all its pixels.
    bins = (plane + corner[:, 0] * BINS + corner[:, 1]).flatten()
    sums = [torch.bincount(bins, v.flatten(), n * BINS**2).view(n, BINS, BINS) for v in values]
    above, below = (_smooth_cell(image).clamp(min=0) for image in sums)
    floor = 1e-3 * below.mean(dim=(1, 2), keepdim=True) + 1e-12
    common = above.sum(dim=(1, 2), keepdim=True) / (below.sum(dim=(1, 2), keepdim=True) + 1e-12)
    cell = _few_harmonics((above + floor * common) / (below + floor)).clamp(min=0)
    cell = cell / cell.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    # From the middles to the corners of bins, then linearly to pixels.
    flat = cell.flatten()
    up, right = part[:, 0], part[:, 1]
    rows_of = [corner[:, 0] * BINS, (corner[:, 0] + 1) % BINS * BINS]
    columns_of = [corner[:, 1], (corner[:, 1] + 1) % BINS]
    order = torch.zeros_like(up)
    for i, across in enumerate((1 - up, up)):
        for j, along in enumerate((1 - right, right)):
            order += across * along * flat[plane + rows_of[i] + columns_of[j]]
    return order[:, None]


def _cell_frequencies(device: torch.device) -> tuple[Tensor, Tensor]:
    return (
        torch.fft.fftfreq(BINS, 1 / BINS, device=device)[:, None],
        torch.fft.rfftfreq(BINS, 1 / BINS, device=device)[None],
    )


def _blur(v: Tensor, u: Tensor) -> Tensor:
    return torch.exp(-2 * (torch.pi * SMOOTHING / BINS) ** 2 * (v.square() + u.square()))


def _smooth_cell(cell: Tensor) -> Tensor:
    gain = _blur(*_cell_frequencies(cell.device))
    return torch.fft.irfft2(torch.fft.rfft2(cell) * gain, s=(BINS, BINS))


def _few_harmonics(cell: Tensor) -> Tensor:
    """Low harmonics of smoothed values at the middles of bins, sharp and at the corners."""
    v, u = _cell_frequencies(cell.device)
    kept = (v.abs() <= HIGHEST) & (u <= HIGHEST)
    sharp = kept / (_blur(v, u) * torch.sinc(v / BINS) * torch.sinc(u / BINS))
    shift = torch.exp(-1j * torch.pi / BINS * (v + u))
    return torch.fft.irfft2(torch.fft.rfft2(cell) * sharp * shift, s=(BINS, BINS))


def continue_form_factor(
    measured: Tensor, weight: Tensor, guess: Tensor, steps: int = 24
) -> Tensor:
    """Form factor everywhere from what was measured of it.

    The form factor over its envelope is taken as a Gaussian random field with the power
    spectrum of the guess; what comes back is its most probable value given the
    measured pixels. It is band-limited as the molecules' extent demands, because the guess is.

    Parameters
    ----------
    measured, weight : Tensor, shape (n, 1, rows, columns)
        Quotient of intensity and order, and how well it is known (0 to 1).
    guess : Tensor, same shape
        The form factor on the same scale, roughly.
    steps : int
        Of conjugate gradients. Strong and wide features come first.

    Returns
    -------
    Tensor, same shape
        Never negative.
    """
    rows, columns = measured.shape[-2:]
    # Far edges must not meet.
    shape = tuple(2 * ((5 * n // 4 + 1) // 2) for n in (rows, columns))
    envelope = _envelope(guess) + 1e-3 * guess.amax(dim=(2, 3), keepdim=True) + 1e-9
    scaled, form = measured / envelope, guess / envelope
    total = weight.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    mean = (weight * scaled).sum(dim=(2, 3), keepdim=True) / total
    deviation = (weight > 0) * (scaled - mean)
    noise = _pixel_noise(deviation, weight) + LEAST_ERROR**2
    precision = _padded(weight / noise, shape)
    taper = _taper(rows, guess)[:, None] * _taper(columns, guess)
    power = torch.fft.fft2((form - mean) * taper, s=shape).abs().square()
    power = _blurred(power) / taper.square().sum()
    power = power + 1e-6 * power.mean(dim=(2, 3), keepdim=True)
    power = power[..., : shape[1] // 2 + 1]
    # Solved in Fourier space, in units of the prior.
    filters = power.sqrt()
    twice = torch.full_like(power, 2.0)
    twice[..., 0] = 1
    twice[..., -1] = 1

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (twice * (a.real * b.real + a.imag * b.imag)).sum(dim=(2, 3), keepdim=True)

    def field(modes: Tensor) -> Tensor:
        return torch.fft.irfft2(modes * filters, s=shape, norm="ortho")

    def modes_of(image: Tensor) -> Tensor:
        return torch.fft.rfft2(image, norm="ortho") * filters

    residual = modes_of(precision * _padded(deviation, shape))
    modes = torch.zeros_like(residual)
    direction, size = residual, inner(residual, residual)
    for _ in range(steps):
        applied = modes_of(precision * field(direction)) + direction
        step = size / (inner(direction, applied) + 1e-20)
        modes = modes + step * direction
        residual = residual - step * applied
        new = inner(residual, residual)
        direction = residual + new / (size + 1e-20) * direction
        size = new
    continued = (mean + field(modes)[..., :rows, :columns]) * envelope
    return continued.clamp(min=0)


def _padded(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    rows, columns = image.shape[-2:]
    return functional.pad(image, (0, shape[1] - columns, 0, shape[0] - rows))


def _envelope(image: Tensor) -> Tensor:
    """Image without all but its widest features."""
    width = ENVELOPE * max(image.shape[-2:])

    def matrix(n: int) -> Tensor:
        x = torch.arange(n, device=image.device, dtype=torch.float32)
        kernel = torch.exp(-((x[:, None] - x) ** 2) / (2 * width**2))
        return kernel / kernel.sum(dim=1, keepdim=True)

    return matrix(image.shape[-2]) @ image @ matrix(image.shape[-1]).T


def _pixel_noise(deviation: Tensor, weight: Tensor) -> Tensor:
    """Variance that differs from pixel to pixel, (n, 1, 1, 1)."""
    kernel = deviation.new_tensor([[1.0, -1.0], [-1.0, 1.0]])[None, None] / 2
    square = functional.conv2d(deviation, kernel).square()
    known = -functional.max_pool2d(-weight, 2, stride=1)
    return (known * square).sum(dim=(2, 3), keepdim=True) / (
        known.sum(dim=(2, 3), keepdim=True) + 1e-6
    )


def _taper(n: int, like: Tensor) -> Tensor:
    x = (torch.arange(n, device=like.device, dtype=torch.float32) + 0.5) / n
    return torch.sin(torch.pi * x).sqrt()


def _blurred(power: Tensor) -> Tensor:
    """Spectrum that its neighbours, periodically, are averaged into."""
    kernel = torch.exp(-power.new_tensor([-1.0, 0.0, 1.0]).square() / 2)
    kernel = kernel / kernel.sum()
    wide = functional.pad(power, (1, 1, 1, 1), mode="circular")
    return functional.conv2d(wide, kernel[:, None][None, None] * kernel)
