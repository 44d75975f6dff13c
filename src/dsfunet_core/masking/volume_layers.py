"""Layers of a volume's mask, found slab by slab.

Every function gives what is out in one slab of the first axis; what depends on the rest of the
volume is looked up in passes before. However thick the slabs are, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.lattice import q_matrix
from dsfunet_core.masking.ellipsoids import ROUNDING, ellipsoid
from dsfunet_core.masking.neighbours import neighbour_medians
from dsfunet_core.masking.noise import NoiseModel
from dsfunet_core.masking.outliers import MARGIN, NEIGHBOURS, PEAK, median_bound, stands_out
from dsfunet_core.masking.positions import positions_between
from dsfunet_core.masking.rings import Ring, rings_in_sectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.masking.volume_slabs import MaskedVolume

__all__ = ["bragg", "find_shells", "hot_voxels", "shells", "stray_peaks", "unseen"]

#: One slab of the first axis → what is out of it, shape (n, n1, n2).
Judge = Callable[[slice], "NDArray[np.bool_]"]

#: Neighbours of hot voxels and of stray peaks are so many voxels away.
_NEXT, _AROUND = 1, 5
#: Voxels that rings are looked for in, at most, and sectors of direction: bands of equal area
#: times azimuths.
_SAMPLE, _BANDS, _AZIMUTHS = 2_000_000, 6, 12


def unseen(source: MaskedVolume, observations: float) -> Judge:
    """Voxels that hardly any observation was merged into.

    Parameters
    ----------
    source : MaskedVolume
        The volume; without counts nothing is out.
    observations : float
        How many are needed at least.
    """

    def judge(part: slice) -> NDArray[np.bool_]:
        counts = source.volume.counts
        if counts is None:
            return np.zeros((part.stop - part.start, *source.volume.shape[1:]), dtype=bool)
        return np.nan_to_num(np.asarray(counts[part], float)) < observations

    return judge


def shells(source: MaskedVolume, rings: Sequence[Ring]) -> Judge:
    """Voxels at given |Q|.

    Parameters
    ----------
    source : MaskedVolume
        The volume.
    rings : sequence of Ring
        |Q| and half-widths [Å⁻¹].
    """

    def judge(part: slice) -> NDArray[np.bool_]:
        out = np.zeros((part.stop - part.start, *source.volume.shape[1:]), dtype=bool)
        for layer in range(part.start, part.stop):
            q = np.linalg.norm(source.q(layer), axis=-1)
            for ring in rings:
                out[layer - part.start] |= np.abs(q - ring.q) <= ring.half_width
        return out

    return judge


def bragg(
    source: MaskedVolume,
    size: Any,
    *,
    centring: str,
    space_group: str | None,
    satellites: Sequence[Any],
    satellite_order: int,
) -> dict[str, Judge]:
    """Ellipsoids around all lattice points, and around all satellites.

    Parameters
    ----------
    source : MaskedVolume
        The volume.
    size : float or array_like
        As :func:`dsfunet_core.masking.ellipsoids.ellipsoid` takes it [Å⁻¹].
    centring, space_group, satellites, satellite_order
        As in :func:`dsfunet_core.masking.mask_bragg`.

    Returns
    -------
    dict of str to callable
        For ``"bragg"``, and for ``"satellites"`` where some are given.
    """
    volume = source.volume
    tensor = ellipsoid(size)
    step_q = q_matrix(volume.cell) @ np.asarray(volume.steps, float)
    # In voxels: pᵀ E p ≤ 1, and how far that reaches along each axis.
    matrix = step_q.T @ tensor @ step_q
    half = np.sqrt(np.diag(np.linalg.inv(matrix)))
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1).T
    hkl, order = positions_between(
        volume.hkl(ends),
        volume.cell,
        float(1 / np.sqrt(np.linalg.eigvalsh(tensor).min())),
        centring=centring,
        space_group=space_group,
        satellites=satellites,
        satellite_order=satellite_order,
    )
    centres = volume.index(hkl)

    def judge_of(points: NDArray[np.float64]) -> Judge:
        def judge(part: slice) -> NDArray[np.bool_]:
            shape = (part.stop - part.start, *volume.shape[1:])
            out = np.zeros(shape, dtype=bool)
            own = points - (part.start, 0, 0)
            first = np.maximum(np.ceil(own - half - 1e-9), 0).astype(int)
            last = np.minimum(np.floor(own + half + 1e-9) + 1, shape).astype(int)
            for i in np.flatnonzero((last > first).all(axis=1)):
                window = tuple(slice(a, b) for a, b in zip(first[i], last[i], strict=True))
                apart = np.moveaxis(np.mgrid[window], 0, -1) - own[i]
                squared = np.einsum("...i,ij,...j", apart, matrix, apart)
                out[window] |= squared <= 1 + ROUNDING
            return out

        return judge

    judges = {"bragg": judge_of(centres[order == 0])}
    if len(satellites):
        judges["satellites"] = judge_of(centres[order > 0])
    return judges


def hot_voxels(
    source: MaskedVolume, noise: NoiseModel, threshold: float, largest: int
) -> tuple[Judge, int]:
    """Voxels that stand out of their 26 neighbours and are few in some section.

    Parameters
    ----------
    source : MaskedVolume
        The volume.
    noise : NoiseModel
        Of its intensities.
    threshold : float
        As in :func:`dsfunet_core.masking.mask_hot_pixels`.
    largest : int
        Most touching voxels in a section along two axes.

    Returns
    -------
    judge : callable
        For a slab.
    margin : int
        Layers that it reads on both sides.
    """
    margin = _NEXT + largest + 1

    def few(high: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return high & (_least_section(high) <= largest)

    return _outliers(source, noise, threshold, _NEXT, margin, few), margin


def stray_peaks(source: MaskedVolume, noise: NoiseModel, threshold: float) -> tuple[Judge, int]:
    """Peaks that stand out of voxels five away, three or more across in every section.

    Parameters
    ----------
    source : MaskedVolume
        The volume.
    noise : NoiseModel
        Of its intensities.
    threshold : float
        As in :func:`dsfunet_core.masking.mask_stray_peaks`.

    Returns
    -------
    judge : callable
        For a slab; peaks are two voxels wider all around than what stands out.
    margin : int
        Layers that it reads on both sides.
    """
    from scipy.ndimage import binary_dilation

    margin = _AROUND + PEAK + MARGIN
    reach = np.mgrid[-MARGIN : MARGIN + 1, -MARGIN : MARGIN + 1, -MARGIN : MARGIN + 1]
    ball = (reach**2).sum(axis=0) <= (MARGIN + 0.5) ** 2

    def widened(high: NDArray[np.bool_]) -> NDArray[np.bool_]:
        peaks = high & (_least_section(high) >= PEAK)
        return np.asarray(binary_dilation(peaks, ball)) if peaks.any() else peaks

    return _outliers(source, noise, threshold, _AROUND, margin, widened), margin


def _outliers(
    source: MaskedVolume,
    noise: NoiseModel,
    threshold: float,
    stride: int,
    margin: int,
    chosen: Callable[[NDArray[np.bool_]], NDArray[np.bool_]],
) -> Judge:
    def judge(part: slice) -> NDArray[np.bool_]:
        slab = source.read(part, margin)
        out = np.zeros((part.stop - part.start, *source.volume.shape[1:]), dtype=bool)
        for outer, inner in slab.tiles(margin):
            values = np.ascontiguousarray(slab.values[outer])
            valid = np.isfinite(values)
            if not valid.any():
                continue
            known = None if slab.variance is None else slab.variance[outer]
            high = _stands_out(values, known, noise, threshold, stride, -1, valid)
            # A layer of diffuse scattering stands out of what lies on both sides of it, but
            # not of itself.
            for across in range(3):
                if high.any():
                    high &= _stands_out(values, known, noise, threshold, stride, across, high)
            first = outer[1].start + inner[1].start, outer[2].start + inner[2].start
            picked = chosen(high)[inner]
            rows, columns = picked.shape[1:]
            out[:, first[0] : first[0] + rows, first[1] : first[1] + columns] = picked
        return out

    return judge


def _stands_out(
    values: NDArray[np.float64],
    known: NDArray[np.float64] | None,
    noise: NoiseModel,
    threshold: float,
    stride: int,
    across: int,
    wanted: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Voxels far above their neighbours, in all directions or in the section across an axis.

    Only those that are wanted are looked at. Where a section holds too few neighbours, it does
    not object.
    """
    valid = np.isfinite(values)
    if known is not None:
        known = np.ascontiguousarray(known)
        noise = NoiseModel(noise.constant, noise.gain, known)
    # Medians are dear, and most voxels are plainly no brighter than their neighbours.
    bound = np.where(wanted, median_bound(values, noise, threshold), -np.inf)
    expected, spread, neighbours = neighbour_medians(values, stride, across, bound)
    around = None
    if known is not None:
        bound = np.where(np.isfinite(expected), np.inf, -np.inf)
        variances = np.where(valid, known, np.nan)
        around = neighbour_medians(variances, stride, across, bound)[0]
    judged = valid & (neighbours >= NEIGHBOURS)
    high = stands_out(values, judged, expected, spread, noise, threshold, around)
    return high if across < 0 else high | (valid & ~judged)


