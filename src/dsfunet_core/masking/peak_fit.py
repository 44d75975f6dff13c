"""Gaussians on a curved background, fitted to many small windows at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.masking.noise import NoiseModel
    from dsfunet_core.plane import ReciprocalPlane

__all__ = [
    "PeakFits",
    "Windows",
    "background_columns",
    "cut_windows",
    "fit_peaks",
    "pixel_variance",
]

#: Degree of the background: over windows so many pixels in radius the diffuse maxima at the
#: lattice points of a crystal with positive correlations need the fourth.
_WIDE, _DEGREES = 7.0, (2, 4)
#: Radius of the core of a peak in pixels, and pixels of it that must be seen.
_CORE, _SEEN = 1.8, 5
#: Relative misfit of a Gaussian to a real peak, so that cores do not rule the fit.
_MISFIT = 0.05


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of a plane around n positions, m pixels each.

    Parameters
    ----------
    intensity : ndarray, shape (n, m)
        Intensities.
    weight : ndarray, shape (n, m)
        1 where a pixel is valid, in reach, and closer to this position than to another.
    known : ndarray, shape (n, m), optional
        Variances that came with the plane.
    place : ndarray, shape (n, m, 2)
        From the position to the pixel, in coordinates in which ellipses are circles.
    pixels : ndarray of int, shape (n, m, 2)
        Row and column, clipped to the plane.
    inside : ndarray of bool, shape (n, m)
        Where nothing was clipped.
    reach : float
        Largest distance of a pixel that is used.
    pixel : float
        Length of a pixel, in the units of ``place``.
    """

    intensity: NDArray[np.float64]
    weight: NDArray[np.float64]
    known: NDArray[np.float64] | None
    place: NDArray[np.float64]
    pixels: NDArray[np.int64]
    inside: NDArray[np.bool_]
    reach: float
    pixel: float

    @property
    def distance(self) -> NDArray[np.float64]:
        """Distance of every pixel from its position, shape (n, m)."""
        return np.sqrt((self.place**2).sum(axis=-1))

    def of(self, image: NDArray) -> NDArray:
        """Values of an image in the windows, shape (n, m)."""
        return image[self.pixels[..., 0], self.pixels[..., 1]]

    def summed(self, own: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Image of the plane's shape to which every window adds what it holds, (n, m)."""
        image = np.zeros(shape)
        np.add.at(image, tuple(self.pixels[self.inside].T), own[self.inside])
        return image

    def without(self, extra: NDArray[np.float64]) -> Windows:
        """Windows with an intensity taken off, shape (n, m)."""
        return replace(self, intensity=self.intensity - extra * self.weight)


@dataclass(frozen=True, eq=False)
class PeakFits:
    """What was fitted to n windows.

    Parameters
    ----------
    amplitude, sigma : ndarray, shape (n,)
        Height of the Gaussian and its uncertainty, misfit of the background included.
    width : ndarray, shape (n,)
        Standard deviation, in the units of ``place``.
    shift : ndarray, shape (n, 2)
        From the position to the centre, to first order.
    background : ndarray, shape (n, m)
        Background at every pixel of the window.
    spread : ndarray, shape (n,)
        Residuals over what the noise explains, by their median; 1 at least.
    variance : ndarray, shape (n, m)
        Variance that a pixel has if only the background is there.
    """

    amplitude: NDArray[np.float64]
    sigma: NDArray[np.float64]
    width: NDArray[np.float64]
    shift: NDArray[np.float64]
    background: NDArray[np.float64]
    spread: NDArray[np.float64]
    variance: NDArray[np.float64]


def cut_windows(
    plane: ReciprocalPlane,
    centres: NDArray[np.float64],
    to_circle: NDArray[np.float64],
    reach: float,
) -> Windows:
    """Cut a window around every position.

    Parameters
    ----------
    plane : ReciprocalPlane
        The plane.
    centres : ndarray, shape (n, 2)
        Row and column; they may lie outside the plane.
    to_circle : ndarray, shape (2, 2)
        From pixels to coordinates in which the peaks are round.
    reach : float
        How far the windows reach, in these coordinates.

    Returns
    -------
    Windows
        Pixels outside the plane have weight 0.
    """
    from scipy.spatial import cKDTree

    pixel = float(np.sqrt(abs(np.linalg.det(to_circle))))
    half = np.ceil(reach * np.linalg.norm(np.linalg.inv(to_circle), axis=1)).astype(int)
    grid = np.mgrid[-half[0] : half[0] + 1, -half[1] : half[1] + 1].reshape(2, -1).T
    pixels = np.rint(centres).astype(np.int64)[:, None] + grid
    place = (pixels - centres[:, None]) @ to_circle.T
    inside = np.asarray(((pixels >= 0) & (pixels < plane.shape)).all(axis=-1))
    pixels = np.clip(pixels, 0, np.array(plane.shape) - 1)
    row, column = pixels[..., 0], pixels[..., 1]
    distance = np.sqrt((place**2).sum(axis=-1))
    used = inside & plane.valid[row, column] & (distance <= reach)
    nearest = cKDTree(centres @ to_circle.T).query(pixels @ to_circle.T)[0]
    used &= distance <= nearest + 1e-9
    intensity = np.where(used, plane.intensity[row, column], 0.0).astype(float)
    used &= np.isfinite(intensity)
    known = None
    if plane.variance is not None:
        known = np.asarray(plane.variance, float)[row, column]
    return Windows(
        np.where(used, intensity, 0.0),
        used.astype(float),
        known,
        place,
        pixels,
        inside,
        reach,
        pixel,
    )


def fit_peaks(
    windows: Windows,
    noise: NoiseModel,
    expected: NDArray,
    peak: NDArray | float,
    widths: NDArray[np.float64],
    shape: NDArray[np.float64] | None = None,
) -> PeakFits:
    """Fit a Gaussian, its shift to first order, and a background of second degree.

    Parameters
    ----------
    windows : Windows
        Where.
    noise : NoiseModel
        Variance of a pixel, where the plane does not tell it.
    expected : ndarray, shape (n, m)
        Expected intensity, for its variance.
    peak : ndarray, shape (n, m), or 0
        Part of it that is a peak, which no Gaussian describes exactly.
    widths : ndarray
        Standard deviations to try.
    shape : ndarray, shape (n, m), optional
        Function that the background is proportional to, but for a factor of second degree.

    Returns
    -------
    PeakFits
        Where a window has too few pixels, the amplitude is 0 and its sigma infinite.
    """
    variance = pixel_variance(windows, noise, expected) + (_MISFIT * np.asarray(peak)) ** 2
    background = background_columns(windows, shape)
    terms = background.shape[-1]
    best = _Best(len(background), terms)
    core = (windows.distance <= _CORE * windows.pixel) * windows.weight
    enough = (windows.weight.sum(axis=1) > 2 * (terms + 3)) & (core.sum(axis=1) >= _SEEN)
    weight = windows.weight / variance * enough[:, None]
    for width in widths:
        peak = np.exp(-(windows.distance[..., None] ** 2) / (2 * width**2))
        columns = np.concatenate([background, peak, peak * windows.place / width], axis=-1)
        best.offer(float(width), *_solve(columns, weight, windows.intensity))
    c = np.where(enough[:, None], best.solution, 0.0)
    amplitude = c[:, terms]
    spread = np.maximum(best.spread, 1.0)
    relative = c[:, terms + 1 :] / np.where(amplitude > 0, amplitude, np.inf)[:, None]
    smooth = np.einsum("nmk,nk->nm", background, c[:, :terms])
    return PeakFits(
        amplitude=amplitude,
        sigma=np.where(enough, best.sigma * spread, np.inf),
        width=best.width,
        shift=relative * best.width[:, None],
        background=smooth,
        spread=spread,
        variance=pixel_variance(windows, noise, smooth),
    )


def background_columns(windows: Windows, shape: NDArray | None) -> NDArray[np.float64]:
    """Products xⁱyʲ of the place up to a degree, times a shape.

    Parameters
    ----------
    windows : Windows
        n windows of m pixels.
    shape : ndarray, shape (n, m), optional
        What the background is proportional to; the degree is higher without.

    Returns
    -------
    ndarray, shape (n, m, terms)
        The constant first.
    """
    x, y = np.moveaxis(windows.place / windows.reach, -1, 0)
    across = float(np.sqrt(x.shape[1])) / 2
    degree = _DEGREES[shape is None and across >= _WIDE]
    powers = [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    background = np.stack(powers, axis=-1)
    return background if shape is None else background * shape[..., None]


class _Best:
    """The solution with the least χ² of those offered, window by window."""

    def __init__(self, n: int, terms: int) -> None:
        self.chi2, self.spread = np.full(n, np.inf), np.ones(n)
        self.solution = np.zeros((n, terms + 3))
        self.sigma, self.width = np.full(n, np.inf), np.zeros(n)

    def offer(
        self, width: float, solution: NDArray, sigma: NDArray, chi2: NDArray, spread: NDArray
    ) -> None:
        """Keep a width where it fits better."""
        better = chi2 < self.chi2
        self.chi2 = np.where(better, chi2, self.chi2)
        self.spread = np.where(better, spread, self.spread)
        self.sigma = np.where(better, sigma, self.sigma)
        self.width = np.where(better, width, self.width)
        self.solution = np.where(better[:, None], solution, self.solution)


def _solve(columns: NDArray, weight: NDArray, data: NDArray) -> tuple[NDArray[np.float64], ...]:
    """Weighted least squares of every window: solution, σ of the amplitude, χ², spread."""
    weighted = columns * weight[..., None]
    normal = np.swapaxes(weighted, 1, 2) @ columns
    scale = np.sqrt(np.maximum(np.einsum("nkk->nk", normal), 1e-300))
    normal = normal / (scale[:, :, None] * scale[:, None, :]) + 1e-9 * np.eye(normal.shape[-1])
    right = np.einsum("nmk,nm->nk", weighted, data) / scale
    inverse = np.linalg.inv(normal)
    solution = np.einsum("nij,nj->ni", inverse, right) / scale
    residual = data - np.einsum("nmk,nk->nm", columns, solution)
    sigma = np.sqrt(inverse[:, -3, -3]) / scale[:, -3]
    # The median is that of the background; a peak may fit its Gaussian badly.
    normed = np.where(weight > 0, np.sqrt(weight) * np.abs(residual), np.nan)
    normed[:, 0] = np.nan_to_num(normed[:, 0])
    spread = 1.4826 * np.nanmedian(normed, axis=1)
    return solution, sigma, (weight * residual**2).sum(axis=1), spread


def pixel_variance(
    windows: Windows, noise: NoiseModel, expected: NDArray
) -> NDArray[np.float64]:
    """Variance of the pixels, never 0: a pixel without a count is not certain.

    Parameters
    ----------
    windows : Windows
        n windows of m pixels.
    noise : NoiseModel
        Variance of a pixel, where the plane does not tell it.
    expected : ndarray, shape (n, m)
        Expected intensity.

    Returns
    -------
    ndarray, shape (n, m)
        Variances.
    """
    if windows.known is None:
        variance = noise.variance(expected)
    else:
        variance = np.where(np.isfinite(windows.known), windows.known, 0.0)
    used = variance[windows.weight > 0]
    typical = float(np.median(used)) if used.size else 1.0
    scale = float(np.square(windows.intensity).mean())
    return np.maximum(variance, max(0.1 * typical, 1e-8 * scale, 1e-300))
