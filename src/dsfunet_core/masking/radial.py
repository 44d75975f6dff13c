"""Pixels of a plane sorted by |Q|."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["RadialBins", "radial_bins"]


@dataclass(frozen=True, eq=False)
class RadialBins:
    """Bins of |Q|.

    Parameters
    ----------
    centres : ndarray, shape (n,)
        |Q| [Å⁻¹], evenly spaced.
    step : float
        Their distance [Å⁻¹].
    index : ndarray of int, shape (n_rows, n_columns)
        Bin of every pixel.
    """

    centres: NDArray[np.float64]
    step: float
    index: NDArray[np.int64]


def radial_bins(plane: ReciprocalPlane, step: float | None = None) -> RadialBins:
    """Sort pixels by |Q|.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell.
    step : float, optional
        Width of a bin [Å⁻¹]; a pixel when left out.

    Returns
    -------
    RadialBins
        From the least |Q| of the plane to the largest.

    Raises
    ------
    GeometryError
        If the plane has no unit cell.
    """
    q = plane.q_norm()
    step = step or float(np.linalg.det(plane.metric) ** 0.25)
    low = float(q.min())
    index = ((q - low) / step).astype(np.int64)
    return RadialBins(low + (np.arange(index.max() + 1) + 0.5) * step, step, index)
