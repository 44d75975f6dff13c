"""How close two planes are, on the scale of Fuller & Rudden (2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mean_squared_error", "root_scaled", "scaled", "summary", "unexplained"]


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


def root_scaled(
    image: NDArray, valid: NDArray[np.bool_] | None = None, *, from_zero: bool = False
) -> NDArray[np.float32]:
    """Square root of an intensity scaled to [−1, 1], as the networks see it.

    Step (6) of section 2.1 of the paper: the root brings out weak features, and each image
    is scaled by itself.

    Parameters
    ----------
    image : ndarray
        Linear intensity; negative values count as 0.
    valid : ndarray of bool, same shape, optional
        Measured pixels: the scale is theirs, and all others become −1.
    from_zero : bool
        −1 stands for intensity 0 instead of the smallest one: factors scaled so still
        multiply to the scattering.

    Returns
    -------
    ndarray of float32
        Same shape; a constant image becomes −1 throughout (1 from zero, unless it is 0).
    """
    root = np.sqrt(np.maximum(np.asarray(image), 0)).astype(np.float32)
    seen = root if valid is None else root[valid]
    if not seen.size:
        return np.full(root.shape, -1, np.float32)
    low, high = (0.0 if from_zero else float(seen.min())), float(seen.max())
    if high <= low:
        return np.full(root.shape, -1, np.float32)
    result = (root - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return result if valid is None else np.where(valid, result, np.float32(-1))


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


def unexplained(
    intensity: NDArray, product: NDArray, valid: NDArray[np.bool_], *, block: int = 4
) -> float:
    """Share of a plane's variance that a product of factors does not explain.

    Means over squares of pixels are compared, in which counting noise has largely
    averaged out.

    Parameters
    ----------
    intensity, product : ndarray, shape (n_rows, n_columns)
        Measured, and calculated up to scale.
    valid : ndarray of bool, same shape
        Measured pixels. Squares that are less than half measured do not count.
    block : int
        Edge of the squares [pixels].

    Returns
    -------
    float
        0 where the product is proportional to the intensity; 1 where it is no better than
        a constant; NaN where nothing varies.
    """
    rows, columns = (n // block * block for n in intensity.shape)

    def means(image: NDArray) -> NDArray[np.float64]:
        cut = np.where(valid, image, 0.0)[:rows, :columns]
        return cut.reshape(rows // block, block, columns // block, block).sum(axis=(1, 3))

    seen = means(np.ones(intensity.shape))
    kept = seen > block**2 / 2
    observed = means(intensity)[kept] / seen[kept]
    calculated = means(product)[kept] / seen[kept]
    spread = float(((observed - observed.mean()) ** 2).sum()) if kept.any() else 0.0
    if not spread > 0:
        return float("nan")
    scale = float(observed @ calculated) / max(float(calculated @ calculated), 1e-300)
    return float(((observed - scale * calculated) ** 2).sum() / spread)


def summary(values: list[float]) -> dict[str, float]:
    """Mean, median and 90th percentile of a list of figures."""
    array = np.asarray(values, float)
    return {
        "mean": float(array.mean()),
        "median": float(np.median(array)),
        "p90": float(np.percentile(array, 90)),
    }
