"""Standard uncertainties where neighbouring pixels err together.

A form factor taken out of a product is smooth: its errors are correlated over many pixels,
and least squares that take them as independent quote uncertainties that are far too
small. Here the covariance of the residuals is estimated from the residuals themselves, as
a function of the distance between pixels (Newey & West, Econometrica 55 (1987) 703, in two
dimensions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["correlated_covariance"]

#: Distance beyond which residuals are taken as independent, as a fraction of the plane.
REACH = 0.2


def correlated_covariance(
    gradients: NDArray[np.floating],
    residual: NDArray[np.floating],
    weight: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Covariance of least-squares parameters whose data err together.

    With A = Jᵀ W J and C the covariance of the residuals, estimated as the autocorrelation
    of the residuals that were found, under a window that ends at a fifth of the plane:
    A⁻¹ (Jᵀ W C W J) A⁻¹.

    Parameters
    ----------
    gradients : ndarray, shape (n_parameters, n_rows, n_columns)
        J: derivatives of the calculated image.
    residual : ndarray, shape (n_rows, n_columns)
        Observed minus calculated.
    weight : ndarray, shape (n_rows, n_columns)
        Weights of the fit; zero where nothing was measured.

    Returns
    -------
    ndarray, shape (n_parameters, n_parameters)
        Positive semi-definite.
    """
    n, rows, columns = gradients.shape
    shape = (fft.next_fast_len(2 * rows, real=True), fft.next_fast_len(2 * columns, real=True))
    live = weight > 0
    residual = np.where(live, residual, 0.0)

    def spectrum(image: NDArray) -> NDArray[np.complex128]:
        return np.asarray(fft.rfft2(image, s=shape))

    def correlation(image: NDArray) -> NDArray[np.float64]:
        return np.asarray(fft.irfft2(np.abs(spectrum(image)) ** 2, s=shape))

    pairs = correlation(live.astype(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = np.where(pairs > 0.5, correlation(residual) / pairs, 0.0)
    window = np.outer(_parzen(shape[0], REACH * rows), _parzen(shape[1], REACH * columns))
    power = np.maximum(fft.rfft2(covariance * window).real, 0)
    weighted = np.where(live, gradients * weight, 0.0)
    normal = np.einsum("arc,brc->ab", weighted, np.where(live, gradients, 0.0))
    spectra = [spectrum(image) for image in weighted]
    middle = np.empty((n, n))
    twice = np.full(spectra[0].shape[1], 2.0)
    twice[0] = 1.0
    if shape[1] % 2 == 0:
        twice[-1] = 1.0
    for i in range(n):
        for j in range(i + 1):
            product = (spectra[i] * spectra[j].conj()).real * power
            middle[i, j] = middle[j, i] = (product @ twice).sum() / (shape[0] * shape[1])
    inverse = np.linalg.inv(normal)
    # Residuals lack what the parameters took up.
    used = live.sum() / max(live.sum() - n, 1)
    return inverse @ middle @ inverse * used


def _parzen(n: int, reach: float) -> NDArray[np.float64]:
    """Parzen's lag window on the lags of a transform of n points: its power is positive."""
    x = np.abs(fft.fftfreq(n, 1 / n)) / max(reach, 1.0)
    inner = 1 - 6 * x**2 * (1 - x)
    return np.where(x <= 0.5, inner, np.where(x < 1, 2 * (1 - np.minimum(x, 1)) ** 3, 0.0))
