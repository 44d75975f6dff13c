"""Which Laue classes the data agree with: R of every class that the cell allows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from dsfunet_core.symmetrize.averaging import Source, tile_images
from dsfunet_core.symmetrize.operations import IndexOperations, plane_maps, volume_maps
from dsfunet_core.symmetrize.planes import PlaneSource, plane_voxels
from dsfunet_core.symmetrize.volumes import Callback, VolumeSource
from dsfunet_core.symmetry import LAUE_CLASSES, check_cell, laue_rotations

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

__all__ = ["LaueRanking", "LaueTest", "allowed_laue_classes", "rank_laue_classes"]

#: A class is consistent if its R_meas is at most so many times that of inversion alone, …
FACTOR = 1.25
#: … and so much more, which systematic errors (absorption, scaling) may add.
MARGIN = 0.02
#: Above this share of the R_meas of unrelated voxels, noise hides all symmetry.
HIDDEN = 0.9
#: Edge of the blocks of voxels that are sampled.
EDGE = 8
#: Share of the sample, the strongest orbits, that is left out: Bragg peaks.
STRONGEST = 0.01


@dataclass(frozen=True)
class LaueTest:
    """Agreement of the data with one Laue class.

    Parameters
    ----------
    laue_class : str
        Hermann–Mauguin symbol.
    operations : int
        Order of the class; on a plane, operations that keep it.
    r_int, r_meas : float
        As in :class:`SymmetryReport`, over the sample; NaN where no voxel of it has an
        equivalent.
    orbits : int
        Orbits of the sample with two observations or more.
    consistent : bool
        Whether R_meas is about that of the least that is sure, inversion.
    """

    laue_class: str
    operations: int
    r_int: float
    r_meas: float
    orbits: int
    consistent: bool


@dataclass(frozen=True)
class LaueRanking:
    """All Laue classes that a cell allows, the best candidate first.

    Parameters
    ----------
    tests : tuple of LaueTest
        Consistent ones first, those of more operations before; then the others by R_meas.
    suggestion : tuple of str
        The consistent class of highest symmetry; several where a plane cannot tell them
        apart; none where the noise hides all symmetry.
    unrelated : float
        R_meas between voxels of like |Q| that no symmetry relates: what a wrong class gets.
    sampled : int
        Voxels compared.
    """

    tests: tuple[LaueTest, ...]
    suggestion: tuple[str, ...]
    unrelated: float
    sampled: int

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict, for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Ranking as text, the suggestion in the last line."""
        lines = [f"{'':2}{'class':8}{'operations':>11}{'R_int':>9}{'R_meas':>9}{'orbits':>9}"]
        for test in self.tests:
            mark = "*" if test.laue_class in self.suggestion else " "
            numbers = "".join(
                f"{'–':>9}" if math.isnan(r) else f"{r:9.4f}" for r in (test.r_int, test.r_meas)
            )
            lines.append(
                f"{mark:2}{test.laue_class:8}{test.operations:11d}{numbers}{test.orbits:9d}"
                f"{'  consistent' if test.consistent else ''}"
            )
        lines.append(f"  unrelated voxels of like |Q|: R_meas = {self.unrelated:.4f}")
        if not self.suggestion:
            lines.append("Noise hides the symmetry: no class can be told from another.")
        elif len(self.suggestion) > 1:
            names = ", ".join(self.suggestion)
            lines.append(f"Highest consistent symmetry: {names} (this plane sees them alike).")
        else:
            lines.append(f"Highest consistent symmetry: {self.suggestion[0]}.")
        return "\n".join(lines)


def allowed_laue_classes(cell: gemmi.UnitCell) -> list[str]:
    """Laue classes whose lattice system a cell fits, in the order of LAUE_CLASSES.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space cell [Å, °]; 1 % in lengths and 0.5° in angles are forgiven.
    """
    allowed = []
    for symbol in LAUE_CLASSES:
        try:
            check_cell(cell, symbol)
        except GeometryError:
            continue
        allowed.append(symbol)
    return allowed


def rank_laue_classes(
    data: ReciprocalVolume | ReciprocalPlane,
    *,
    samples: int = 20_000,
    seed: int = 0,
    callback: Callback | None = None,
) -> LaueRanking:
    """Compare equivalents under every Laue class that the cell allows, on a sample.

    Parameters
    ----------
    data : ReciprocalVolume or ReciprocalPlane
        Of a volume only small blocks at random places and their images are read.
    samples : int
        About so many voxels are compared.
    seed : int
        For the places.
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    LaueRanking
        Print its :meth:`~LaueRanking.table`.

    Raises
    ------
    ParameterError
        If ``samples`` is below 100, or no voxel of the sample has equivalents.
    GeometryError
        If a plane has no cell.

    Notes
    -----
    All classes are compared on the same voxels, of which the strongest hundredth is left
    out: Bragg peaks would decide alone. Diffuse scattering is centrosymmetric (but for
    anomalous scattering), so R_meas of -1 measures the noise; a class is taken for
    consistent up to 1.25 times that, and 0.02 for systematic errors. A wrong class tends
    towards R_meas of unrelated voxels. The test cannot know about pseudosymmetry weaker than
    that: look at the numbers, and at the planes.
    """
    if samples < 100:
        raise ParameterError(f"samples={samples}; at least 100 voxels were expected.")
    cell = data.cell if isinstance(data, ReciprocalVolume) else data.geometry()[0]
    symbols = allowed_laue_classes(cell)
    every = np.unique(np.concatenate([laue_rotations(s) for s in symbols]), axis=0)
    # The identity first: it says what is compared.
    every = every[np.argsort(np.any(every != np.eye(3), axis=(1, 2)), kind="stable")]
    operations = _maps(data, every)
    subsets = {symbol: _members(operations, _maps(data, symbol)) for symbol in symbols}
    values, q_norm = _sample(data, operations, samples, seed, callback)
    found = {symbol: _agreement(values[chosen]) for symbol, chosen in subsets.items()}
    compared = {symbol: numbers for symbol, numbers in found.items() if numbers[2]}
    if not compared:
        raise ParameterError(
            f"{data.name!r} holds no voxel together with an equivalent one under any of "
            f"{', '.join(symbols)}, so its Laue class cannot be tested. Use a volume, or a "
            "plane that symmetry maps onto itself (hk0 rather than hk1)."
        )
    floor = compared.get("-1", min(compared.values(), key=lambda x: x[1]))[1]
    unrelated = _unrelated(values[0], q_norm)
    visible = floor < HIDDEN * unrelated or floor < MARGIN
    tests = [
        LaueTest(
            symbol,
            len(subsets[symbol]),
            *numbers,
            bool(visible and numbers[2] and numbers[1] <= FACTOR * floor + MARGIN),
        )
        for symbol, numbers in found.items()
    ]
    tests.sort(key=lambda t: (not t.consistent, -t.operations * t.consistent, _order(t.r_meas)))
    most = max((t.operations for t in tests if t.consistent), default=0)
    suggestion = tuple(t.laue_class for t in tests if t.consistent and t.operations == most)
    return LaueRanking(tuple(tests), suggestion, unrelated, values.shape[1])


