"""Laue symmetry: rotations, symmetry-equivalent vectors, the cells it allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LAUE_CLASSES",
    "LaueClass",
    "Orbit",
    "check_cell",
    "check_shells",
    "laue_class_of",
    "laue_class_named",
    "laue_rotations",
    "orbit_of",
    "orbits",
    "preference",
    "shell_vectors",
]

#: How far a cell may be off its lattice system: relative in lengths, degrees in angles.
LENGTH_TOLERANCE, ANGLE_TOLERANCE = 0.01, 0.5


@dataclass(frozen=True)
class LaueClass:
    """A Laue class in one setting, and what it asks of the unit cell.

    Parameters
    ----------
    symbol : str
        Hermann–Mauguin symbol.
    space_group : str
        A space group of that class, for gemmi.
    equal : tuple of str
        Groups of cell parameters that must agree, ``("ab",)`` or ``("abc", "αβγ")``.
    angles : dict of str to float
        Cell angles that are fixed [°].
    """

    symbol: str
    space_group: str
    equal: tuple[str, ...] = ()
    angles: dict[str, float] = field(default_factory=dict)

    @property
    def requirement(self) -> str:
        """What the cell must satisfy, in words."""
        parts = [" = ".join(group) for group in self.equal]
        for degrees in sorted(set(self.angles.values())):
            names = [name for name, value in self.angles.items() if value == degrees]
            parts.append(f"{' = '.join(names)} = {degrees:g}°")
        return ", ".join(parts) or "nothing"


_RIGHT = {"α": 90.0, "β": 90.0, "γ": 90.0}
_HEXAGONAL = {"α": 90.0, "β": 90.0, "γ": 120.0}

#: Hermann–Mauguin symbol → Laue class. 2/m has b as unique axis; 112/m and 2/m11 have c
#: and a. Trigonal classes refer to hexagonal axes, to rhombohedral ones with ``:R``.
LAUE_CLASSES = {
    laue.symbol: laue
    for laue in (
        LaueClass("-1", "P -1"),
        LaueClass("2/m", "P 1 2/m 1", (), {"α": 90.0, "γ": 90.0}),
        LaueClass("112/m", "P 1 1 2/m", (), {"α": 90.0, "β": 90.0}),
        LaueClass("2/m11", "P 2/m 1 1", (), {"β": 90.0, "γ": 90.0}),
        LaueClass("mmm", "P m m m", (), _RIGHT),
        LaueClass("4/m", "P 4/m", ("ab",), _RIGHT),
        LaueClass("4/mmm", "P 4/m m m", ("ab",), _RIGHT),
        LaueClass("-3", "P -3", ("ab",), _HEXAGONAL),
        LaueClass("-3m1", "P -3 m 1", ("ab",), _HEXAGONAL),
        LaueClass("-31m", "P -3 1 m", ("ab",), _HEXAGONAL),
        LaueClass("-3:R", "R -3:R", ("abc", "αβγ")),
        LaueClass("-3m:R", "R -3 m:R", ("abc", "αβγ")),
        LaueClass("6/m", "P 6/m", ("ab",), _HEXAGONAL),
        LaueClass("6/mmm", "P 6/m m m", ("ab",), _HEXAGONAL),
        LaueClass("m-3", "P m -3", ("abc",), _RIGHT),
        LaueClass("m-3m", "P m -3 m", ("abc",), _RIGHT),
    )
}

#: Spellings of Meerkat and Yell, and long symbols.
_ALIASES = {
    "2/m:b": "2/m",
    "12/m1": "2/m",
    "2/m:c": "112/m",
    "-3:H": "-3",
    "-3m:H": "-3m1",
    "m3": "m-3",
    "m3m": "m-3m",
}


def laue_class_named(symbol: str) -> LaueClass:
    """Laue class of a Hermann–Mauguin symbol.

    Parameters
    ----------
    symbol : str
        One of :data:`LAUE_CLASSES`; blanks do not matter, and the spellings of Meerkat
        and Yell (``"2/m:b"``, ``"-3m:H"``) are understood.

    Returns
    -------
    LaueClass
        Its rotations come from :func:`laue_rotations`.

    Raises
    ------
    ParameterError
        If there is no such class; the text lists the allowed symbols.
    """
    name = str(symbol).replace(" ", "")
    name = _ALIASES.get(name, name)
    if name not in LAUE_CLASSES:
        hint = " With mirrors, say which: -3m1 (as in R-3m) or -31m." if "3m" in name else ""
        raise ParameterError(
            f"laue_class={symbol!r} is not a Laue class; allowed are "
            f"{', '.join(LAUE_CLASSES)}.{hint}"
        )
    return LAUE_CLASSES[name]


@cache
def _rotations(symbol: str) -> NDArray[np.int64]:
    group = gemmi.SpaceGroup(LAUE_CLASSES[symbol].space_group)
    rotations = np.array([op.rot for op in group.operations().sym_ops]) // gemmi.Op.DEN
    # The identity first, the rest in an order that does not depend on gemmi.
    ordered = np.unique(rotations.astype(np.int64), axis=0)[::-1]
    ordered = ordered[np.argsort(np.any(ordered != np.eye(3), axis=(1, 2)), kind="stable")]
    ordered.setflags(write=False)
    return ordered


def laue_rotations(laue_class: str) -> NDArray[np.int64]:
    """Rotations of a Laue class, acting on direct-space vectors.

    Parameters
    ----------
    laue_class : str
        Hermann–Mauguin symbol.

    Returns
    -------
    ndarray of int, shape (order, 3, 3)
        W with v' = W v for fractional components v; the identity comes first. The
        intensity at h (a row) equals that at h·W.
    """
    return _rotations(laue_class_named(laue_class).symbol)


def laue_class_of(space_group: int) -> str:
    """Laue class of a space group, in the setting of its standard description.

    Parameters
    ----------
    space_group : int
        Number in International Tables A, 1 to 230.

    Returns
    -------
    str
        A key of :data:`LAUE_CLASSES`: 2/m with unique axis b, trigonal groups on hexagonal
        axes, with -3m1 (P321, R-3m) told from -31m (P312), which gemmi calls -3m alike.

    Raises
    ------
    ParameterError
        If there is no such group.
    """
    group = gemmi.find_spacegroup_by_number(int(space_group))
    if group is None:
        raise ParameterError(
            f"space_group={space_group!r} must be a number from 1 to 230, that of "
            "International Tables A."
        )
    proper = np.array([op.rot for op in group.operations().sym_ops]) // gemmi.Op.DEN
    wanted = {w.tobytes() for w in np.concatenate([proper, -proper]).astype(np.int64)}
    return next(s for s in LAUE_CLASSES if {w.tobytes() for w in laue_rotations(s)} == wanted)


def check_cell(cell: gemmi.UnitCell, laue_class: str) -> None:
    """Refuse a cell whose metric contradicts a Laue class.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space cell [Å, °].
    laue_class : str
        Hermann–Mauguin symbol.

    Raises
    ------
    GeometryError
        If lengths that must agree differ by more than 1 %, or angles by more than 0.5°.
    """
    laue = laue_class_named(laue_class)
    values = dict(zip("abcαβγ", cell.parameters, strict=True))
    wrong = []
    for group in laue.equal:
        first = group[0]
        for other in group[1:]:
            is_length = other in "abc"
            limit = LENGTH_TOLERANCE * values[first] if is_length else ANGLE_TOLERANCE
            if abs(values[other] - values[first]) > limit:
                unit = " Å" if is_length else "°"
                wrong.append(
                    f"{other} = {values[other]:.4g}{unit} is not "
                    f"{first} = {values[first]:.4g}{unit}"
                )
    for name, degrees in laue.angles.items():
        if abs(values[name] - degrees) > ANGLE_TOLERANCE:
            wrong.append(f"{name} = {values[name]:.2f}° is not {degrees:g}°")
    if wrong:
        raise GeometryError(
            f"Laue class {laue.symbol!r} asks for {laue.requirement}; the cell is "
            f"{' '.join(f'{x:g}' for x in cell.parameters)} (Å, °): {', '.join(wrong)}. Give a "
            "Laue class of lower symmetry (or another setting of it), or correct the cell."
        )


@dataclass(frozen=True, eq=False)
class Orbit:
    """Symmetry-equivalent direct-space lattice vectors.

    Parameters
    ----------
    representative : tuple of int
        (u, v, w) that stands for all of them.
    members : ndarray of int, shape (multiplicity, 3)
        All of them; with v always −v.
    length : float
        |v| [Å]; NaN where no cell is known.
    """

    representative: tuple[int, int, int]
    members: NDArray[np.int64]
    length: float = float("nan")

    @property
    def multiplicity(self) -> int:
        """Number of vectors in the orbit."""
        return len(self.members)

    @property
    def label(self) -> str:
        """The representative as ``(u,v,w)``."""
        return "({},{},{})".format(*self.representative)


def preference(v: tuple[int, ...]) -> tuple[int | bool, ...]:
    """Sort key of the vector that stands for its orbit: (2,1,0) before (1,2,0).

    Parameters
    ----------
    v : tuple of int
        (u, v, w).
    """
    leading = next((x for x in v if x), 0)
    u, second, w = v
    return (leading < 0, sum(x < 0 for x in v), -u, abs(w), w < 0, abs(second), second < 0)


def orbit_of(members: NDArray[np.int64], cell: gemmi.UnitCell | None = None) -> Orbit:
    """Orbit with its representative chosen as in Table 2 of Fuller & Rudden (2024).

    Parameters
    ----------
    members : ndarray of int, shape (m, 3)
        Equivalent vectors, none twice.
    cell : gemmi.UnitCell, optional
        For the length.

    Returns
    -------
    Orbit
        (2, 1, 0) stands for its orbit under 6/m, not (1, 2, 0).
    """
    ordered = sorted((tuple(int(x) for x in v) for v in members), key=preference)
    first = ordered[0]
    length = float("nan")
    if cell is not None:
        to_cartesian = np.array(cell.orth.mat.tolist())
        length = float(np.linalg.norm(to_cartesian @ np.array(first)))
    return Orbit((first[0], first[1], first[2]), np.array(ordered, dtype=np.int64), length)


def orbits(
    vectors: ArrayLike, laue_class: str, cell: gemmi.UnitCell | None = None
) -> list[Orbit]:
    """Orbits that a set of lattice vectors belongs to.

    Parameters
    ----------
    vectors : array_like of int, shape (n, 3)
        Direct-space lattice vectors (u, v, w).
    laue_class : str
        Hermann–Mauguin symbol.
    cell : gemmi.UnitCell, optional
        For the lengths.

    Returns
    -------
    list of Orbit
        One for every orbit touched, each complete whether or not all its members were
        given, sorted by representative.
    """
    rotations = laue_rotations(laue_class)
    seen: set[tuple[int, ...]] = set()
    found = []
    for v in np.asarray(vectors, dtype=np.int64).reshape(-1, 3):
        if tuple(v.tolist()) in seen:
            continue
        members = np.unique(rotations @ v, axis=0)
        seen.update(map(tuple, members.tolist()))
        found.append(orbit_of(members, cell))
    return sorted(found, key=lambda orbit: orbit.representative)


def shell_vectors(
    shells: int, laue_class: str, cell: gemmi.UnitCell | None = None
) -> list[Orbit]:
    """Orbits of all vectors up to a number of shells, without (0, 0, 0).

    Parameters
    ----------
    shells : int
        Largest component of a vector. Orbits of which a member exceeds it are left out,
        so that the set is complete: in a layer with hexagonal axes it is a hexagon of
        neighbours (u, v and u − v up to ``shells``), not a rhombus.
    laue_class : str
        Hermann–Mauguin symbol.
    cell : gemmi.UnitCell, optional
        For the lengths.

    Returns
    -------
    list of Orbit
        Sorted by representative.

    Raises
    ------
    ParameterError
        If ``shells`` is not a positive whole number.
    GeometryError
        If the cell contradicts the Laue class.

    See Also
    --------
    dsfunet_core.plane_symmetry.column_vectors : Only vectors between columns.
    """
    reach = check_shells(shells)
    if cell is not None:
        check_cell(cell, laue_class)
    box = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    box = box[np.any(box != 0, axis=1)]
    return [o for o in orbits(box, laue_class, cell) if np.abs(o.members).max() <= reach]


def check_shells(shells: int) -> int:
    """Check a number of shells.

    Parameters
    ----------
    shells : int
        What the user gave.

    Returns
    -------
    int
        The same.

    Raises
    ------
    ParameterError
        If it is not a positive whole number.
    """
    if shells != int(shells) or shells < 1:
        raise ParameterError(
            f"shells={shells!r}: the number of neighbour shells must be a whole number, at "
            "least 1; 5 is usual."
        )
    return int(shells)
