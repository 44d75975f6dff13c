"""Background: constant, radial, or measured in a second file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.masking.noise import noise_model
from dsfunet_core.masking.radial import radial_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = [
    "Subtracted",
    "subtract_constant",
    "subtract_measured",
    "subtract_radial",
]

#: Pixels an edge of the squares whose means are compared: single pixels are mostly noise.
_SQUARE = 5
#: Squares in which the uncertainty of a scale is looked for, each way.
_BLOCKS = 5


@dataclass(frozen=True, eq=False)
class Subtracted:
    """A plane before and after its background was taken off.

    Parameters
    ----------
    before, after : ReciprocalPlane
        The plane given, and the one to go on with. Where the background is above the
        intensity, ``after`` is negative: cutting at 0 would bias every mean.
    background : ndarray, shape (n_rows, n_columns)
        What was taken off, in units of the intensity.
    scale : float
        Factor of a measured background, or the constant; 1 for a radial one.
    scale_sigma : float
        Its uncertainty; 0 where it was given.
    """

    before: ReciprocalPlane
    after: ReciprocalPlane
    background: NDArray[np.float64]
    scale: float = 1.0
    scale_sigma: float = 0.0


def subtract_constant(plane: ReciprocalPlane, value: float | None = None) -> Subtracted:
    """Take a constant off.

    Parameters
    ----------
    plane : ReciprocalPlane
        The plane.
    value : float, optional
        How much; when left out, the first percentile of the means over 5 × 5 pixels.

    Returns
    -------
    Subtracted
        Variances stay as they are: a constant that is given is exact.

    Raises
    ------
    ParameterError
        If the value is not finite, or no pixel is valid.
    """
    if value is None:
        means, weight = _square_means(plane, np.asarray(plane.intensity, float))
        value = float(np.quantile(means[weight > 0], 0.01))
    if not np.isfinite(value):
        raise ParameterError(f"value = {value}; a finite number was expected.")
    background = np.full(plane.shape, float(value))
    return _taken_off(plane, background, None, {"kind": "constant", "value": value}, value, 0.0)


def subtract_radial(
    plane: ReciprocalPlane, *, quantile: float = 0.05, width: float = 0.15
) -> Subtracted:
    """Take off what is there at every azimuth: air, capillary, Compton scattering.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell. Mask Bragg peaks and shadows first.
    quantile : float
        At every |Q| the background is this quantile over azimuth: the darkest places are
        taken to hold no diffuse scattering.
    width : float
        Full width of the bins [Å⁻¹] that are then joined by straight lines.

    Returns
    -------
    Subtracted
        The uncertainty of the profile is added to the variances, where there are such.

    Raises
    ------
    ParameterError
        If the quantile is not between 0 and 0.5, or the width not above 0.

    Notes
    -----
    The quantile is that of means over 5 × 5 pixels, and is corrected for the noise that is
    left in them: a low quantile of noise lies below the truth.
    """
    if not 0 < quantile <= 0.5:
        raise ParameterError(f"quantile = {quantile}; above 0, and 0.5 at most, was expected.")
    if not (np.isfinite(width) and width > 0):
        raise ParameterError(f"width = {width}; more than 0 Å⁻¹ was expected.")
    q = plane.q_norm()
    bins = radial_bins(plane, width)
    means, weight = _square_means(plane, np.asarray(plane.intensity, float))
    noise = noise_model(plane)
    x, y, variance = [], [], []
    for number in range(len(bins.centres)):
        here = (weight > 0) & (bins.index == number)
        if here.sum() < 4 * _SQUARE**2:
            continue
        level = float(np.quantile(means[here], quantile))
        pixels = float(np.median(weight[here]))
        own = float(noise.variance(np.array(max(level, 0.0)))) / pixels
        middle, spread = float(np.median(means[here])), _spread(means[here])
        y.append(_without_noise(level, middle, spread, own))
        x.append(float(np.median(q[here])))
        squares = max(here.sum() / _SQUARE**2 * quantile, 1.0)
        variance.append(own / squares)
    if not x:
        raise ParameterError(
            f"width = {width}: no bin of |Q| has {4 * _SQUARE**2} valid pixels; use a larger "
            "width."
        )
    background = np.interp(q, x, y)
    record = {"kind": "radial", "quantile": quantile, "width": width, "q": x, "profile": y}
    return _taken_off(plane, background, np.interp(q, x, variance), record)


def subtract_measured(
    plane: ReciprocalPlane,
    other: ReciprocalPlane,
    scale: float | None = None,
    *,
    quantile: float = 0.05,
) -> Subtracted:
    """Take off the scattering of air, capillary or an empty mount, measured for itself.

    Parameters
    ----------
    plane : ReciprocalPlane
        The plane.
    other : ReciprocalPlane
        The same pixels without the crystal. What is invalid there becomes invalid.
    scale : float, optional
        Factor of ``other``: ratio of exposures, or of monitors. Fitted when left out.
    quantile : float
        The scale is fitted so that this part of the plane, weighted with the background,
        lies below scale · background; the rest has diffuse scattering on top.

    Returns
    -------
    Subtracted
        Variances are σ² + scale²·σ_other² + σ_scale²·other², where both planes have any.

    Raises
    ------
    GeometryError
        If the planes have different pixels.
    ParameterError
        If the scale is not finite or the planes have no pixel in common.

    Notes
    -----
    The scale is the quantile of intensity over background, weighted with the background,
    of means over 5 × 5 pixels: it minimises Σ ρ(I − scale·B) with the quantile's check
    function ρ, and no bright pixel can pull it. As for :func:`subtract_radial` it is
    corrected for noise. Its uncertainty is the scatter of the
    scales of 5 × 5 blocks of the plane.
    """
    _check_same_pixels(plane, other)
    common = plane.valid & other.valid & np.isfinite(other.intensity)
    measured = np.where(common, other.intensity, 0.0).astype(float)
    sigma = 0.0
    if scale is None:
        if not 0 < quantile <= 0.5:
            raise ParameterError(
                f"quantile = {quantile}; above 0, and 0.5 at most, was expected."
            )
        both = plane.replace(valid=common, masks={})
        scale, sigma = _fitted_scale(both, measured, quantile)
    if not np.isfinite(scale):
        raise ParameterError(f"scale = {scale}; a finite number was expected.")
    variance = None
    if other.variance is not None:
        variance = scale**2 * np.where(common, other.variance, 0.0)
        variance = variance + sigma**2 * measured**2
    record = {"kind": "measured", "other": other.name, "scale": scale, "scale_sigma": sigma}
    result = _taken_off(plane, scale * measured, variance, record, scale, sigma)
    lost = plane.measured & ~(other.valid & np.isfinite(other.intensity))
    if not lost.any():
        return result
    after = result.after.masked(~lost, "no background")
    return Subtracted(plane, after, result.background, scale, sigma)


def _fitted_scale(
    plane: ReciprocalPlane, measured: NDArray[np.float64], quantile: float
) -> tuple[float, float]:
    """Weighted quantile of intensity over background, and its uncertainty."""
    top, weight = _square_means(plane, np.asarray(plane.intensity, float))
    bottom, _ = _square_means(plane, measured)
    good = (weight > 0) & (bottom > 0)
    if not good.any():
        raise ParameterError(
            "the background is above 0 on no pixel that both planes have; give scale, or "
            "another file."
        )
    noise = noise_model(plane)
    ratio = np.where(good, top / np.where(good, bottom, 1), 0.0)
    variance = noise.variance(top) / np.where(good, weight * bottom**2, 1)
    overall = _scale(ratio[good], bottom[good], variance[good], quantile)
    parts = []
    rows = np.array_split(np.arange(plane.shape[0]), _BLOCKS)
    columns = np.array_split(np.arange(plane.shape[1]), _BLOCKS)
    for some_rows in rows:
        for some_columns in columns:
            block = np.ix_(some_rows, some_columns)
            inside = good[block]
            if inside.sum() >= 4 * _SQUARE**2:
                r, w, v = (a[block][inside] for a in (ratio, bottom, variance))
                parts.append(_scale(r, w, v, quantile))
    sigma = _spread(np.array(parts)) / np.sqrt(len(parts)) if len(parts) > 2 else 0.0
    return overall, float(sigma)


def _without_noise(level: float, middle: float, spread: float, variance: float) -> float:
    """Quantile before noise widened the distribution: back in the ratio of the spreads."""
    true = np.sqrt(max(1 - variance / max(spread**2, variance + 1e-300), 0))
    return float(middle + (level - middle) * true)


def _scale(ratio: NDArray, weight: NDArray, variance: NDArray, quantile: float) -> float:
    """Quantile of ratios with given weights and variances, noise accounted for."""
    middle = _weighted_quantile(ratio, weight, 0.5)
    spread = 1.4826 * _weighted_quantile(np.abs(ratio - middle), weight, 0.5)
    own = float((weight * variance).sum() / weight.sum())
    return _without_noise(_weighted_quantile(ratio, weight, quantile), middle, spread, own)


def _weighted_quantile(values: NDArray, weights: NDArray, quantile: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, quantile * total[-1])])


def _taken_off(
    plane: ReciprocalPlane,
    background: NDArray[np.float64],
    variance: NDArray[np.float64] | None,
    record: dict[str, object],
    scale: float = 1.0,
    sigma: float = 0.0,
) -> Subtracted:
    after = plane.replace(intensity=plane.intensity - background)
    if plane.variance is not None and variance is not None:
        after = after.replace(variance=plane.variance + variance)
    seen = plane.valid
    record = {**record, "mean": float(background[seen].mean()) if seen.any() else 0.0}
    record["negative"] = int((after.intensity[seen] < 0).sum())
    after = after.processed("subtract_background", **record)
    return Subtracted(plane, after, background, float(scale), float(sigma))


def _square_means(
    plane: ReciprocalPlane, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over the valid pixels of a square around each, and how many; few count as 0."""
    from scipy.ndimage import uniform_filter

    valid = plane.valid & np.isfinite(values)
    number = uniform_filter(valid.astype(float), _SQUARE, mode="constant") * _SQUARE**2
    total = uniform_filter(np.where(valid, values, 0.0), _SQUARE, mode="constant")
    number = np.where(valid & (number > _SQUARE**2 / 2), np.rint(number), 0.0)
    return total * _SQUARE**2 / np.maximum(number, 1), number


def _spread(values: NDArray[np.float64]) -> float:
    """1.4826 × median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _check_same_pixels(plane: ReciprocalPlane, other: ReciprocalPlane) -> None:
    if plane.shape != other.shape:
        raise GeometryError(
            f"the plane has {plane.shape} pixels and the background {other.shape}; they must "
            "agree pixel by pixel. Reconstruct both on one grid."
        )
    if plane.has_geometry and other.has_geometry:
        corners = ([0, 0, plane.shape[0]], [0, plane.shape[1], 0])
        apart = plane.pixel(other.hkl(*corners)) - np.transpose(corners)
        if np.abs(apart).max() > 0.1:
            raise GeometryError(
                f"the pixels of the background lie up to {np.abs(apart).max():.1f} pixels "
                "away from the plane's; reconstruct both on one grid."
            )
