"""Project a plane's short-range order into one reciprocal unit cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.plane_symmetry import plane_operations
from dsfunet_core.refine.unit_cell_map import UnitCellMap
from dsfunet_core.symmetry import check_cell, laue_class_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice

__all__ = ["UnitCellMap", "project"]

#: Fewest degrees of freedom from which the scatter of samples is estimated.
_ENOUGH = 10


def project(
    target: Factorization | ReciprocalPlane,
    *,
    threshold: float = 0.05,
    laue_class: str | None = None,
    bins: tuple[int, int] = (48, 48),
    source: Literal["auto", "ratio", "sro"] = "auto",
) -> UnitCellMap:
    """Fold the observed short-range order into one reciprocal unit cell.

    Section 3.2.1 of Fuller & Rudden (2024), after Schmidt & Neder (2017). Every measured
    pixel is a sample at its own in-plane coordinates modulo 1; nothing is interpolated.

    Parameters
    ----------
    target : Factorization or ReciprocalPlane
        A plane that was not factorized is folded as it is, as if its form factor were 1.
    threshold : float
        Pixels whose form factor is below this fraction of its maximum are left out. (The
        paper cuts by intensity. That would leave out the minima of I_SRO itself.)
    laue_class : str, optional
        Laue class to impose. Each sample then contributes at every equivalent position
        in the plane. The class the plane's file gives when left out; none where it gives
        none.
    bins : tuple of int
        Bins along the two in-plane vectors; take at least eight per shell of neighbours.
    source : {"auto", "ratio", "sro"}
        ``"ratio"``: (intensity − background) / form factor, the observation.
        ``"sro"``: the I_SRO image, where that is the result, as for the network (the
        paper's way). ``"auto"``: the image for the method "network", else the ratio.

    Returns
    -------
    UnitCellMap
        Means, variances and counts in bins, NaN where there is no sample.

    Raises
    ------
    ParameterError
        If a parameter is outside what is allowed, or no pixel is left.
    GeometryError
        If the plane has no lattice, or its cell contradicts the Laue class.

    Notes
    -----
    With weights w of the intensity (1/variance up to scale), a ratio has the weight
    w·form_factor²; without them, and for I_SRO images, all samples weigh the same. The
    scale of the weights comes from the scatter of the samples in the bins, about their
    mean and slope. It holds what differs between equivalent pixels, errors of the form
    factor included, but not an error common to them.
    """
    if not 0 <= threshold < 1:
        raise ParameterError(
            f"threshold={threshold!r} must lie in [0, 1): the fraction of the largest form "
            "factor below which pixels are left out; 0.05 is usual."
        )
    if len(bins) != 2 or any(n != int(n) or n < 4 for n in bins):
        raise ParameterError(f"bins={bins!r} must be two whole numbers of at least 4.")
    plane, lattice, chosen = _subject(target)
    laue = laue_class or plane.laue_class
    operations = None
    if laue is not None:
        laue = laue_class_named(laue).symbol
        if plane.cell is not None:
            check_cell(plane.cell, laue)
        operations = plane_operations(lattice, laue)
    values, weights, keep = _samples(target, threshold, chosen if source == "auto" else source)
    if not keep.any():
        raise ParameterError(
            f"no pixel of plane {plane.name!r} is valid and above threshold={threshold:g} "
            "of the largest form factor; lower the threshold or mask less."
        )
    pixels = np.argwhere(keep) - lattice.origin
    coordinates = pixels @ np.linalg.inv(lattice.basis).T
    folded = _fold(
        coordinates, values[keep], weights[keep], operations, (int(bins[0]), int(bins[1]))
    )
    return UnitCellMap(
        **vars(folded),
        lattice=lattice,
        cell=plane.cell,
        laue_class=laue,
        threshold=float(threshold),
        source=(chosen if source == "auto" else source)
        if isinstance(target, Factorization)
        else "intensity",
    )


def _subject(
    target: Factorization | ReciprocalPlane,
) -> tuple[ReciprocalPlane, PlaneLattice, Literal["ratio", "sro"]]:
    """Plane, lattice and what to fold by default."""
    if isinstance(target, ReciprocalPlane):
        return target, target.lattice, "ratio"
    if not isinstance(target, Factorization):
        raise ParameterError(
            f"target is a {type(target).__name__}; give a Factorization or a ReciprocalPlane."
        )
    lattice = target.lattice
    if lattice is None:
        if not target.plane.has_geometry:
            raise GeometryError(
                f"plane {target.plane.name!r} has no lattice, so there is no cell to fold "
                "into. Give the plane its cell, origin and steps."
            )
        lattice = target.plane.lattice
    return target.plane, lattice, "sro" if target.method == "network" else "ratio"


def _samples(
    target: Factorization | ReciprocalPlane, threshold: float, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """I_SRO, its weight, and whether it counts, for every pixel."""
    if source not in ("ratio", "sro"):
        raise ParameterError(f'source={source!r} must be "auto", "ratio" or "sro".')
    if isinstance(target, ReciprocalPlane):
        values = np.asarray(target.intensity, dtype=np.float64)
        weights = np.ones(target.shape)
        if target.variance is not None:
            weights = _inverse(np.asarray(target.variance, dtype=np.float64))
        return values, weights, target.valid & np.isfinite(values) & (weights > 0)
    plane, form_factor = target.plane, np.asarray(target.form_factor, dtype=np.float64)
    keep = plane.valid & (form_factor > 0)
    largest = form_factor[keep].max(initial=0.0)
    keep &= form_factor >= threshold * largest
    known = target.weights
    if known is None and plane.variance is not None:
        known = _inverse(np.asarray(plane.variance, dtype=np.float64))
    if known is not None:
        keep &= known > 0
    if source == "sro":
        return target.sro, np.ones(plane.shape), keep & np.isfinite(target.sro)
    signal = np.asarray(plane.intensity, dtype=np.float64)
    if target.background is not None:
        signal = signal - target.background
    values = np.divide(signal, form_factor, out=np.full(plane.shape, np.nan), where=keep)
    weights = np.ones(plane.shape) if known is None else known * form_factor**2
    return values, weights, keep & np.isfinite(values) & np.isfinite(weights)


def _inverse(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/variance, 0 where it is not positive and finite."""
    usable = np.isfinite(variance) & (variance > 0)
    return np.divide(1.0, variance, out=np.zeros(variance.shape), where=usable)


@dataclass(frozen=True, eq=False)
class _Folded:
    """The fields of a UnitCellMap that come from the samples."""

    values: NDArray[np.float64]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    spread: NDArray[np.float64]
    variance: NDArray[np.float64]
    scatter: float
    independent: float


def _fold(
    coordinates: NDArray[np.float64],
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    operations: tuple[NDArray[np.int64], NDArray[np.float64]] | None,
    bins: tuple[int, int],
) -> _Folded:
    """Bin samples and their copies.

    ``coordinates`` has shape (n, 2), ``values`` and ``weights`` (n,).
    """
    if operations is None:
        operations = np.eye(2, dtype=np.int64)[None], np.zeros((1, 2))
    size = bins[0] * bins[1]
    boxes, places = [], []
    for matrix, shift in zip(*operations, strict=True):
        scaled = ((coordinates @ matrix.T + shift) % 1) * bins
        index = np.minimum(scaled.astype(np.int64), np.array(bins) - 1)
        boxes.append(index[:, 0] * bins[1] + index[:, 1])
        # Position in the bin, in bins, counted from its centre: no loss of digits.
        places.append(scaled - index - 0.5)
    box, place = np.array(boxes), np.array(places)

    def total(quantity: NDArray[np.float64]) -> NDArray[np.float64]:
        spread_out = np.broadcast_to(quantity, box.shape)
        sums = np.bincount(box.ravel(), spread_out.ravel(), minlength=size)
        return sums.astype(np.float64)

    summed = total(weights)
    filled = summed > 0
    norm = np.where(filled, summed, np.nan)
    mean = total(weights * values) / norm
    centre = np.stack([total(weights * place[..., k]) / norm for k in (0, 1)], axis=-1)
    second = np.empty((size, 2, 2))
    for j, k in ((0, 0), (0, 1), (1, 1)):
        moment = total(weights * place[..., j] * place[..., k]) / norm
        second[:, j, k] = second[:, k, j] = moment - centre[:, j] * centre[:, k]
    squared, count, here = _coincidences(box, weights, size)
    away = place[0] - centre[box[0]]
    residual = values - mean[box[0]] - (_slopes(mean, bins)[box[0]] * away).sum(axis=1)
    leverage = weights / summed[box[0]]
    freedom = float((1 - 2 * here * leverage + leverage * (squared / norm)[box[0]]).sum())
    # The residuals of the original samples give the variance at unit weight.
    scatter = float((weights * residual**2).sum() / freedom) if freedom > _ENOUGH else np.nan
    copies = len(box)
    corner = np.stack(np.divmod(np.arange(size), bins[1]), axis=-1)
    absolute = (corner + 0.5 + centre) / np.array(bins)
    shape = bins
    return _Folded(
        values=mean.reshape(shape),
        count=count.reshape(shape),
        weight=(summed / copies).reshape(shape),
        coordinates=absolute.reshape(*shape, 2),
        spread=(second / np.outer(bins, bins)).reshape(*shape, 2, 2),
        variance=(scatter * squared / norm**2).reshape(shape),
        scatter=scatter,
        independent=float(np.nansum(squared / norm) / copies),
    )


def _coincidences(
    box: NDArray[np.int64], weights: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Account for copies of one sample that fall into the same bin.

    Returns
    -------
    squared : ndarray, shape (size,)
        Σ m²·w over the different samples of a bin, m being how often each is in it.
    count : ndarray of int, shape (size,)
        Number of different samples in each bin.
    here : ndarray of int, shape (n,)
        m of every sample in the bin of its original.
    """
    squared: NDArray[np.float64] = np.zeros(size)
    count = np.zeros(size, dtype=np.int64)
    here = np.zeros(box.shape[1], dtype=np.int64)
    for c, boxes in enumerate(box):
        squared += np.bincount(boxes, weights, minlength=size)
        first = np.ones(len(boxes), dtype=bool)
        for other in box[:c]:
            same = boxes == other
            first &= ~same
            squared += np.bincount(boxes[same], 2 * weights[same], minlength=size)
        count += np.bincount(boxes[first], minlength=size)
        here += boxes == box[0]
    return squared, count, here


def _slopes(mean: NDArray[np.float64], bins: tuple[int, int]) -> NDArray[np.float64]:
    """Slope of I_SRO across every bin, by differences of its neighbours, shape (size, 2).

    It is signal, not noise; 0 where a neighbour is empty.
    """
    grid = mean.reshape(bins)
    slopes = [(np.roll(grid, -1, axis=k) - np.roll(grid, 1, axis=k)) / 2 for k in (0, 1)]
    return np.nan_to_num(np.stack(slopes, axis=-1)).reshape(-1, 2)
