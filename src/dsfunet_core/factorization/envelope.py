"""The smooth radial fall-off of the intensity, common to all factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["radial_envelope"]

#: Rings of |Q| averaged over, and pixels a ring must hold to count.
RINGS, MIN_PIXELS = 40, 20


def radial_envelope(
    intensity: NDArray, valid: NDArray[np.bool_], q_norm: NDArray
) -> NDArray[np.float64]:
    """Gaussian fall-off of the mean intensity with |Q|.

    Parameters
    ----------
    intensity : ndarray, shape (n_rows, n_columns)
        Linear intensity.
    valid : ndarray of bool, same shape
        Pixels to use.
    q_norm : ndarray, same shape
        |Q| in any unit.

    Returns
    -------
    ndarray, same shape
        Positive, and nowhere rising with |Q|.

    Notes
    -----
    Fitted to the logarithms of the means over rings. The transform of a Gaussian is compact,
    so that the form factor over it is as compact in real space as the form factor.
    """
    scaled = q_norm / q_norm.max()
    ring = np.minimum((scaled * RINGS).astype(int), RINGS - 1)
    count = np.bincount(ring[valid], minlength=RINGS)
    mean = np.bincount(ring[valid], intensity[valid], minlength=RINGS) / np.maximum(count, 1)
    use = (count > MIN_PIXELS) & (mean > 0)
    if use.sum() < 2:
        return np.full(q_norm.shape, max(float(intensity[valid].mean()), 1e-300))
    square = ((np.arange(RINGS) + 0.5) / RINGS) ** 2
    weight = np.sqrt(count[use])
    slope, constant = np.polyfit(square[use], np.log(mean[use]), 1, w=weight)
    if slope > 0:
        slope, constant = 0.0, float(np.average(np.log(mean[use]), weights=weight**2))
    return np.asarray(np.exp(constant + slope * scaled**2))
