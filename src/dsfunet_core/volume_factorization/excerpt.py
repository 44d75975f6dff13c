"""Smaller volumes cut out of larger ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["excerpt"]


def excerpt(
    volume: ReciprocalVolume, *, limit: float | None = None, every: int = 1
) -> ReciprocalVolume:
    """Voxels with |h|, |k|, |l| up to a limit, or every n-th voxel, or both.

    Parameters
    ----------
    volume : ReciprocalVolume
        Only what is kept is read.
    limit : float, optional
        Largest |h|, |k| and |l|. On oblique array axes the smallest box of voxels that holds
        the region is kept.
    every : int
        Step in voxels along each axis.

    Returns
    -------
    ReciprocalVolume
        In memory, with the record of what was done.

    Raises
    ------
    ParameterError
        If the limit or the step is not positive.
    GeometryError
        If fewer than two voxels along an axis are left.

    Notes
    -----
    The intensity between lattice points is periodic up to the longest correlation: with
    order n, at least 2n + 1 voxels a reciprocal cell have to be left.
    """
    if limit is not None and not limit > 0:
        raise ParameterError(f"limit = {limit}; a largest |h|, |k|, |l| above 0 was expected.")
    if every != int(every) or every < 1:
        raise ParameterError(f"every = {every!r}; a whole number of voxels was expected.")
    low, high = np.zeros(3), np.array(volume.shape) - 1.0
    if limit is not None:
        signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)
        corners = volume.index(limit * signs)
        low = np.maximum(low, np.ceil(corners.min(axis=0) - 1e-6))
        high = np.minimum(high, np.floor(corners.max(axis=0) + 1e-6))
    if np.any(high - low < every):
        raise GeometryError(
            f"limit = {limit} and every = {every} leave less than two voxels along an axis of "
            f"volume {volume.name!r}, {' × '.join(map(str, volume.shape))} voxels; choose a "
            "larger limit or a smaller step."
        )
    slices = tuple(slice(int(a), int(b) + 1, every) for a, b in zip(low, high, strict=True))
    steps = list(volume.provenance.get("processing", []))
    steps.append({"step": "excerpt", "limit": limit, "every": every})
    arrays: dict[str, Any] = {
        name: None
        if getattr(volume, name) is None
        else np.asarray(getattr(volume, name)[slices])
        for name in ("intensity", "variance", "counts", "mask")
    }
    masks = {name: np.asarray(layer[slices], bool) for name, layer in volume.masks.items()}
    return replace(
        volume,
        **arrays,
        masks=masks,
        origin=volume.hkl(low),
        steps=np.asarray(volume.steps) * every,
        provenance={**volume.provenance, "processing": steps},
    )
