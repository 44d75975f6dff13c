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

#: Unknowns of a peak: height, shift along two axes, logarithm of the width, elongation.
PARAMETERS = 6
#: Relative misfit of a Gaussian to a real peak, so that cores do not rule the fit.
_MISFIT = 0.05
#: Steps of the refinement, halvings of one that overshoots, windows refined at once.
_STEPS, _HALVINGS, _AT_ONCE = 8, 4, 128
_SETTLED = 0.01
#: Largest elongation: logarithm of the ratio of the axes.
_LONGEST = 1.2
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
    """Gaussian of height 1 and its derivatives to the other five, (n, m) and (n, m, 5).

    The derivatives to the elongation are those of a round peak turned into the ellipse's
    frame to first order; steps are checked, so that this only slows very long ones.
    """
    g, x, y, ax, ay, square = _parts(place, values)
    scale = np.exp(-2 * values[:, 3])[:, None]
    slopes = np.stack([ax, ay, square, -0.5 * scale * (x * x - y * y), -scale * x * y], axis=-1)
    return g, g[..., None] * slopes


def _parts(place, values):
    form = _forms(values)
    x = place[..., 0] - values[:, 1:2]
    y = place[..., 1] - values[:, 2:3]
    ax = form[:, 0, 0, None] * x + form[:, 0, 1, None] * y
    ay = form[:, 0, 1, None] * x + form[:, 1, 1, None] * y
    square = x * ax + y * ay
    return np.exp(np.minimum(square, 200) * -0.5), x, y, ax, ay, square


