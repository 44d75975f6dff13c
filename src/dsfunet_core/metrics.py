"""How close two planes are, on the scale of Fuller & Rudden (2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mean_squared_error", "scaled", "summary"]


def scaled(image: NDArray) -> NDArray[np.float64]:
    """Image scaled linearly to [−1, 1] by its own minimum and maximum.

    Parameters
    ----------
    image : ndarray
        Any shape; a constant image becomes −1 throughout.

    Returns
    -------
    ndarray
        Same shape.
    """
    image = np.asarray(image, float)
    low, high = image.min(), image.max()
    if high == low:
        return np.full(image.shape, -1.0)
    return 2 * (image - low) / (high - low) - 1


def mean_squared_error(
    estimate: NDArray, truth: NDArray, where: NDArray[np.bool_] | None = None
) -> float:
    """Mean square difference of two images, each scaled linearly to [−1, 1].

    The paper's measure (section 3.1): independent of the overall scale, which a
    factorization leaves undetermined.

    Parameters
    ----------
    estimate, truth : ndarray, same shape
        Images to compare.
    where : ndarray of bool, same shape, optional
        Pixels to compare; scaling uses these pixels only, too.

    Returns
    -------
    float
        0 for proportional images, at most 4.

    Raises
    ------
    ParameterError
        If the shapes differ.
    """
    if np.shape(estimate) != np.shape(truth):
        raise ParameterError(
            f"estimate has shape {np.shape(estimate)} and truth {np.shape(truth)}; they "
            "must agree."
        )
    if where is not None:
        estimate, truth = estimate[where], truth[where]
    return float(np.mean((scaled(estimate) - scaled(truth)) ** 2))


def summary(values: list[float]) -> dict[str, float]:
    """Mean, median and 90th percentile of a list of figures."""
    array = np.asarray(values, float)
    return {
        "mean": float(array.mean()),
        "median": float(np.median(array)),
        "p90": float(np.percentile(array, 90)),
    }
