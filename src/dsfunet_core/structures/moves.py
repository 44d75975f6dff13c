"""How atoms may move: torsions, rigid rotations and shifts, occupancies.

Each move takes coordinates to coordinates and depends on one number. They are written
with torch operations, so that derivatives come from its automatic differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.structures import BOND_TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from dsfunet_core.simulate.molecules import Molecule
    from dsfunet_core.structures.model import DisorderModel

__all__ = [
    "Move",
    "Occupancy",
    "Rotation",
    "Shift",
    "bonds",
    "displaced",
    "parse_move",
    "torsion",
]


class Move(Protocol):
    """A change of the model by one number."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def unit(self) -> str:
        """Unit of its value."""
        ...

    @property
    def atoms(self) -> NDArray[np.intp]:
        """Which atoms it changes."""
        ...

    def apply(self, positions: Tensor, occupancy: Tensor, value: Tensor) -> tuple:
        """Positions (n, 3) [Å] and occupancies (n,) after the move."""
        ...


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rigid rotation of some atoms about an axis.

    Parameters
    ----------
    atoms : ndarray of int
        Which.
    direction : ndarray, shape (3,)
        Of the axis, Cartesian; its length does not matter. Positive angles turn
        anticlockwise for one who looks against it.
    centre : ndarray, shape (3,), optional
        Point on the axis [Å]; the mean of the atoms when left out.
    ends : tuple of int, optional
        Two atoms that define the axis instead, as they lie at the time: a torsion.
    name : str
        What to call it.
    """

    atoms: NDArray[np.intp]
    direction: NDArray[np.float64] | None = None
    centre: NDArray[np.float64] | None = None
    ends: tuple[int, int] | None = None
    name: str = "rotation"
    unit: str = "°"

    def __post_init__(self) -> None:
        if (self.direction is None) == (self.ends is None):
            raise ParameterError("give the axis by its direction, or by two atoms (ends).")
        if self.direction is not None and not np.linalg.norm(self.direction) > 0:
            raise ParameterError(f"direction = {self.direction} has no length.")

    def apply(self, positions: Tensor, occupancy: Tensor, value: Tensor) -> tuple:
        """Positions (n, 3) [Å] and occupancies (n,) after a rotation by ``value`` [°]."""
        import torch

        chosen = torch.as_tensor(self.atoms)
        moving = positions[chosen]
        if self.ends is not None:
            start, end = positions[self.ends[0]], positions[self.ends[1]]
            axis, centre = end - start, end
        else:
            axis = torch.as_tensor(self.direction, dtype=positions.dtype)
            centre = (
                moving.mean(dim=0)
                if self.centre is None
                else torch.as_tensor(self.centre, dtype=positions.dtype)
            )
        axis = axis / axis.norm()
        angle = value * (math.pi / 180)
        arm = moving - centre
        along = (arm @ axis)[:, None] * axis
        across = torch.linalg.cross(axis.expand_as(arm), arm)
        turned = centre + along + (arm - along) * angle.cos() + across * angle.sin()
        return positions.index_copy(0, chosen, turned), occupancy


@dataclass(frozen=True, eq=False)
class Shift:
    """Rigid shift of some atoms along a direction.

    Parameters
    ----------
    atoms : ndarray of int
        Which.
    direction : ndarray, shape (3,)
        Cartesian; its length does not matter.
    name : str
        What to call it.
    """

    atoms: NDArray[np.intp]
    direction: NDArray[np.float64]
    name: str = "shift"
    unit: str = "Å"

    def __post_init__(self) -> None:
        if not np.linalg.norm(self.direction) > 0:
            raise ParameterError(f"direction = {self.direction} has no length.")

    def apply(self, positions: Tensor, occupancy: Tensor, value: Tensor) -> tuple:
        """Positions (n, 3) [Å] and occupancies (n,) after a shift by ``value`` [Å]."""
        import torch

        chosen = torch.as_tensor(self.atoms)
        unit = np.asarray(self.direction, float) / np.linalg.norm(self.direction)
        shift = value * torch.as_tensor(unit, dtype=positions.dtype)
        return positions.index_add(0, chosen, shift.expand(len(chosen), 3)), occupancy


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Change of the weight of some atoms.

    Parameters
    ----------
    atoms : ndarray of int
        Which.
    name : str
        What to call it.
    """

    atoms: NDArray[np.intp]
    name: str = "occupancy"
    unit: str = ""

    def apply(self, positions: Tensor, occupancy: Tensor, value: Tensor) -> tuple:
        """Positions (n, 3) [Å] and occupancies (n,), ``value`` added to those chosen."""
        import torch

        chosen = torch.as_tensor(self.atoms)
        return positions, occupancy.index_add(0, chosen, value.expand(len(chosen)))


def bonds(molecule: Molecule) -> NDArray[np.bool_]:
    """Which atoms are bonded: nearer than their covalent radii and 0.3 Å.

    Parameters
    ----------
    molecule : Molecule
        Atoms.

    Returns
    -------
    ndarray of bool, shape (n_atoms, n_atoms)
        Symmetric, False on the diagonal.
    """
    radius = np.array([gemmi.Element(e).covalent_r for e in molecule.elements])
    apart = np.linalg.norm(molecule.positions[:, None] - molecule.positions, axis=2)
    near = apart < radius[:, None] + radius + BOND_TOLERANCE
    np.fill_diagonal(near, False)
    return near


