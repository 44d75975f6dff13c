"""Models of a disordered site from structure files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gemmi

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.structures import disorder_groups, read_molecule
from dsfunet_core.structures.model import DisorderModel, disorder_model, tris_amide_model

if TYPE_CHECKING:
    from dsfunet_core.simulate.molecules import Molecule

__all__ = ["read_model", "write_xyz"]

#: What to call the structure of the benchmark crystal.
BENCHMARK = "tris-amide"


def read_model(
    structure: str | Path,
    *,
    b: str | Path | None = None,
    b_from_a: str | None = None,
    groups: tuple[int, int] | None = None,
    images: Sequence[str] = (),
    cell: gemmi.UnitCell | None = None,
) -> DisorderModel:
    """Read what sits on the disordered site.

    Parameters
    ----------
    structure : path-like
        CIF, XYZ, SDF or MOL, or ``"tris-amide"`` for the benchmark crystal. Coordinates
        that are Cartesian in the file must be in gemmi's frame of the plane's cell: a along
        x, b in the xy plane.
    b : path-like, optional
        File of B, on the same site.
    b_from_a : str, optional
        Operation that makes B of A, such as ``"x,y,1/2-z"``.
    groups : tuple of int, optional
        Disorder groups of a CIF that are A and B; PART 1 and PART 2, say. The two that
        the file has when left out.
    images : sequence of str
        Operations that complete both species. A molecule of a CIF is completed by the
        bonds to its symmetry images where none are given.
    cell : gemmi.UnitCell, optional
        To which the operations refer: that of the plane.

    Returns
    -------
    DisorderModel
        Without any of ``b``, ``b_from_a`` and groups, B is a vacancy.

    Raises
    ------
    ParameterError
        If B is said in two ways.
    FileFormatError
        If a file cannot be read as what its name says.
    """
    if str(structure) == BENCHMARK:
        if b or b_from_a or groups or images:
            raise ParameterError(f"{BENCHMARK} brings its own B; leave out how to make it.")
        return tris_amide_model()
    complete = not images
    is_cif = Path(structure).suffix.lower() == ".cif"
    if groups is None and b is None and b_from_a is None and is_cif:
        found = disorder_groups(structure)
        groups = (found[0], found[1]) if len(found) == 2 else None
    species: Molecule | None = None
    if groups is not None:
        if b is not None or b_from_a is not None:
            raise ParameterError("B is given twice: by disorder groups and otherwise.")
        first, species = (
            read_molecule(structure, disorder_group=group, complete=complete)
            for group in groups
        )
    else:
        first = read_molecule(structure, complete=complete)
        species = None if b is None else read_molecule(b, complete=complete)
    return disorder_model(
        first, species, b_from_a=b_from_a, images=images or ("x,y,z",), cell=cell
    )


def write_xyz(path: str | Path, model: DisorderModel, *, overwrite: bool = False) -> None:
    """Write the independent atoms of a model as XYZ, Cartesian [Å].

    Parameters
    ----------
    path : path-like
        ``.xyz``.
    model : DisorderModel
        What to write.
    overwrite : bool
        Whether a file may be replaced.
    """
    from dsfunet_core.io.files import replacing

    lines = [str(len(model.labels)), model.atoms.name or "independent atoms"]
    for element, x in zip(model.atoms.elements, model.atoms.positions, strict=True):
        lines.append(f"{element:2s} " + " ".join(f"{value:12.6f}" for value in x))
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
