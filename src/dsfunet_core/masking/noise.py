"""Noise and local statistics of a plane, from the plane itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["NoiseModel", "local_median", "noise_model"]

#: Second difference along rows and columns: blind to every a + bx + cy + dxy + ex² + fy².
_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
#: From the median of squares of normal numbers to their variance.
_MEDIAN_OF_SQUARES = 0.4549
#: Classes of intensity that the noise is measured in, and triples needed in one.
_CLASSES, _ENOUGH = 50, 60
#: Rounds in which the line through the variances is weighted anew.
_ROUNDS = 4
#: Pixels that are sorted at once by `local_median`.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Variance of a pixel: constant + gain · intensity, or as the plane tells it.

    Parameters
    ----------
    constant : float
        Variance at intensity 0.
    gain : float
        Intensity of one count, where the noise is Poisson's.
    known : ndarray, shape (n_rows, n_columns), optional
        The plane's own variances; they come first.
    """

    constant: float
    gain: float
    known: NDArray[np.floating] | None = None

    def variance(self, expected: NDArray[np.floating]) -> NDArray[np.float64]:
        """Variance where an intensity is expected, the plane's own left out.

        Parameters
        ----------
        expected : ndarray
            Expected, not observed, intensity: a pixel that by chance shows few counts is
            no more certain than its neighbours.
        """
        return np.asarray(self.constant + self.gain * np.maximum(expected, 0), float)


def noise_model(plane: ReciprocalPlane) -> NoiseModel:
    """Measure the noise of a plane in differences of neighbouring pixels.

    The second difference along rows and columns of 3 × 3 pixels is blind to everything
    smooth, and its median square within classes of intensity to Bragg peaks. Through these
    variances goes the line constant + gain · intensity, both 0 or more.

    Parameters
    ----------
    plane : ReciprocalPlane
        With or without variances; those of the plane are kept in ``known``.

    Returns
    -------
    NoiseModel
        Both numbers 0 where the plane has too few neighbouring valid pixels.
    """
    intensity = np.where(plane.valid, plane.intensity, np.nan).astype(float)
    if min(intensity.shape) < 3:
        return NoiseModel(0.0, 0.0, plane.variance)
    difference = np.zeros(tuple(n - 2 for n in intensity.shape))
    level = np.zeros_like(difference)
    for (i, j), weight in np.ndenumerate(_KERNEL):
        part = intensity[i : i + difference.shape[0], j : j + difference.shape[1]]
        difference += weight * part
        level += part / 9
    good = np.isfinite(difference)
    squares, levels = difference[good] ** 2 / (_KERNEL**2).sum(), level[good]
    if squares.size < 2 * _ENOUGH:
        return NoiseModel(0.0, 0.0, plane.variance)
    # The upper classes hold the peaks, whose own curvature is no noise.
    edges = np.quantile(levels, np.linspace(0, 0.9, min(_CLASSES, squares.size // _ENOUGH) + 1))
    which = np.searchsorted(edges, levels, side="right") - 1
    rows = []
    for number in range(len(edges) - 1):
        inside = which == number
        if inside.sum() >= _ENOUGH:
            variance = np.median(squares[inside]) / _MEDIAN_OF_SQUARES
            if variance == 0:  # most pixels have no count: so dark, there are no peaks
                variance = squares[inside].mean()
            rows.append((float(levels[inside].mean()), float(variance), int(inside.sum())))
    if not rows:
        return NoiseModel(0.0, 0.0, plane.variance)
    x, y, n = (np.array(column, float) for column in zip(*rows, strict=True))
    constant, gain = _line(
        np.maximum(x, 0), y, n / np.maximum(y, 1e-12 * y.max() + 1e-300) ** 2
    )
    return NoiseModel(constant, gain, plane.variance)


def _line(x: NDArray, y: NDArray, weight: NDArray) -> tuple[float, float]:
    """Weighted least squares of y = constant + gain·x with both not negative."""
    from scipy.optimize import nnls

    root = np.sqrt(weight / weight.max())
    scale = max(float(np.abs(y).max()), 1e-300)
    level = max(float(np.abs(x).max()), 1e-300)
    design = np.stack([np.ones_like(x), x / level], axis=1) * root[:, None]
    (constant, gain), _ = nnls(design, y / scale * root)
    return float(constant * scale), float(gain * scale / level)


def local_median(
    values: NDArray[np.floating], valid: NDArray[np.bool_], radius: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Median and spread of the valid neighbours of every pixel, itself left out.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        Intensities.
    valid : ndarray of bool, shape (n_rows, n_columns)
        Which to use.
    radius : int
        Neighbours are up to so many rows and columns away.

    Returns
    -------
    median, spread : ndarray, shape (n_rows, n_columns)
        Median, and 1.4826 × median absolute deviation; NaN without neighbours.
    neighbours : ndarray of int, shape (n_rows, n_columns)
        How many were valid.
    """
    rows, columns = values.shape
    padded = np.pad(
        np.where(valid, values, np.nan).astype(float), radius, constant_values=np.nan
    )
    side = 2 * radius + 1
    median, spread = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    count = np.zeros(values.shape, dtype=np.int64)
    step = max(1, _AT_ONCE // (columns * side**2))
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        block = padded[start : stop + 2 * radius]
        windows = np.lib.stride_tricks.sliding_window_view(block, (side, side))
        around = windows.reshape(stop - start, columns, side**2)
        around = np.delete(around, side**2 // 2, axis=-1)
        part = slice(start, stop)
        median[part], count[part] = _middle(around)
        spread[part] = 1.4826 * _middle(np.abs(around - median[part][..., None]))[0]
    return median, spread, count


def _middle(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Median over the last axis without NaN, and how many there were."""
    ordered = np.sort(values, axis=-1)  # NaN come last
    n = np.isfinite(ordered).sum(axis=-1)
    low = np.take_along_axis(ordered, np.maximum((n - 1) // 2, 0)[..., None], axis=-1)
    high = np.take_along_axis(ordered, np.maximum(n // 2, 0)[..., None], axis=-1)
    middle = np.where(n[..., None] > 0, (low + high) / 2, np.nan)[..., 0]
    return middle, n
