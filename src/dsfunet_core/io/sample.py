"""Unit cell and Laue class of the sample, as NeXus files and Mantid write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.io.grid import unit_cell
from dsfunet_core.io.hdf5 import numbers, text
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.symmetry import laue_class_named, laue_class_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["sample_cell", "sample_laue_class"]

_PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


def sample_cell(path: Path, group: str) -> gemmi.UnitCell | None:
    """Unit cell of an NXsample, or of Mantid's oriented lattice.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        Path of the group that holds it.

    Returns
    -------
    gemmi.UnitCell or None
        [Å, °]; None where the group is missing or says nothing of the kind.

    Raises
    ------
    FileFormatError
        If the numbers there are no unit cell.
    """
    names = children(path, group)
    where = f"the unit cell in {group} of {path}"
    if "unit_cell" in names:
        return unit_cell(numbers(path, f"{group}/unit_cell", 6), where)  # type: ignore[arg-type]
    for prefix in ("unitcell", "unit_cell", "lattice"):
        if all(f"{prefix}_{p}" in names for p in _PARAMETERS):
            values = [numbers(path, f"{group}/{prefix}_{p}", 1) for p in _PARAMETERS]
            return unit_cell(np.ravel(values), where)  # type: ignore[arg-type]
    if {"unit_cell_abc", "unit_cell_alphabetagamma"} <= set(names):
        halves = ("unit_cell_abc", "unit_cell_alphabetagamma")
        return unit_cell(np.ravel([numbers(path, f"{group}/{h}", 3) for h in halves]), where)
    return None


def sample_laue_class(path: Path, group: str) -> str | None:
    """Laue class of an NXsample, by its space group where that is known.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        Path of the group.

    Returns
    -------
    str or None
        None where it is not given, or as -3m, which names two classes.
    """
    space_group = text(path, f"{group}/space_group")
    found = gemmi.find_spacegroup_by_name(space_group) if space_group else None
    if found is not None and found.is_reference_setting():
        return laue_class_of(found.number) if found.number > 1 else None
    stated = text(path, f"{group}/laue_group")
    try:
        return laue_class_named(stated).symbol if stated else None
    except ParameterError:
        return None
