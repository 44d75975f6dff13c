"""A rough guess of the short-range order, to tell its maxima from Bragg peaks.

Positive correlations put diffuse maxima exactly at the lattice points. They are in every
cell, of one shape, and proportional to the scattering around them; Bragg peaks are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError
from dsfunet_core.lattice import index_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice
    from dsfunet_core.masking.noise import NoiseModel
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["FreePeaks", "Periodic", "periodic_guess"]

#: Largest index of the series, pixels an edge of the cell that one index needs, rounds.
_ORDER, _PIXELS, _ROUNDS = 5, 3.0, 3
#: Residuals over their spread from which a pixel counts no more.
_CLIP = 5.0
#: Pixels used to refine the series, at most; pixels that it is summed up on at once.
_PIXELS_USED, _AT_ONCE = 60_000, 65_536
#: Least value of the series, which is 1 on average: intensities are not negative.
_FLOOR = 0.05
#: Correlation lengths tried for the decay of the series, in lattice constants; standard
#: deviation of a coefficient at most and at least, and margin over the decay that is found.
_LENGTHS = np.array([0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 16.0])
_MOST, _LEAST, _MARGIN = 0.6, 0.005, 2.0
#: Relative error of the guess, which the noise does not know of.
_ROUGH = 0.1
#: Peaks higher than this fraction of the scattering tell nothing of the smooth factor.
_SLIGHT = 0.3


@dataclass(frozen=True, eq=False)
class Periodic:
    """A guess of the diffuse scattering: shape · smooth.

    Parameters
    ----------
    shape : ndarray, shape (n_rows, n_columns)
        S, with the period of the lattice, positive and 1 on average.
    smooth : ndarray, shape (n_rows, n_columns)
        What it is multiplied with.
    """

    shape: NDArray[np.float64]
    smooth: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FreePeaks:
    """Peaks that are refined along with the order, k pixels and n peaks in all.

    Parameters
    ----------
    image : ndarray, shape (n_rows, n_columns)
        Their present intensity.
    misfit : ndarray, shape (n_rows, n_columns)
        Variance for what their model lacks.
    owner, pixel : ndarray of int, shape (k,)
        Peak that a pixel belongs to, in ascending order, and flat number of the pixel.
    columns : ndarray, shape (k, p)
        Derivatives of the intensity to the parameters of the peak, its height first.
    height : ndarray, shape (n,)
        Present heights.
    precision : ndarray, shape (p,)
        1/variance of the parameters before the data speak.
    """

    image: NDArray[np.float64]
    misfit: NDArray[np.float64]
    owner: NDArray[np.int64]
    pixel: NDArray[np.int64]
    columns: NDArray[np.float64]
    height: NDArray[np.float64]
    precision: NDArray[np.float64]


def periodic_guess(
    plane: ReciprocalPlane,
    clear: NDArray[np.bool_],
    noise: NoiseModel,
    peaks: FreePeaks | None = None,
    before: Periodic | None = None,
) -> Periodic | None:
    """Function with the period of the lattice that times a smooth one is the plane.

    Parameters
    ----------
    plane : ReciprocalPlane
        With geometry.
    clear : ndarray of bool, shape (n_rows, n_columns)
        Pixels to use.
    noise : NoiseModel
        Variance of a pixel.
    peaks : FreePeaks, optional
        Bragg peaks among these pixels.
    before : Periodic, optional
        An earlier guess.

    Returns
    -------
    Periodic or None
        None where the plane is irrational, its cells are too small to tell shape from
        peaks, or too little of it is clear.

    Notes
    -----
    At the lattice points the order is seen only beneath the peaks. It is what they stand
    on in every cell: they are not negative, and the prior of their heights, 1/height,
    prefers many weak ones and a few strong to many of the same strength.
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
    chosen = np.flatnonzero(used)[:: max(1, int(used.sum()) // _PIXELS_USED)]
    design = _waves(lattice, chosen, plane.shape, order)
    distance = _lengths(plane, half)
    intensity = np.where(used, plane.intensity, 0.0).astype(float)
    free = None if peaks is None else _Elimination(peaks, chosen, plane.intensity.size)
    image = np.zeros(plane.shape) if peaks is None else peaks.image
    shape = np.ones(plane.shape) if before is None else before.shape
    smooth = (
        gaussian_filter(used * intensity, edge / 3, mode="constant")
        / np.maximum(gaussian_filter(used.astype(float), edge / 3, mode="constant"), 1e-6)
        if before is None
        else before.smooth
    )
    limit = np.full(len(half), _MOST**2)
    for _ in range(_ROUNDS):
        expected = np.maximum(smooth * shape, 0)
        floor = 0.05 * float(expected[used].mean()) + 1e-300
        base = _variance(noise, np.maximum(expected, floor) + np.maximum(image, 0))
        rough = base + (_ROUGH * expected) ** 2
        if peaks is not None:
            rough = rough + peaks.misfit
        residual = (intensity - expected - image) / np.sqrt(rough)
        spread = max(1.4826 * float(np.median(np.abs(residual[used]))), 1e-300)
        weight = used * (np.abs(residual) < _CLIP * spread)
        # The smooth factor: what of the plane goes with the shape, around every pixel.
        trust = weight * (np.abs(image) < _SLIGHT * np.maximum(expected, floor))
        above = gaussian_filter(trust * (intensity - image) * shape, edge / 3, mode="constant")
        below = gaussian_filter(trust * shape**2, edge / 3, mode="constant")
        smooth = np.where(below > 1e-6, above / np.maximum(below, 1e-6), 0.0)
        root = np.sqrt(weight.ravel()[chosen] / rough.ravel()[chosen]) / max(spread, 1.0)
        rows = design * (smooth.ravel()[chosen] * root)[:, None]
        still = intensity if peaks is None else intensity - peaks.image
        data = root * still.ravel()[chosen]
        normal, right = rows.T @ rows, rows.T @ data
        if free is not None:
            free.take_out(normal, right, rows, data, root)
        series = _series(normal, right, limit)
        if series is None:
            return None
        limit = _decay(series, distance)
        shape = np.maximum(_sum_up(lattice, plane.shape, order, series / series[0]), _FLOOR)
        smooth = smooth * series[0]
        if free is not None:
            image = free.put_back(series)
    return Periodic(shape, smooth)


class _Elimination:
    """Parameters of every peak taken out of the normal equations of the series."""

    def __init__(self, peaks: FreePeaks, chosen: NDArray, size: int) -> None:
        place = np.full(size, -1)
        place[chosen] = np.arange(len(chosen))
        here = place[peaks.pixel] >= 0
        self.peaks = peaks
        self.row, self.pixel = place[peaks.pixel[here]], peaks.pixel[here]
        self.columns = peaks.columns[here]
        owner = peaks.owner[here]
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        last = np.append(first[1:], len(owner))
        self.parts = [
            (int(owner[a]), slice(a, b))
            for a, b in zip(first.tolist(), last.tolist(), strict=True)
        ]
        self.height = peaks.height.copy()
        self.empty = np.zeros(len(peaks.height), dtype=bool)

    def take_out(
        self, normal: NDArray, right: NDArray, rows: NDArray, data: NDArray, root: NDArray
    ) -> None:
        """Subtract in place what the peaks explain."""
        self.kept = []
        for number, part in self.parts:
            columns = self.columns[part] * root[self.row[part], None]
            square, cross = columns.T @ columns, columns.T @ rows[self.row[part]]
            own = columns.T @ data[self.row[part]]
            tight, pull = self.peaks.precision.copy(), np.zeros(len(own))
            if self.empty[number]:
                tight[0] = 1e6 * (square[0, 0] + tight[0])
                pull[0] = -tight[0] * self.peaks.height[number]
            inner = np.linalg.inv(square + np.diag(tight))
            if not self.empty[number]:
                pull[0] = -1 / (max(self.height[number], 0) + np.sqrt(inner[0, 0]))
            normal -= cross.T @ inner @ cross
            right -= cross.T @ (inner @ (own + pull))
            self.kept.append((inner, cross, own, pull, square))

    def put_back(self, series: NDArray) -> NDArray[np.float64]:
        """Intensity of the peaks beside this order; negative ones are empty from now on."""
        image = self.peaks.image.copy()
        flat = image.reshape(-1)
        for (number, part), kept in zip(self.parts, self.kept, strict=True):
            inner, cross, own, pull, square = kept
            change = inner @ (own + pull - cross @ series)
            flat[self.pixel[part]] += self.columns[part] @ change
            self.height[number] = self.peaks.height[number] + change[0]
            if self.empty[number]:
                self.empty[number] = (own - cross @ series - square @ change)[0] < 0
            else:
                self.empty[number] = self.height[number] < 0
        return np.asarray(image)


def _variance(noise: NoiseModel, expected: NDArray) -> NDArray[np.float64]:
    variance = noise.variance(expected)
    if noise.known is not None:
        variance = np.maximum(variance, np.nan_to_num(np.asarray(noise.known, float)))
    return np.maximum(variance, 1e-8 * float(np.square(expected).mean()) + 1e-300)


def _series(normal: NDArray, right: NDArray, limit: NDArray) -> NDArray[np.float64] | None:
    """Coefficients under their prior, which is relative to the constant one."""
    constant = float(right[0] / max(normal[0, 0], 1e-300))
    for _ in range(2):
        if constant <= 0:
            return None
        # Cosines and sines come with twice the coefficient.
        penalty = np.concatenate([[0.0], np.tile(1 / (4 * limit * constant**2), 2)])
        try:
            series = np.linalg.solve(normal + np.diag(penalty), right)
        except np.linalg.LinAlgError:
            return None
        constant = float(series[0])
    return series if constant > 0 else None


def _decay(series: NDArray, distance: NDArray) -> NDArray[np.float64]:
    """Variances expected of the coefficients: an exponential decay with the distance."""
    power = (series[1:].reshape(2, -1) ** 2).sum(axis=0) / (2 * series[0]) ** 2 + _LEAST**2
    forms = np.exp(-2 * distance / _LENGTHS[:, None])
    height = (power / forms).mean(axis=1)
    best = int((-np.log(height[:, None] * forms).sum(axis=1)).argmax())
    return np.clip(_MARGIN * height[best] * forms[best], _LEAST**2, _MOST**2)


def _lengths(plane: ReciprocalPlane, half: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lengths of direct-lattice vectors, in units of the square root of the cell's area."""
    direct = (
        np.linalg.cholesky(np.linalg.inv(plane.metric)).T @ np.linalg.inv(plane.lattice.basis).T
    )
    return np.linalg.norm(half @ direct.T, axis=1) / np.sqrt(abs(np.linalg.det(direct)))


def _powers(
    lattice: PlaneLattice, pixels: NDArray[np.int64], shape: tuple[int, int], order: int
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """exp(2πi·u·x) along both axes: u from 0 for the first, from −order for the second."""
    index = np.stack(np.unravel_index(pixels, shape), axis=-1)
    x = (index - lattice.origin) @ np.linalg.inv(lattice.basis).T
    first = np.exp(2j * np.pi * x[:, :1] * np.arange(order + 1))
    second = np.exp(2j * np.pi * x[:, 1:] * np.arange(order + 1))
    return first, np.concatenate([second[:, :0:-1].conj(), second], axis=1)


def _waves(
    lattice: PlaneLattice, pixels: NDArray[np.int64], shape: tuple[int, int], order: int
) -> NDArray[np.float64]:
    """1, cos 2πu·x and sin 2πu·x of flat pixels and the half set of u, shape (k, …)."""
    first, second = _powers(lattice, pixels, shape, order)
    parts = [second[:, order + 1 :]]
    parts += [first[:, u : u + 1] * second for u in range(1, order + 1)]
    wave = np.concatenate(parts, axis=1)
    return np.concatenate([np.ones((len(wave), 1)), wave.real, wave.imag], axis=1)


def _sum_up(
    lattice: PlaneLattice, shape: tuple[int, int], order: int, series: NDArray
) -> NDArray[np.float64]:
    """The series on every pixel, without all of its terms at once."""
    cosines, sines = series[1:].reshape(2, -1)
    missing = np.zeros(order + 1)  # the constant term, and one of every ± pair
    table = np.concatenate([missing, cosines - 1j * sines]).reshape(order + 1, 2 * order + 1)
    total = np.empty(shape[0] * shape[1])
    for start in range(0, len(total), _AT_ONCE):
        pixels = np.arange(start, min(start + _AT_ONCE, len(total)))
        first, second = _powers(lattice, pixels, shape, order)
        total[pixels] = series[0] + ((second @ table.T) * first).sum(axis=1).real
    return total.reshape(shape)
