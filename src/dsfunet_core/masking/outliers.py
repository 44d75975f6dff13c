"""Hot pixels, zingers, and peaks where no lattice point is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.masking.noise import NoiseModel, local_median, noise_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = [
    "check_positive",
    "mask_hot_pixels",
    "mask_stray_peaks",
    "median_bound",
    "stands_out",
]

#: Median of a Poisson distribution falls short of its mean by about so many counts.
_MEDIAN_BELOW_MEAN = 1 / 3
#: Neighbours that must be valid to judge a pixel.
NEIGHBOURS = 5
#: Pixels next to each other that make a stray peak rather than hot pixels, and by how many
#: pixels it is widened, because its foot is below the threshold.
PEAK, MARGIN = 3, 2


def mask_hot_pixels(
    plane: ReciprocalPlane, *, threshold: float = 6.0, radius: int = 2, largest: int = 2
) -> ReciprocalPlane:
    """Mask single pixels that stand out of their neighbours by more than noise can.

    Parameters
    ----------
    plane : ReciprocalPlane
        Mask Bragg peaks first, or sharp ones are taken for hot pixels.
    threshold : float
        How many standard deviations. What is improbable is counted as for a normal
        distribution, but with Poisson's tail: among few counts more are needed.
    radius : int
        Neighbours up to so many pixels away are compared with.
    largest : int
        Clusters of more touching pixels are no hot pixels, but something that is there.

    Returns
    -------
    ReciprocalPlane
        Copy with these pixels in the mask layer ``"hot pixels"``.

    Raises
    ------
    ParameterError
        If a parameter is not above 0.

    Notes
    -----
    The median of the neighbours is the expected intensity. Its spread covers curvature and
    noise of another kind; the larger of spread and Poisson noise counts.
    """
    check_positive(threshold=threshold, radius=radius, largest=largest)
    high = _significant(plane, threshold, radius)
    labels, sizes = _clusters(high)
    hot = high & (sizes[labels] <= largest)
    return plane.masked(~hot, "hot pixels").processed(
        "mask_hot_pixels", threshold=float(threshold), radius=radius, largest=largest
    )


def mask_stray_peaks(
    plane: ReciprocalPlane, *, threshold: float = 6.0, radius: int = 5
) -> ReciprocalPlane:
    """Mask peaks off the lattice: a second crystallite, a twin, a satellite not known of.

    Parameters
    ----------
    plane : ReciprocalPlane
        Mask its Bragg peaks first.
    threshold : float
        As for :func:`mask_hot_pixels`.
    radius : int
        Neighbours up to so many pixels away are compared with; more than a peak is wide.

    Returns
    -------
    ReciprocalPlane
        Copy with clusters of three or more outlying pixels, two pixels wider all around, in
        the mask layer ``"stray peaks"``.

    Raises
    ------
    ParameterError
        If a parameter is not above 0.
    """
    from scipy.ndimage import distance_transform_edt

    check_positive(threshold=threshold, radius=radius)
    high = _significant(plane, threshold, radius)
    labels, sizes = _clusters(high)
    peaks = high & (sizes[labels] >= PEAK)
    out = peaks
    if peaks.any():
        out = distance_transform_edt(~peaks) <= MARGIN + 0.5
    return plane.masked(~out, "stray peaks").processed(
        "mask_stray_peaks", threshold=float(threshold), radius=radius
    )


def _significant(plane: ReciprocalPlane, threshold: float, radius: int) -> NDArray[np.bool_]:
    """Valid pixels brighter than their neighbours by more than the threshold."""
    noise = noise_model(plane)
    expected, spread, neighbours = local_median(plane.intensity, plane.valid, radius)
    around = None
    if noise.known is not None:
        around = local_median(np.asarray(noise.known, float), plane.valid, radius)[0]
    judged = plane.valid & (neighbours >= NEIGHBOURS)
    return stands_out(plane.intensity, judged, expected, spread, noise, threshold, around)


def stands_out(
    intensity: NDArray[np.floating],
    judged: NDArray[np.bool_],
    expected: NDArray[np.float64],
    spread: NDArray[np.float64],
    noise: NoiseModel,
    threshold: float,
    variance_around: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Points brighter than their neighbours by more than noise can.

    Parameters
    ----------
    intensity : ndarray
        Intensities of any shape; all other arrays have the same.
    judged : ndarray of bool
        Points that have neighbours enough.
    expected, spread : ndarray
        Median of the neighbours, and 1.4826 × their median absolute deviation.
    noise : NoiseModel
        Its ``known`` variances come first where there are some.
    threshold : float
        In standard deviations.
    variance_around : ndarray, optional
        Median of the known variances of the neighbours.

    Returns
    -------
    ndarray of bool
        True where a point stands out.
    """
    excess = np.where(judged, intensity - expected, 0.0)
    spread = np.nan_to_num(spread)
    if noise.known is not None:
        # A variance from counts that happen to be few is too small, and 0 for none.
        known = np.asarray(noise.known, float)
        sigma = np.sqrt(
            np.nan_to_num(known if variance_around is None else np.fmax(known, variance_around))
        )
        return judged & (excess > threshold * np.maximum(sigma, spread)) & (excess > 0)
    needed = _poisson_excess(np.nan_to_num(expected), noise, threshold)
    return judged & (excess > np.maximum(needed, threshold * spread)) & (excess > 0)