def _order(r: float) -> float:
    return math.inf if math.isnan(r) else r


def _maps(
    data: ReciprocalVolume | ReciprocalPlane, rotations: str | NDArray[np.int64]
) -> IndexOperations:
    if isinstance(data, ReciprocalVolume):
        return volume_maps(data, rotations)
    return plane_maps(data, rotations)


def _members(every: IndexOperations, some: IndexOperations) -> list[int]:
    """Places of operations in a list that has them all."""
    places = []
    for matrix, shift in zip(some.matrices, some.shifts, strict=True):
        same = np.abs(every.matrices - matrix).max(axis=(1, 2)) < 1e-6
        same &= np.abs(every.shifts - shift).max(axis=1) < 1e-6
        places.append(int(np.flatnonzero(same)[0]))
    return places


def _sample(
    data: ReciprocalVolume | ReciprocalPlane,
    operations: IndexOperations,
    samples: int,
    seed: int,
    callback: Callback | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images (n, m) of sampled voxels off every symmetry element, and their |Q|, (m,)."""
    source: Source
    if isinstance(data, ReciprocalVolume):
        shape, edge = data.shape, EDGE
        source = VolumeSource(data, None)
    else:
        shape, edge = (*data.shape, 1), 4 * EDGE
        whole = plane_voxels(data).reshaped(0, shape)
        source = PlaneSource(whole, data.counts is not None, data.variance is not None)
    to_q = q_matrix(data.geometry()[0] if isinstance(data, ReciprocalPlane) else data.cell)
    size = tuple(min(edge, n) for n in shape)
    rng = np.random.default_rng(seed)
    images, lengths, found = [], [], 0
    # Where much was not measured more blocks are needed, but not without end.
    most = 4 * math.ceil(samples / math.prod(size)) + 8
    for number in range(most):
        if callback is not None:
            callback(number, most, "comparing equivalents")
        low = tuple(int(rng.integers(0, n - s + 1)) for n, s in zip(shape, size, strict=True))
        part = np.asarray(tile_images(source, operations, low, size, np.float64)[0])
        index = np.indices(size).reshape(3, -1).T + low
        moved = index @ operations.matrices.transpose(0, 2, 1) + operations.shifts[:, None]
        away = np.abs(moved[1:] - index).max(axis=2).min(axis=0, initial=np.inf) >= 1
        use = away & np.isfinite(part[0])
        hkl = data.hkl(*index.T[:2]) if isinstance(data, ReciprocalPlane) else data.hkl(index)
        images.append(part[:, use])
        lengths.append(np.linalg.norm(hkl @ to_q.T, axis=1)[use])
        found += int(use.sum())
        if found >= samples:
            break
    values, q_norm = np.concatenate(images, axis=1), np.concatenate(lengths)
    if values.shape[1]:
        strength = np.nanmean(values, axis=0)
        keep = strength <= np.quantile(strength, 1 - STRONGEST)
        values, q_norm = values[:, keep], q_norm[keep]
    return values, q_norm


def _agreement(values: NDArray[np.float64]) -> tuple[float, float, int]:
    """R_int, R_meas and number of orbits, of equivalents (n, m)."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    twice = n > 1
    if not twice.any():
        return math.nan, math.nan, 0
    values, known, n = values[:, twice], known[:, twice], n[twice]
    clean = np.where(known, values, 0.0)
    mean = clean.sum(axis=0) / n
    deviations = (np.abs(clean - mean) * known).sum(axis=0)
    size = float(np.abs(clean).sum()) or math.nan
    return (
        float(deviations.sum()) / size,
        float((deviations * np.sqrt(n / (n - 1))).sum()) / size,
        int(twice.sum()),
    )


def _unrelated(values: NDArray[np.float64], q_norm: NDArray[np.float64]) -> float:
    """R_meas between voxels that are neighbours in |Q| only."""
    ordered = values[np.argsort(q_norm, kind="stable")]
    # Next neighbours in the list may be neighbours in the volume, too.
    apart = min(7, max(len(ordered) // 2, 1))
    return _agreement(np.stack([ordered[:-apart], ordered[apart:]]))[1]
