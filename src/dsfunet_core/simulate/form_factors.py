"""Atomic and molecular form factors on planes of reciprocal space.

On any affine grid Q(r, c) = Q₀ + r·s₁ + c·s₂ the phase factor exp(iQ·x) is an outer
product of two one-dimensional exponentials, so a molecular form factor is one small
complex matrix product per element instead of a sum over pixels × atoms.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.simulate.molecules import Molecule

__all__ = ["atomic_form_factor", "form_factor_on_grid", "molecular_form_factor"]


@cache
def _it92(symbol: str) -> tuple[NDArray, NDArray, float]:
    element = gemmi.Element(symbol)
    if element.atomic_number == 0 or element.it92 is None:
        raise ParameterError(
            f"no X-ray form factor for element {symbol!r}; give a chemical symbol such "
            "as 'C' or 'Cl'."
        )
    return np.array(element.it92.a), np.array(element.it92.b), float(element.it92.c)


def atomic_form_factor(symbol: str, q_norm: NDArray) -> NDArray[np.float64]:
    """X-ray form factor of an atom, four Gaussians (International Tables C, 6.1.1.4).

    Parameters
    ----------
    symbol : str
        Chemical symbol.
    q_norm : ndarray
        |Q| = 4π sinθ/λ [Å⁻¹].

    Returns
    -------
    ndarray
        f(|Q|) in electrons, shape of ``q_norm``.
    """
    a, b, c = _it92(symbol)
    stol2 = (np.asarray(q_norm, float) / (4 * np.pi)) ** 2
    return np.exp(-stol2[..., None] * b) @ a + c


def form_factor_on_grid(
    molecule: Molecule, q_origin: NDArray, q_steps: NDArray, shape: tuple[int, int]
) -> NDArray[np.complex128]:
    """Molecular form factor F(Q) = Σ f_i exp(iQ·x_i), eq. (2), on an affine grid.

    Parameters
    ----------
    molecule : Molecule
        Atoms, Cartesian [Å]. A vacancy (no atoms) has F = 0.
    q_origin : ndarray, shape (3,)
        Q of pixel (0, 0) [Å⁻¹].
    q_steps : ndarray, shape (3, 2)
        Q per row and per column [Å⁻¹].
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of complex, shape ``shape``
        In electrons.
    """
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    q = (
        q_origin[:, None, None]
        + q_steps[:, 0, None, None] * rows[:, None]
        + q_steps[:, 1, None, None] * columns
    )
    q_norm2 = np.einsum("irc,irc->rc", q, q)
    b_iso = molecule.b_iso if molecule.b_iso is not None else np.zeros(len(molecule.elements))
    total = np.zeros(shape, complex)
    kinds = sorted(set(zip(molecule.elements, np.asarray(b_iso).tolist(), strict=True)))
    for element, b in kinds:
        members = [
            i
            for i, (e, x) in enumerate(zip(molecule.elements, b_iso, strict=True))
            if e == element and x == b
        ]
        x = molecule.positions[members]
        row_phase = np.exp(1j * (np.outer(rows, x @ q_steps[:, 0]) + x @ q_origin))
        column_phase = np.exp(1j * np.outer(x @ q_steps[:, 1], columns))
        f = atomic_form_factor(element, np.sqrt(q_norm2))
        if b:
            f = f * np.exp(-b * q_norm2 / (4 * np.pi) ** 2)
        total += f * (row_phase @ column_phase)
    return total


def molecular_form_factor(molecule: Molecule, plane: ReciprocalPlane) -> NDArray[np.complex128]:
    """Molecular form factor on the pixels of a plane, eq. (2) of Fuller & Rudden (2024).

    Parameters
    ----------
    molecule : Molecule
        Atoms, Cartesian [Å], in gemmi's frame (a along x, b in the xy plane).
    plane : ReciprocalPlane
        Its cell and grid are used.

    Returns
    -------
    ndarray of complex, shape (n_rows, n_columns)
        In electrons.
    """
    cell, origin, steps = plane.geometry()
    to_q = q_matrix(cell)
    return form_factor_on_grid(molecule, to_q @ origin, to_q @ steps, plane.shape)
