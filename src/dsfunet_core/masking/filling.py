"""Masked pixels filled from around them, with the noise they would have had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.masking.noise import noise_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["fill"]

#: Width of the rim that a hole is filled from, in pixels, and the least number of its pixels.
_RIM, _LEAST = 4, 18
#: Rounds in which outliers of the rim are left out, and from how many spreads on.
_ROUNDS, _CLIP = 3, 5.0


def fill(plane: ReciprocalPlane, reason: str = "bragg", *, seed: int = 0) -> ReciprocalPlane:
    """Fill the holes of a mask layer from their rims, noise included.

    For looking, and for programs that need every pixel: what is filled in is no
    measurement, and :func:`~dsfunet_core.factorize` does without.

    Parameters
    ----------
    plane : ReciprocalPlane
        With the layer ``reason``.
    reason : str
        Which layer; pixels that are in another too stay out.
    seed : int
        Of the noise.

    Returns
    -------
    ReciprocalPlane
        Copy in which the layer is gone and its pixels are valid. Holes with too little rim
        stay masked.

    Raises
    ------
    ParameterError
        If there is no such layer, or the seed is negative.

    Notes
    -----
    A surface of second degree is fitted to the valid pixels within four pixels of a hole,
    without those five spreads away. Noise is Poisson's where the plane's is, otherwise normal.
    """
    from scipy.ndimage import binary_dilation, find_objects, label

    if seed < 0:
        raise ParameterError(f"seed = {seed}; 0 or more was expected.")
    back = plane.unmasked(reason)
    holes = plane.masks[reason] & back.valid
    labels, n = label(holes, structure=np.ones((3, 3)))
    rng = np.random.default_rng(seed)
    noise = noise_model(plane)
    intensity = np.array(plane.intensity, dtype=float)
    variance = None if plane.variance is None else np.array(plane.variance, dtype=float)
    failed = np.zeros(plane.shape, dtype=bool)
    disc = np.hypot(*np.mgrid[-_RIM : _RIM + 1, -_RIM : _RIM + 1]) <= _RIM
    for number, box in enumerate(find_objects(labels, n), start=1):
        part = tuple(
            slice(max(s.start - _RIM, 0), min(s.stop + _RIM, size))
            for s, size in zip(box, plane.shape, strict=True)
        )
        hole = labels[part] == number
        rim = binary_dilation(hole, disc) & plane.valid[part] & np.isfinite(intensity[part])
        if rim.sum() < _LEAST:
            failed[part] |= hole
            continue
        drawn: NDArray[np.floating]
        expected = np.maximum(_surface(intensity[part], rim, hole), 0.0)
        if variance is not None:
            spread = float(np.median(variance[part][rim]))
            variance[part][hole] = spread
            drawn = rng.normal(expected, np.sqrt(spread))
        elif noise.gain > 0 and noise.constant < noise.gain * expected.mean():
            drawn = rng.poisson(expected / noise.gain).astype(float) * noise.gain
        else:
            drawn = rng.normal(expected, np.sqrt(noise.variance(expected)))
        intensity[part][hole] = drawn
    filled = int((holes & ~failed).sum())
    result = back.replace(intensity=intensity, variance=variance)
    if failed.any():
        result = result.masked(~failed, reason)
    return result.processed("fill", reason=reason, pixels=filled, seed=seed)


def _surface(
    values: NDArray[np.float64], rim: NDArray[np.bool_], hole: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Surface through the rim, at the pixels of the hole."""
    row, column = np.nonzero(rim)
    origin = np.array([row.mean(), column.mean()])

    def design(r: NDArray, c: NDArray) -> NDArray:
        x, y = (r - origin[0]) / _RIM, (c - origin[1]) / _RIM
        return np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)

    matrix, data = design(row, column), values[rim]
    weight = np.ones(len(data))
    for _ in range(_ROUNDS):
        solution = np.linalg.lstsq(matrix * weight[:, None], data * weight, rcond=None)[0]
        residual = data - matrix @ solution
        spread = 1.4826 * np.median(np.abs(residual - np.median(residual)))
        weight = (np.abs(residual) <= _CLIP * spread + 1e-12 * np.abs(data).max()).astype(float)
        if weight.sum() < _LEAST / 2:
            break
    inside = matrix @ solution
    # What is extrapolated stays within what was seen on it.
    return np.clip(design(*np.nonzero(hole)) @ solution, inside.min(), inside.max())
