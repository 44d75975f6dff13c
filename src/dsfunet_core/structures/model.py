"""What sits on the disordered site: A, B, and how symmetry makes them of few atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.molecules import Molecule

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DisorderModel", "Image", "disorder_model", "tris_amide_model"]


@dataclass(frozen=True, eq=False)
class Image:
    """Copy of some atoms that symmetry makes, in A or in B.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3)
        Takes Cartesian coordinates to those of the copy.
    shift : ndarray, shape (3,)
        Added to them [Å].
    sign : int
        +1 for a part of A, −1 for one of B: ΔF = F_A − F_B.
    atoms : ndarray of int
        Which atoms of the model.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    sign: int
    atoms: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DisorderModel:
    """Atoms that can move, and all copies of them that A and B consist of.

    Parameters
    ----------
    atoms : Molecule
        Independent atoms of A, then those of B where B has its own.
    images : tuple of Image
        ΔF(Q) = Σ over images of sign · Σ over atoms of w f exp(iQ·(R x + t)).
    occupancy : ndarray, shape (n_atoms,)
        Weight w of each atom.
    """

    atoms: Molecule
    images: tuple[Image, ...]
    occupancy: NDArray[np.float64]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the atoms: those of the file, or the element and a number."""
        return _names(self.atoms)

    def atom(self, label: str) -> int:
        """Number of the atom with a label.

        Parameters
        ----------
        label : str
            As in `labels`.

        Raises
        ------
        ParameterError
            If no atom, or more than one, is called so.
        """
        found = [i for i, name in enumerate(self.labels) if name == label]
        if len(found) != 1:
            many = "several atoms are" if found else "no atom is"
            raise ParameterError(
                f"{many} called {label!r}; the atoms are: {', '.join(self.labels)}."
            )
        return found[0]

    def moved(self, positions: NDArray, occupancy: NDArray | None = None) -> DisorderModel:
        """Same model with its independent atoms elsewhere.

        Parameters
        ----------
        positions : ndarray, shape (n_atoms, 3)
            Cartesian [Å].
        occupancy : ndarray, shape (n_atoms,), optional
            Other weights.
        """
        return replace(
            self,
            atoms=replace(self.atoms, positions=np.asarray(positions, float)),
            occupancy=self.occupancy if occupancy is None else np.asarray(occupancy, float),
        )

    def molecules(self) -> tuple[Molecule, Molecule]:
        """A and B with all their atoms, Cartesian [Å]."""
        return self._species(1), self._species(-1)

    def _species(self, sign: int) -> Molecule:
        parts = [image for image in self.images if image.sign == sign]
        chosen = [i for image in parts for i in image.atoms]
        positions = [
            self.atoms.positions[image.atoms] @ image.matrix.T + image.shift for image in parts
        ]
        return Molecule(
            tuple(self.atoms.elements[i] for i in chosen),
            np.concatenate(positions) if positions else np.empty((0, 3)),
            None if self.atoms.b_iso is None else self.atoms.b_iso[chosen],
            name=f"{self.atoms.name} {'A' if sign > 0 else 'B'}".strip(),
            labels=tuple(self.labels[i] for i in chosen),
        )


def disorder_model(
    a: Molecule,
    b: Molecule | None = None,
    *,
    b_from_a: str | None = None,
    images: Sequence[str] = ("x,y,z",),
    cell: gemmi.UnitCell | None = None,
) -> DisorderModel:
    """Model of a binary disordered site.

    Parameters
    ----------
    a : Molecule
        What is there in one case: independent atoms, in gemmi's Cartesian frame.
    b : Molecule, optional
        What is there in the other. Neither this nor ``b_from_a``: nothing, a vacancy.
    b_from_a : str, optional
        Operation that makes B of A instead, such as ``"x,y,1/2-z"``; what moves in A then
        moves in B too.
    images : sequence of str
        Operations that complete both species: ``"x,y,z"`` alone if the atoms are all
        given.
    cell : gemmi.UnitCell, optional
        To which the operations refer; not needed for the identity.

    Returns
    -------
    DisorderModel
        Ready for `compare`, `scan` and `refine_structure`.

    Raises
    ------
    ParameterError
        If an operation is none, does not keep distances, or has no cell to refer to.
    """
    if b is not None and b_from_a is not None:
        raise ParameterError("give b, or b_from_a, but not both: they say the same thing.")
    completing = [_cartesian(symbol, cell) for symbol in images]
    if not completing:
        raise ParameterError('images is empty; give at least ("x,y,z",).')
    n = len(a.elements)
    first = np.arange(n)
    parts = [Image(matrix, shift, 1, first) for matrix, shift in completing]
    atoms = a
    if b_from_a is not None:
        turn, move = _cartesian(b_from_a, cell)
        parts += [
            Image(turn @ matrix, turn @ shift + move, -1, first) for matrix, shift in completing
        ]
    elif b is not None:
        atoms = _joined(a, b)
        second = np.arange(n, n + len(b.elements))
        parts += [Image(matrix, shift, -1, second) for matrix, shift in completing]
    return DisorderModel(atoms, tuple(parts), np.ones(len(atoms.elements)))


def tris_amide_model() -> DisorderModel:
    """The benchmark crystal, see `dsfunet_core.simulate.tris_amide`."""
    from dsfunet_core.simulate import tris_amide

    return disorder_model(
        tris_amide.asymmetric_unit(),
        b_from_a=tris_amide.B_FROM_A,
        images=tris_amide.IMAGES,
        cell=tris_amide.CELL,
    )


def _names(molecule: Molecule) -> tuple[str, ...]:
    if molecule.labels is not None:
        return molecule.labels
    return tuple(f"{element}{i}" for i, element in enumerate(molecule.elements, 1))


def _joined(a: Molecule, b: Molecule) -> Molecule:
    """Atoms of both; labels that clash are told apart by the species."""
    names = [_names(molecule) for molecule in (a, b)]
    if set(names[0]) & set(names[1]):
        names = [tuple(f"{x}_{s}" for x in own) for own, s in zip(names, "AB", strict=True)]
    b_iso = None
    if a.b_iso is not None or b.b_iso is not None:
        own = [np.zeros(len(m.elements)) if m.b_iso is None else m.b_iso for m in (a, b)]
        b_iso = np.concatenate(own)
    return Molecule(
        a.elements + b.elements,
        np.concatenate([a.positions, b.positions]),
        b_iso,
        name=a.name,
        labels=(*names[0], *names[1]),
    )


def _cartesian(
    symbol: str, cell: gemmi.UnitCell | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation and translation [Å] of an operation given in fractional coordinates."""
    try:
        operation = gemmi.Op(symbol)
    except (RuntimeError, ValueError) as error:
        raise ParameterError(
            f"{symbol!r} is no symmetry operation ({error}); write it like x,y,1/2-z."
        ) from error
    if operation == gemmi.Op("x,y,z"):
        return np.eye(3), np.zeros(3)
    if cell is None:
        raise ParameterError(f"the operation {symbol!r} needs the cell it refers to: cell=….")
    to_cartesian = np.array(cell.orth.mat.tolist())
    rotation = np.array(operation.rot) / gemmi.Op.DEN
    matrix = to_cartesian @ rotation @ np.linalg.inv(to_cartesian)
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=5e-3):
        raise ParameterError(
            f"the operation {symbol!r} changes distances in the cell {cell.parameters}, so it "
            "is none of its symmetry; check the setting."
        )
    return matrix, to_cartesian @ (np.array(operation.tran) / gemmi.Op.DEN)
