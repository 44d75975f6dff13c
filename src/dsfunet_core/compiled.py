"""How loops over voxels are compiled, and what they share."""

from __future__ import annotations

from typing import Any

import numba

__all__ = ["compiled", "median_of_first"]

#: They release the interpreter, for threads to share, and are kept from run to run.
compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")


@compiled
def median_of_first(values, n):  # type: ignore[no-untyped-def]
    """Median of the first n values, which are sorted on the way."""
    for i in range(1, n):
        x = values[i]
        j = i - 1
        while j >= 0 and values[j] > x:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = x
    half = n // 2
    return values[half] if n % 2 else 0.5 * (values[half - 1] + values[half])
