"""What a plane keeps of the Laue symmetry, and the vectors it can tell apart."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.symmetry import (
    Orbit,
    check_cell,
    check_shells,
    laue_rotations,
    orbit_of,
    preference,
)

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice

__all__ = ["column_vectors", "plane_operations"]


def column_vectors(
    shells: int, laue_class: str, lattice: PlaneLattice, cell: gemmi.UnitCell | None = None
) -> list[Orbit]:
    """Orbits of the vectors between columns that run along a plane's normal.

    A plane adds up the correlations of all pairs of sites that differ by multiples of its
    direct-space normal [uvw]. With no disorder along the normal (as in the paper, 3.2.1)
    the sites of a column are alike, and one vector stands for each pair of columns: the
    one without a component along the normal where that is a crystal axis (v_z = 0 on hk0
    and hk1), the shortest otherwise. With disorder along it, what is refined under that
    name is the sum over the column.

    Parameters
    ----------
    shells : int
        Largest in-plane index of a vector, (u, v, 0) on hk0. Orbits of which a member
        exceeds it are left out: with hexagonal axes a hexagon remains (u, v and u − v up
        to ``shells``), not a rhombus.
    laue_class : str
        Hermann–Mauguin symbol; the part of it that keeps the normal is used.
    lattice : PlaneLattice
        The plane. On layers at fractional levels, orbits that the symmetry extinguishes
        are left out.
    cell : gemmi.UnitCell, optional
        For the lengths, and to find the shortest.

    Returns
    -------
    list of Orbit
        Sorted by representative: (1,0,0), (2,0,0), (2,1,0), (3,0,0), … for 6/m, as in
        Table 2 of Fuller & Rudden (2024).

    Raises
    ------
    ParameterError
        If ``shells`` is not a positive whole number.
    GeometryError
        If the cell contradicts the Laue class.
    """
    reach = check_shells(shells)
    if cell is not None:
        check_cell(cell, laue_class)
    keeping, basis = _keeping_normal(lattice, laue_class), _column_basis(lattice)
    found: list[Orbit] = []
    seen: set[tuple[int, ...]] = {(0, 0)}
    for pair in product(range(reach, -reach - 1, -1), repeat=2):
        if pair in seen:
            continue
        images = keeping @ _representative(np.array(pair) @ basis, lattice, cell)
        # Vectors in the layer itself come first, to stand for their pair of columns.
        images = images[np.argsort(np.abs(images @ _axis(lattice)), kind="stable")]
        members: dict[tuple[int, ...], NDArray[np.int64]] = {}
        extinct = False
        for v in images:
            indices = tuple(lattice.plane_indices(v).tolist())
            if indices in members:
                # Equivalent, yet in antiphase on this layer: they cancel.
                other = members[indices]
                extinct |= abs(complex(lattice.phase(v) - lattice.phase(other))) > 1e-6
            else:
                members[indices] = v
                members[tuple(-i for i in indices)] = -v
        seen.update(members)
        if not extinct and np.abs(list(members)).max() <= reach:
            found.append(orbit_of(np.array(list(members.values())), cell))
    return sorted(found, key=lambda orbit: orbit.representative)


def plane_operations(
    lattice: PlaneLattice, laue_class: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Symmetry of the short-range order on one plane.

    A rotation W carries the intensity at h to h·W. Those are kept that map the plane onto
    itself, up to reciprocal-lattice vectors (I_SRO repeats with them) and inversion.

    Parameters
    ----------
    lattice : PlaneLattice
        The plane, with its offset.
    laue_class : str
        Hermann–Mauguin symbol.

    Returns
    -------
    matrices : ndarray of int, shape (n, 2, 2)
        M, the identity first, no two operations alike.
    shifts : ndarray, shape (n, 2)
        t: I_SRO(M·u + t) = I_SRO(u) for in-plane coordinates u, t modulo 1.
    """
    normal = _normal(lattice)
    level = float(normal @ lattice.offset)
    directions = lattice.directions.astype(float)
    to_plane = np.linalg.pinv(directions)
    two_sided = abs(2 * level - round(2 * level)) < 1e-6
    # A lattice vector g with normal·g = 2·level carries the layer at −level to +level.
    back = _lattice_vector(normal, round(2 * level))
    matrices: list[NDArray[np.int64]] = []
    shifts: list[NDArray[np.float64]] = []
    for rotation in _keeping_normal(lattice, laue_class):
        shift = rotation.T @ lattice.offset - lattice.offset
        if not np.array_equal(rotation @ normal, normal):
            if not two_sided:
                continue
            shift = shift + back
        t = to_plane @ shift
        t = np.where(np.abs(t - np.rint(t)) < 1e-6, 0.0, t - np.floor(t))
        m = np.rint(to_plane @ rotation.T @ directions).astype(np.int64)
        known = zip(matrices, shifts, strict=True)
        if not any(np.array_equal(m, a) and np.allclose(t, b) for a, b in known):
            matrices.append(m)
            shifts.append(t)
    return np.array(matrices), np.array(shifts)


