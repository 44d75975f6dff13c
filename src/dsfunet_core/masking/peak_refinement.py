"""Peaks as ellipses: Gaussians of any width, elongation and shift, refined with priors.

The prior is what the strong peaks of the plane have in common. It decides where a peak is
too weak, or too little of it was measured, for its own shape to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.masking.peak_fit import pixel_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.masking.noise import NoiseModel
    from dsfunet_core.masking.peak_fit import Windows

__all__ = ["Population", "Shapes", "peak_reach", "refine_shapes"]

#: Relative misfit of a Gaussian to a real peak, so that cores do not rule the fit.
_MISFIT = 0.05
#: Steps of the refinement, trials of one that overshoots, first damping, gain of χ² in any
#: window that is worth another step, and windows refined at once.
_STEPS, _TRIALS, _DAMPING, _SETTLED, _AT_ONCE = 8, 4, 1e-3, 0.01, 128
#: Largest elongation beside that of most peaks: in spreads, and at all (logarithm of the
#: ratio of the axes).
_LONGER, _LONGEST = 3.0, 1.2
#: Distances from the centre tried as ends of a peak, in its widths; directions compared.
_ENDS, _DIRECTIONS = np.linspace(0, 7, 141), 12


@dataclass(frozen=True, eq=False)
class Population:
    """What peaks have in common: mean and standard deviation of shift, ln width, elongation.

    Parameters
    ----------
    mean, spread : ndarray, shape (5,)
        Shift (2), logarithm of the width, elongation (2).
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shapes:
    """Elliptical Gaussians in n windows.

    Parameters
    ----------
    values : ndarray, shape (n, 6)
        Height, shift (2) from the position, logarithm of the width (geometric mean of the
        two axes), and elongation (2): the ratio of the axes is the exponential of its norm.
    covariance : ndarray, shape (n, 6, 6)
        Of these, background marginalised.
    background : ndarray, shape (n, m)
        Background at every pixel of the window.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    background: NDArray[np.float64]

    @property
    def forms(self) -> NDArray[np.float64]:
        """Quadratic forms Q, shape (n, 2, 2): the Gaussians are exp(−½ uᵀ Q u)."""
        return _forms(self.values)

    def distance(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of places (n, m, 2) from the centres, in widths along each direction."""
        return np.sqrt(np.maximum(_parts(place, self.values)[-1], 0))

    @property
    def width(self) -> NDArray[np.float64]:
        """Standard deviation, geometric mean of the two axes, shape (n,)."""
        return np.asarray(np.exp(self.values[:, 3]))


def _forms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    e1, e2 = values[:, 4], values[:, 5]
    norm = np.maximum(np.hypot(e1, e2), 1e-9)
    ratio = np.sinh(norm) / norm
    form = np.empty((len(values), 2, 2))
    form[:, 0, 0], form[:, 1, 1] = np.cosh(norm) + ratio * e1, np.cosh(norm) - ratio * e1
    form[:, 0, 1] = form[:, 1, 0] = ratio * e2
    return form * np.exp(-2 * values[:, 3])[:, None, None]


