"""Where Bragg peaks and satellites can be: lattice points that symmetry does not extinguish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["CENTRINGS", "allowed_points", "bragg_positions", "positions_between", "spacing"]

#: Relative difference of lengths, and of angles' cosines, that symmetry makes equal.
METRIC_TOLERANCE = 0.01
#: Reflection conditions of the lattice centrings: rows are summed with h, k, l, and
#: every sum must be a multiple of the number beside them.
CENTRINGS: dict[str, tuple[tuple[tuple[int, int, int], ...], int]] = {
    "P": ((), 1),
    "A": (((0, 1, 1),), 2),
    "B": (((1, 0, 1),), 2),
    "C": (((1, 1, 0),), 2),
    "I": (((1, 1, 1),), 2),
    "F": (((0, 1, 1), (1, 0, 1), (1, 1, 0)), 2),
    "R_obv": (((-1, 1, 1),), 3),
}


def allowed_points(
    points: NDArray[np.int64], centring: str = "P", space_group: str | None = None
) -> NDArray[np.bool_]:
    """Which lattice points the centring and the space group do not extinguish.

    Parameters
    ----------
    points : ndarray of int, shape (n, 3)
        *hkl*.
    centring : {"P", "A", "B", "C", "I", "F", "R_obv"}
        Lattice centring. ``"R_obv"`` is the obverse setting on hexagonal axes,
        −h + k + l = 3n.
    space_group : str, optional
        Hermann–Mauguin symbol in the setting of the cell, ``"P 21/c"``; its glide planes
        and screw axes extinguish points too.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where a peak can be.

    Raises
    ------
    ParameterError
        If the centring or the space group is not known.
    """
    if centring not in CENTRINGS:
        raise ParameterError(
            f"centring={centring!r}; one of {', '.join(map(repr, CENTRINGS))} was expected."
        )
    allowed = np.ones(len(points), dtype=bool)
    sums, multiple = CENTRINGS[centring]
    if sums:
        allowed &= np.all((points @ np.array(sums).T) % multiple == 0, axis=1)
    if space_group is not None:
        absences = space_group_named(space_group).operations().systematic_absences
        allowed &= ~absences(np.ascontiguousarray(points, dtype=np.int32))
    return allowed


def space_group_named(symbol: str) -> gemmi.SpaceGroup:
    """Space group with this Hermann–Mauguin symbol.

    Parameters
    ----------
    symbol : str
        ``"P 21/c"``.

    Raises
    ------
    ParameterError
        If there is none.
    """
    found = gemmi.find_spacegroup_by_name(symbol)
    if found is None:
        raise ParameterError(
            f"space group {symbol!r} is not known; give a Hermann–Mauguin symbol "
            "such as 'P 21/c' or 'I 41/a m d:2'."
        )
    return found


def check_setting(cell: gemmi.UnitCell, symbol: str) -> None:
    """Refuse a cell that no crystal of a space group has.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space unit cell [Å, °].
    symbol : str
        Hermann–Mauguin symbol of the space group, in the setting of the cell.

    Raises
    ------
    ParameterError
        If there is no such group.
    GeometryError
        If symmetry asks for lengths or angles that the cell has not, to a percent.
    """
    group = space_group_named(symbol)
    # gemmi's own comparison is to a thousandth; measured cells are not that good.
    orthogonal = np.array(cell.orth.mat.tolist())
    metric = orthogonal.T @ orthogonal
    rotations = np.array([op.rot for op in group.operations().sym_ops]) / gemmi.Op.DEN
    turned = np.einsum("nji,jk,nkl->nil", rotations, metric, rotations)
    lengths = np.sqrt(np.diag(metric))
    if np.abs((turned - metric) / np.outer(lengths, lengths)).max() > 2 * METRIC_TOLERANCE:
        raise GeometryError(
            f"space group {symbol!r} is {group.crystal_system_str()}, which the cell "
            f"{' '.join(f'{x:g}' for x in cell.parameters)} (Å, °) is not in this setting. "
            "Give the symbol in the setting of the cell (another unique axis, hexagonal "
            "instead of rhombohedral axes), or correct the cell."
        )


def bragg_positions(
    plane: ReciprocalPlane, reach: float, **lattice: Any
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Allowed positions in the box around a plane that is ``reach`` wider than it.

    Parameters
    ----------
    plane : ReciprocalPlane
        With geometry.
    reach : float
        How far beyond the edges, and off the plane [Å⁻¹].
    centring, space_group : str, optional
        As in :func:`allowed_points`. Satellites surround allowed main reflections.
    satellites : sequence of array_like, shape (3,), optional
        Modulation vectors q [r.l.u.]: satellites at G ± m·q.
    satellite_order : int, optional
        Largest m; 1 when left out.

    Returns
    -------
    hkl : ndarray, shape (n, 3)
        Positions [r.l.u.], main reflections first.
    order : ndarray of int, shape (n,)
        0 for main reflections, m for satellites.

    Raises
    ------
    ParameterError
        If a modulation vector has not three components, or the order is below 1.
    """
    cell, _, _ = plane.geometry()
    rows, columns = plane.shape
    corners = plane.hkl([0, 0, rows - 1, rows - 1], [0, columns - 1, 0, columns - 1])
    return positions_between(corners, cell, reach, **lattice)