def torsion(
    model: DisorderModel,
    bond: tuple[str, str],
    group: Sequence[str] | None = None,
) -> Rotation:
    """Rotation of a group about the bond that holds it.

    Parameters
    ----------
    model : DisorderModel
        With its atoms.
    bond : tuple of str
        Labels of the two atoms of the axis; what hangs on the second one turns, clockwise
        for one who looks from the first to the second.
    group : sequence of str, optional
        Labels of the atoms that turn; found from the bonds when left out.

    Returns
    -------
    Rotation
        Named after the bond.

    Raises
    ------
    ParameterError
        If the bond is part of a ring or no bond at all, or nothing hangs on it.
    """
    first, second = (model.atom(label) for label in bond)
    if first == second:
        raise ParameterError(f"bond = {bond}: two different atoms were expected.")
    if group is not None:
        chosen = np.array([model.atom(label) for label in group])
    else:
        chosen = _hanging(model, first, second)
    if not len(chosen):
        raise ParameterError(f"nothing hangs on {bond[1]} that could turn about {bond}.")
    return Rotation(chosen, ends=(first, second), name=f"torsion {bond[0]}–{bond[1]}")


def parse_move(model: DisorderModel, text: str) -> Rotation | Shift | Occupancy:
    """Move from a line of text.

    Parameters
    ----------
    model : DisorderModel
        With the atoms that are named.
    text : str
        ``torsion N,C4``, ``rotate C5,C6,C7 0,0,1`` (about an axis through their centre),
        ``shift all 1,0,0`` or ``occupancy C5,C6``. Directions are Cartesian; ``all`` stands
        for all atoms.

    Raises
    ------
    ParameterError
        If the text says something else, or an atom is not there.
    """
    kind, *rest = text.split()
    expected = {"torsion": 1, "rotate": 2, "shift": 2, "occupancy": 1}
    if expected.get(kind) != len(rest):
        raise ParameterError(
            f"move {text!r} is not understood; write 'torsion N,C4', 'rotate C5,C6 0,0,1', "
            "'shift all 1,0,0' or 'occupancy C5,C6'."
        )
    labels = [label for label in rest[0].split(",") if label]
    if kind == "torsion":
        if len(labels) != 2:
            raise ParameterError(f"move {text!r}: two labels were expected, such as N,C4.")
        return torsion(model, (labels[0], labels[1]))
    chosen = np.arange(len(model.labels))
    if labels != ["all"]:
        chosen = np.array([model.atom(label) for label in labels], dtype=np.intp)
    if kind == "occupancy":
        return Occupancy(chosen, name=text)
    try:
        direction = np.array([float(x) for x in rest[1].split(",")])
    except ValueError as error:
        raise ParameterError(
            f"move {text!r}: {rest[1]!r} is no direction ({error})."
        ) from error
    if direction.shape != (3,):
        raise ParameterError(f"move {text!r}: a direction has three components, 0,0,1.")
    maker = Rotation if kind == "rotate" else Shift
    return maker(chosen, direction=direction, name=text)


def _hanging(model: DisorderModel, first: int, second: int) -> NDArray[np.intp]:
    """Atoms connected to the second but not through the first."""
    # A and B lie in the same place without being bonded to each other.
    together = np.zeros((len(model.occupancy),) * 2, bool)
    for image in model.images:
        together[np.ix_(image.atoms, image.atoms)] = True
    near = bonds(model.atoms) & together
    names = model.labels
    if not near[first, second]:
        neighbours = ", ".join(names[i] for i in np.flatnonzero(near[first])) or "none"
        raise ParameterError(
            f"{names[first]} and {names[second]} are not bonded; neighbours of "
            f"{names[first]}: {neighbours}. Name the atoms that turn: group=[…]."
        )
    reached, front = {second}, [second]
    while front:
        atom = front.pop()
        for other in np.flatnonzero(near[atom]):
            if atom == second and other == first:
                continue
            if other == first:
                raise ParameterError(
                    f"the bond {names[first]}–{names[second]} is part of a ring, so nothing "
                    "can turn about it; name the atoms that turn: group=[…]."
                )
            if int(other) not in reached:
                reached.add(int(other))
                front.append(int(other))
    return np.array(sorted(reached - {second}), dtype=np.intp)


def displaced(model: DisorderModel, moves: Sequence[Move], values: ArrayLike) -> DisorderModel:
    """Model after some moves, one after the other.

    Parameters
    ----------
    model : DisorderModel
        Before.
    moves : sequence of Move
        What to do.
    values : array_like, shape (n_moves,)
        By how much, each in its unit.
    """
    import torch

    positions = torch.as_tensor(model.atoms.positions)
    occupancy = torch.as_tensor(model.occupancy)
    for move, value in zip(moves, np.atleast_1d(values), strict=True):
        positions, occupancy = move.apply(
            positions, occupancy, torch.tensor(float(value), dtype=positions.dtype)
        )
    return model.moved(positions.numpy(), occupancy.numpy())
