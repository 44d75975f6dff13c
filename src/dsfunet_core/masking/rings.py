"""Powder rings: scattering of one |Q| at every azimuth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.masking.noise import NoiseModel, noise_model
from dsfunet_core.masking.radial import radial_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["Ring", "checked_ring", "find_rings", "mask_rings", "rings_in_sectors"]

#: Widths of the window in which the profile without rings is looked for, in ring widths.
_BASE = 4
#: Sectors of azimuth that a ring is looked for in, the fraction of those seen that must show
#: it, the fraction that must be seen, and their lower quartile over their median.
_SECTORS, _MOST, _SEEN, _EVEN = 36, 0.8, 0.5, 0.4


@dataclass(frozen=True)
class Ring:
    """A powder ring.

    Parameters
    ----------
    q : float
        |Q| of its middle [Å⁻¹], 2π included.
    half_width : float
        Half of what is masked [Å⁻¹].
    """

    q: float
    half_width: float


def mask_rings(
    plane: ReciprocalPlane, rings: Sequence[Ring | tuple[float, float]] | None = None
) -> ReciprocalPlane:
    """Mask powder rings.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell.
    rings : sequence of Ring or of (q, half-width), optional
        [Å⁻¹]; those of :func:`find_rings` when left out.

    Returns
    -------
    ReciprocalPlane
        Copy with these pixels in the mask layer ``"powder rings"``.

    Raises
    ------
    ParameterError
        If |Q| or a half-width is not above 0.
    """
    found = find_rings(plane) if rings is None else [checked_ring(r) for r in rings]
    q = plane.q_norm()
    out = np.zeros(plane.shape, dtype=bool)
    for ring in found:
        out |= np.abs(q - ring.q) <= ring.half_width
    return plane.masked(~out, "powder rings").processed(
        "mask_rings", rings=[[r.q, r.half_width] for r in found], found=rings is None
    )


def find_rings(
    plane: ReciprocalPlane, *, width: float = 0.06, threshold: float = 5.0
) -> list[Ring]:
    """Look for powder rings.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell. Mask its Bragg peaks first.
    width : float
        Largest full width of a ring [Å⁻¹].
    threshold : float
        Excess over the profile without rings, in standard deviations of the medians.

    Returns
    -------
    list of Ring
        Innermost first.

    Raises
    ------
    ParameterError
        If width or threshold is not above 0.

    Notes
    -----
    The median over |Q| bins of a pixel is taken in 36 sectors of azimuth each; from it
    goes the median of the bins around, over four ring widths. A ring is where this excess
    is significant over all sectors, positive in eight of ten, and even: diffuse scattering
    and Bragg peaks are bright at some azimuths only. Sectors as wide as half the
    repeat of a sixfold crystal would all see its peaks alike; these are a sixth of it.
    """
    for name, value in (("width", width), ("threshold", threshold)):
        if not (np.isfinite(value) and value > 0):
            raise ParameterError(f"{name} = {value}; more than 0 was expected.")
    bins = radial_bins(plane)
    sector = _sectors(plane)
    used = plane.valid & np.isfinite(plane.intensity)
    return rings_in_sectors(
        np.asarray(plane.intensity, float)[used],
        bins.index[used],
        sector[used],
        centres=bins.centres,
        sectors=_SECTORS,
        noise=noise_model(plane),
        nearest=_nearest(plane),
        width=width,
        threshold=threshold,
    )


def rings_in_sectors(
    values: NDArray[np.float64],
    index: NDArray[np.int64],
    sector: NDArray[np.int64],
    *,
    centres: NDArray[np.float64],
    sectors: int,
    noise: NoiseModel,
    nearest: float = 0.0,
    width: float = 0.06,
    threshold: float = 5.0,
) -> list[Ring]:
    """Look for rings, or shells, in intensities sorted by |Q| and direction.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Intensities.
    index, sector : ndarray of int, shape (n,)
        Bin of |Q| and sector of direction of each.
    centres : ndarray, shape (n_bins,)
        |Q| of the bins [Å⁻¹], evenly spaced.
    sectors : int
        How many sectors there are.
    noise : NoiseModel
        Of the intensities.
    nearest : float
        Least |Q| of the plane, were it infinite [Å⁻¹]: what is bright there is a spot. A ring
        has a hole as wide as itself.
    width, threshold : float
        As in :func:`find_rings`.

    Returns
    -------
    list of Ring
        Innermost first.
    """
    if len(centres) < 2:
        return []
    step = float(centres[1] - centres[0])
    profile, error = _sector_medians(
        values, sector * len(centres) + index, len(centres), sectors, noise
    )
    half = max(2, round(_BASE * width / 2 / step))
    base = _running_median(profile, half)
    # Statistics of counting, and what differs from bin to bin anyway.
    excess = profile - base
    scatter = 1.4826 * _running_median(np.abs(excess), 2 * half)
    sigma = np.hypot(error, scatter)
    seen = np.isfinite(excess) & (sigma > 0)
    n = seen.sum(axis=0)
    mean = np.where(seen, excess, 0).sum(axis=0) / np.maximum(n, 1)
    spread = np.where(seen, sigma, 0).sum(axis=0) / np.maximum(n, 1) ** 1.5
    up = ((excess > 0) & seen).sum(axis=0)
    quartile, middle = _quantiles(np.where(seen, excess, np.nan), n > 0)
    ring = (
        (quartile > _EVEN * middle)
        & (n >= _SEEN * sectors)
        & (mean > threshold * spread)
        & (up >= _MOST * n)
    )
    return [found for found in _runs(ring, centres, step, width) if _has_hole(found, nearest)]


def _has_hole(ring: Ring, nearest: float) -> bool:
    edges = np.array([ring.q - ring.half_width, ring.q + ring.half_width])
    inner, outer = np.sqrt(np.maximum(edges**2 - nearest**2, 0))
    return bool(inner >= outer - inner)


def _quantiles(
    excess: NDArray[np.float64], some: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower quartile and median over the sectors; 0 where none is seen."""
    out = np.zeros((2, excess.shape[1]))
    out[:, some] = np.nanquantile(excess[:, some], [0.25, 0.5], axis=0)
    return out[0], out[1]


