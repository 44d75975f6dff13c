"""Gaps in volumes: regions of zeros that reach through many slabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.masking.noise import NoiseModel
from dsfunet_core.masking.shadows import AROUND, FEW, IMPROBABLE, LIT_GAP, NARROW, RIM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.masking.volume_slabs import MaskedVolume

__all__ = ["gaps"]

_Passed = Callable[[int, int], None]


def gaps(
    source: MaskedVolume,
    values: tuple[float, ...],
    noise: NoiseModel,
    typical: float,
    passed: _Passed,
) -> tuple[Callable[[slice], NDArray[np.bool_]], list[slice]]:
    """Voxels of a detector's gaps.

    Parameters
    ----------
    source : MaskedVolume
        The volume.
    values : tuple of float
        Numbers that detectors write where they have no pixels.
    noise : NoiseModel
        Of its intensities.
    typical : float
        Their mean.
    passed : callable
        Called with (step, total) while regions are looked for.

    Returns
    -------
    judge : callable
        For one of the slabs: what is out of it.
    slabs : list of slice
        The slabs, and no others, that it takes.

    Notes
    -----
    Zeros are judged region by region. A region runs through as many slabs as it likes: the
    slabs are labelled one by one, labels that touch are joined, and what is expected in a
    region is summed up before any of it is masked.
    """
    gain = noise.gain
    if gain <= 0:
        slabs = source.slabs()

        def numbers(part: slice) -> NDArray[np.bool_]:
            return np.isin(source.read(part).values, values)

        return numbers, slabs
    counts = typical / gain
    side = NARROW if counts >= FEW else int(np.ceil(np.cbrt(IMPROBABLE / max(counts, 0.05))))
    side = max(side, NARROW)
    slabs = source.slabs(_margin(side))
    regions = _Regions()
    for number, part in enumerate(slabs):
        passed(number, len(slabs))
        regions.add(*_zeros(source, part, values, side))
    out = regions.improbable(gain, LIT_GAP * counts)

    def judge(part: slice) -> NDArray[np.bool_]:
        named, labels, _ = _zeros(source, part, values, side)
        return named | out[slabs.index(part)][labels]

    return judge, slabs


def _margin(side: int) -> int:
    return side + RIM + AROUND // 2 + 1


def _zeros(
    source: MaskedVolume, part: slice, values: tuple[float, ...], side: int
) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.float64]]:
    """Voxels with one of the values, labels of zeros, and what is around these, in a slab."""
    from scipy.ndimage import binary_dilation, binary_opening, label, uniform_filter

    slab = source.read(part, _margin(side))
    shape = slab.values[slab.core].shape
    named = np.zeros(shape, dtype=bool)
    empty, mean = np.zeros(shape, dtype=bool), np.full(shape, np.nan)
    for outer, inner in slab.tiles(_margin(side)):
        own = slab.values[outer]
        out = np.isin(own, values)
        used = np.isfinite(own) & ~out
        zeros = binary_opening(used & (own == 0), np.ones((side, side, side)))
        beside = binary_dilation(zeros, iterations=RIM) & ~zeros & used
        number = uniform_filter(beside.astype(float), AROUND, mode="constant")
        total = uniform_filter(np.where(beside, own, 0.0), AROUND, mode="constant")
        around = np.where(number > 0.5 / AROUND**3, total / np.maximum(number, 1e-9), np.nan)
        first = outer[1].start + inner[1].start, outer[2].start + inner[2].start
        rows, columns = out[inner].shape[1:]
        place = (
            slice(None),
            slice(first[0], first[0] + rows),
            slice(first[1], first[1] + columns),
        )
        named[place], empty[place], mean[place] = out[inner], zeros[inner], around[inner]
    labels = label(empty)[0].astype(np.int32)
    return named, labels, mean


class _Regions:
    """Regions of labels that touch from slab to slab, and what was summed up in them."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        #: Voxels, voxels with something around them, and the sum of that.
        self.sums: list[NDArray[np.float64]] = []
        self.first: list[int] = []
        self.last: NDArray[np.int64] | None = None

    def add(
        self, named: NDArray[np.bool_], labels: NDArray[np.int32], mean: NDArray[np.float64]
    ) -> None:
        """One more slab; its labels begin with 1."""
        del named
        n, start = int(labels.max(initial=0)), len(self.parent)
        self.first.append(start)
        self.parent.extend(range(start, start + n))
        flat, known = labels.ravel(), np.isfinite(mean).ravel()
        sizes = np.bincount(flat, minlength=n + 1)
        seen = np.bincount(flat, known, minlength=n + 1)
        total = np.bincount(flat, np.where(known, mean.ravel(), 0.0), minlength=n + 1)
        self.sums.extend(np.stack([sizes, seen, total], axis=1)[1:])
        face = np.where(labels > 0, labels.astype(np.int64) + start - 1, -1)
        if self.last is not None:
            touching = (self.last >= 0) & (face[0] >= 0)
            for a, b in np.unique(
                np.stack([self.last[touching], face[0][touching]], axis=1), axis=0
            ):
                self.parent[self._root(int(a))] = self._root(int(b))
        self.last = face[-1]

    def _root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def improbable(self, gain: float, least: float) -> list[NDArray[np.bool_]]:
        """Per slab, by label, whether a region without counts is no chance; label 0 is not."""
        roots = np.array([self._root(i) for i in range(len(self.parent))], dtype=np.int64)
        sums = np.zeros((len(roots), 3))
        np.add.at(sums, roots, np.array(self.sums).reshape(-1, 3))
        size, seen, total = sums[roots].T
        expected = total / np.maximum(seen, 1) / gain
        out = (expected * size > IMPROBABLE) & (expected > least)
        ends = [*self.first[1:], len(roots)]
        return [
            np.concatenate([[False], out[a:b]]) for a, b in zip(self.first, ends, strict=True)
        ]
