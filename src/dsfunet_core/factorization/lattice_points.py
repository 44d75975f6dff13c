"""Points of a plane's direct lattice, and the lattices that may hold them.

Short-range order is the same in every reciprocal cell: I / I_FF has its transform at the
points of the direct lattice. This module finds the strongest of them and lists
lattices that hold many of them, best first; which one it is, `lattice_trial` decides.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from dsfunet_core.network.repeats import strongest_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SHORTEST",
    "extent_of",
    "holds",
    "lattices_of_points",
    "local_mean",
    "points_of",
    "reduced",
    "same_lattice",
    "sublattices",
]

#: Radius within which a point belongs to a lattice [cycles across the plane].
TOLERANCE = 0.5
#: Shortest lattice vector [cycles across the plane], that is reciprocal cells that must be
#: seen. With fewer, form factor and order cannot be told apart.
SHORTEST = 4.0
#: Largest index of a point that speaks for a lattice.
HIGHEST = 5
#: What an e-fold denser direct lattice must hold more of the points' strength.
PARSIMONY = 0.03
#: Quotients are cut off at so many times their mean: I_FF may vanish.
CUT = 3.0


def sublattices(density: int) -> list[NDArray[np.float64]]:
    """Matrices (columns) of all sublattices up to a density, the lattice itself left out.

    Parameters
    ----------
    density : int
        Largest index of a sublattice.
    """
    return [
        np.array([[n // a, b], [0, a]], float)
        for n in range(2, density + 1)
        for a in range(1, n + 1)
        if n % a == 0
        for b in range(n // a)
    ]


def local_mean(
    intensity: NDArray, valid: NDArray[np.bool_], width: float
) -> NDArray[np.float64]:
    """Mean of the measured pixels around each pixel, under a Gaussian.

    Parameters
    ----------
    intensity : ndarray, shape (n_rows, n_columns)
        Linear intensity.
    valid : ndarray of bool, same shape
        Measured pixels.
    width : float
        Standard deviation [pixels].

    Returns
    -------
    ndarray, same shape
        Positive where anything was measured nearby.
    """
    sums = []
    for image in (np.where(valid, intensity, 0.0), valid.astype(float)):
        for axis, n in enumerate(image.shape):
            x = np.arange(n)
            kernel = np.exp(-((x[:, None] - x) ** 2) / (2 * width**2))
            image = np.moveaxis(np.tensordot(kernel, image, (1, axis)), 0, axis)
        sums.append(image)
    return np.asarray(sums[0] / np.maximum(sums[1], 1e-9 * sums[1].max()))


def extent_of(form_factor: NDArray, intensity: NDArray, valid: NDArray[np.bool_]) -> float:
    """Radius that holds nearly all of a form factor's transform.

    Parameters
    ----------
    form_factor, intensity, valid : ndarray, shape (n_rows, n_columns)
        Form factor on any scale; the plane it was found on.

    Returns
    -------
    float
        In cycles a pixel.
    """
    from dsfunet_core.factorization.envelope import radial_envelope

    shape = form_factor.shape
    rows, columns = np.indices(shape)
    away = np.hypot(rows - shape[0] // 2, columns - shape[1] // 2)
    h = form_factor / radial_envelope(intensity, valid, away)
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))
    h = (h - (h * window).sum() / window.sum()) * window
    power = np.abs(np.fft.fft2(h)) ** 2
    away = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"))
    order = np.argsort(away.ravel(), kind="stable")
    held = np.cumsum(power.ravel()[order])
    radius = away.ravel()[order][np.searchsorted(held, 0.98 * held[-1])]
    return float(max(radius, 3.0 / min(shape)))


def points_of(
    intensity: NDArray, valid: NDArray[np.bool_], factor: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Strongest points of the transform of intensity / factor.

    Parameters
    ----------
    intensity, valid, factor : ndarray, shape (n_rows, n_columns)
        Linear intensity, mask, and the form factor as well as it is known.

    Returns
    -------
    points : ndarray, shape (n, 2)
        Cycles a pixel along rows and columns.
    strength : ndarray, shape (n,)
        Amplitudes.
    """
    factor = np.maximum(factor, 0) / max(float(np.max(factor)), 1e-300)
    above, below, seen = (
        _halved(np.where(valid, image, 0.0))
        for image in (factor * intensity, factor**2, np.ones(valid.shape))
    )
    weight = seen * below / (below + 0.05 * seen + 1e-9)
    quotient = above / (below + 1e-4 * seen + 1e-12)
    mean = float((weight * quotient).sum() / max(weight.sum(), 1e-12))
    relative = np.clip(quotient / max(mean, 1e-300), 0, CUT)
    pair = (torch.from_numpy(image.astype(np.float32))[None] for image in (relative, weight))
    points, strength = strongest_points(*pair)
    cycles = points[0].double().numpy() / (2.0 * np.array(relative.shape))
    return cycles, strength[0].double().numpy()