def _least_section(high: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Voxels of the cluster around each voxel, in that section along two axes with fewest.

    A peak is several voxels across in all three; the trace of a hot pixel of the detector
    is long, but thin in at least one.
    """
    from scipy.ndimage import label

    least = np.full(high.shape, np.iinfo(np.int64).max)
    for axis in range(3):
        structure = np.zeros((3, 3, 3), dtype=bool)
        middle: list[Any] = [slice(None)] * 3
        middle[axis] = 1
        structure[tuple(middle)] = True
        labels, _ = label(high, structure)
        np.minimum(least, np.bincount(labels.ravel())[labels], out=least)
    return least


def find_shells(source: MaskedVolume, noise: NoiseModel) -> list[Ring]:
    """Look for powder rings, which are shells in a volume.

    Parameters
    ----------
    source : MaskedVolume
        Every so many voxels along each axis are looked at, two million at most.
    noise : NoiseModel
        Of its intensities.

    Returns
    -------
    list of Ring
        Innermost first.

    Notes
    -----
    As :func:`dsfunet_core.masking.find_rings` does, with 72 sectors of direction, six bands
    of equal area times twelve azimuths, in place of sectors of azimuth.
    """
    n0 = source.volume.shape[0]
    step = max(1, int(np.ceil((np.prod(source.volume.shape) / _SAMPLE) ** (1 / 3))))
    values, lengths, sectors = [], [], []
    for layer in range(0, n0, step):
        intensity = source.read(slice(layer, layer + 1)).values[0, ::step, ::step]
        used = np.isfinite(intensity)
        q = source.q(layer, step)[used]
        length = np.linalg.norm(q, axis=-1)
        height = q[:, 2] / np.maximum(length, 1e-12)
        band = np.clip(((height + 1) / 2 * _BANDS).astype(np.int64), 0, _BANDS - 1)
        turn = (np.arctan2(q[:, 1], q[:, 0]) + np.pi) / (2 * np.pi)
        azimuth = np.clip((turn * _AZIMUTHS).astype(np.int64), 0, _AZIMUTHS - 1)
        values.append(intensity[used])
        lengths.append(length)
        sectors.append(band * _AZIMUTHS + azimuth)
    length = np.concatenate(lengths)
    if not length.size:
        return []
    steps = q_matrix(source.volume.cell) @ np.asarray(source.volume.steps, float)
    width = float(np.cbrt(abs(np.linalg.det(steps))))
    index = ((length - length.min()) / width).astype(np.int64)
    return rings_in_sectors(
        np.concatenate(values),
        index,
        np.concatenate(sectors),
        centres=length.min() + (np.arange(index.max() + 1) + 0.5) * width,
        sectors=_BANDS * _AZIMUTHS,
        noise=noise,
    )
