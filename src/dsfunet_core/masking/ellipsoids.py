"""Ellipsoids in reciprocal space, and the pixels of a plane inside them.

An ellipsoid around a point G of reciprocal space is {Q : (Q − G)ᵀ T (Q − G) ≤ 1}, with a
symmetric tensor T [Å²] in the Cartesian frame that Q is given in (x ∥ a, z ∥ c*). The
frame is Cartesian whatever the cell, so that a sphere is a sphere on hexagonal and on
triclinic axes, and two equal semi-axes x, y make a spheroid around c*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["ellipsoid", "inside_ellipses", "inside_ellipsoids", "plane_ellipse"]

#: A pixel exactly on the surface counts as inside, whatever the rounding.
ROUNDING = 1e-12


def ellipsoid(size: Any) -> NDArray[np.float64]:
    """Tensor T of an ellipsoid.

    Parameters
    ----------
    size : float or array_like, shape (3,) or (3, 3)
        Radius of a sphere [Å⁻¹]; or three semi-axes [Å⁻¹] along x ∥ a, y, z ∥ c*; or the
        tensor itself [Å²].

    Returns
    -------
    ndarray, shape (3, 3)
        Symmetric and positive definite [Å²].

    Raises
    ------
    ParameterError
        If the size is none of these.
    """
    try:
        given = np.asarray(size, dtype=float)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.shape in ((), (3,)) and np.isfinite(given).all() and (given > 0).all():
        return np.diag(1 / np.broadcast_to(given, 3) ** 2)
    if given.shape == (3, 3) and np.isfinite(given).all() and np.allclose(given, given.T):
        if np.linalg.eigvalsh(given).min() > 0:
            return given
        raise ParameterError(
            "the tensor of the ellipsoid has eigenvalues "
            f"{np.linalg.eigvalsh(given).tolist()}; all must be above 0 Å²."
        )
    raise ParameterError(
        f"radius={size}; more than 0 Å⁻¹ was expected, or three such semi-axes, or a "
        "symmetric 3 × 3 tensor in Å²."
    )


def plane_ellipse(plane: ReciprocalPlane, tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ellipse in which a plane cuts an ellipsoid around one of its own points.

    Parameters
    ----------
    plane : ReciprocalPlane
        With geometry.
    tensor : ndarray, shape (3, 3)
        T of the ellipsoid.

    Returns
    -------
    ndarray, shape (2, 2)
        E, with pᵀ E p ≤ 1 for pixel offsets p inside.
    """
    cell, _, steps = plane.geometry()
    step_q = q_matrix(cell) @ steps
    return step_q.T @ tensor @ step_q


def inside_ellipsoids(
    plane: ReciprocalPlane, hkl: NDArray[Any], tensors: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Pixels inside ellipsoids around points on or near a plane.

    Parameters
    ----------
    plane : ReciprocalPlane
        With geometry.
    hkl : ndarray, shape (n, 3)
        Centres [r.l.u.]; they may lie off the plane, which then cuts a smaller ellipse.
    tensors : ndarray, shape (3, 3) or (n, 3, 3)
        T of every ellipsoid, or one for all.

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
        True inside any of them.
    """
    cell, _, steps = plane.geometry()
    to_q = q_matrix(cell)
    step_q = to_q @ steps
    solve = np.linalg.pinv(step_q)
    inside = np.zeros(plane.shape, dtype=bool)
    centres = plane.pixel(hkl)
    off_plane = (plane.hkl(*centres.T) - np.asarray(hkl, float)) @ to_q.T
    tensors = np.broadcast_to(tensors, (len(centres), 3, 3))
    for centre, off, tensor in zip(centres, off_plane, tensors, strict=True):
        # The shadow of the ellipsoid on the pixel axes bounds what the plane cuts of it.
        half = np.sqrt(np.einsum("ij,jk,ik->i", solve, np.linalg.inv(tensor), solve))
        window = _window(plane.shape, centre, half)
        apart = np.moveaxis(np.mgrid[window], 0, -1) - centre
        q = apart @ step_q.T + off
        inside[window] |= np.einsum("...i,ij,...j", q, tensor, q) <= 1 + ROUNDING
    return inside


def inside_ellipses(
    shape: tuple[int, int], centres: NDArray[np.float64], forms: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Pixels inside ellipses on a plane.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    centres : ndarray, shape (n, 2)
        Row and column of the centres; they may lie outside.
    forms : ndarray, shape (n, 2, 2)
        E of every ellipse, with pᵀ E p ≤ 1 for pixel offsets p inside.

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
        True inside any of them.
    """
    inside = np.zeros(shape, dtype=bool)
    for centre, form in zip(centres, forms, strict=True):
        window = _window(shape, centre, np.sqrt(np.diagonal(np.linalg.inv(form))))
        apart = np.moveaxis(np.mgrid[window], 0, -1) - centre
        inside[window] |= np.einsum("...i,ij,...j", apart, form, apart) <= 1 + ROUNDING
    return inside


def _window(
    shape: tuple[int, int], centre: NDArray[np.float64], half: NDArray[np.float64]
) -> tuple[slice, slice]:
    """Rows and columns up to a distance from a centre; none where it is far outside."""
    low = np.maximum(np.ceil(centre - half - 1e-9), 0).astype(int)
    high = np.minimum(np.floor(centre + half + 1e-9) + 1, shape).astype(int)
    high = np.maximum(high, low)
    return slice(low[0], high[0]), slice(low[1], high[1])
