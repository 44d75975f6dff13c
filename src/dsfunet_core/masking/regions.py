"""What a user marks: polygons and painted labels; and pixels with too few observations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import existing_file

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["mask_labels", "mask_polygons", "mask_unseen", "read_polygons"]


def mask_polygons(
    plane: ReciprocalPlane,
    polygons: Sequence[Any],
    *,
    units: str = "pixel",
    reason: str = "by hand",
) -> ReciprocalPlane:
    """Mask pixels whose centres lie in polygons.

    Parameters
    ----------
    plane : ReciprocalPlane
        The plane.
    polygons : sequence of array_like, shape (n, 2) or (n, 3)
        Corners, three or more each: (row, column), or *hkl* with ``units="hkl"``. The last
        is joined to the first. Where edges cross, what is enclosed twice is out of it.
    units : {"pixel", "hkl"}
        What the corners are given in.
    reason : str
        Name of the mask layer.

    Returns
    -------
    ReciprocalPlane
        Copy with these pixels masked.

    Raises
    ------
    ParameterError
        If a polygon has fewer than three corners or corners of another kind.
    """
    kinds = {"pixel": 2, "hkl": 3}
    if units not in kinds:
        raise ParameterError(f'units={units!r}; "pixel" or "hkl" was expected.')
    inside = np.zeros(plane.shape, dtype=bool)
    corners = []
    for number, polygon in enumerate(polygons):
        points = np.asarray(polygon, dtype=float)
        if points.ndim != 2 or points.shape[1] != kinds[units] or len(points) < 3:
            raise ParameterError(
                f"polygon {number} has shape {points.shape}; three corners or more of "
                f"{kinds[units]} numbers each were expected for units={units!r}."
            )
        if not np.isfinite(points).all():
            raise ParameterError(f"polygon {number} has corners that are not finite numbers.")
        corners.append(points.tolist())
        inside |= _inside(plane.shape, plane.pixel(points) if units == "hkl" else points)
    return plane.masked(~inside, reason).processed(
        "mask_polygons", polygons=corners, units=units, reason=reason
    )


def _inside(shape: tuple[int, int], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels from which a ray along their row crosses the edges an odd number of times."""
    row, column = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    odd = np.zeros(shape, dtype=bool)
    for (r0, c0), (r1, c1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if r0 == r1:
            continue
        crosses = (row < max(r0, r1)) & (row >= min(r0, r1))
        at = c0 + (row - r0) * (c1 - c0) / (r1 - r0)
        odd ^= crosses & (column < at)
    return odd


def read_polygons(path: str | os.PathLike[str]) -> list[tuple[list[Any], str, str]]:
    """Read polygons from a small JSON file.

    Parameters
    ----------
    path : path-like
        A list of polygons, each ``{"corners": [[h, k, l], …], "units": "hkl", "reason":
        "second crystal"}``; ``units`` is ``"pixel"`` and ``reason`` ``"by hand"`` if left
        out.

    Returns
    -------
    list of tuple
        Corners, units and reason of every polygon.

    Raises
    ------
    FileFormatError
        If the file holds something else.
    """
    found: Path = existing_file(path)
    wrong = (
        f"{found} is no list of polygons. It should look like "
        '[{"corners": [[10, 12], [10, 40], [30, 25]], "units": "pixel", "reason": "arc"}].'
    )
    try:
        content = json.loads(found.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{wrong} ({error})") from error
    content = content if isinstance(content, list) else [content]
    known = {"corners", "units", "reason"}
    if not all(isinstance(p, dict) and "corners" in p and p.keys() <= known for p in content):
        raise FileFormatError(wrong)
    return [
        (p["corners"], str(p.get("units", "pixel")), str(p.get("reason", "by hand")))
        for p in content
    ]


def mask_labels(
    plane: ReciprocalPlane, labels: NDArray[Any], names: Mapping[int, str] | None = None
) -> ReciprocalPlane:
    """Mask what was painted, one layer a label.

    Parameters
    ----------
    plane : ReciprocalPlane
        The plane.
    labels : ndarray of int or bool, shape (n_rows, n_columns)
        0 where nothing is painted.
    names : mapping of int to str, optional
        Names of the layers; ``"painted 1"`` and so on where left out.

    Returns
    -------
    ReciprocalPlane
        Copy with painted pixels masked.

    Raises
    ------
    ParameterError
        If the labels are no whole numbers or of another shape than the plane.
    """
    painted = np.asarray(labels)
    if painted.shape != plane.shape or painted.dtype.kind not in "biu":
        raise ParameterError(
            f"labels has shape {painted.shape} and type {painted.dtype}; whole numbers of "
            f"shape {plane.shape} were expected."
        )
    for number in np.unique(painted[painted != 0]):
        name = (names or {}).get(int(number), f"painted {int(number)}")
        plane = plane.masked(painted != number, name)
    return plane


def mask_unseen(plane: ReciprocalPlane, observations: float = 1) -> ReciprocalPlane:
    """Mask pixels that hardly any observation was merged into.

    Parameters
    ----------
    plane : ReciprocalPlane
        With ``counts``, or only pixels without a finite intensity are masked.
    observations : float
        How many are needed at least.

    Returns
    -------
    ReciprocalPlane
        Copy with the others in the mask layer ``"unseen"``.
    """
    keep = np.isfinite(plane.intensity)
    if plane.counts is not None:
        keep &= np.nan_to_num(np.asarray(plane.counts, float)) >= observations
    return plane.masked(keep, "unseen").processed(
        "mask_unseen", observations=float(observations)
    )