def median_bound(
    intensity: NDArray[np.floating], noise: NoiseModel, threshold: float
) -> NDArray[np.float64]:
    """Medians of neighbours from which a point cannot stand out, whatever their spread.

    Parameters
    ----------
    intensity : ndarray
        Intensities of any shape.
    noise, threshold
        As in :func:`stands_out`.

    Returns
    -------
    ndarray of float64
        Of the same shape, and a little high rather than low.
    """
    values = np.asarray(intensity, dtype=float)
    if noise.known is not None:
        known = np.sqrt(np.maximum(np.nan_to_num(np.asarray(noise.known, float)), 0))
        bound = values - threshold * known
    else:
        bound = values - threshold * np.sqrt(noise.constant)
        if noise.gain > 0:
            # m + z √(m + c) < v, in counts, of which a median above 0 needs no less.
            c, z, v = _MEDIAN_BELOW_MEAN, threshold, values / noise.gain
            root = (np.sqrt(np.maximum(z**2 + 4 * (v + c), 0)) - z) / 2
            most = np.maximum(root, 0) ** 2 - c
            bound = np.minimum(
                bound, noise.gain * np.where(most >= 0, most, v - z * np.sqrt(c))
            )
    return np.asarray(bound + 1e-9 * np.abs(values))


def _poisson_excess(
    median: NDArray[np.float64], noise: NoiseModel, threshold: float
) -> NDArray[np.float64]:
    """Excess over the median that is as improbable as a normal one of ``threshold`` σ."""
    constant = threshold * np.sqrt(noise.constant)
    if noise.gain <= 0:
        return np.full(median.shape, constant)
    mean = np.maximum(median, 0) / noise.gain + _MEDIAN_BELOW_MEAN
    # Cornish–Fisher: Poisson's upper tail is longer than a normal one, by z²/6 counts.
    counts = threshold * np.sqrt(mean) + threshold**2 / 6
    return np.hypot(counts * noise.gain, constant)


def _clusters(high: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of the cluster of touching pixels a pixel is in, and sizes by number."""
    from scipy.ndimage import label

    labels, _ = label(high, structure=np.ones((3, 3)))
    return labels, np.bincount(labels.ravel())


def check_positive(**values: float) -> None:
    """Refuse parameters that are not above 0.

    Parameters
    ----------
    **values : float
        Parameters by name.

    Raises
    ------
    ParameterError
        Names the first that is not.
    """
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ParameterError(f"{name} = {value}; more than 0 was expected.")
