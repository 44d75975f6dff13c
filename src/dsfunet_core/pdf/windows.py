"""Windows over reciprocal space, and what is put where nothing was measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FILLS", "WINDOWS", "RadialMean", "check_options", "window_at"]

#: Names of the windows, the usual one first.
WINDOWS = ("gaussian", "welch", "hann", "blackman", "none")
#: What may stand in for voxels without data.
FILLS = ("shell", "zero")
#: A Gaussian window's σ in units of its radius: 1.1 % is left at the edge.
SIGMA = 1 / 3
#: Shells in |Q| for the mean that fills gaps.
SHELLS = 200


def check_options(name: str, fill: str, q_max: float | None, max_memory: float) -> None:
    """Refuse options of a transform that make no sense.

    Parameters
    ----------
    name : str
        Window.
    fill : str
        Filling.
    q_max : float or None
        Radius of the window [Å⁻¹].
    max_memory : float
        Limit [GiB].

    Raises
    ------
    ParameterError
        Says which one, and what is allowed.
    """
    if name not in WINDOWS:
        raise ParameterError(f"window={name!r}; {', '.join(WINDOWS)} are there to choose from.")
    if fill not in FILLS:
        raise ParameterError(
            f'fill={fill!r}; "shell" (mean at the same |Q|) or "zero" was expected.'
        )
    if q_max is not None and not (math.isfinite(q_max) and q_max > 0):
        raise ParameterError(f"q_max={q_max}; more than 0 Å⁻¹, or None, was expected.")
    if not max_memory > 0:
        raise ParameterError(f"max_memory={max_memory}; more than 0 GiB was expected.")


def window_at(name: str, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Weights of a window.

    Parameters
    ----------
    name : str
        One of :data:`WINDOWS`.
    x : ndarray
        |Q| over the window's radius.

    Returns
    -------
    ndarray
        1 at x = 0. Gaussian exp(−x²/2σ²) with σ = 1/3, Welch 1 − x², Hann cos²(πx/2), Blackman
        0.42 + 0.5 cos πx + 0.08 cos 2πx; all 0 where x > 1. "none" is 1 everywhere.
    """
    if name == "none":
        return np.ones_like(x)
    if name == "gaussian":
        shape = np.exp(-0.5 * (x / SIGMA) ** 2)
    elif name == "welch":
        shape = 1 - x**2
    elif name == "hann":
        shape = np.cos(np.pi * x / 2) ** 2
    else:
        shape = 0.42 + 0.5 * np.cos(np.pi * x) + 0.08 * np.cos(2 * np.pi * x)
    return np.where(x <= 1, shape, 0)


class RadialMean:
    """Mean intensity as a function of |Q|, gathered slab by slab.

    Parameters
    ----------
    q_max : float
        Largest |Q| there will be [Å⁻¹].
    """

    def __init__(self, q_max: float) -> None:
        self._width = q_max / SHELLS
        self._sum, self._number = np.zeros(SHELLS + 1), np.zeros(SHELLS + 1)

    def add(self, q_norm: NDArray[np.floating], intensity: NDArray[np.floating]) -> None:
        """Take values into account.

        Parameters
        ----------
        q_norm : ndarray
            |Q| [Å⁻¹].
        intensity : ndarray
            NaN does not count.
        """
        known = np.isfinite(intensity)
        shell = self._shell(q_norm[known])
        self._sum += np.bincount(shell, intensity[known], SHELLS + 1)
        self._number += np.bincount(shell, minlength=SHELLS + 1)

    def __call__(self, q_norm: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean at |Q|, taken from the nearest shell that has data; 0 without any data.

        Parameters
        ----------
        q_norm : ndarray
            |Q| [Å⁻¹].
        """
        known = np.flatnonzero(self._number)
        if not len(known):
            return np.zeros(np.shape(q_norm))
        mean = self._sum[known] / self._number[known]
        return np.interp(np.arange(SHELLS + 1), known, mean)[self._shell(q_norm)]

    def _shell(self, q_norm: NDArray[np.floating]) -> NDArray[np.int64]:
        return np.minimum((q_norm / self._width).astype(np.int64), SHELLS)
