"""Neighbours of the voxels of a volume, compiled."""

from __future__ import annotations

import numpy as np

from dsfunet_core.compiled import compiled, median_of_first

__all__ = ["neighbour_medians"]


@compiled
def neighbour_medians(values, stride, across, bound):  # type: ignore[no-untyped-def]
    """Median and spread of the neighbours of every voxel, itself left out.

    Parameters
    ----------
    values : ndarray of float64, shape (n0, n1, n2)
        Intensities, NaN where there is none.
    stride : int
        The 26 neighbours are so many voxels away along each axis, or not at all.
    across : int
        Only the 8 in the section across this axis; all of them for −1.
    bound : ndarray of float64, shape (n0, n1, n2)
        Medians are of interest below this only; where more than half of the neighbours are
        as high none is worked out. Infinite for every one.

    Returns
    -------
    median, spread : ndarray of float64, shape (n0, n1, n2)
        Median, and 1.4826 × median absolute deviation; NaN without neighbours, and where the
        median is not of interest.
    neighbours : ndarray of int64, shape (n0, n1, n2)
        How many were finite.
    """
    n0, n1, n2 = values.shape
    median = np.full(values.shape, np.nan)
    spread = np.full(values.shape, np.nan)
    count = np.zeros(values.shape, np.int64)
    around = np.empty(26)
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                n, high, limit = 0, 0, bound[i, j, k]
                for a in range(i - stride, i + stride + 1, stride):
                    if a < 0 or a >= n0 or (across == 0 and a != i):
                        continue
                    for b in range(j - stride, j + stride + 1, stride):
                        if b < 0 or b >= n1 or (across == 1 and b != j):
                            continue
                        for c in range(k - stride, k + stride + 1, stride):
                            if c < 0 or c >= n2 or (a == i and b == j and c == k):
                                continue
                            if across == 2 and c != k:
                                continue
                            x = values[a, b, c]
                            if np.isfinite(x):
                                around[n] = x
                                n += 1
                                if x >= limit:
                                    high += 1
                count[i, j, k] = n
                if n == 0 or 2 * high > n:
                    continue
                middle = median_of_first(around, n)
                median[i, j, k] = middle
                for m in range(n):
                    around[m] = abs(around[m] - middle)
                spread[i, j, k] = 1.4826 * median_of_first(around, n)
    return median, spread, count