def _frame(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two directions in the plane and its normal, rows, from the Q of its pixels."""
    return np.asarray(np.linalg.svd(q[[0, 0, -1, -1], [0, -1, 0, -1]] - q.mean((0, 1)))[2])


def _nearest(plane: ReciprocalPlane) -> float:
    """Distance of the plane from Q = 0 [Å⁻¹]."""
    q = plane.q()
    return float(abs(q[0, 0] @ _frame(q)[2]))


def _sectors(plane: ReciprocalPlane) -> NDArray[np.int64]:
    """Sector of azimuth of every pixel."""
    q = plane.q()
    in_plane = _frame(q)
    azimuth = np.arctan2(q @ in_plane[1], q @ in_plane[0])
    sector = ((azimuth + np.pi) / (2 * np.pi) * _SECTORS).astype(np.int64)
    return np.asarray(np.clip(sector, 0, _SECTORS - 1))


def _sector_medians(
    values: NDArray[np.float64],
    key: NDArray[np.int64],
    n: int,
    sectors: int,
    noise: NoiseModel,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median of every bin in every sector and its uncertainty, shape (sectors, n)."""
    order = np.lexsort((values, key))
    key, values = key[order], values[order]
    median, error = np.full(sectors * n, np.nan), np.full(sectors * n, np.nan)
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    for start, stop in zip(starts, np.append(starts[1:], len(key)), strict=True):
        count = stop - start
        if count < 3:
            continue
        middle = float(np.median(values[start:stop]))
        median[key[start]] = middle
        # The uncertainty of a median is 1.25 times that of a mean.
        error[key[start]] = 1.25 * np.sqrt(noise.variance(np.array(middle)) / count)
    return median.reshape(sectors, n), error.reshape(sectors, n)


def _running_median(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Median over 2·half + 1 columns, NaN left out; NaN where all are."""
    padded = np.pad(values, ((0, 0), (half, half)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=1)
    out = np.full(values.shape, np.nan)
    some = np.isfinite(windows).any(axis=-1)
    out[some] = np.nanmedian(windows[some], axis=-1)
    return out


def _runs(
    ring: NDArray[np.bool_], centres: NDArray[np.float64], step: float, width: float
) -> list[Ring]:
    """Neighbouring bins joined into rings, half a bin wider on either side."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ring, [False]]).astype(int)))
    rings = []
    for start, stop in edges.reshape(-1, 2):
        low, high = centres[start] - step, centres[stop - 1] + step
        if high - low <= 2 * width + 2 * step:
            rings.append(Ring(float((low + high) / 2), float((high - low) / 2)))
    return rings


def checked_ring(given: Ring | tuple[float, float]) -> Ring:
    """Ring as given by hand, refused where it cannot be.

    Parameters
    ----------
    given : Ring or tuple of float
        |Q| and half-width [Å⁻¹].

    Raises
    ------
    ParameterError
        If either is not above 0.
    """
    ring = given if isinstance(given, Ring) else Ring(*(float(x) for x in given))
    if not (np.isfinite([ring.q, ring.half_width]).all() and min(ring.q, ring.half_width) > 0):
        raise ParameterError(
            f"ring with |Q| = {ring.q} and half-width {ring.half_width}; both above 0 Å⁻¹ "
            "were expected."
        )
    return ring
