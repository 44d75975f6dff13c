"""Weak peaks at the lattice points: remnants of Bragg peaks, or maxima of the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["beside_the_order", "like_the_order"]

#: Uncertainty of the background of a peak, relative to the smooth factor.
UNSURE = 0.15
#: Rounds of fitting the line, and spreads from which a peak is left out.
ROUNDS, OUTLYING = 5, 4.0
#: Height where nothing scatters, over its uncertainty and over the mean of the plane, from
#: which there are remnants.
CERTAIN, NOTABLE = 10.0, 0.1
#: Scatter of the logarithms of height over factor below which peaks are maxima of the order.
ALIKE = 0.35


def beside_the_order(
    height: NDArray[np.float64],
    sigma: NDArray[np.float64],
    factor: NDArray[np.float64],
    typical: float,
) -> bool:
    """Whether there are peaks where there is no diffuse scattering.

    Parameters
    ----------
    height, sigma : ndarray, shape (n,)
        Heights of the peaks of all cells and their uncertainties.
    factor : ndarray, shape (n,)
        Smooth factor of the diffuse scattering there, in the same units.
    typical : float
        Mean of the plane.

    Returns
    -------
    bool
        Whether the straight line height = a + b · factor is above 0 where the factor is 0.

    Notes
    -----
    Maxima of the order are proportional to the smooth factor, remnants of Bragg peaks are
    not. A single cell could not tell; all of them together can.
    """
    design = np.stack([np.ones_like(factor), np.maximum(factor, 0) / typical], axis=1)
    variance = sigma**2 + (UNSURE * np.maximum(factor, 0)) ** 2
    weight = 1 / variance
    for _ in range(ROUNDS):
        normal = design.T @ (design * weight[:, None])
        line = np.linalg.solve(normal, design.T @ (weight * height))
        apart = np.abs(height - design @ line) / np.sqrt(variance)
        spread = max(1.0, 1.4826 * float(np.median(apart)))
        weight = (apart < OUTLYING * spread) / variance
    uncertainty = spread * float(np.sqrt(np.linalg.inv(normal)[0, 0]))
    return bool(line[0] > max(CERTAIN * uncertainty, NOTABLE * typical))


def like_the_order(height: NDArray[np.float64], factor: NDArray[np.float64]) -> bool:
    """Whether peaks go with the scattering around them, as only maxima of the order do.

    Parameters
    ----------
    height : ndarray, shape (n,)
        Heights of peaks that are seen, above 0.
    factor : ndarray, shape (n,)
        Smooth factor of the diffuse scattering there, in the same units.

    Returns
    -------
    bool
        Whether their ratio is the same everywhere, but for a third. Bragg peaks differ by
        orders of magnitude.
    """
    ratio = np.log(height / np.maximum(factor, 1e-3 * height))
    return bool(1.4826 * np.median(np.abs(ratio - np.median(ratio))) < ALIKE)
