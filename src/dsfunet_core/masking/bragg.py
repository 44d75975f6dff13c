"""Bragg peaks are no diffuse scattering: mask a sphere around each of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["mask_bragg"]

#: Reflection conditions of the lattice centrings: rows are summed with h, k, l, and
#: every sum must be a multiple of the number beside them.
CENTRINGS: dict[str, tuple[tuple[tuple[int, int, int], ...], int]] = {
    "P": ((), 1),
    "A": (((0, 1, 1),), 2),
    "B": (((1, 0, 1),), 2),
    "C": (((1, 1, 0),), 2),
    "I": (((1, 1, 1),), 2),
    "F": (((0, 1, 1), (1, 0, 1), (1, 1, 0)), 2),
    "R_obv": (((-1, 1, 1),), 3),
}


def mask_bragg(
    plane: ReciprocalPlane, radius: float, *, centring: str = "P"
) -> ReciprocalPlane:
    """Mask a sphere around every reciprocal-lattice point on or near the plane.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell and geometry.
    radius : float
        Radius of the spheres [Å⁻¹], 2π included. A point off the plane cuts it in a
        smaller circle, or not at all.
    centring : {"P", "A", "B", "C", "I", "F", "R_obv"}
        Lattice centring: systematically absent points are left alone. ``"R_obv"`` is
        the obverse setting on hexagonal axes, −h + k + l = 3n.

    Returns
    -------
    ReciprocalPlane
        Copy with these pixels no longer valid.

    Raises
    ------
    GeometryError
        If the plane has no unit cell.
    ParameterError
        If the radius is not above 0, or the centring is not known.
    """
    cell, _, _ = plane.geometry()
    if not (math.isfinite(radius) and radius > 0):
        raise ParameterError(f"radius={radius}; more than 0 Å⁻¹ was expected.")
    if centring not in CENTRINGS:
        raise ParameterError(
            f"centring={centring!r}; one of {', '.join(map(repr, CENTRINGS))} was expected."
        )
    points = _points_near(plane, radius)
    points = points[_allowed(points, centring)]
    centres = plane.pixel(points)
    off_plane = (points - plane.hkl(*centres.T)) @ q_matrix(cell).T
    left = radius**2 - (off_plane**2).sum(axis=1)
    keep = np.ones(plane.shape, dtype=bool)
    # Half-widths of the circle of radius 1 Å⁻¹ along the pixel axes, in pixels.
    reach = np.sqrt(np.diag(np.linalg.inv(plane.metric)))
    for centre, squared in zip(centres[left >= 0], left[left >= 0], strict=True):
        _punch(keep, centre, squared, reach, plane.metric)
    record: dict[str, Any] = {
        "step": "mask_bragg",
        "radius": float(radius),
        "centring": centring,
    }
    processing = [*plane.provenance.get("processing", []), record]
    return plane.masked(keep).replace(provenance={**plane.provenance, "processing": processing})


def _points_near(plane: ReciprocalPlane, radius: float) -> NDArray[np.int64]:
    """Integer *hkl* in the box around the plane that is a radius wider, shape (n, 3)."""
    cell, _, _ = plane.geometry()
    rows, columns = plane.shape
    corners = plane.hkl([0, 0, rows - 1, rows - 1], [0, columns - 1, 0, columns - 1])
    # h changes by |a|/2π per Å⁻¹ at most, and so on.
    margin = radius * np.array([cell.a, cell.b, cell.c]) / (2 * np.pi)
    low = np.ceil(corners.min(axis=0) - margin - 1e-9).astype(int)
    high = np.floor(corners.max(axis=0) + margin + 1e-9).astype(int)
    ranges = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)


def _allowed(points: NDArray[np.int64], centring: str) -> NDArray[np.bool_]:
    sums, multiple = CENTRINGS[centring]
    if not sums:
        return np.ones(len(points), dtype=bool)
    return np.all((points @ np.array(sums).T) % multiple == 0, axis=1)


def _punch(
    keep: NDArray[np.bool_],
    centre: NDArray[np.float64],
    squared: float,
    reach: NDArray[np.float64],
    metric: NDArray[np.float64],
) -> None:
    """Clear the pixels within √squared [Å⁻¹] of a point of the plane."""
    half = math.sqrt(squared) * reach
    low = np.maximum(np.ceil(centre - half - 1e-9), 0).astype(int)
    high = np.minimum(np.floor(centre + half + 1e-9) + 1, keep.shape).astype(int)
    if np.any(high <= low):
        return
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    apart = np.moveaxis(np.mgrid[window], 0, -1) - centre
    distance = np.einsum("...i,ij,...j", apart, metric, apart)
    keep[window] &= distance > squared * (1 + 1e-12)
