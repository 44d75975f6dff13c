"""The lattice of a plane, found blind.

Short-range order is the same in every reciprocal cell, so the transform of I / I_FF has its
power at the points of a direct lattice (in the plane, a few cells around zero), while what
a wrong form factor leaves lies near zero. The strongest point is found first and taken out
together with its multiples, for their side lobes (dead zones are harsh windows) would
outshine the next; then the next, together with its sums with the first; and so on. Of all
lattices spanned by those points, their halves, sums and differences, the sparsest that
holds the most of their strength is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["find_lattice"]

#: Points that are looked for, multiples of the first and its sums with the others.
POINTS, MULTIPLES, SIDES = 4, 8, 2
#: Rounds in which the first is improved.
REFINEMENTS = 2
#: Nearer to zero [cycles across the plane] there is only what the form factor leaves.
NEAREST = 2.5
#: Radius [cycles] within which a point belongs to a lattice.
TOLERANCE = 0.5
#: What an e-fold denser lattice must gain, in units of all points' strength.
PARSIMONY = 0.02
#: Cells a lattice must have across both directions, multiplied.
FEWEST = 6.0
#: Highest index of a point.
HIGHEST = 5


def find_lattice(
    quotient: NDArray[np.floating], weight: NDArray[np.floating]
) -> tuple[NDArray[np.float64], float]:
    """Direct lattice of a plane from an estimate of its order.

    Parameters
    ----------
    quotient : ndarray, shape (rows, columns)
        I / I_FF, as well as it is known.
    weight : ndarray, same shape
        How well; zero where nothing was measured.

    Returns
    -------
    lattice : ndarray, shape (2, 2)
        Rows are lattice vectors [cycles a pixel along rows and columns]: order repeats
        itself whenever ``lattice @ (row, column)`` changes by integers.
    strength : float
        Fraction of the strength of the points found that lies on this lattice.
    """
    shape = np.array(quotient.shape)
    if np.ptp(weight * quotient) == 0:
        # Nothing varies: it repeats itself every pixel.
        return np.eye(2), 0.0
    cycles, strengths = _strongest(quotient, weight)
    lattice, held = _sparsest(cycles, strengths, float(shape.min()))
    return lattice / shape, held


def _low_pass(image: NDArray, width: float) -> NDArray:
    """Image without all but its widest features; nothing beyond the edges."""

    def matrix(n: int) -> NDArray[np.float32]:
        x = np.arange(n, dtype=np.float32)
        return np.exp(-((x[:, None] - x) ** 2) / (2 * width**2)) / n

    return matrix(image.shape[0]) @ image @ matrix(image.shape[1])


def _strongest(quotient: NDArray, weight: NDArray) -> tuple[NDArray, NDArray]:
    """Strongest points of the transform [cycles across the plane], and their amplitudes."""
    rows, columns = quotient.shape
    quotient, weight = quotient.astype(np.float32), weight.astype(np.float32)
    width = 0.1 * min(rows, columns)
    mean = _low_pass(weight * quotient, width) / (_low_pass(weight, width) + 1e-9)
    data = (weight * (quotient - mean)).astype(np.float32)
    # Twice as many samples of the transform, so that points lie near one of them.
    shape = (2 * rows, 2 * columns)
    y = fft.fftfreq(shape[0], 2 / shape[0])[:, None]
    x = fft.rfftfreq(shape[1], 2 / shape[1])[None]
    allowed = (np.hypot(y, x) > NEAREST) & (np.abs(y) < rows / 2 - 1) & (x < columns / 2 - 1)
    model = _Waves(data, weight, 2 * (MULTIPLES + (POINTS - 1) * (2 * SIDES + 2)))
    points: list[NDArray] = []
    owners: list[int] = []
    for number in range(POINTS):
        amplitude = np.abs(fft.rfft2(model.rest, s=shape))
        point = _summit(amplitude, np.where(allowed, amplitude, 0).argmax()) / 2
        if number == 0:
            point = model.add_multiples(point)
            owners += [0] * MULTIPLES
        else:
            sums = [point + k * points[0] for k in range(-SIDES, SIDES + 1)]
            model.add([*sums, 2 * point])
            owners += [number] * (len(sums) + 1)
        points.append(point)
    power = model.found[::2] ** 2 + model.found[1::2] ** 2
    strengths = np.sqrt(np.bincount(owners, power, minlength=POINTS))
    return np.array(points), strengths


class _Waves:
    """Plane waves fitted to what was measured.

    Parameters
    ----------
    data, weight : ndarray, shape (rows, columns)
        Weighted data, and the weight with which waves are multiplied.
    room : int
        Sines and cosines there will be at most.
    """

    def __init__(self, data: NDArray, weight: NDArray, room: int) -> None:
        self.data, self.weight = data, weight
        self.rest: NDArray[np.floating] = data
        self.found: NDArray[np.floating] = np.empty(0)
        self._waves = np.empty((room, data.size), np.float32)
        self._normal, self._right = np.empty((room, room)), np.empty(room)
        self._count = 0

    def _phases(self) -> list[NDArray[np.float64]]:
        return [2 * np.pi / n * np.arange(n) for n in self.data.shape]

    def add(self, frequencies: list[NDArray]) -> None:
        """Fit with some more frequencies [cycles across the data]."""
        first = self._count
        for cycles in frequencies:
            along_rows, along_columns = (
                np.exp(1j * c * phase).astype(np.complex64)
                for c, phase in zip(cycles, self._phases(), strict=True)
            )
            wave = ((self.weight * along_rows[:, None]) * along_columns).ravel()
            self._waves[self._count], self._waves[self._count + 1] = wave.real, wave.imag
            self._count += 2
        self._fit(first)

    def _fit(self, first: int) -> None:
        last = self._count
        waves = self._waves[:last]
        products = waves[first:] @ waves.T
        self._normal[first:last, :last], self._normal[:last, first:last] = products, products.T
        self._right[first:last] = waves[first:] @ self.data.ravel()
        matrix = self._normal[:last, :last].copy()
        diagonal = np.diag_indices(last)
        matrix[diagonal] += 1e-4 * (matrix[diagonal] + matrix.max()) + 1e-12
        self.found = np.linalg.solve(matrix, self._right[:last])
        self.rest = self.data - (self.found.astype(np.float32) @ waves).reshape(self.data.shape)

    def add_multiples(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fit with a frequency and its multiples, and improve the frequency with them."""
        phases = self._phases()
        for _ in range(REFINEMENTS):
            self._count = 0
            self.add([k * point for k in range(1, MULTIPLES + 1)])
            # How the fit changes with the frequency: sines for cosines, times the phase.
            order = np.repeat(np.arange(1, MULTIPLES + 1), 2)
            turned = np.empty_like(self.found)
            turned[::2], turned[1::2] = self.found[1::2], -self.found[::2]
            slope = ((order * turned).astype(np.float32) @ self._waves[: self._count]).reshape(
                self.data.shape
            )
            slopes = np.stack([slope * phases[0][:, None], slope * phases[1]]).reshape(2, -1)
            # What the waves themselves can take up is not the frequency's.
            waves = self._waves[: self._count]
            matrix = self._normal[: self._count, : self._count].copy()
            matrix[np.diag_indices(self._count)] += 1e-4 * matrix.max() + 1e-12
            slopes = (
                slopes - np.linalg.solve(matrix, waves @ slopes.T).T.astype(np.float32) @ waves
            )
            normal = slopes @ slopes.T
            step = np.linalg.solve(
                normal + (1e-6 * np.trace(normal) + 1e-12) * np.eye(2),
                slopes @ self.rest.ravel(),
            )
            point = point + np.clip(step, -0.25, 0.25)
        self._count = 0
        self.add([k * point for k in range(1, MULTIPLES + 1)])
        return point


