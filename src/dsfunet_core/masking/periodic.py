"""A rough guess of the short-range order, to tell its maxima from Bragg peaks.

Positive correlations put diffuse maxima exactly at the lattice points. They are in every
cell, of one shape, and proportional to the scattering around them; Bragg peaks are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError
from dsfunet_core.lattice import index_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["periodic_shape"]

#: Largest index of the series, pixels an edge of the cell that one index needs, rounds.
_ORDER, _PIXELS, _ROUNDS = 5, 4.0, 6
#: Pull towards 0 of the coefficient u, over the number of pixels, times |u|⁴.
_RIDGE = 1e-5
#: Residuals over their spread from which a pixel counts no more.
_CLIP = 5.0
#: Pixels used to refine the series, at most.
_PIXELS_USED = 60_000
#: Least value of the series, which is 1 on average: intensities are not negative.
_FLOOR = 0.05


def periodic_shape(
    plane: ReciprocalPlane, clear: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Function with the period of the lattice that times a smooth one is the plane.

    Parameters
    ----------
    plane : ReciprocalPlane
        With geometry.
    clear : ndarray of bool, shape (n_rows, n_columns)
        Pixels without Bragg peaks.

    Returns
    -------
    ndarray, shape (n_rows, n_columns), or None
        S, 1 on average and positive; None where the plane is irrational, its cells are too
        small to tell shape from peaks, or too little of it is clear.
    """
    from scipy.ndimage import gaussian_filter

    try:
        lattice = plane.lattice
    except GeometryError:
        return None
    edge = float(np.linalg.norm(lattice.basis, axis=0).min())
    order = min(_ORDER, int(edge / _PIXELS))
    used = clear & plane.valid & np.isfinite(plane.intensity)
    if order < 1 or used.sum() < 20 * (2 * order + 1) ** 2:
        return None
    half = np.array([u for u in index_box(order).tolist() if tuple(u) > (0, 0)])
    waves = _waves(plane, half)
    shape = np.ones(plane.shape)
    weight = used.astype(float)
    intensity = np.where(used, plane.intensity, 0.0).astype(float)
    step = max(1, int(used.sum()) // _PIXELS_USED)
    chosen = np.flatnonzero(used)[::step]
    design = waves.reshape(-1, waves.shape[-1])[chosen]
    penalty = np.concatenate([[0.0], np.tile((half**2).sum(axis=1) ** 2.0, 2)])
    for _ in range(_ROUNDS):
        # The smooth factor: what of the plane goes with the shape, around every pixel.
        above = gaussian_filter(weight * intensity * shape, edge / 3, mode="constant")
        below = gaussian_filter(weight * shape**2, edge / 3, mode="constant")
        smooth = np.where(below > 1e-6, above / np.maximum(below, 1e-6), 0.0)
        expected = np.maximum(smooth * shape, 0)
        floor = 0.05 * float(expected[used].mean()) + 1e-300
        sigma = np.sqrt(expected + floor)
        residual = (intensity - expected) / sigma
        spread = 1.4826 * float(np.median(np.abs(residual[used]))) + 1e-300
        weight = used * (np.abs(residual) < _CLIP * spread)
        w = weight.ravel()[chosen] / sigma.ravel()[chosen] ** 2
        f = smooth.ravel()[chosen]
        rows = design * (f * np.sqrt(w))[:, None]
        normal = rows.T @ rows
        normal += np.diag(_RIDGE * penalty * np.trace(normal) / len(normal))
        right = rows.T @ (np.sqrt(w) * intensity.ravel()[chosen])
        try:
            series = np.linalg.solve(normal, right)
        except np.linalg.LinAlgError:
            return None
        if series[0] <= 0:
            return None
        shape = np.maximum(waves @ (series / series[0]), _FLOOR)
    return shape


def _waves(plane: ReciprocalPlane, half: NDArray[np.int64]) -> NDArray[np.float64]:
    """1, cos 2πu·x and sin 2πu·x of every pixel, shape (n_rows, n_columns, 1 + 2·len)."""
    lattice = plane.lattice
    index = np.moveaxis(np.mgrid[: plane.shape[0], : plane.shape[1]], 0, -1)
    x = (index - lattice.origin) @ np.linalg.inv(lattice.basis).T
    angle = 2 * np.pi * x @ half.T
    return np.concatenate([np.ones((*plane.shape, 1)), np.cos(angle), np.sin(angle)], axis=-1)
