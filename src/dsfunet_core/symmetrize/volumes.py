"""Averages of volumes over a Laue class, in pieces where they are larger than memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.plane import ReciprocalVolume
from dsfunet_core.symmetrize.arrays import (
    BYTES,
    ArrayTarget,
    FileTarget,
    Target,
    Voxels,
    load,
)
from dsfunet_core.symmetrize.averaging import average_boxes, average_tile
from dsfunet_core.symmetrize.operations import (
    IndexOperations,
    closed_boxes,
    volume_maps,
)
from dsfunet_core.symmetrize.report import SymmetryReport
from dsfunet_core.symmetry import check_cell, laue_class_named

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["SymmetrizedVolume", "check_choice", "symmetrize_volume"]

Callback = Callable[[int, int, str], None]
#: Edge of the tiles that are interpolated one after the other [voxels].
EDGE = 64
_GIB = 2**30


@dataclass(frozen=True, eq=False)
class SymmetrizedVolume:
    """A volume averaged over its equivalents.

    Parameters
    ----------
    volume : ReciprocalVolume
        The average, its counts and its variances.
    report : SymmetryReport
        R_int, redundancy, coverage.
    """

    volume: ReciprocalVolume
    report: SymmetryReport


def symmetrize_volume(
    volume: ReciprocalVolume,
    laue_class: str | None = None,
    *,
    outliers: float | None = None,
    max_memory: float = 1.0,
    scratch: str | os.PathLike[str] | None = None,
    callback: Callback | None = None,
) -> SymmetrizedVolume:
    """Average a volume over the operations of a Laue class.

    Parameters
    ----------
    volume : ReciprocalVolume
        Read a piece at a time. What is masked or NaN does not contribute, and is filled
        wherever an equivalent was measured.
    laue_class : str, optional
        Hermann–Mauguin symbol; that of the volume when left out.
    outliers : float, optional
        Reject equivalents farther from their median than this many times their scatter
        (1.4826 × the median absolute deviation), 5 for example. With variances the scatter
        is at least an observation's own σ, so that few counts are no outliers. Orbits of
        fewer than four observations (three with variances) are left alone.
    max_memory : float
        What the arrays worked on may take [GiB].
    scratch : path-like, optional
        File to keep the averages in while the result is in use, needed if they do not fit
        into ``max_memory``. It is replaced.
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    SymmetrizedVolume
        In single precision, on the grid that the volume has.

    Raises
    ------
    ParameterError
        If no Laue class is known, a parameter is out of range, or there is no room.
    GeometryError
        If the cell contradicts the Laue class, or nothing was measured.

    See Also
    --------
    dsfunet_core.symmetrize.write_symmetrized : From file to file.

    Notes
    -----
    The mean over an orbit is weighted by counts where the volume has them, else by inverse
    variances, else equally:

        ⟨I⟩ = Σ w I / Σ w,    σ²(⟨I⟩) = Σ w² σ² / (Σ w)².

    Without variances σ² comes from the scatter of the n equivalents,
    Σ w (I − ⟨I⟩)² / ((n − 1) Σ w), and is NaN where n = 1. Counts are added up; without any,
    the result's counts are n. Every voxel counts once in its orbit, also on a symmetry
    element.

    Where all operations carry voxels to voxels, orbits are averaged one by one and their
    members get the same number to the last bit. Otherwise (oblique steps, Q = 0 between
    voxels, axes that were not stepped alike) each image is interpolated trilinearly; it
    counts if voxels that may be used carry half the weight.
    """
    symbol = check_choice(laue_class, volume.laue_class, outliers, volume.cell)
    if not max_memory > 0:
        raise ParameterError(f"max_memory={max_memory}; more than 0 GiB was expected.")
    operations = volume_maps(volume, symbol)
    voxels = int(max_memory * _GIB / BYTES)
    size = math.prod(volume.shape)
    target: Target
    if scratch is not None:
        target = FileTarget(Path(scratch), volume.shape)
    elif size <= voxels:
        target = ArrayTarget(volume.shape)
    else:
        raise ParameterError(
            f"the average of {' × '.join(map(str, volume.shape))} voxels takes "
            f"{size * BYTES / _GIB:.1f} GiB, more than max_memory={max_memory:g}. Give a "
            "scratch file, use write_symmetrized, or raise max_memory."
        )
    average = _permuted if operations.permuting else _interpolated
    sums = average(volume, operations, voxels, outliers or 0.0, target, callback)
    report = SymmetryReport.from_sums(symbol, operations.exact, sums, size)
    if not report.coverage_before:
        raise GeometryError(
            f"volume {volume.name!r} has no measured voxel (all NaN or masked), so there is "
            "nothing to average. Was the right dataset taken?"
        )
    steps = list(volume.provenance.get("processing", []))
    steps.append({"step": "symmetrize", "outliers": outliers, **report.as_dict()})
    done = replace(
        volume,
        **target.arrays(),
        mask=None,
        masks={},
        laue_class=symbol,
        provenance={**volume.provenance, "processing": steps},
    )
    return SymmetrizedVolume(done, report)


def check_choice(
    laue_class: str | None, stated: str | None, outliers: float | None, cell: Any
) -> str:
    """Check what both volumes and planes are asked with, and give the Laue class's symbol.

    Parameters
    ----------
    laue_class : str or None
        What the user gave.
    stated : str or None
        What the data say.
    outliers : float or None
        Cut-off.
    cell : gemmi.UnitCell
        Checked against the Laue class.

    Raises
    ------
    ParameterError
        If there is no Laue class, or the cut-off is below 1.
    GeometryError
        If the cell contradicts the Laue class.
    """
    chosen = laue_class or stated
    if chosen is None:
        raise ParameterError(
            'the data do not tell their Laue class; give one, laue_class="6/m" for example. '
            "rank_laue_classes says which ones the data agree with."
        )
    if outliers is not None and not (math.isfinite(outliers) and outliers >= 1):
        raise ParameterError(
            f"outliers={outliers}: a cut-off of at least 1 (times the scatter of the "
            "equivalents) was expected, 5 for example; None rejects nothing."
        )
    symbol = laue_class_named(chosen).symbol
    check_cell(cell, symbol)
    return symbol


def _permuted(
    volume: ReciprocalVolume,
    operations: IndexOperations,
    voxels: int,
    cut_off: float,
    target: Target,
    callback: Callback | None,
) -> NDArray[np.float64]:
    """Average orbit by orbit, one closed set of boxes after the other."""
    sums = np.zeros(8)
    done, total = 0, math.prod(volume.shape)
    for boxes in closed_boxes(operations, volume.shape, voxels):
        if callback is not None:
            callback(done, total, f"averaging {len(operations)} equivalents")
        starts = boxes.starts.tolist()
        data = Voxels.empty(starts[-1])
        views = [
            (tuple(low), data.reshaped(start, tuple(shape)))
            for low, shape, start in zip(
                boxes.low.tolist(), boxes.shape.tolist(), starts[:-1], strict=True
            )
        ]
        for low, view in views:
            load(volume, low, view)
        sums += average_boxes(
            boxes,
            operations,
            data,
            volume.counts is not None,
            volume.variance is not None,
            cut_off,
        )
        for low, view in views:
            target.put(low, view)
        done += starts[-1]
    return sums


def _interpolated(
    volume: ReciprocalVolume,
    operations: IndexOperations,
    voxels: int,
    cut_off: float,
    target: Target,
    callback: Callback | None,
) -> NDArray[np.float64]:
    """Average images that fall between voxels, tile by tile."""
    whole = None
    if 2 * math.prod(volume.shape) <= voxels:
        whole = Voxels.empty(math.prod(volume.shape)).reshaped(0, volume.shape)
        load(volume, (0, 0, 0), whole)
    sums = np.zeros(8)
    tiles = list(_tiles(volume.shape))
    for number, (low, shape) in enumerate(tiles):
        if callback is not None:
            callback(number, len(tiles), f"averaging {len(operations)} equivalents")
        source = VolumeSource(volume, whole)
        part, added = average_tile(source, operations, low, shape, cut_off)
        sums += added
        target.put(low, part)
    return sums


class VolumeSource:
    """Boxes of a volume, from memory where it is there already.

    Parameters
    ----------
    volume : ReciprocalVolume
        The volume.
    whole : dict or None
        All of its voxels.
    """

    def __init__(
        self, volume: ReciprocalVolume, whole: dict[str, NDArray[np.floating]] | None
    ) -> None:
        self.volume, self.whole = volume, whole
        self.counted, self.known = volume.counts is not None, volume.variance is not None

    def box(
        self, low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.floating]]]:
        """First voxel and arrays of what the volume has between two corners."""
        low = np.clip(low, 0, np.array(self.volume.shape))
        shape = tuple(int(n) for n in np.maximum(np.minimum(high, self.volume.shape) - low, 0))
        if self.whole is not None:
            return np.zeros(3, np.int64), self.whole
        part = Voxels.empty(math.prod(shape)).reshaped(0, shape)
        load(self.volume, tuple(low.tolist()), part)
        return low, part


def _tiles(
    shape: tuple[int, int, int],
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """First voxels and shapes of tiles that fill an array."""
    for low in product(*[range(0, n, EDGE) for n in shape]):
        yield low, tuple(min(EDGE, n - a) for a, n in zip(low, shape, strict=True))