def _halved(image: NDArray) -> NDArray[np.float64]:
    """Means over squares of 2 × 2 pixels; an odd last row or column is left out."""
    rows, columns = (n // 2 for n in image.shape)
    cut = image[: 2 * rows, : 2 * columns]
    return np.asarray(cut.reshape(rows, 2, columns, 2).mean(axis=(1, 3)))


def reduced(direct: NDArray) -> NDArray[np.float64]:
    """Reduced basis of a planar lattice (Gauss): the two shortest vectors.

    Parameters
    ----------
    direct : ndarray, shape (2, 2)
        Columns: lattice vectors.

    Returns
    -------
    ndarray, shape (2, 2)
        Shortest first, at an angle of 60 to 90°; right-handed.
    """
    a, b = np.asarray(direct, float).T
    while True:
        if a @ a > b @ b:
            a, b = b, a
        shift = np.rint((a @ b) / (a @ a))
        if shift == 0:
            break
        b = b - shift * a
    if a @ b < 0:
        b = -b
    if a[np.argmax(np.abs(a))] < 0:
        a, b = -a, -b
    return np.stack([a, b], axis=1)


def _all_reduced(direct: NDArray) -> NDArray[np.float64]:
    """Reduced bases of many lattices, shape (n, 2, 2), whatever their handedness."""
    a, b = direct[..., 0].copy(), direct[..., 1].copy()
    while True:
        longer = ((a**2).sum(1) > (b**2).sum(1))[:, None]
        a, b = np.where(longer, b, a), np.where(longer, a, b)
        shift = np.rint((a * b).sum(1) / np.maximum((a**2).sum(1), 1e-300))
        if not shift.any():
            return np.stack([a, b], axis=2)
        b = b - shift[:, None] * a


def same_lattice(first: NDArray, second: NDArray, tolerance: float = 0.005) -> bool:
    """Whether two bases span the same lattice.

    Parameters
    ----------
    first, second : ndarray, shape (2, 2)
        Columns: lattice vectors.
    tolerance : float
        Largest difference, as a fraction of the second's vectors.

    Returns
    -------
    bool
        True where a unimodular matrix of integers turns one into the other.
    """
    size = abs(np.linalg.det(np.rint(np.linalg.solve(second, first))))
    return abs(size - 1) < 0.1 and holds(second, first, tolerance)


def holds(lattice: NDArray, coarser: NDArray, tolerance: float) -> bool:
    """Whether all points of a lattice are points of another, too.

    Parameters
    ----------
    lattice, coarser : ndarray, shape (2, 2)
        Columns: vectors of the one with all points, and of that whose points they are.
    tolerance : float
        Largest difference, as a fraction of the first's vectors.

    Returns
    -------
    bool
        True where a matrix of integers turns the first into the second.
    """
    change = np.linalg.solve(lattice, coarser)
    return bool(np.abs(change - np.rint(change)).max() <= tolerance)


def lattices_of_points(
    points: NDArray, strength: NDArray, shape: tuple[int, int], n: int = 4
) -> list[NDArray[np.float64]]:
    """Lattices that hold the given points, best first.

    Parameters
    ----------
    points : ndarray, shape (k, 2)
        Cycles a pixel.
    strength : ndarray, shape (k,)
        Amplitudes.
    shape : tuple of int
        Rows and columns of the plane: its size sets how near counts as on the lattice.
    n : int
        How many lattices.

    Returns
    -------
    list of ndarray, shape (2, 2)
        Reduced bases, vectors in columns. Spanned by two points, halves of points, sums or
        differences; the score is the strength held, less a penalty for the
        density of the lattice.
    """
    keep = np.argsort(-strength, kind="stable")[:8]
    points, strength = points[keep], strength[keep]
    sums = [f(p, q) for p, q in combinations(points, 2) for f in (np.add, np.subtract)]
    spanning = np.array([*points, *sums, *(points / 2), *(points / 3)])
    cycles = np.array(shape, float)
    i, j = np.triu_indices(len(spanning), 1)
    direct = np.stack([spanning[i], spanning[j]], axis=2)  # pair, component, vector
    area = np.abs(np.linalg.det(direct * cycles[:, None]))
    direct, area = direct[area >= SHORTEST**2], area[area >= SHORTEST**2]
    direct = _all_reduced(direct)
    far = np.linalg.norm(direct[:, :, 0] * cycles, axis=1) >= SHORTEST
    direct, area = direct[far], area[far]
    index = np.linalg.solve(direct, np.broadcast_to(points.T, (len(direct), *points.T.shape)))
    whole = np.rint(index)
    off = np.linalg.norm((direct @ (index - whole)) * cycles[:, None], axis=1)
    held = np.clip(1 - (off / TOLERANCE) ** 2, 0, None) * (np.abs(whole).max(1) <= HIGHEST)
    share = held @ strength / max(float(strength.sum()), 1e-300)
    score = share + PARSIMONY * np.log(area)
    found: list[NDArray[np.float64]] = []
    for k in np.argsort(-score, kind="stable"):
        weight = (held[k] * strength) ** 2
        normal = (whole[k] * weight) @ whole[k].T
        hold = 1e-6 * max(float(weight.sum()), 1e-30) * np.eye(2)
        right = (whole[k] * weight) @ points + hold @ direct[k].T
        better = np.linalg.solve(normal + hold, right).T
        if not any(same_lattice(better, other, 0.02) for other in found):
            found.append(reduced(better))
        if len(found) == n:
            break
    return found