def _normal(lattice: PlaneLattice) -> NDArray[np.int64]:
    """Direct-space normal [uvw] of the plane, primitive, shape (3,)."""
    return np.cross(lattice.directions[:, 0], lattice.directions[:, 1])


def _axis(lattice: PlaneLattice) -> NDArray[np.int64]:
    """Give the normal where it is a crystal axis, else zeros."""
    normal = _normal(lattice)
    return normal * (np.count_nonzero(normal) == 1)


def _keeping_normal(lattice: PlaneLattice, laue_class: str) -> NDArray[np.int64]:
    rotations, normal = laue_rotations(laue_class), _normal(lattice)
    images = rotations @ normal
    return rotations[np.all(images == normal, axis=1) | np.all(images == -normal, axis=1)]


def _representative(
    v: NDArray[np.int64], lattice: PlaneLattice, cell: gemmi.UnitCell | None
) -> NDArray[np.int64]:
    """Vector that stands for the pair of columns which v connects."""
    normal = _normal(lattice)
    if _axis(lattice).any():
        return v
    to_cartesian = np.eye(3) if cell is None else np.array(cell.orth.mat.tolist())
    along = to_cartesian @ normal
    step = int(np.floor((to_cartesian @ v) @ along / (along @ along) + 1e-9))
    candidates = [v - step * normal, v - (step + 1) * normal]

    def key(x: NDArray[np.int64]) -> tuple[float, tuple[int | bool, ...]]:
        return round(float(np.linalg.norm(to_cartesian @ x)), 6), preference(tuple(x.tolist()))

    return min(candidates, key=key)


def _column_basis(lattice: PlaneLattice) -> NDArray[np.int64]:
    """Two direct-space vectors (rows) with in-plane indices (1, 0) and (0, 1)."""
    axes = np.flatnonzero(_normal(lattice) == 0)
    if len(axes) == 2:
        basis = np.zeros((2, 3), dtype=np.int64)
        basis[:, axes] = np.rint(np.linalg.inv(lattice.directions[axes])).astype(np.int64)
        return basis
    box = _by_size()
    indices = lattice.plane_indices(box)
    return np.stack([box[np.all(indices == unit, axis=1)][0] for unit in np.eye(2, dtype=int)])


@cache
def _by_size() -> NDArray[np.int64]:
    """Integer vectors up to 12 in each component, the small ones first, shape (25³, 3)."""
    box = np.array(list(product(range(-12, 13), repeat=3)), dtype=np.int64)
    return box[np.argsort(np.abs(box).sum(axis=1), kind="stable")]


def _lattice_vector(normal: NDArray[np.int64], level: int) -> NDArray[np.int64]:
    """Integer g with normal·g = level."""
    box = _by_size()
    return level * box[box @ normal == 1][0]
