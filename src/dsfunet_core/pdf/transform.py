"""Cosine transforms of intensities on regular grids, whatever their origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bytes_needed", "cosine_transform", "lengths", "spline_at"]


def lengths(shape: tuple[int, ...], steps: NDArray[np.float64] | None) -> tuple[int, ...]:
    """Lengths to transform at: quick ones, at which lattice vectors fall on grid points.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis.
    steps : ndarray, shape (n,), or None
        Step along each axis in reciprocal-lattice units; None where the axes are none of
        the lattice's.

    Returns
    -------
    tuple of int
        At least the shape. Where it takes no more than a quarter of padding, length times
        step is a whole number, so that integer u, v, w are on the grid of the transform.
    """
    from scipy.fft import next_fast_len

    found = []
    for axis, n in enumerate(shape):
        best = next_fast_len(n, real=True)
        if steps is not None:
            step = abs(float(steps[axis]))
            candidates = [
                m
                for m in range(n, n + max(n // 4, 2) + 1)
                if abs(m * step - round(m * step)) < 1e-6 and round(m * step) > 0
            ]
            quick = [m for m in candidates if next_fast_len(m, real=True) == m]
            best = (quick or candidates or [best])[0]
        found.append(best)
    return tuple(found)


def bytes_needed(shape: tuple[int, ...], full: tuple[int, ...]) -> int:
    """Memory that :func:`cosine_transform` takes at its peak, input and result included.

    Parameters
    ----------
    shape : tuple of int
        Of the data, in single precision.
    full : tuple of int
        Lengths to transform at.
    """
    size = int(np.prod(full, dtype=object))
    # Data, half a complex spectrum and the pass that makes it; the result.
    return 4 * int(np.prod(shape, dtype=object)) + 8 * size + 4 * size


def cosine_transform(
    data: NDArray[np.floating],
    centre: NDArray[np.float64],
    full: tuple[int, ...],
    half: tuple[int, ...],
) -> NDArray[np.floating]:
    """Sum data(i) cos(2π (i − centre)·j/full) over i, for all j with |j| ≤ half.

    Parameters
    ----------
    data : ndarray
        Real, without NaN, two axes or three.
    centre : ndarray, shape (n,)
        Index of Q = 0; fractions allowed.
    full : tuple of int
        Lengths to transform at, at least those of the data.
    half : tuple of int
        Largest j along each axis, less than half of ``full``.

    Returns
    -------
    ndarray, shape (2·half + 1, ...)
        With j = 0 in the middle. What is antisymmetric in Q drops out, which Friedel's law
        forbids anyway.
    """
    from scipy import fft

    axes = range(data.ndim)
    spectrum = fft.rfftn(data, s=full, axes=tuple(axes), workers=-1)
    rows = [np.arange(-n, n + 1) for n in half]
    rows[-1] = np.arange(half[-1] + 1)
    for axis, j in enumerate(rows):
        spectrum = np.take(spectrum, j % full[axis], axis=axis)
        phase = np.exp(2j * np.pi * centre[axis] * j / full[axis]).astype(spectrum.dtype)
        spectrum *= phase.reshape([-1 if a == axis else 1 for a in axes])
    right = spectrum.real
    result = np.empty(tuple(2 * n + 1 for n in half), dtype=right.dtype)
    result[..., half[-1] :] = right
    # P(−r) = P(r): the other half is the first one turned round.
    flip = tuple([slice(None, None, -1)] * data.ndim)
    result[..., : half[-1] + 1] = right[flip]
    return result


def spline_at(values: NDArray[np.floating], index: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of an array between its points, by cubic splines.

    Parameters
    ----------
    values : ndarray
        n axes.
    index : ndarray, shape (..., n)
        Array coordinates; what rounding moved off a point of the grid is put back.

    Returns
    -------
    ndarray, shape (...)
        NaN outside the array.
    """
    from scipy.ndimage import map_coordinates

    whole = np.rint(index)
    index = np.where(np.abs(index - whole) < 1e-6, whole, index)
    flat = map_coordinates(
        np.asarray(values, dtype=np.float64),
        index.reshape(-1, index.shape[-1]).T,
        order=3,
        mode="constant",
        cval=np.nan,
    )
    return np.asarray(flat.reshape(index.shape[:-1]))
