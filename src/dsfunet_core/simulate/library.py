"""Molecular fragments, atoms and perovskite cells that come with the package."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import combinations

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.molecules import Molecule

__all__ = ["Fragment", "fragment", "fragments", "pairs"]


@dataclass(frozen=True, eq=False)
class Fragment:
    """A molecule that may sit on a disordered site.

    Parameters
    ----------
    name : str
        "benzene", "SrTiO3".
    group : str
        Those of a group are of similar size: "tiny", "small", "medium", "large",
        "very large", "atoms", "perovskites".
    molecule : Molecule
        Atoms [Å]; fragments lie on their principal axes, centred on the mean position.
    cell : tuple of float
        Room it takes along x, y and z, with its van der Waals skin [Å]; the lattice
        parameter of a perovskite.
    held_out : bool
        Kept for validation, never drawn for training.
    """

    name: str
    group: str
    molecule: Molecule
    cell: tuple[float, float, float]
    held_out: bool


@cache
def fragments() -> tuple[Fragment, ...]:
    """All fragments of the bundled library.

    Returns
    -------
    tuple of Fragment
        In the order of the file.
    """
    text = (files("dsfunet_core") / "data" / "molecules.json").read_text(encoding="utf-8")
    return tuple(
        Fragment(
            entry["name"],
            entry["group"],
            Molecule(
                tuple(entry["elements"].split()),
                np.array(entry["positions"], float),
                name=entry["name"],
            ),
            tuple(entry["cell"]),
            entry["held_out"],
        )
        for entry in json.loads(text)
    )


def fragment(name: str) -> Fragment:
    """Fragment of a given name.

    Parameters
    ----------
    name : str
        Capitals do not matter.

    Returns
    -------
    Fragment
        From the bundled library.

    Raises
    ------
    ParameterError
        If there is none; the text names those that are spelt alike.
    """
    by_name = {f.name.lower(): f for f in fragments()}
    if name.lower() not in by_name:
        near = get_close_matches(name.lower(), by_name, n=3, cutoff=0.5)
        hint = (
            f"did you mean {', '.join(by_name[n].name for n in near)}?"
            if near
            else ("dsfunet_core.simulate.fragments() lists them.")
        )
        raise ParameterError(f"no fragment is called {name!r}; {hint}")
    return by_name[name.lower()]


def pairs(*, held_out: bool = False) -> list[tuple[Fragment, Fragment]]:
    """Pairs of different fragments of one group, as the paper combines them.

    Parameters
    ----------
    held_out : bool
        Pairs of those kept for validation, instead of pairs for training.

    Returns
    -------
    list of tuple of Fragment
        Each pair once, group by group.
    """
    groups: dict[str, list[Fragment]] = defaultdict(list)
    for member in fragments():
        if member.held_out == held_out:
            groups[member.group].append(member)
    return [pair for members in groups.values() for pair in combinations(members, 2)]
