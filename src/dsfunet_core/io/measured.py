"""Which voxels of a file were measured, told where they are sliced."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import LazyArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["Inverted", "IsZero", "Squared", "check_measured", "plane_arrays"]

#: Where a volume is looked at first, as fractions of its axes, and how many voxels along each.
_PLACES, _EDGE = (0.5, 0.35, 0.65, 0.2, 0.8), 6
#: Volumes of up to so many voxels are looked through before they are called unmeasured.
_LOOKED_THROUGH = 2**24


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


def check_measured(volume: ReciprocalVolume) -> None:
    """Refuse a volume without a single measured voxel, as far as that is seen quickly.

    Parameters
    ----------
    volume : ReciprocalVolume
        Usually a few blocks of it are read. Where they are empty a volume of up to 16 million
        voxels is looked through, a larger one left to whoever reads all of it.

    Raises
    ------
    FileFormatError
        If none was measured.
    """
    for fractions in product(_PLACES, repeat=3):
        low = [
            max(int(f * n) - _EDGE // 2, 0)
            for f, n in zip(fractions, volume.shape, strict=True)
        ]
        if _any_measured(volume, tuple(slice(a, a + _EDGE) for a in low)):
            return
    n0, n1, n2 = volume.shape
    if n0 * n1 * n2 > _LOOKED_THROUGH:
        return
    deep = max(_LOOKED_THROUGH // (8 * n1 * n2), 1)
    for start in range(0, n0, deep):
        if _any_measured(volume, (slice(start, start + deep), slice(None), slice(None))):
            return
    raise FileFormatError(
        f"none of the {volume.shape} voxels of {volume.name!r} was measured (all NaN, masked, "
        "or without counts), so there is nothing to work with. Was the right dataset taken, "
        "and did the reconstruction come to its end?"
    )


def _any_measured(volume: ReciprocalVolume, part: tuple[slice, ...]) -> bool:
    try:
        valid = volume.block((part[0], part[1], part[2]))["valid"]
    except FileFormatError:  # damaged there, which is told to who needs this part
        return True
    assert valid is not None
    return bool(valid.any())
