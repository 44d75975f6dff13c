"""How far each Bragg peak reaches, grown from the data.

Elliptical Gaussians are refined on a background that follows a guess of the order. A peak
ends where the Gaussian, as large as it can be, has sunk to a fraction of the noise, or
further out, where the mean over a ring still stands above the background: tails of peaks
are no Gaussians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.masking.ellipsoids import plane_ellipse
from dsfunet_core.masking.noise import NoiseModel, local_median, noise_model
from dsfunet_core.masking.peak_fit import (
    PeakFits,
    Windows,
    background_columns,
    cut_windows,
    fit_peaks,
    pixel_variance,
)
from dsfunet_core.masking.peak_refinement import (
    Population,
    peak_reach,
    refine_shapes,
    unit_peaks,
)
from dsfunet_core.masking.periodic import FreePeaks, Periodic, periodic_guess
from dsfunet_core.masking.positions import spacing
from dsfunet_core.masking.remnants import beside_the_order, like_the_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["GrownPeaks", "grown_peaks"]

#: A Gaussian, so many standard deviations higher than it was found, ends where it has sunk
#: to this fraction of the noise of a pixel.
TAIL, DOUBT = 0.15, 1.0
#: Heights over their uncertainty from which a peak is seen, and trusted to be shifted.
SEEN, STRONG = 4.0, 10.0
#: Fraction of positions with peaks that are none of the diffuse scattering from which all
#: are masked, and as far at least as this quantile of the peaks seen.
COMMON, SMALLEST = 0.1, 0.1
#: Mean of a ring over its uncertainty from which the peak goes on there, and relative
#: uncertainty of the background.
RING, ROUGH = 3.0, 0.05
#: Pixels of a ring that must be there to judge it.
RING_PIXELS = 4
#: Half-width of the window of a peak, in distances to the next position; in pixels at least
#: and at most.
WINDOW, LEAST, MOST = 0.6, 4.0, 16.0
#: Widths tried: in pixels at least, in windows at most, and how many.
NARROWEST, WIDEST, WIDTHS = 0.45, 0.4, 14
#: Height over the background from which a peak is no diffuse maximum; from which it is none
#: where it is one of few.
SHARP, LONE = 8.0, 16.0
#: Farthest that a peak may lie from its position, in pixels.
SHIFT = 1.5
#: Peaks that make a population, its least spread (of shifts in pixels, and of logarithms),
#: and the quantile that no other peak may exceed by more than a factor.
ENOUGH, FLOOR, WIDE, SLACK = 5, 0.05, 0.95, 1.1
#: What is expected of a few peaks: spread of shifts in pixels, logarithm of widths, elongation.
UNTOLD = (0.5, 0.4, 0.3)
#: Rounds of guessing the order beside the peaks, and of the peaks beside the order.
ROUNDS = 3
#: The background may differ so much from the guess, relatively, which counts as this
#: fraction of the plane's mean at least.
LOOSE, DARK = 0.5, 0.05
#: Widest of weak peaks in every cell, in pixels; all are masked as far as this quantile.
BROAD, MIDDLE = 2.0, 0.5
#: Peaks end for the guess of the order where they have sunk to this fraction.
FAINT = 1e-8
#: Relative misfit of a Gaussian to a real peak.
MISFIT = 0.05


@dataclass(frozen=True, eq=False)
class GrownPeaks:
    """Peaks of a plane as refined.

    Parameters
    ----------
    centres : ndarray, shape (n, 2)
        Pixel (row, column) that each peak was found at.
    radius : ndarray, shape (n,)
        Where it ends, geometric mean of the two semi-axes, in units of the ellipsoid
        ([Å⁻¹] for a sphere of 1 Å⁻¹); 0 where there is no peak.
    forms : ndarray, shape (n, 2, 2)
        Ellipses E: pᵀ E p ≤ 1 for offsets p [pixels] inside.
    height, sigma : ndarray, shape (n,)
        Height of the Gaussian and its uncertainty, in units of intensity.
    width : ndarray, shape (n,)
        Its standard deviation, in the units of ``radius``.
    """

    centres: NDArray[np.float64]
    radius: NDArray[np.float64]
    forms: NDArray[np.float64]
    height: NDArray[np.float64]
    sigma: NDArray[np.float64]
    width: NDArray[np.float64]


def grown_peaks(
    plane: ReciprocalPlane, centres: NDArray[np.float64], tensor: NDArray[np.float64]
) -> GrownPeaks:
    """Refine the peaks at given positions and find where they end.

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
    Without a single peak that is clearly none of the diffuse scattering, peaks are masked
    only where those of all cells together are not proportional to the diffuse scattering
    around them: maxima of the order look like weak peaks, and a plane without Bragg peaks
    must stay whole.

    Where one position in ten or more holds a peak that is clearly none of the diffuse
    scattering, the others are masked too, as far as the largest peak reaches that can hide
    in the noise there, and as far as small peaks reach at least. Left in, such peaks would
    bias the order most of all: in their cells alone the lattice point is seen, and what all
    other cells lack is read off them.
    """
    n = len(centres)
    centres = np.asarray(centres, float).reshape(-1, 2)
    nothing = GrownPeaks(centres, np.zeros(n), np.zeros((n, 2, 2)), *np.zeros((3, n)))
    if n == 0 or not plane.valid.any():
        return nothing
    # u = L·p turns ellipses of the pixel grid into circles.
    to_circle = np.linalg.cholesky(plane_ellipse(plane, tensor)).T.astype(np.float64)
    pixel = float(np.sqrt(abs(np.linalg.det(to_circle))))
    reach = float(np.clip(WINDOW * spacing(centres @ to_circle.T) / pixel, LEAST, MOST)) * pixel
    windows = cut_windows(plane, centres, to_circle, reach)
    growing = _Growing(plane, windows, noise_model(plane), pixel)
    for _ in range(ROUNDS - 1):
        if not growing.sharp.any():
            return nothing
        growing.go_on()
    shapes = growing.shapes
    radius = growing.radius()
    size = np.where(radius > 0, radius / shapes.width, 1.0)
    forms = np.einsum("ki,nkl,lj->nij", to_circle, shapes.forms, to_circle)
    return GrownPeaks(
        centres + shapes.values[:, 1:3] @ np.linalg.inv(to_circle).T,
        radius,
        forms / size[:, None, None] ** 2,
        shapes.values[:, 0],
        growing.sigma,
        shapes.width,
    )


class _Growing:
    """Peaks and order of a plane, refined in turn."""

    def __init__(
        self, plane: ReciprocalPlane, windows: Windows, noise: NoiseModel, pixel: float
    ) -> None:
        self.plane, self.windows, self.noise, self.pixel = plane, windows, noise, pixel
        self.typical = float(np.mean(plane.intensity[plane.valid]))
        smooth = local_median(plane.intensity, plane.valid, 1)[0]
        widths = np.geomspace(NARROWEST * pixel, max(WIDEST * windows.reach, pixel), WIDTHS)
        fit = fit_peaks(windows, noise, np.nan_to_num(windows.of(smooth)), 0.0, widths)
        self.sigma, self.background = fit.sigma, fit.background
        self.fitted, self.weak = np.isfinite(fit.sigma), False
        self.sharp = self._sharp(fit.amplitude, fit.sigma)
        self.widest, self.farthest = max(WIDEST * windows.reach, pixel), SHIFT * pixel
        self.order: Periodic | None = None
        if self.sharp.any():
            self._start(fit)
            self.go_on()
        if not self.sharp.any():
            # Maxima of the order, for all that a single cell can tell.
            self.sigma, self.background = fit.sigma, fit.background
            self._look_for_weak(fit)

    def _sharp(self, height: NDArray, sigma: NDArray) -> NDArray[np.bool_]:
        """Peaks that are too high above the background to be diffuse.

        Where a form factor vanishes, so does the background; it counts as half the mean of
        the plane at least, lest every weak maximum there is sharp. Where weak peaks are in
        every cell, all that are seen.
        """
        if self.weak:
            return self.fitted & (height > SEEN * sigma)
        return self.fitted & (height > STRONG * sigma) & (height > SHARP * self._level())

    def _level(self) -> NDArray[np.float64]:
        """Background that a peak is compared with."""
        return np.maximum(np.median(self.background, axis=1), self.typical / 2)

    def _start(self, fit: PeakFits) -> None:
        """First values, and a first guess of the order from what no peak covers."""
        usual = float(np.median(np.log(fit.width[self.sharp])))
        self.values = np.zeros((len(fit.width), 6))
        self.values[:, 0] = np.where(self.fitted, np.maximum(fit.amplitude, 0), 0)
        strong = self.fitted & (fit.amplitude > STRONG * fit.sigma)
        shift = np.clip(fit.shift, -SHIFT * self.pixel, SHIFT * self.pixel)
        self.values[:, 1:3] = np.where(strong[:, None], shift, 0)
        self.values[:, 3] = np.where(self.sharp, np.log(np.maximum(fit.width, 1e-300)), usual)
        self.largest = float(fit.amplitude[self.sharp].max())
        about, width, elongation = UNTOLD
        spread = [about * self.pixel] * 2 + [width] + [elongation] * 2
        self.population = Population(np.array([0, 0, usual, 0, 0]), np.array(spread))
        level = TAIL * np.sqrt(np.median(fit.variance, axis=1))
        ends = 2 * np.log(np.maximum(self.values[:, 0] / level, np.e))
        near = self.windows.distance <= (np.exp(self.values[:, 3]) * np.sqrt(ends))[:, None]
        clear = np.ones(self.plane.shape, dtype=bool)
        row, column = (self.windows.pixels[..., k][near & self.windows.inside] for k in (0, 1))
        clear[row, column] = False
        self.order = periodic_guess(self.plane, clear, self.noise)

    def _look_for_weak(self, fit: PeakFits) -> None:
        """Peaks in every cell that no single cell tells from maxima of the order."""
        self.weak = True
        self.sharp = self._sharp(fit.amplitude, fit.sigma)
        if self.sharp.sum() < ENOUGH:
            self.sharp[:] = False
            return
        self._start(fit)
        self.values[:, 3] = np.log(self.pixel)
        mean = np.array([0, 0, np.log(self.pixel), 0, 0])
        self.population = Population(mean, self.population.spread)
        self.widest = min(self.widest, BROAD * self.pixel)
        for _ in range(ROUNDS - 1):
            self.go_on(describe=False)
        factor, known = self._factor(), self.fitted
        if factor is None or not beside_the_order(
            self.values[known, 0], self.sigma[known], factor[known], self.typical
        ):
            self.sharp[:] = False

    def _factor(self) -> NDArray[np.float64] | None:
        """Smooth factor of the diffuse scattering at every position."""
        if self.order is None:
            return None
        return np.asarray(np.median(self.windows.of(self.order.smooth), axis=1))

    def go_on(self, describe: bool = True) -> None:
        """The order beside the peaks as they are, then the peaks on that order."""
        if self.order is not None:
            self.order = periodic_guess(
                self.plane,
                np.ones(self.plane.shape, dtype=bool),
                self.noise,
                self._free_peaks(),
                self.order,
            )
        self._refine()
        self.sharp = self._sharp(self.values[:, 0], self.sigma)
        factor = self._factor()
        if self.sharp.sum() < ENOUGH:
            return
        if (
            factor is not None
            and not self.weak
            and like_the_order(self.values[self.sharp, 0], factor[self.sharp])
        ):
            self.sharp[:] = False
        elif describe:
            self._describe()

    def _free_peaks(self) -> FreePeaks:
        g, slopes = unit_peaks(self.windows.place, self.values)
        height = np.maximum(self.values[:, 0], 0)
        columns = np.concatenate([g[..., None], height[:, None, None] * slopes], axis=-1)
        used = (g > FAINT) & (self.windows.weight > 0)
        pixels = self.windows.pixels[used]
        image = self.windows.summed(height[:, None] * g, self.plane.shape)
        return FreePeaks(
            image,
            (MISFIT * image) ** 2,
            np.nonzero(used)[0],
            pixels[:, 0] * self.plane.shape[1] + pixels[:, 1],
            columns[used],
            height,
            np.concatenate([[self.largest**-2], self.population.spread**-2]),
        )

    def _refine(self) -> None:
        """Every peak on its background, without the tails of the neighbours."""
        own = np.maximum(self.values[:, :1], 0) * unit_peaks(self.windows.place, self.values)[0]
        image = self.windows.summed(own, self.plane.shape)
        self.tails = (self.windows.of(image) - own) * self.windows.weight
        if self.order is None:
            columns = background_columns(self.windows, None)
            expected = np.where(self.fitted[:, None], self.background, self.typical)
            expected = np.median(expected, axis=1)
        else:
            columns = background_columns(self.windows, self.windows.of(self.order.shape))
            expected = np.median(self.windows.of(self.order.smooth), axis=1)
        scale = np.maximum(expected, DARK * self.typical)
        level = np.zeros((len(scale), columns.shape[-1]))
        level[:, 0] = expected / scale
        self.shapes = refine_shapes(
            self.windows.without(self.tails),
            self.noise,
            self.values,
            columns * scale[:, None, None],
            level,
            LOOSE,
            self.population,
            self.largest,
            (self.farthest, NARROWEST * self.pixel, self.widest),
        )
        self.values, self.background = self.shapes.values, self.shapes.background
        self.sigma = np.sqrt(self.shapes.covariance[:, 0, 0])

    def _describe(self) -> None:
        """What the sharp peaks have in common."""
        chosen = self.values[self.sharp, 1:]
        mean = np.median(chosen, axis=0)
        spread = 1.4826 * np.median(np.abs(chosen - mean), axis=0)
        spread[:2] = np.maximum(spread[:2].mean(), 2 * FLOOR * self.pixel)
        spread[2] = max(spread[2], FLOOR)
        spread[3:] = max(spread[3:].mean(), FLOOR)
        if self.weak:
            # None of them tells its own shape from the noise.
            spread = np.array([2 * FLOOR * self.pixel] * 2 + [FLOOR] * 3)
            chosen = np.tile(mean, (1, 1))
        self.population = Population(mean, spread)
        self.largest = float(self.values[self.sharp, 0].max())
        # Maxima of the order are broad, and where the background is not what it is taken
        # for, so is the Gaussian that mends it.
        wide = SLACK * float(np.exp(np.quantile(chosen[:, 2], WIDE)))
        far = SLACK * float(np.quantile(np.abs(chosen[:, :2]), WIDE))
        self.widest = max(min(wide, self.widest), NARROWEST * self.pixel)
        self.farthest = max(min(far, self.farthest), FLOOR * self.pixel)

    def radius(self) -> NDArray[np.float64]:
        """Where the peaks end; 0 where there is none."""
        variance = pixel_variance(
            self.windows, self.noise, np.maximum(self.shapes.background, 0)
        )
        near = self.windows.distance <= self.windows.reach / 2
        deviation = np.sqrt(np.nanmedian(np.where(near, variance, np.nan), axis=1))
        doubt = 0.0 if self.weak else DOUBT
        ends = peak_reach(self.shapes, TAIL * deviation, doubt) * self.shapes.width
        radius = self._with_rings(
            np.where(ends > 0, np.maximum(ends, self.pixel), 0.0), variance
        )
        seen = self.values[:, 0] > SEEN * self.sigma
        if self.sharp.sum() < ENOUGH:
            # Too few to tell others by, and one maximum in hundreds may pass for sharp.
            lone = self.sharp & (self.values[:, 0] > LONE * self._level())
            return np.where(lone, radius, 0.0)
        if self.sharp[self.fitted].mean() > COMMON:
            least = MIDDLE if self.weak else SMALLEST
            radius = np.maximum(radius, np.quantile(radius[seen], least))
        else:
            radius = np.where(seen, radius, 0.0)
        return radius

    def _with_rings(
        self, radius: NDArray[np.float64], variance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Radius with the rings added, a pixel each, that still stand above the background.

        Of peaks that are none of the diffuse scattering, or whose middle was not seen.
        """
        windows = self.windows
        distance = self.shapes.distance(windows.place) * self.shapes.width[:, None]
        # The Gaussian beyond the radius is negligible; what is left there is tail.
        excess = windows.intensity - self.tails - self.background
        going = (self.sharp | ~self.fitted) & (radius > 0)
        for _ in range(int(windows.reach / self.pixel)):
            ring = (windows.weight > 0) & (distance > radius[:, None])
            ring &= distance <= radius[:, None] + self.pixel
            n = ring.sum(axis=1)
            mean = np.where(ring, excess, 0).sum(axis=1) / np.maximum(n, 1)
            error = np.sqrt(np.where(ring, variance, 0).sum(axis=1)) / np.maximum(n, 1)
            level = np.where(ring, self.background, 0).sum(axis=1) / np.maximum(n, 1)
            going = going & (n >= RING_PIXELS) & (mean > RING * np.hypot(error, ROUGH * level))
            if not going.any():
                break
            radius = np.where(going, radius + self.pixel, radius)
        return radius
