"""Which voxels of a file were measured, told where they are sliced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import LazyArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Inverted", "IsZero", "Squared", "plane_arrays"]


class IsZero(LazyArray):
    """Mask of an array whose writer puts 0 where nothing was measured.

    Parameters
    ----------
    values : array-like
        Intensities.
    """

    def __init__(self, values: Any) -> None:
        super().__init__(values.shape, np.bool_)
        self.values = values

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        return np.asarray(self.values[key]) == 0


class Inverted(LazyArray):
    """Mask of an array that marks what may be used.

    Parameters
    ----------
    valid : array-like
        True, or not 0, where a voxel may be used.
    """

    def __init__(self, valid: Any) -> None:
        super().__init__(valid.shape, np.bool_)
        self.valid = valid

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        return ~np.asarray(self.valid[key], dtype=bool)


class Squared(LazyArray):
    """Variances of an array that holds standard uncertainties.

    Parameters
    ----------
    sigma : array-like
        Standard uncertainties.
    """

    def __init__(self, sigma: Any) -> None:
        super().__init__(sigma.shape, np.float64)
        self.sigma = sigma

    def __getitem__(self, key: Any) -> NDArray[np.float64]:
        return np.asarray(self.sigma[key], dtype=np.float64) ** 2


def plane_arrays(
    intensity: Any, *, variance: Any = None, counts: Any = None, mask: Any = None
) -> dict[str, Any]:
    """Arrays of a plane, in memory.

    Parameters
    ----------
    intensity : array-like, shape (n_rows, n_columns)
        Whole numbers become double precision.
    variance, counts : array-like, shape (n_rows, n_columns), optional
        Weights.
    mask : array-like of bool, shape (n_rows, n_columns), optional
        True where a pixel must not be used.

    Returns
    -------
    dict
        ``intensity``, ``valid``, ``variance`` and ``counts``, arrays in native byte order.

    Raises
    ------
    FileFormatError
        If no pixel is left.
    """
    values = np.asarray(intensity[...])
    values = np.asarray(
        values, dtype=values.dtype.newbyteorder("=") if values.dtype.kind == "f" else float
    )
    valid = np.isfinite(values)
    weights = {
        label: None if array is None else np.asarray(array[...])
        for label, array in (("variance", variance), ("counts", counts))
    }
    if weights["counts"] is not None and not isinstance(mask, Inverted):
        valid &= weights["counts"] > 0  # where the file does not say itself what is valid
    if mask is not None:
        valid &= ~np.asarray(mask[...], dtype=bool)
    if not valid.any():
        raise FileFormatError(
            f"none of the {values.shape} pixels was measured (all NaN or masked), so there is "
            "nothing to work with. Was the right plane or dataset taken?"
        )
    return {"intensity": values, "valid": valid, **weights}
