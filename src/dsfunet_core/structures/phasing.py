"""Density of a molecule from its form factor, where the other species is a vacancy.

With nothing in place of B, I_FF is |F_A|², and on a plane through the origin of reciprocal
space F_A is the transform of A's density projected along the plane's normal. The molecule
is far smaller than the field of view that the pixels resolve, so the intensities fix the
phases up to a shift and an inversion, which iterative projections find: relaxed averaged
alternating reflections (Luke, Inverse Problems 21 (2005) 37) with a support that shrinks onto
the density (Marchesini et al., Phys. Rev. B 68 (2003) 140101).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from dsfunet_core.errors import GeometryError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization

__all__ = ["ProjectedDensity", "project_density"]

#: Relaxation, cycles of reflections and of plain projections, starts.
RELAXATION, CYCLES, POLISH, STARTS = 0.87, 360, 60, 12
#: Cycles between two looks at the support, blurs at first and at last [Å], threshold.
SHRINK_EVERY, BLURS, THRESHOLD = 24, (1.0, 0.5), 0.08
#: How far a plane may miss the origin [Å⁻¹].
THROUGH_ORIGIN = 0.02
#: R factors nearer than this to the best belong to the same solution, if they look alike.
SAME_R = 0.02


@dataclass(frozen=True, eq=False)
class ProjectedDensity:
    """Projected density of the molecule, up to a shift and an inversion.

    Parameters
    ----------
    density : ndarray, shape (n, m)
        Per Å², on the scale of √I_FF; broadened by the resolution.
    steps : ndarray, shape (2, 2)
        Columns: displacement in the plane [Å] per row and column, along the plane's two
        Cartesian axes, which `axes` gives.
    axes : ndarray, shape (3, 2)
        Those axes in the crystal's Cartesian frame.
    r_factor : float
        Σ||F_obs| − |F_calc|| / Σ|F_obs| over what was measured.
    agreement : float
        Mean correlation between the best solution and the other starts': near 1 where all
        came to the same density, low where the answer depends on the start and must not be
        believed.
    starts : int
        Random starts.
    """

    density: NDArray[np.float64]
    steps: NDArray[np.float64]
    axes: NDArray[np.float64]
    r_factor: float
    agreement: float
    starts: int


def project_density(
    result: Factorization,
    *,
    extent: float | None = None,
    starts: int = STARTS,
    seed: int = 0,
    callback: Callable[[int, int, str], None] | None = None,
) -> ProjectedDensity:
    """Recover the projected density of A from a form factor, where B is a vacancy.

    Parameters
    ----------
    result : Factorization
        Of a plane through the origin, hk0 say.
    extent : float, optional
        Largest distance between two atoms [Å]; the support that the lattice method found
        when left out.
    starts : int
        Random starts; the answer is the one that agrees best with the intensities.
    seed : int
        Of the starts.
    callback : callable, optional
        Called with (start, starts, message).

    Returns
    -------
    ProjectedDensity
        Look at ``agreement`` first.

    Raises
    ------
    GeometryError
        If the plane has no cell, or does not run through the origin.
    ParameterError
        If the extent is not known or too large for the pixels.
    """
    amplitude, seen, q_steps, axes = _centred(result)
    if extent is None:
        extent = result.choices.get("support")
    if extent is None or not extent > 0:
        raise ParameterError(
            f"extent = {extent}: give the largest distance between two atoms of the molecule "
            "in Å; only the lattice method finds it."
        )
    shape = amplitude.shape
    steps = 2 * np.pi * np.linalg.inv(q_steps).T / shape
    y, x = (fft.fftfreq(n, 1 / n) for n in shape)
    place = steps[:, :1] * np.repeat(y, len(x)) + steps[:, 1:] * np.tile(x, len(y))
    radius = np.hypot(*place).reshape(shape)
    # Jung: a set of diameter d lies in a circle of radius d/√3.
    circle = radius <= extent / np.sqrt(3) + 0.7
    if not 9 < circle.sum() < circle.size / 4:
        raise ParameterError(
            f"extent = {extent:g} Å is {'too large for' if circle.sum() > 9 else 'below'} what "
            f"the plane's pixels resolve (field of view {2 * radius.max():.0f} Å)."
        )
    # A Gaussian that falls to a tenth at the edge keeps the density free of ripples.
    q2 = _q2(shape, q_steps)
    damping = np.log(10) / q2[seen].max()
    target = (amplitude * np.exp(-damping * q2)).astype(np.float32)
    blurs = [width / np.abs(np.linalg.det(steps)) ** 0.5 for width in BLURS]
    found = []
    for number in range(starts):
        if callback is not None:
            callback(number, starts, f"start {number + 1}")
        rng = np.random.default_rng([seed, number])
        found.append(_solve(target, seen, circle, blurs, rng))
    found.sort(key=lambda pair: pair[0])
    best = found[0][1]
    near = [d for r, d in found[1:] if r < found[0][0] + SAME_R]
    likeness = [_likeness(best, other) for other in near]
    agreement = float(np.sum(likeness) / max(len(found) - 1, 1))
    return ProjectedDensity(
        fft.fftshift(_in_the_middle(best)), steps, axes, found[0][0], agreement, starts
    )


def _centred(
    result: Factorization,
) -> tuple[NDArray, NDArray[np.bool_], NDArray, NDArray]:
    """√I_FF with Q = 0 at index (0, 0), what was seen, Q steps and axes of the plane."""
    plane = result.plane
    cell, _, _ = plane.geometry()
    from dsfunet_core.lattice import q_matrix

    to_q = q_matrix(cell)
    origin, steps = to_q @ plane.geometry()[1], to_q @ plane.geometry()[2]
    axes = np.linalg.qr(steps)[0]
    axes = axes * np.sign(np.diag(axes.T @ steps))
    missed = float(np.linalg.norm(origin - axes @ (axes.T @ origin)))
    if missed > THROUGH_ORIGIN:
        raise GeometryError(
            f"plane {plane.name!r} passes the origin at {missed:.3g} Å⁻¹. The projected "
            "density needs a plane through it, such as hk0."
        )
    middle = -np.linalg.solve(axes.T @ steps, axes.T @ origin)
    half = np.floor(np.minimum(middle, np.array(plane.shape) - 1 - middle)).astype(int)
    if half.min() < 8:
        raise GeometryError(
            f"the origin lies at pixel {middle.round(1).tolist()} of plane {plane.name!r}, at "
            "its edge; it must be well inside."
        )
    index = [np.arange(-n, n + 1) for n in half]
    points = [fft.ifftshift(k) + m for k, m in zip(index, middle, strict=True)]
    grid = np.meshgrid(*points, indexing="ij")
    intensity = ndimage.map_coordinates(result.form_factor, grid, order=3, mode="nearest")
    seen = ndimage.map_coordinates(plane.valid.astype(float), grid, order=1) > 0.99
    # Friedel: a pixel is known if its opposite was measured.
    opposite = tuple(np.meshgrid(*(-np.arange(2 * n + 1) for n in half), indexing="ij"))
    twice = seen.astype(float) + seen[opposite]
    mean = np.where(seen, intensity, 0) + np.where(seen[opposite], intensity[opposite], 0)
    mean = np.where(twice > 0, mean / np.maximum(twice, 1), 0)
    return np.sqrt(np.maximum(mean, 0)), twice > 0, axes.T @ steps, axes


def _q2(shape: tuple[int, ...], q_steps: NDArray) -> NDArray[np.float64]:
    y, x = (fft.fftfreq(n, 1 / n) for n in shape)
    q = q_steps[:, 0, None, None] * y[:, None] + q_steps[:, 1, None, None] * x
    return np.einsum("irc,irc->rc", q, q)


def _solve(
    target: NDArray,
    seen: NDArray[np.bool_],
    circle: NDArray[np.bool_],
    blurs: list[float],
    rng: np.random.Generator,
) -> tuple[float, NDArray[np.float32]]:
    """R factor and density of one random start."""
    half = seen[:, : seen.shape[1] // 2 + 1]
    known = target[:, : half.shape[1]]
    shape = target.shape
    support = circle
    density: NDArray[np.floating] = (circle * rng.random(shape)).astype(np.float32)

    def measured(image: NDArray) -> NDArray:
        spectrum = fft.rfft2(image)
        size = np.abs(spectrum)
        scaled = spectrum * (known / np.maximum(size, 1e-12))
        return np.asarray(fft.irfft2(np.where(half, scaled, spectrum), s=shape))

    def inside(image: NDArray) -> NDArray:
        return np.where(support & (image > 0), image, 0)

    for cycle in range(CYCLES):
        fitted = measured(density)
        reflected = 2 * fitted - density
        # β/2 (R_S R_M + 1) + (1 − β) P_M, written with projections.
        density = RELAXATION * (inside(reflected) + density) + (1 - 2 * RELAXATION) * fitted
        if (cycle + 1) % SHRINK_EVERY == 0:
            part = cycle / CYCLES
            width = blurs[0] + (blurs[1] - blurs[0]) * part
            smooth = ndimage.gaussian_filter(np.maximum(fitted, 0), width, mode="wrap")
            support = circle & (smooth > THRESHOLD * smooth[circle].max())
    density = inside(measured(density))
    for _ in range(POLISH):
        density = inside(measured(density))
    size = np.abs(fft.rfft2(density))
    scale = (size * known)[half].sum() / max((size**2)[half].sum(), 1e-30)
    misfit = np.abs(known - scale * size)[half].sum() / known[half].sum()
    return float(misfit), (scale * density).astype(np.float32)


def _in_the_middle(density: NDArray) -> NDArray:
    """Density with its centre of mass at index (0, 0)."""
    phase = [
        np.angle((density.sum(axis=1 - k) * np.exp(2j * np.pi * np.arange(n) / n)).sum())
        for k, n in enumerate(density.shape)
    ]
    shift = [-round(p / (2 * np.pi) * n) for p, n in zip(phase, density.shape, strict=True)]
    return np.asarray(np.roll(density, shift, axis=(0, 1)))


def _likeness(first: NDArray, second: NDArray) -> float:
    """Largest correlation of two densities over shifts and the inversion."""
    a, b = (image - image.mean() for image in (first, second))
    spectrum = fft.rfft2(a)
    other = fft.rfft2(b)
    size = np.sqrt((a**2).sum() * (b**2).sum())
    direct = fft.irfft2(spectrum * other.conj(), s=first.shape).max()
    inverted = fft.irfft2(spectrum * other, s=first.shape).max()
    return float(max(direct, inverted) / max(size, 1e-30))
