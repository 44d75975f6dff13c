"""Where a plane runs through a volume."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.sections import Section

__all__ = ["section_outline", "section_trace"]


def section_outline(volume: ReciprocalVolume, section: Section) -> NDArray[np.float64]:
    """Corners of the polygon in which a plane cuts a volume's box of voxels.

    Parameters
    ----------
    volume : ReciprocalVolume
        The volume; it is not read.
    section : Section
        The plane.

    Returns
    -------
    ndarray, shape (n, 3)
        Array indices, in order round the polygon, n from 3 to 6; n = 0 where the plane
        misses the volume.
    """
    inverse = np.linalg.inv(np.asarray(volume.steps, float))
    on_plane = inverse @ (section.origin - np.asarray(volume.origin, float))
    first, second = (inverse @ section.directions).T
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    # Voxels reach half a step beyond their centres.
    low, high = np.full(3, -0.5), np.array(volume.shape) - 0.5
    found: list[NDArray[np.float64]] = []
    for axis in range(3):
        others = [i for i in range(3) if i != axis]
        if abs(normal[axis]) < 1e-12:
            continue
        for ends in itertools.product(*((low[i], high[i]) for i in others)):
            point = np.empty(3)
            point[others] = ends
            rest = normal[others] @ (point[others] - on_plane[others])
            point[axis] = on_plane[axis] - rest / normal[axis]
            if low[axis] - 1e-9 <= point[axis] <= high[axis] + 1e-9:
                found.append(point)
    if not found:
        return np.empty((0, 3))
    points = np.unique(np.round(found, 9), axis=0)
    if len(points) < 3:
        return np.empty((0, 3))
    arm = points - points.mean(axis=0)
    across = np.cross(normal, first)
    order = np.argsort(np.arctan2(arm @ across, arm @ first))
    return points[order]


def section_trace(outline: NDArray[np.float64], axis: int, index: float) -> NDArray[np.float64]:
    """Line in which a plane cuts one layer of a volume.

    Parameters
    ----------
    outline : ndarray, shape (n, 3)
        From :func:`section_outline`.
    axis : int
        Array axis that the layer stands on.
    index : float
        Which layer.

    Returns
    -------
    ndarray, shape (2, 3), or (n, 3) where the plane is the layer
        Array indices; empty where the two do not meet.
    """
    if not len(outline):
        return outline
    if np.ptp(outline[:, axis]) < 1e-9:
        return outline if abs(outline[0, axis] - index) < 0.5 else np.empty((0, 3))
    found = []
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if (start[axis] - index) * (end[axis] - index) <= 0 and start[axis] != end[axis]:
            share = (index - start[axis]) / (end[axis] - start[axis])
            found.append(start + share * (end - start))
    points = np.unique(np.round(found, 9), axis=0) if found else np.empty((0, 3))
    return points if len(points) == 2 else np.empty((0, 3))