def _summit(amplitude: NDArray, index: np.intp) -> NDArray[np.float64]:
    """Position of a maximum between samples, by parabolas through the logarithm."""
    rows, columns = amplitude.shape
    row, column = divmod(int(index), columns)

    def between(before: float, here: float, after: float) -> float:
        a, b, c = np.log(np.array([before, here, after]) + 1e-30)
        curvature = a - 2 * b + c
        return float(np.clip((a - c) / (2 * curvature), -0.5, 0.5)) if curvature < 0 else 0.0

    here = amplitude[row, column]
    up = between(amplitude[(row - 1) % rows, column], here, amplitude[(row + 1) % rows, column])
    left = amplitude[row, column - 1] if column else amplitude[-row % rows, 1]
    along = between(left, here, amplitude[row, min(column + 1, columns - 1)])
    return np.array([(row if row < rows // 2 else row - rows) + up, column + along])


def _sparsest(
    points: NDArray, strengths: NDArray, pixels: float
) -> tuple[NDArray[np.float64], float]:
    """Lattice of fewest points that holds the given ones."""
    share = strengths / max(strengths.sum(), 1e-30)
    vectors = list(points)
    for i, first in enumerate(points):
        vectors.append(first / 2)
        # No variation at all in the second direction: it repeats itself every pixel.
        vectors.append(np.array([-first[1], first[0]]) / max(np.hypot(*first), 1e-9) * pixels)
        for second in points[:i]:
            for combined in (first - second, first + second):
                vectors += [combined, combined / 2]
    candidates = np.array(vectors)
    candidates = candidates[np.hypot(*candidates.T) > NEAREST]
    pairs = np.triu_indices(len(candidates), 1)
    a, b = (candidates[index] for index in pairs)
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    enough = np.abs(area) > FEWEST
    if not enough.any():
        return pixels * np.eye(2), 0.0
    a, b, area = a[enough], b[enough], area[enough]
    inverse = (
        np.stack([b[:, ::-1] * [1, -1], a[:, ::-1] * [-1, 1]], axis=1) / area[:, None, None]
    )
    indices = np.einsum("pik,nk->pni", inverse, points)
    nearest = np.round(indices)
    off = np.einsum("pni,pik->pnk", indices - nearest, np.stack([a, b], axis=1))
    fit = np.clip(1 - (off**2).sum(-1) / TOLERANCE**2, 0, None)
    fit = np.where(np.abs(nearest).max(-1) <= HIGHEST, fit, 0)
    score = fit @ share + PARSIMONY * np.log(np.abs(area))
    score -= 1e-4 * ((a**2).sum(1) + (b**2).sum(1)) / np.abs(area)
    best = int(score.argmax())
    lattice = np.stack([a[best], b[best]])
    # Least squares of all points on it; directions that none fixes stay.
    heavy = (share * fit[best]) ** 2
    index = nearest[best]
    normal = index.T @ (heavy[:, None] * index)
    hold = 1e-6 * max(heavy.sum(), 1e-30)
    right = index.T @ (heavy[:, None] * points) + hold * lattice
    return np.linalg.solve(normal + hold * np.eye(2), right), float(fit[best] @ share)