def positions_between(
    corners: NDArray[np.float64],
    cell: gemmi.UnitCell,
    reach: float,
    *,
    centring: str = "P",
    space_group: str | None = None,
    satellites: Sequence[Any] = (),
    satellite_order: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Allowed positions in a box around points.

    Parameters
    ----------
    corners : ndarray, shape (n, 3)
        Points in the box [r.l.u.].
    cell : gemmi.UnitCell
        Direct-space unit cell [Å, °].
    reach : float
        How far the box reaches beyond them [Å⁻¹].
    centring, space_group, satellites, satellite_order
        As in :func:`bragg_positions`, which says what is returned and raised, too.
    """
    if space_group is not None:
        check_setting(cell, space_group)
    # h changes by |a|/2π per Å⁻¹ at most, and so on.
    margin = reach * np.array([cell.a, cell.b, cell.c]) / (2 * np.pi)
    low, high = corners.min(axis=0) - margin - 1e-9, corners.max(axis=0) + margin + 1e-9
    found, orders = [], []
    for shift, order in _shifts(satellites, satellite_order):
        first = np.ceil(low - shift).astype(int)
        last = np.floor(high - shift).astype(int)
        ranges = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
        points = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
        points = points[allowed_points(points, centring, space_group)]
        found.append(points + shift)
        orders.append(np.full(len(points), order))
    return np.concatenate(found), np.concatenate(orders)


def _shifts(satellites: Sequence[Any], order: int) -> list[tuple[NDArray[np.float64], int]]:
    """Vectors ±m·q to add to the main reflections, and m."""
    if order < 1:
        raise ParameterError(f"satellite_order={order}; 1 or more was expected.")
    shifts: list[tuple[NDArray[np.float64], int]] = [(np.zeros(3), 0)]
    for q in satellites:
        vector = np.asarray(q, dtype=float)
        if vector.shape != (3,) or not np.isfinite(vector).all():
            raise ParameterError(
                f"satellite q={q}; three numbers in r.l.u. such as (0, 0.5, 0) were expected."
            )
        shifts += [(s * m * vector, m) for m in range(1, order + 1) for s in (1, -1)]
    return shifts


def spacing(points: NDArray[np.float64]) -> float:
    """Median distance of a point to the next.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        In any unit; points that coincide are not counted.

    Returns
    -------
    float
        Infinite for fewer than two.
    """
    from scipy.spatial import cKDTree

    if len(points) < 2:
        return np.inf
    apart = cKDTree(points).query(points, k=2)[0][:, 1]
    return float(np.median(apart[apart > 0])) if (apart > 0).any() else np.inf