def refine_shapes(
    windows: Windows,
    noise: NoiseModel,
    start: NDArray[np.float64],
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
    start : ndarray, shape (n, 6)
        As in :class:`Shapes`.
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
    order = np.argsort(windows.weight <= 0, axis=1, kind="stable")
    most = max(1, int((windows.weight > 0).sum(axis=1).max()))
    order = order[:, :most]

    def taken(array):
        index = order.reshape(order.shape + (1,) * (array.ndim - 2))
        return np.take_along_axis(array, index, axis=1)

    windows = replace(
        windows,
        **{
            name: taken(getattr(windows, name))
            for name in ("intensity", "weight", "place", "pixels", "inside")
        },
        known=None if windows.known is None else taken(windows.known),
    )
    everywhere, columns = columns, taken(columns)
    parts = []
    for first in range(0, len(start), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        few = replace(
            windows,
            intensity=windows.intensity[part],
            weight=windows.weight[part],
            known=None if windows.known is None else windows.known[part],
            place=windows.place[part],
            pixels=windows.pixels[part],
            inside=windows.inside[part],
        )
        parts.append(
            _refine(
                few, noise, start[part], columns[part], level[part], loose,
                population, largest, limits,
            )
        )
    values, covariance, smooth = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Shapes(values, covariance, (everywhere @ smooth[..., None])[..., 0])


def _refine(windows, noise, start, columns, level, loose, population, largest, limits):
    t = columns.shape[-1]
    farthest, narrowest, widest = limits
    longest = min(_LONGEST, 3 * float(population.spread[3:].mean()))
    place = windows.place
    data, used = windows.intensity, windows.weight
    values, smooth = start.copy(), level.copy()
    prior_mean = np.concatenate(
        [level, np.zeros((len(start), 1)), np.broadcast_to(population.mean, (len(start), 5))], 1
    )
    precision = np.concatenate(
        [
            np.full(level.shape, 1 / loose**2),
            np.full((len(start), 1), 1 / largest**2),
            np.broadcast_to(1 / population.spread**2, (len(start), 5)),
        ],
        1,
    )

    def clipped(values):
        values = values.copy()
        values[:, 1:3] = np.clip(values[:, 1:3], -farthest, farthest)
        values[:, 3] = np.clip(values[:, 3], np.log(narrowest), np.log(widest))
        apart = values[:, 4:] - population.mean[3:]
        norm = np.maximum(np.hypot(*apart.T), 1e-9)
        values[:, 4:] = population.mean[3:] + apart * np.minimum(1, longest / norm)[:, None]
        return values

    def model(values, smooth):
        g, slopes = unit_peaks(place, values)
        return (columns @ smooth[..., None])[..., 0], values[:, :1] * g, g, slopes

    def cost(values, smooth, weight):
        g = _parts(place, values)[0]
        background, peak = (columns @ smooth[..., None])[..., 0], values[:, :1] * g
        off = np.concatenate([smooth, values], 1) - prior_mean
        return (weight * (data - background - peak) ** 2).sum(1) + (precision * off**2).sum(1)

    background, peak, g, slopes = model(values, smooth)
    damping = np.full(len(start), 1e-3)
    for _ in range(_STEPS):
        variance = pixel_variance(windows, noise, np.maximum(background, 0) + np.maximum(peak, 0))
        weight = used / (variance + (_MISFIT * peak) ** 2)
        jacobian = np.concatenate(
            [columns, g[..., None], np.maximum(values[:, 0], 0)[:, None, None] * slopes], -1
        )
        scaled = jacobian * weight[..., None]
        normal = np.swapaxes(scaled, 1, 2) @ jacobian
        right = (np.swapaxes(scaled, 1, 2) @ (data - background - peak)[..., None])[..., 0]
        state = np.concatenate([smooth, values], 1)
        right -= precision * (state - prior_mean)
        diagonal = np.einsum("nkk->nk", normal) + precision
        normal = normal + precision[:, :, None] * np.eye(t + PARAMETERS)
        before = cost(values, smooth, weight)
        done = np.zeros(len(start), bool)
        for _ in range(_HALVINGS):
            damped = normal + (
                (damping[:, None] * diagonal + 1e-12 * diagonal.max(1, keepdims=True) + 1e-300)[:, :, None]
                * np.eye(t + PARAMETERS)
            )
            step = np.linalg.solve(damped, right[..., None])[..., 0]
            trial = clipped(values + step[:, t:])
            trial_smooth = smooth + step[:, :t]
            better = ~done & (cost(trial, trial_smooth, weight) <= before)
            values = np.where(better[:, None], trial, values)
            smooth = np.where(better[:, None], trial_smooth, smooth)
            done |= better
            damping = np.where(done, damping, damping * 10)
            if done.all():
                break
        damping = np.where(done, np.maximum(damping / 10, 1e-6), damping)
        gain = np.where(done, before - cost(values, smooth, weight), 0)
        if gain.max() < _SETTLED:
            background, peak, g, slopes = model(values, smooth)
            break
        background, peak, g, slopes = model(values, smooth)
    scale = np.sqrt(np.maximum(np.einsum("nkk->nk", normal), 1e-300))
    inverse = np.linalg.inv(normal / (scale[:, :, None] * scale[:, None, :]) + 1e-10 * np.eye(t + PARAMETERS))
    covariance = (inverse / (scale[:, :, None] * scale[:, None, :]))[:, t:, t:]
    return values, covariance, smooth


def peak_reach(
    shapes: Shapes, level: NDArray[np.float64], doubt: float
) -> NDArray[np.float64]:
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
    angle = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    height = np.maximum(shapes.values[:, 0], 0)[:, None]
    turned = np.linalg.cholesky(shapes.forms)  # Q = L Lᵀ
    reach = np.zeros(len(height))
    for end in _ENDS:
        towards = end * np.einsum("nij,kj->nki", turned, unit)  # Q·u for u on the ellipse
        ones = np.ones((len(height), _DIRECTIONS))
        slope = np.stack(
            [
                ones,
                height * towards[..., 0],
                height * towards[..., 1],
                height * end**2 * ones,
                -0.5 * height * end**2 * np.cos(2 * angle),
                -0.5 * height * end**2 * np.sin(2 * angle),
            ],
            axis=-1,
        )
        spread = np.sqrt(np.maximum(np.einsum("nki,nij,nkj->nk", slope, shapes.covariance, slope), 0))
        highest = np.exp(-(end**2) / 2) * (height + doubt * spread).mean(axis=1)
        reach = np.where(highest > level, end, reach)
    return reach