def unit_peaks(
    place: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussians of height 1 and their derivatives.

    Parameters
    ----------
    place : ndarray, shape (n, m, 2)
        Places in n windows.
    values : ndarray, shape (n, 6)
        As in :class:`Shapes`.

    Returns
    -------
    g : ndarray, shape (n, m)
        Gaussians.
    slopes : ndarray, shape (n, m, 5)
        Derivatives to shift, width and elongation; the latter are those of a round peak,
        which slows the refinement of very long ones but does not mislead it.
    """
    g, x, y, along, across, square = _parts(place, values)
    scale = np.exp(-2 * values[:, 3])[:, None]
    slopes = [along, across, square, -0.5 * scale * (x * x - y * y), -scale * x * y]
    return g, g[..., None] * np.stack(slopes, axis=-1)


def _parts(
    place: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Gaussian, place from the centre, Q times it, and the square uᵀ Q u, (n, m) each."""
    form = _forms(values)
    x = place[..., 0] - values[:, 1:2]
    y = place[..., 1] - values[:, 2:3]
    along = form[:, 0, 0, None] * x + form[:, 0, 1, None] * y
    across = form[:, 0, 1, None] * x + form[:, 1, 1, None] * y
    square = x * along + y * across
    return np.exp(np.minimum(square, 200) * -0.5), x, y, along, across, square


def refine_shapes(
    windows: Windows,
    noise: NoiseModel,
    values: NDArray[np.float64],
    columns: NDArray[np.float64],
    level: NDArray[np.float64],
    loose: float,
    population: Population,
    largest: float,
    limits: tuple[float, float, float],
) -> Shapes:
    """Refine every peak together with its background.

    Parameters
    ----------
    windows : Windows
        Where; neighbours' peaks are taken off already.
    noise : NoiseModel
        Variance of a pixel.
    values : ndarray, shape (n, 6)
        Where to start, as in :class:`Shapes`.
    columns : ndarray, shape (n, m, t)
        Functions that make up the background.
    level : ndarray, shape (n, t)
        Their coefficients expected,
    loose : float
        and the standard deviation about them.
    population : Population
        Prior of the shapes.
    largest : float
        Standard deviation of the heights before the data speak.
    limits : tuple of float
        Farthest shift along an axis, least and largest width.

    Returns
    -------
    Shapes
        Of all windows.
    """
    # Pixels that count come first, and what lies behind is cut off.
    first = np.argsort(windows.weight <= 0, axis=1, kind="stable")
    first = first[:, : max(1, int((windows.weight > 0).sum(axis=1).max()))]
    parts = []
    for start in range(0, len(values), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        index = first[part]
        refinement = _Refinement(
            _taken(windows, part, index),
            noise,
            values[part],
            np.take_along_axis(columns[part], index[..., None], axis=1),
            level[part],
            loose,
            population,
            largest,
            limits,
        )
        parts.append(refinement.run())
    values, covariance, smooth = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Shapes(values, covariance, (columns @ smooth[..., None])[..., 0])


def _taken(windows: Windows, part: slice, index: NDArray[np.int64]) -> Windows:
    """Some of the windows, and some pixels of each."""

    def flat(array: NDArray) -> NDArray:
        return np.take_along_axis(array[part], index, axis=1)

    def pairs(array: NDArray) -> NDArray:
        return np.take_along_axis(array[part], index[..., None], axis=1)

    return replace(
        windows,
        intensity=flat(windows.intensity),
        weight=flat(windows.weight),
        known=None if windows.known is None else flat(windows.known),
        place=pairs(windows.place),
        pixels=pairs(windows.pixels),
        inside=flat(windows.inside),
    )


class _Refinement:
    """Damped least squares of many windows at once; no step makes one of them worse."""

    def __init__(
        self,
        windows: Windows,
        noise: NoiseModel,
        values: NDArray[np.float64],
        columns: NDArray[np.float64],
        level: NDArray[np.float64],
        loose: float,
        population: Population,
        largest: float,
        limits: tuple[float, float, float],
    ) -> None:
        self.windows, self.noise, self.columns = windows, noise, columns
        self.population, self.limits = population, limits
        n, self.terms = level.shape
        self.state = np.concatenate([level, self._clipped(values)], axis=1)
        expected = np.concatenate([[0.0], population.mean])
        self.expected = np.concatenate([level, np.tile(expected, (n, 1))], axis=1)
        spread = np.concatenate([np.full(self.terms, loose), [largest], population.spread])
        self.precision = np.tile(spread**-2, (n, 1))

    def _clipped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shapes within their limits."""
        farthest, narrowest, widest = self.limits
        mean, spread = self.population.mean[3:], float(self.population.spread[3:].mean())
        apart = values[:, 4:] - mean
        longest = min(_LONGEST, _LONGER * spread)
        norm = np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-9)
        return np.concatenate(
            [
                values[:, :1],
                np.clip(values[:, 1:3], -farthest, farthest),
                np.clip(values[:, 3:4], np.log(narrowest), np.log(widest)),
                mean + apart * np.minimum(1, longest / norm),
            ],
            axis=1,
        )

    def _smooth(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((self.columns @ state[:, : self.terms, None])[..., 0])

    def _cost(
        self, state: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """χ² with the prior's part, shape (n,)."""
        values = state[:, self.terms :]
        model = self._smooth(state) + values[:, :1] * _parts(self.windows.place, values)[0]
        data = (weight * (self.windows.intensity - model) ** 2).sum(axis=1)
        return np.asarray(data + (self.precision * (state - self.expected) ** 2).sum(axis=1))

    def run(self) -> tuple[NDArray[np.float64], ...]:
        """Values, their covariance, and coefficients of the background."""
        damping = np.full(len(self.state), _DAMPING)
        for _ in range(_STEPS):
            weight, normal, right = self._equations()
            before = self._cost(self.state, weight)
            left = np.ones(len(before), dtype=bool)
            after = before.copy()
            for _ in range(_TRIALS):
                trial = self._moved(normal, right, damping)
                cost = self._cost(trial, weight)
                better = left & (cost <= before)
                self.state = np.where(better[:, None], trial, self.state)
                after = np.where(better, cost, after)
                left &= ~better
                damping = damping * np.where(left, 10, 1)
                if not left.any():
                    break
            damping = np.where(left, damping, np.maximum(damping / 10, _DAMPING / 1000))
            if (before - after).max() < _SETTLED:
                break
        size = np.sqrt(np.einsum("nkk->nk", normal))
        scale = size[:, :, None] * size[:, None, :]
        inverse = np.linalg.inv(normal / scale + 1e-10 * np.eye(normal.shape[-1])) / scale
        t = self.terms
        return self.state[:, t:], inverse[:, t:, t:], self.state[:, :t]

    def _equations(self) -> tuple[NDArray[np.float64], ...]:
        """Weights, normal matrix and right side, the prior in them."""
        values = self.state[:, self.terms :]
        g, slopes = unit_peaks(self.windows.place, values)
        smooth, peak = self._smooth(self.state), values[:, :1] * g
        expected = np.maximum(smooth, 0) + np.maximum(peak, 0)
        variance = pixel_variance(self.windows, self.noise, expected) + (_MISFIT * peak) ** 2
        weight = self.windows.weight / variance
        height = np.maximum(values[:, 0], 0)[:, None, None]
        jacobian = np.concatenate([self.columns, g[..., None], height * slopes], axis=-1)
        weighted = np.swapaxes(jacobian * weight[..., None], 1, 2)
        normal = weighted @ jacobian
        np.einsum("nkk->nk", normal)[:] += self.precision
        right = (weighted @ (self.windows.intensity - smooth - peak)[..., None])[..., 0]
        return weight, normal, right - self.precision * (self.state - self.expected)

    def _moved(
        self, normal: NDArray[np.float64], right: NDArray[np.float64], damping: NDArray
    ) -> NDArray[np.float64]:
        """The state one damped step on, shapes within their limits."""
        damped = normal.copy()
        np.einsum("nkk->nk", damped)[:] *= 1 + damping[:, None]
        size = np.sqrt(np.einsum("nkk->nk", damped))
        damped = damped / (size[:, :, None] * size[:, None, :])
        step = np.linalg.solve(
            damped + 1e-12 * np.eye(damped.shape[-1]), (right / size)[..., None]
        )
        state = self.state + step[..., 0] / size
        values = self._clipped(state[:, self.terms :])
        return np.concatenate([state[:, : self.terms], values], axis=1)


def peak_reach(shapes: Shapes, level: NDArray[np.float64], doubt: float) -> NDArray[np.float64]:
    """Where the peaks, as large as they can be, sink below a level.

    Parameters
    ----------
    shapes : Shapes
        Peaks.
    level : ndarray, shape (n,)
        Intensity that does not matter.
    doubt : float
        How many standard deviations are added to the peak.

    Returns
    -------
    ndarray, shape (n,)
        In units of the width along each direction; 0 where a peak never reaches it.
    """
    angle = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    height = np.maximum(shapes.values[:, 0], 0)[:, None]
    turned = np.linalg.cholesky(shapes.forms)  # Q = L Lᵀ
    reach = np.zeros(len(height))
    ones = np.ones((len(height), _DIRECTIONS))
    for end in _ENDS:
        towards = height[..., None] * end * np.einsum("nij,kj->nki", turned, unit)
        wider = height * end**2 * ones
        slope = np.stack(
            [
                ones,
                *np.moveaxis(towards, -1, 0),
                wider,
                -0.5 * wider * np.cos(2 * angle),
                -0.5 * wider * np.sin(2 * angle),
            ],
            axis=-1,
        )
        variance = np.einsum("nki,nij,nkj->nk", slope, shapes.covariance, slope)
        highest = (height + doubt * np.sqrt(np.maximum(variance, 0))).mean(axis=1)
        reach = np.where(np.exp(-(end**2) / 2) * highest > level, end, reach)
    return reach
