"""Second directions in which order is faint, looked for everywhere.

One row of the lattice often holds nearly all of the order; no other wave then stands out by
itself. Sixty of them do together: every possible second vector is tried, and scored by
the power at all points of the lattice that it spans with the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from dsfunet_core.factorization.lattice_points import SHORTEST, reduced, same_lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["second_directions"]

#: Samples of the transform a cycle across the plane.
FINENESS = 4
#: Highest index of the points summed over.
HIGHEST = 5
#: Longest second vector [cycles a pixel].
LONGEST = 0.22
#: Edge of the squares whose median power is what is expected there [cycles].
SQUARE = 8
#: Multiples of the first wave that are taken out.
MULTIPLES = 5


def second_directions(
    intensity: NDArray,
    valid: NDArray[np.bool_],
    form_factor: NDArray,
    first: NDArray,
    n: int = 4,
) -> list[NDArray[np.float64]]:
    """Lattices with a given first vector at whose points most is left to be explained.

    Parameters
    ----------
    intensity, valid, form_factor : ndarray, shape (n_rows, n_columns)
        Linear intensity, mask, and the form factor on the same scale.
    first : ndarray, shape (2,)
        One vector of the direct lattice [cycles a pixel].
    n : int
        How many lattices.

    Returns
    -------
    list of ndarray, shape (2, 2)
        Reduced bases, vectors in columns, best first.
    """
    shape = np.array(intensity.shape)
    height = _heights(intensity, valid, form_factor, first)
    reach = np.floor(LONGEST * shape * FINENESS).astype(int)
    grid = np.mgrid[: reach[0] + 1, -reach[1] : reach[1] + 1].reshape(2, -1).T
    second = grid / (FINENESS * shape)
    # One of those that differ by multiples of the first, and far enough from its row.
    length = np.linalg.norm(first)
    along = second @ first / length**2
    across = np.abs(np.linalg.det(np.stack([np.broadcast_to(first, second.shape), second], 2)))
    cycles = across / length * shape.min()
    second = second[(np.abs(along) <= 0.5) & (cycles >= SHORTEST)]
    score = np.zeros(len(second))
    for k in range(1, HIGHEST + 1):
        for h in range(-HIGHEST, HIGHEST + 1):
            at = np.rint((h * first + k * second) * FINENESS * shape).astype(int)
            seen = (np.abs(at) < FINENESS * shape // 2).all(1)
            score[seen] += np.log1p(height[tuple(at[seen].T)])
    found: list[NDArray[np.float64]] = []
    for k in np.argsort(-score, kind="stable")[: 50 * n]:
        direct = reduced(np.stack([first, second[k]], axis=1))
        if not any(same_lattice(direct, other, 0.03) for other in found):
            found.append(direct)
        if len(found) == n:
            break
    return found


def _heights(
    intensity: NDArray, valid: NDArray[np.bool_], form_factor: NDArray, first: NDArray
) -> NDArray[np.float64]:
    """Power of what the first row leaves, in units of what is around, by frequency."""
    rows, columns = (np.arange(size) - size // 2 for size in intensity.shape)
    phase = 2 * np.pi * (first[0] * rows[:, None] + first[1] * columns)
    weight = valid / (form_factor + 0.03 * form_factor[valid].mean())
    turns = range(1, MULTIPLES + 1)
    waves = [f(k * phase) for k in turns for f in (np.cos, np.sin)]
    design = np.stack([np.ones_like(phase), *waves], axis=-1)[valid]
    root = (np.sqrt(weight) * form_factor)[valid][:, None]
    target = (np.sqrt(weight) * intensity)[valid]
    values = np.linalg.lstsq(
        (root * design).T @ (root * design), (root * design).T @ target, rcond=None
    )[0]
    left = np.zeros(intensity.shape)
    left[valid] = intensity[valid] - form_factor[valid] * (design @ values)
    size = [FINENESS * m for m in intensity.shape]
    power = np.abs(np.fft.fft2(weight * form_factor * left, s=size)) ** 2
    edge = SQUARE * FINENESS
    small = [m // edge for m in size]
    squares = power[: small[0] * edge, : small[1] * edge]
    squares = squares.reshape(small[0], edge, small[1], edge)
    usual = np.median(squares[:, ::2, :, ::2], axis=(1, 3))
    smooth = ndimage.zoom(usual, [m / k for m, k in zip(size, small, strict=True)], order=1)
    return np.asarray(power / np.maximum(smooth, 1e-300))
