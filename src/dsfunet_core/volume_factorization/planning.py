"""What the factorization of a volume will do, found out before a voxel is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.symmetry import laue_class_named, shell_vectors
from dsfunet_core.volume_factorization.bases import FormFactorBasis
from dsfunet_core.volume_factorization.excerpt import excerpt
from dsfunet_core.volume_factorization.grid import VolumeGrid
from dsfunet_core.volume_factorization.solver import REACH, largest_radius

if TYPE_CHECKING:
    import gemmi

    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.symmetry import Orbit

__all__ = ["MAX_ORDER", "MAX_VOXELS", "VolumePlan", "plan_volume"]

#: Largest number of voxels taken in one piece.
MAX_VOXELS = 256**3
#: Largest order; the number of α grows with its cube.
MAX_ORDER = 8
#: Fewest unknowns of a form factor that mean anything.
FEWEST_UNKNOWNS = 50
#: A support chosen from the data has at least so many data for each of its points.
DATA_PER_POINT = 8
#: Memory: of the program, for each voxel, and for each element of the normal matrix, which is
#: there twice while it is factorized [bytes].
BYTES_AT_REST, BYTES_A_VOXEL, BYTES_AN_ELEMENT = 250e6, 75, 16


@dataclass(frozen=True, eq=False)
class VolumePlan:
    """What :func:`dsfunet_core.volume_factorization.factorize_volume` is about to do.

    Parameters
    ----------
    name : str
        Of the volume.
    shape : tuple of int
        Voxels along each axis that are used.
    limits : tuple of float
        Largest |h|, |k|, |l| among them.
    order : int
        Largest |u|, |v|, |w|.
    orbits : tuple of Orbit
        Vectors that share an α.
    laue_class : str
        Laue class imposed on α.
    support : float or "auto"
        Radius of the support [Å].
    unknowns : int
        Unknowns of the form factor: those of the support that was given, or the most that one
        chosen from the data may have.
    grid : VolumeGrid
        Where the voxels lie.
    """

    name: str
    shape: tuple[int, int, int]
    limits: tuple[float, float, float]
    order: int
    orbits: tuple[Orbit, ...] = field(repr=False)
    laue_class: str
    support: float | str
    unknowns: int
    grid: VolumeGrid = field(repr=False)

    @property
    def memory(self) -> float:
        """Most memory that will be needed, the program itself included [bytes]."""
        matrix = (self.unknowns + len(self.orbits)) ** 2
        voxels = math.prod(self.shape)
        return BYTES_AT_REST + BYTES_A_VOXEL * voxels + BYTES_AN_ELEMENT * matrix

    def unknowns_within(self, memory: float) -> int:
        """Most unknowns of the form factor that some memory allows, rounded down.

        Parameters
        ----------
        memory : float
            [bytes].

        Returns
        -------
        int
            0 where not even the voxels have room.
        """
        left = memory - BYTES_AT_REST - BYTES_A_VOXEL * math.prod(self.shape)
        found = math.sqrt(max(left, 0.0) / BYTES_AN_ELEMENT) - len(self.orbits)
        return int(found // 100 * 100) if found >= FEWEST_UNKNOWNS else 0

    def describe(self) -> str:
        """Voxels, parameters, support and memory, in two sentences."""
        voxels = " × ".join(map(str, self.shape))
        reach = ", ".join(
            f"|{name}| ≤ {x:.2f}" for name, x in zip("hkl", self.limits, strict=True)
        )
        if isinstance(self.support, str):
            support = f"a support chosen from the data (up to {self.unknowns:,} unknowns)"
        else:
            support = f"a support of {self.support:g} Å ({self.unknowns:,} unknowns)"
        return (
            f"{voxels} voxels with {reach}: {len(self.orbits)} parameters α of vectors up to "
            f"{self.order} cells apart in Laue class {self.laue_class}, and a form factor with "
            f"{support}. Up to {self.memory / 1e9:.1f} GB of memory."
        )


def plan_volume(
    volume: ReciprocalVolume,
    *,
    order: int = 5,
    support: float | str = "auto",
    laue_class: str | None = None,
    limit: float | None = None,
    every: int = 1,
    max_unknowns: int = 8000,
) -> VolumePlan:
    """Say what a factorization will do and need; no voxel is read.

    Parameters
    ----------
    volume : ReciprocalVolume
        What is to be factorized.
    order, support, laue_class, max_unknowns : int, float or "auto", str, int
        As in :func:`factorize_volume`.
    limit, every : float, int
        As in :func:`excerpt`, where the volume is to be cut or thinned before.

    Returns
    -------
    VolumePlan
        With the memory that will be needed.

    Raises
    ------
    GeometryError, ParameterError
        For what :func:`factorize_volume` and :func:`excerpt` would refuse, as far as it shows
        without the data.
    """
    _check_choices(order, support, max_unknowns)
    # One number that looks like all of them: its excerpt costs nothing.
    blank = volume.replace(
        intensity=np.broadcast_to(np.float32(1), volume.shape),
        counts=None,
        variance=None,
        mask=None,
        masks={},
    )
    if limit is not None or every != 1:
        blank = excerpt(blank, limit=limit, every=every)
    symbol = laue_class_named(laue_class or volume.laue_class or "-1").symbol
    _check_size(blank)
    grid = VolumeGrid.of(blank)
    _check_resolved(grid, order, blank, every)
    orbits = shell_vectors(order, symbol, volume.cell)
    if isinstance(support, str):
        data = math.prod(blank.shape) // DATA_PER_POINT
        unknowns = max(FEWEST_UNKNOWNS, min(max_unknowns, data))
    else:
        unknowns = _unknowns(grid, volume.cell, float(support), max_unknowns)
    corners = np.stack(np.meshgrid(*[[0, n - 1] for n in blank.shape]), -1).reshape(-1, 3)
    h, k, ell = np.abs(blank.hkl(corners)).max(axis=0)
    return VolumePlan(
        name=volume.name,
        shape=blank.shape,
        limits=(float(h), float(k), float(ell)),
        order=order,
        orbits=tuple(orbits),
        laue_class=symbol,
        support=support,
        unknowns=unknowns,
        grid=grid,
    )


def _unknowns(grid: VolumeGrid, cell: gemmi.UnitCell, support: float, most: int) -> int:
    """Points of a support; refuses too many before they are listed."""
    found = FormFactorBasis.about(grid, cell, REACH * support)
    if found < 2 * most:
        found = FormFactorBasis.build(grid, cell, REACH * support).size
    if found <= most:
        return found
    allowed = largest_radius(grid, cell, most)
    raise ParameterError(
        f"support = {support:g} Å has {found:,} unknowns in this volume, more than "
        f"the {most:,} allowed, which reach {allowed:.1f} Å.",
        python=f"Choose that or less, raise max_unknowns = {most}, or cut the volume to "
        "smaller |h|, |k|, |l|.",
        terminal="Choose that or less, raise --max-unknowns, or cut the volume with --limit.",
        napari="Choose that or less, raise 'Unknowns, at most', or lower "
        "'|h|, |k|, |l| up to'.",
    )


def _check_choices(order: int, support: float | str, max_unknowns: int) -> None:
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
        raise ParameterError(f"order = {order!r}; give a whole number from 1 to {MAX_ORDER}.")
    radius = isinstance(support, int | float) and support > 0 and math.isfinite(support)
    if support != "auto" and not radius:
        raise ParameterError(
            f'support = {support!r}; give a radius in Å greater than 0, or "auto".'
        )
    if max_unknowns < FEWEST_UNKNOWNS:
        raise ParameterError(
            f"max_unknowns = {max_unknowns}; a form factor needs {FEWEST_UNKNOWNS} or more, "
            "usually thousands."
        )


def _check_size(volume: ReciprocalVolume) -> None:
    voxels = math.prod(volume.shape)
    if voxels <= MAX_VOXELS:
        return
    every = math.ceil((voxels / MAX_VOXELS) ** (1 / 3))
    corners = np.stack(np.meshgrid(*[[0, n - 1] for n in volume.shape]), -1).reshape(-1, 3)
    reach = np.abs(volume.hkl(corners)).max() * (MAX_VOXELS / voxels) ** (1 / 3)
    raise ParameterError(
        f"volume {volume.name!r} has {' × '.join(map(str, volume.shape))} voxels; at most "
        f"{MAX_VOXELS:,} (256³) are factorized in one piece. Cut it to |h|, |k|, |l| up to "
        f"about {reach:.2g}, or take one voxel in {every} along each axis where it is finer "
        "than the order needs:",
        python=f"excerpt(volume, limit={reach:.2g}) or excerpt(volume, every={every}).",
        terminal=f"--limit {reach:.2g} or --every {every}.",
        napari=f"'|h|, |k|, |l| up to' {reach:.2g}, or 'One voxel in' {every}.",
    )


def _check_resolved(grid: VolumeGrid, order: int, volume: ReciprocalVolume, every: int) -> None:
    """Refuse a volume whose voxels cannot tell two of the vectors apart."""
    if np.any(grid.extent < 1):
        spans = ", ".join(f"{x:.2f}" for x in grid.extent)
        raise GeometryError(
            f"volume {volume.name!r} spans {spans} reciprocal cells along its axes; at least "
            "one along each is needed to tell the periodic order from the form factor. "
            "Factorize a plane of it instead.",
            terminal="Factorize a plane of it instead: dsfunet factorize --plane hk0.",
            napari="Factorize a plane of it instead, with the Factorize dock.",
        )
    highest = next((n for n in range(order, 0, -1) if _apart(grid, n)), 0)
    if highest < order:
        advice = f"use order = {highest}, or " if highest else ""
        finer = "take more of its voxels" if every > 1 else "reconstruct it with finer steps"
        raise GeometryError(
            f"order = {order} needs at least {2 * order + 1} voxels a reciprocal cell along "
            f"each axis, more than volume {volume.name!r} has: {advice}{finer}."
        )


def _apart(grid: VolumeGrid, order: int) -> bool:
    reach = np.arange(-2 * order, 2 * order + 1)
    box = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    cycles = grid.indices(box[len(box) // 2 + 1 :]) * grid.pitch
    off = np.abs(cycles - np.rint(cycles)) * grid.shape
    return bool(off.max(axis=1).min() > 0.5)
