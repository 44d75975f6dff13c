"""How far each Bragg peak reaches, grown from the data.

Around every position a Gaussian on a curved background is fitted, and the ellipse ends
where the Gaussian has sunk below a tenth of the noise, or further out, where the mean over
a ring still stands above the background: tails of peaks are no Gaussians.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.masking.ellipsoids import plane_ellipse
from dsfunet_core.masking.noise import local_median, noise_model
from dsfunet_core.masking.peak_fit import PeakFits, Windows, cut_windows, fit_peaks, gaussians
from dsfunet_core.masking.periodic import periodic_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["GrownPeaks", "grown_peaks"]

#: A Gaussian ends where it has sunk to this fraction of the noise of a pixel.
TAIL = 0.25
#: Amplitudes over their uncertainty from which a peak is seen, and trusted to be shifted.
SEEN, STRONG = 4.0, 10.0
#: Fraction of positions with peaks that are none of the diffuse scattering from which all
#: are masked; peaks not seen as if they were so many uncertainties higher.
COMMON, FAINT = 0.1, 2.0
#: Mean of a ring over its uncertainty from which the peak goes on there.
RING = 3.0
#: Pixels of a ring that must be there to judge it.
RING_PIXELS = 4
#: Half-width of the window of a peak, in distances to the next position; in pixels at least
#: and at most.
WINDOW, LEAST, MOST = 0.6, 4.0, 16.0
#: Widths tried: in pixels at least, in windows at most, and how many.
NARROWEST, WIDEST, WIDTHS = 0.45, 0.4, 14
#: Height over the background from which a peak is no diffuse maximum; widths of such peaks
#: tell how wide a peak can be: the last of these quantiles times the factor is the limit.
#: The first two limit peaks that may be diffuse, while the order is guessed and in the end.
#: Without such peaks the limit is so many pixels.
SHARP, QUANTILES, SLACK, UNTOLD = 8.0, (0.5, 0.75, 0.9), 1.1, 1.5
#: Farthest that a peak may lie from its position, in pixels.
SHIFT = 1.5


@dataclass(frozen=True, eq=False)
class GrownPeaks:
    """Peaks of a plane as fitted.

    Parameters
    ----------
    centres : ndarray, shape (n, 2)
        Pixel (row, column) that each peak was found at.
    radius : ndarray, shape (n,)
        Where it ends, in units of the ellipsoid ([Å⁻¹] for a sphere of 1 Å⁻¹); 0 where
        there is no peak.
    amplitude, sigma : ndarray, shape (n,)
        Height of the Gaussian and its uncertainty, in units of intensity.
    width : ndarray, shape (n,)
        Its standard deviation, in the units of ``radius``.
    """

    centres: NDArray[np.float64]
    radius: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    sigma: NDArray[np.float64]
    width: NDArray[np.float64]


def grown_peaks(
    plane: ReciprocalPlane, centres: NDArray[np.float64], tensor: NDArray[np.float64]
) -> GrownPeaks:
    """Fit the peaks at given positions and find where they end.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its noise is measured by :func:`~dsfunet_core.masking.noise.noise_model` where it
        has no variances.
    centres : ndarray, shape (n, 2)
        Positions (row, column).
    tensor : ndarray, shape (3, 3)
        T of the ellipsoids [Å²]; only its shape matters to what is masked.

    Returns
    -------
    GrownPeaks
        In the order of the positions.

    Notes
    -----
    Without a single peak that is clearly none of the diffuse scattering nothing is masked:
    maxima of the order look like weak peaks, and a plane without Bragg peaks must stay
    whole. Weak remnants need a radius by hand.

    Where one position in ten or more holds a peak that is clearly none of the diffuse
    scattering, the others are masked too, as far as the largest peak reaches that can hide
    in the noise there. Left in, such peaks would bias the order most of all: in their cells
    alone the lattice point is seen, and what all other cells lack is read off them.
    """
    n = len(centres)
    centres = np.asarray(centres, float).reshape(-1, 2)
    if n == 0 or not plane.valid.any():
        return GrownPeaks(centres, *np.zeros((4, n)))
    noise = noise_model(plane)
    # u = L·p turns ellipses of the pixel grid into circles.
    to_circle = np.linalg.cholesky(plane_ellipse(plane, tensor)).T.astype(np.float64)
    pixel = float(np.sqrt(abs(np.linalg.det(to_circle))))
    reach = (
        float(np.clip(WINDOW * _spacing(centres @ to_circle.T) / pixel, LEAST, MOST)) * pixel
    )
    windows = cut_windows(plane, centres, to_circle, reach)
    smooth = local_median(plane.intensity, plane.valid, 1)[0]
    widths = np.geomspace(NARROWEST * pixel, max(WIDEST * reach, pixel), WIDTHS)
    fit = fit_peaks(windows, noise, np.nan_to_num(windows.of(smooth)), 0.0, widths)
    strong = fit.amplitude > STRONG * fit.sigma
    moved = np.where(strong[:, None], np.clip(fit.shift, -SHIFT * pixel, SHIFT * pixel), 0.0)
    centres = centres + moved @ np.linalg.inv(to_circle).T
    # Once more around the centres found, without the tails of the neighbours.
    windows = cut_windows(plane, centres, to_circle, reach)
    own, total = gaussians(windows, _only(fit, fit.amplitude > SEEN * fit.sigma), plane.shape)
    windows = windows.without(total - own)
    typical = float(np.mean(plane.intensity[plane.valid]))
    sharp = _sharp(fit, typical)
    usual = common = limit = UNTOLD * pixel
    if sharp.any():
        usual, common, limit = np.quantile(fit.width[sharp], QUANTILES).tolist()
    # Maxima of the order are broad: what may be one covers no more than a usual peak.
    cautious = replace(fit, width=np.where(sharp, fit.width, np.minimum(fit.width, usual)))
    shape = periodic_shape(plane, ~_covered(plane, windows, cautious))
    widths = np.geomspace(NARROWEST * pixel, max(SLACK * limit, pixel), WIDTHS)
    fit = fit_peaks(
        windows,
        noise,
        fit.background + total,
        own,
        widths,
        None if shape is None else windows.of(shape),
    )
    sharp = _sharp(fit, typical)
    if not sharp.any():
        # Maxima of the order, for all that can be told.
        return GrownPeaks(centres, np.zeros(n), fit.amplitude, fit.sigma, fit.width)
    fit = replace(fit, width=np.where(sharp, fit.width, np.minimum(fit.width, common)))
    seen = fit.amplitude > SEEN * fit.sigma
    amplitude, width = _with_faint(fit, seen, sharp, usual)
    radius = _gaussian_radius(replace(fit, amplitude=amplitude, width=width), pixel)
    radius = _grown(windows, fit, radius, sharp, pixel)
    if seen.any():
        # Peaks at the edge of what was measured are too little seen to be fitted.
        unknown = ~np.isfinite(fit.sigma)
        radius = np.where(unknown, np.quantile(radius[seen], QUANTILES[-1]), radius)
    return GrownPeaks(centres, radius, fit.amplitude, fit.sigma, width)


def _sharp(fit: PeakFits, typical: float) -> NDArray[np.bool_]:
    """Peaks that are too high above the background to be diffuse.

    Where a form factor vanishes, so does the background; it counts as half the mean of the
    plane at least, lest every weak maximum there is sharp.
    """
    level = np.maximum(np.median(fit.background, axis=1), typical / 2)
    return (fit.amplitude > STRONG * fit.sigma) & (fit.amplitude > SHARP * level)


def _gaussian_radius(fit: PeakFits, pixel: float) -> NDArray[np.float64]:
    """Where the Gaussians sink below a fraction of the noise, a pixel at least."""
    level = TAIL * np.sqrt(np.median(fit.variance, axis=1))
    there = fit.amplitude > level
    ratio = np.where(there, fit.amplitude, level) / level
    return np.where(there, np.maximum(fit.width * np.sqrt(2 * np.log(ratio)), pixel), 0.0)


def _covered(plane: ReciprocalPlane, windows: Windows, fit: PeakFits) -> NDArray[np.bool_]:
    """Pixels that a peak reaches, shape of the plane."""
    radius = _gaussian_radius(_only(fit, fit.amplitude > SEEN * fit.sigma), windows.pixel)
    radius = np.where(np.isfinite(fit.sigma), radius, windows.reach / 2)
    covered = np.zeros(plane.shape, dtype=bool)
    here = windows.inside & (windows.distance <= radius[:, None])
    covered[windows.pixels[here][:, 0], windows.pixels[here][:, 1]] = True
    return covered


def _only(fit: PeakFits, which: NDArray[np.bool_]) -> PeakFits:
    return replace(fit, amplitude=np.where(which, fit.amplitude, 0.0))


def _with_faint(
    fit: PeakFits, seen: NDArray[np.bool_], sharp: NDArray[np.bool_], usual: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplitudes and widths; of peaks not seen the most that they can be, or 0."""
    amplitude, width = np.where(seen, fit.amplitude, 0.0), fit.width
    fitted = np.isfinite(fit.sigma)
    if fitted.any() and sharp[fitted].mean() > COMMON:
        faint = ~seen & fitted
        most = np.maximum(fit.amplitude, 0) + FAINT * np.where(faint, fit.sigma, 0)
        amplitude = np.where(faint, most, amplitude)
        width = np.where(faint, usual, width)
    return amplitude, width


