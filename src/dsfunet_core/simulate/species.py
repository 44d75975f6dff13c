"""What sits on the disordered site, by name: fragments, files, a vacancy; and their cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.io.files import existing_file
from dsfunet_core.simulate.crystals import vegard_cell
from dsfunet_core.simulate.library import fragment
from dsfunet_core.simulate.molecules import Molecule
from dsfunet_core.simulate.structures import read_molecule

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VACANCY", "Species", "mixed_cell", "species"]

#: Name of a species without atoms.
VACANCY = "vacancy"
#: Suffixes of files that hold a molecule.
_SUFFIXES = (".cif", ".xyz", ".sdf", ".mol")


@dataclass(frozen=True, eq=False)
class Species:
    """One of the two molecules on a site.

    Parameters
    ----------
    molecule : Molecule
        Atoms [Å], those of files and fragments round their mean position; of a CIF in its
        own cell where they are.
    room : ndarray, shape (3,)
        Edges of the box that it takes along x, y and z, with its van der Waals skin [Å];
        zeros for a vacancy.
    cell : gemmi.UnitCell, optional
        Of the CIF that it was read from.
    """

    molecule: Molecule
    room: NDArray[np.float64]
    cell: gemmi.UnitCell | None = None


def species(name: str, *, turn: float = 0.0, disorder_group: int | None = None) -> Species:
    """Molecule by its name.

    Parameters
    ----------
    name : str
        A fragment of the library, ``"vacancy"``, or a CIF, XYZ, SDF or MOL file.
    turn : float
        Degrees by which to turn it about z, anticlockwise as seen from +z.
    disorder_group : int, optional
        Of a disordered CIF, the part to keep.

    Returns
    -------
    Species
        The molecule and the room it takes.

    Raises
    ------
    ParameterError
        If no fragment is called so, or a CIF has several disorder groups.
    FileFormatError
        If a file cannot be read.
    """
    name = name.strip()
    if not name:
        raise ParameterError(
            "no molecule is named: choose a fragment of the library, a file, or vacancy."
        )
    if name.lower() == VACANCY:
        return Species(Molecule((), np.zeros((0, 3)), name=VACANCY), np.zeros(3))
    cell = room = None
    if Path(name).suffix.lower() in _SUFFIXES:
        molecule = read_molecule(name, disorder_group=disorder_group)
        if Path(name).suffix.lower() == ".cif":
            structure = gemmi.read_small_structure(str(existing_file(name)))
            cell = structure.cell if structure.cell.is_crystal() else None
        else:
            molecule = molecule.transformed(np.eye(3), -molecule.positions.mean(axis=0))
    else:
        found = fragment(name)
        molecule, room = found.molecule, np.array(found.cell, float)
    if turn:
        angle = np.deg2rad(turn)
        c, s = np.cos(angle), np.sin(angle)
        middle = molecule.positions.mean(axis=0)
        matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        molecule = molecule.transformed(matrix, middle - matrix @ middle)
        room = None
    return Species(molecule, _room(molecule) if room is None else room, cell)


def mixed_cell(
    a: Species, b: Species, concentration: float, system: str = "orthorhombic"
) -> gemmi.UnitCell:
    """Cell of a mixed crystal: that of the CIF both come from, else by Vegard's law.

    Parameters
    ----------
    a, b : Species
        What shares the site.
    concentration : float
        m_A.
    system : str
        "orthorhombic", "tetragonal", "hexagonal" or "cubic"; see `vegard_cell`.

    Returns
    -------
    gemmi.UnitCell
        [Å, °].

    Raises
    ------
    ParameterError
        If neither species has atoms, or the system is not known.
    """
    if a.cell is not None and b.cell is not None and a.cell.approx(b.cell, 1e-4):
        return a.cell
    if not (a.molecule.elements or b.molecule.elements):
        raise ParameterError("both molecules are vacancies: nothing scatters. Choose one.")
    return vegard_cell(a.room, b.room, concentration, system)


def _room(molecule: Molecule) -> NDArray[np.float64]:
    radii = np.array([gemmi.Element(e).vdw_r for e in molecule.elements])[:, None]
    highest, lowest = molecule.positions + radii, molecule.positions - radii
    return np.asarray(highest.max(axis=0) - lowest.min(axis=0))
