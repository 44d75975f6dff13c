"""Molecules as lists of atoms, and random ones for validation sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Molecule", "random_molecule", "random_rotation"]


@dataclass(frozen=True, eq=False)
class Molecule:
    """Atoms of one molecule, fragment or single atom.

    Parameters
    ----------
    elements : tuple of str
        Element symbols, one an atom. Empty for a vacancy.
    positions : ndarray, shape (n_atoms, 3)
        Cartesian coordinates [Å].
    b_iso : ndarray, shape (n_atoms,), optional
        Isotropic displacement parameters B [Å²]; 0 when left out.
    name : str
        What to call it.
    labels : tuple of str, optional
        Names of the atoms, as a CIF has them.
    """

    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    b_iso: NDArray[np.float64] | None = None
    name: str = ""
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if np.shape(self.positions) != (len(self.elements), 3):
            raise ParameterError(
                f"{len(self.elements)} elements but positions of shape "
                f"{np.shape(self.positions)}; expected ({len(self.elements)}, 3) in Å."
            )
        if self.b_iso is not None and np.shape(self.b_iso) != (len(self.elements),):
            raise ParameterError(
                f"{len(self.elements)} elements but b_iso of shape {np.shape(self.b_iso)}; "
                "give one B in Å² an atom, or none at all."
            )
        if self.labels is not None and len(self.labels) != len(self.elements):
            raise ParameterError(
                f"{len(self.elements)} elements but {len(self.labels)} labels; give one an "
                "atom, or none at all."
            )

    def transformed(self, matrix: NDArray, shift: NDArray | float = 0.0) -> Molecule:
        """Molecule with every position x replaced by matrix @ x + shift [Å]."""
        return replace(self, positions=self.positions @ np.asarray(matrix).T + shift)

    @property
    def extent(self) -> float:
        """Largest distance between two atoms [Å]; 0 for a single atom."""
        if len(self.elements) < 2:
            return 0.0
        difference = self.positions[:, None] - self.positions[None]
        return float(np.sqrt((difference**2).sum(-1)).max())


def random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Rotation matrix, uniform over all orientations, shape (3, 3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def random_molecule(rng: np.random.Generator, n_heavy: int) -> Molecule:
    """Grow a random organic-like molecule with the mean of its positions at the origin.

    Heavy atoms (C, N, O, now and then S, Cl, F) are added one bond at a time, 1.25
    to 1.55 Å from an earlier atom, at angles near 110–120° and no nearer than 2.1 Å
    to any other; hydrogens fill free places on carbon.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    n_heavy : int
        Number of non-hydrogen atoms, at least 1.

    Returns
    -------
    Molecule
        In a random orientation.
    """
    if n_heavy < 1:
        raise ParameterError(f"n_heavy = {n_heavy}: a molecule needs at least one atom.")
    flat = 0.15 if rng.random() < 0.5 else 1.0
    elements = ["C" if n_heavy > 1 else str(rng.choice(["C", "N", "O", "S", "Cl"]))]
    positions = [np.zeros(3)]
    for _ in range(60 * n_heavy):
        if len(elements) == n_heavy:
            break
        anchor = positions[rng.integers(len(positions))]
        direction = rng.normal(size=3) * (1, 1, flat)
        candidate = anchor + direction / np.linalg.norm(direction) * rng.uniform(1.25, 1.55)
        distance = np.linalg.norm(np.array(positions) - candidate, axis=1)
        if np.sum(distance < 2.1) == 1:
            positions.append(candidate)
            elements.append(
                str(
                    rng.choice(
                        ["C", "N", "O", "S", "Cl", "F"], p=[0.6, 0.15, 0.15, 0.04, 0.03, 0.03]
                    )
                )
            )
    for parent in range(len(elements)):
        if elements[parent] != "C":
            continue
        for _ in range(2):
            direction = rng.normal(size=3)
            candidate = positions[parent] + direction / np.linalg.norm(direction) * 0.97
            distance = np.linalg.norm(np.array(positions) - candidate, axis=1)
            if np.sum(distance < 1.5) == 1:
                positions.append(candidate)
                elements.append("H")
    xyz = np.array(positions)
    xyz -= xyz.mean(axis=0)
    molecule = Molecule(tuple(elements), xyz, name=f"random-{n_heavy}")
    return molecule.transformed(random_rotation(rng))