def _spacing(points: NDArray[np.float64]) -> float:
    """Median distance of a point to the next."""
    from scipy.spatial import cKDTree

    if len(points) < 2:
        return np.inf
    apart = cKDTree(points).query(points, k=2)[0][:, 1]
    return float(np.median(apart[apart > 0])) if (apart > 0).any() else np.inf


def _grown(
    windows: Windows,
    fit: PeakFits,
    radius: NDArray[np.float64],
    seen: NDArray[np.bool_],
    pixel: float,
) -> NDArray[np.float64]:
    """Radius with the rings added, a pixel each, that still stand above the background."""
    # The Gaussian beyond the radius is negligible; what is left there is tail.
    excess = windows.intensity - fit.background
    going = seen & (radius > 0)
    for _ in range(int(windows.reach / pixel)):
        ring = (windows.weight > 0) & (windows.distance > radius[:, None])
        ring &= windows.distance <= radius[:, None] + pixel
        n = ring.sum(axis=1)
        mean = np.where(ring, excess, 0).sum(axis=1) / np.maximum(n, 1)
        error = np.sqrt(np.where(ring, fit.variance, 0).sum(axis=1)) / np.maximum(n, 1)
        going = going & (n >= RING_PIXELS) & (mean > RING * error * fit.spread)
        if not going.any():
            break
        radius = np.where(going, radius + pixel, radius)
    return radius
