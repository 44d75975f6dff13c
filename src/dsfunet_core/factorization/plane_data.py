"""What the lattice solver is given of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PlaneData"]


@dataclass(frozen=True, eq=False)
class PlaneData:
    """What the solver needs to know of one plane, as arrays.

    Parameters
    ----------
    intensity : ndarray, shape (H, W)
        Linear intensity.
    valid : ndarray of bool, shape (H, W)
        Measured and not masked.
    basis : ndarray, shape (2, 2)
        Columns: in-plane reciprocal-lattice vectors in pixels (row, column).
    origin : ndarray, shape (2,)
        Pixel (row, column) the phases are counted from.
    spacing : ndarray, shape (2, 2), optional
        Cycles per pixel → real space [Å]; the unit matrix (pixels) when left out.
    q_norm : ndarray, shape (H, W), optional
        |Q|; the distance from ``origin`` when left out.
    variance, observations : ndarray, shape (H, W), optional
        Known variances; number of observations merged into a pixel.
    real_coefficients : bool
        C_u is known to be real (integer or half-integer plane).
    inversion : bool or None
        Whether the plane has an inversion centre at ``origin``; None: test the data.
    """

    intensity: NDArray[np.float64]
    valid: NDArray[np.bool_]
    basis: NDArray[np.float64]
    origin: NDArray[np.float64]
    spacing: NDArray[np.float64] | None = None
    q_norm: NDArray[np.float64] | None = None
    variance: NDArray[np.float64] | None = None
    observations: NDArray[np.float64] | None = None
    real_coefficients: bool = False
    inversion: bool | None = None
