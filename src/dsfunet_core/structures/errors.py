"""Standard uncertainties where neighbouring pixels err together.

A wrong structure, a background or a form factor that was smoothed leave residuals that are
correlated over many pixels, and counting noise is stronger where there is more intensity.
Least squares that take all pixels as alike and independent then quote uncertainties that
are too small. Here the scatter of the scores J·w·r is taken as it is, with that of their
neighbours (Newey & West, Econometrica 55 (1987) 703, in two dimensions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["correlated_covariance"]

#: Distance beyond which residuals are taken as independent, as a fraction of the plane.
REACH = 0.1


def correlated_covariance(
    gradients: NDArray[np.floating],
    residual: NDArray[np.floating],
    weight: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Covariance of least-squares parameters whose data err together.

    A⁻¹ B A⁻¹ with A = Jᵀ W J and B = Σ_pq ω(p − q) s_p s_qᵀ, where s = J·w·r are the scores
    of the pixels and the window ω ends at a tenth of the plane.

    Parameters
    ----------
    gradients : ndarray, shape (n_parameters, n_rows, n_columns)
        J: derivatives of the calculated image.
    residual : ndarray, shape (n_rows, n_columns)
        Observed minus calculated, r.
    weight : ndarray, shape (n_rows, n_columns)
        Weights of the fit; zero where nothing was measured.

    Returns
    -------
    ndarray, shape (n_parameters, n_parameters)
        Positive semi-definite.
    """
    n, rows, columns = gradients.shape
    reach = [max(1, round(REACH * size)) for size in (rows, columns)]
    shape = tuple(
        fft.next_fast_len(size + most, real=True)
        for size, most in zip((rows, columns), reach, strict=True)
    )
    live = weight > 0
    weighted = np.where(live, gradients * weight, 0.0)
    scores = fft.rfft2(weighted * np.where(live, residual, 0.0), s=shape)
    window = np.outer(_parzen(shape[0], reach[0]), _parzen(shape[1], reach[1]))
    power = np.maximum(fft.rfft2(window).real, 0)
    # The half of the spectrum that is not stored counts, too.
    power[:, 1 : (shape[1] + 1) // 2] *= 2
    scores = scores.reshape(n, -1)
    middle = (scores * power.ravel()) @ scores.conj().T
    normal = np.tensordot(weighted, np.where(live, gradients, 0.0), ([1, 2], [1, 2]))
    inverse = np.linalg.inv(normal)
    # Residuals lack what the parameters took up.
    used = live.sum() / max(live.sum() - n, 1)
    middle = middle.real / (shape[0] * shape[1])
    return np.asarray(inverse @ middle @ inverse * used)


def _parzen(n: int, reach: float) -> NDArray[np.float64]:
    """Parzen's lag window on the lags of a transform of n points: its power is positive."""
    x = np.abs(fft.fftfreq(n, 1 / n)) / max(reach, 1.0)
    inner = 1 - 6 * x**2 * (1 - x)
    return np.where(x <= 0.5, inner, np.where(x < 1, 2 * (1 - np.minimum(x, 1)) ** 3, 0.0))
