"""Atomic and molecular form factors on planes of reciprocal space.

On any affine grid Q(r, c) = Q₀ + r·s₁ + c·s₂ the phase factor exp(iQ·x) is an outer
product of two one-dimensional exponentials, so a molecular form factor is one small
complex matrix product per element instead of a sum over pixels × atoms. Where the two
steps are perpendicular the Gaussians of the atomic form factor are outer products too.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.simulate.molecules import Molecule

__all__ = [
    "RADIATIONS",
    "AffineGrid",
    "atomic_form_factor",
    "axis_form_factors",
    "form_factor_difference",
    "grid_of",
    "molecular_form_factor",
]

#: What scatters, and the unit of the scattering factor.
RADIATIONS = {"xray": "electrons", "neutron": "fm", "electron": "Å"}


@cache
def _gaussians(symbol: str, radiation: str) -> tuple[NDArray, NDArray]:
    """Amplitudes and widths [Å²] of f = Σ a exp(−b (sinθ/λ)²); a constant has width 0."""
    if radiation not in RADIATIONS:
        raise ParameterError(
            f"radiation = {radiation!r} is not known; choose one of: {', '.join(RADIATIONS)}."
        )
    element = gemmi.Element(symbol)
    table: Any = None
    if element.atomic_number:
        table = {
            "xray": element.it92,
            "neutron": element.neutron92,
            "electron": element.c4322,
        }[radiation]
    if table is None:
        raise ParameterError(
            f"no {radiation} scattering factor for element {symbol!r}; give a chemical "
            "symbol such as 'C' or 'Cl'."
        )
    if radiation == "neutron":
        return np.array(table.get_coefs()), np.zeros(1)
    if radiation == "electron":
        return np.array(table.a), np.array(table.b)
    return np.array([*table.a, table.c]), np.array([*table.b, 0.0])


def atomic_form_factor(
    symbol: str, q_norm: NDArray, *, radiation: str = "xray"
) -> NDArray[np.float64]:
    """Scattering factor of an atom at rest.

    Parameters
    ----------
    symbol : str
        Chemical symbol.
    q_norm : ndarray
        |Q| = 4π sinθ/λ [Å⁻¹].
    radiation : {"xray", "neutron", "electron"}
        X-rays: four Gaussians and a constant (International Tables C, 6.1.1.4);
        neutrons: the bound coherent length (Neutron News 3 (1992) 29); electrons: five
        Gaussians (International Tables C, 4.3.2.2).

    Returns
    -------
    ndarray
        f(|Q|) in electrons, fm or Å, shape of ``q_norm``.

    Raises
    ------
    ParameterError
        If the element or the radiation is not known.
    """
    a, b = _gaussians(symbol, radiation)
    stol2 = (np.asarray(q_norm, float) / (4 * np.pi)) ** 2
    return np.exp(-stol2[..., None] * b) @ a


def _powers(angle: NDArray, n: int, dtype: DTypeLike) -> NDArray:
    """exp(i·angle·k) for k = 0 … n − 1, shape (len(angle), n), from about 2√n exponentials."""
    coarse = int(np.ceil(np.sqrt(n)))
    steps = np.arange(coarse)
    fine = np.exp(1j * np.multiply.outer(angle, steps)).astype(dtype)
    jumps = np.exp(1j * np.multiply.outer(angle, steps * coarse)).astype(dtype)
    return (jumps[:, :, None] * fine[:, None, :]).reshape(len(angle), -1)[:, :n]


class AffineGrid:
    """Scattering factors and phases on an affine grid of scattering vectors.

    Parameters
    ----------
    origin : ndarray, shape (3,)
        Q of pixel (0, 0) [Å⁻¹].
    steps : ndarray, shape (3, 2)
        Q per row and per column [Å⁻¹].
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        complex64 or complex128.
    """

    def __init__(
        self, origin: NDArray, steps: NDArray, shape: tuple[int, int], dtype: DTypeLike
    ) -> None:
        self.origin, self.steps, self.shape = origin, steps, shape
        self.complex = np.dtype(dtype)
        self.real = np.empty(0, self.complex).real.dtype
        self.rows, self.columns = np.arange(shape[0]), np.arange(shape[1])
        lengths = np.linalg.norm(steps, axis=0)
        self.orthogonal = abs(steps[:, 0] @ steps[:, 1]) <= 1e-12 * lengths.prod()
        if self.orthogonal:
            # |Q|² = q⊥² + x(r)² + y(c)².
            along = origin @ steps / lengths
            self.out_of_plane = origin @ origin - along @ along
            self.x2 = (along[0] + lengths[0] * self.rows) ** 2
            self.y2 = (along[1] + lengths[1] * self.columns) ** 2

    def q2(self) -> NDArray[np.float64]:
        """|Q|² of every pixel [Å⁻²]."""
        q = (
            self.origin[:, None, None]
            + self.steps[:, 0, None, None] * self.rows[:, None]
            + self.steps[:, 1, None, None] * self.columns
        )
        return np.einsum("irc,irc->rc", q, q)

    def atomic(self, symbol: str, b_iso: float, radiation: str) -> NDArray:
        """f(|Q|) exp(−B (sinθ/λ)²) on the grid."""
        a, b = _gaussians(symbol, radiation)
        widths = (b + b_iso) / (4 * np.pi) ** 2
        if self.orthogonal:
            row = a * np.exp(-widths * (self.out_of_plane + self.x2[:, None]))
            column = np.exp(-widths[:, None] * self.y2)
            return row.astype(self.real) @ column.astype(self.real)
        return (np.exp(-self.q2()[..., None] * widths) @ a).astype(self.real)

    def phases(self, x: NDArray, weights: NDArray) -> NDArray:
        """Σ w exp(iQ·x) over atoms."""
        row = _powers(x @ self.steps[:, 0], self.shape[0], self.complex)
        column = _powers(x @ self.steps[:, 1], self.shape[1], self.complex)
        start = (weights * np.exp(1j * (x @ self.origin))).astype(self.complex)
        return (row * start[:, None]).T @ column

    def form_factor(self, parts: list[tuple[float, Molecule]], radiation: str) -> NDArray:
        """Σ w F of molecules with weights w."""
        members: dict[tuple[str, float], list[tuple[NDArray, float]]] = {}
        for weight, molecule in parts:
            b_iso = molecule.b_iso
            for i, element in enumerate(molecule.elements):
                b = 0.0 if b_iso is None else float(b_iso[i])
                members.setdefault((element, b), []).append((molecule.positions[i], weight))
        total = np.zeros(self.shape, self.complex)
        for (element, b), atoms in members.items():
            x, weights = np.array([x for x, _ in atoms]), np.array([w for _, w in atoms])
            phases = self.phases(x, weights)
            phases *= self.atomic(element, b, radiation)
            total += phases
        return total


def form_factor_difference(
    mol_a: Molecule,
    mol_b: Molecule,
    plane: ReciprocalPlane,
    *,
    radiation: str = "xray",
    dtype: DTypeLike = np.complex128,
) -> NDArray[np.complexfloating]:
    """F_A(Q) − F_B(Q) on the pixels of a plane, the amplitude in eq. (1).

    Parameters
    ----------
    mol_a, mol_b : Molecule
        Atoms, Cartesian [Å], in gemmi's frame (a along x, b in the xy plane), on the same
        site. A vacancy has no atoms.
    plane : ReciprocalPlane
        Its cell and grid are used.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    dtype : dtype
        complex64 halves the time; it agrees with the direct sum to 10⁻⁵ of the maximum.

    Returns
    -------
    ndarray of complex, shape (n_rows, n_columns)
        In electrons, fm or Å.
    """
    return grid_of(plane, dtype).form_factor([(1.0, mol_a), (-1.0, mol_b)], radiation)


def molecular_form_factor(
    molecule: Molecule,
    plane: ReciprocalPlane,
    *,
    radiation: str = "xray",
    dtype: DTypeLike = np.complex128,
) -> NDArray[np.complexfloating]:
    """Molecular form factor F(Q) = Σ f_i exp(iQ·x_i), eq. (2), on the pixels of a plane.

    Parameters
    ----------
    molecule : Molecule
        Atoms, Cartesian [Å], in gemmi's frame (a along x, b in the xy plane). A vacancy
        (no atoms) has F = 0.
    plane : ReciprocalPlane
        Its cell and grid are used.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    dtype : dtype
        complex64 halves the time.

    Returns
    -------
    ndarray of complex, shape (n_rows, n_columns)
        In electrons, fm or Å.
    """
    return grid_of(plane, dtype).form_factor([(1.0, molecule)], radiation)


def axis_form_factors(
    mol_a: Molecule,
    mol_b: Molecule,
    to_q: NDArray,
    axis: int,
    levels: NDArray,
    q_max: float,
    *,
    coarse: int = 12,
) -> NDArray[np.float64]:
    """Mean |F_A − F_B|² of planes stacked along an axis, on a coarse grid.

    Parameters
    ----------
    mol_a, mol_b : Molecule
        Atoms, Cartesian [Å].
    to_q : ndarray, shape (3, 3)
        Takes *hkl* to Q [Å⁻¹], see `q_matrix`.
    axis : int
        0, 1 or 2: the planes are those of constant h, k or l.
    levels : ndarray, shape (n,)
        Their h, k or l.
    q_max : float
        Half the edge of the planes [Å⁻¹].
    coarse : int
        Points along each edge.

    Returns
    -------
    ndarray, shape (n,)
        [electrons²].
    """
    first, second = np.delete(to_q, axis, axis=1).T
    first = first / np.linalg.norm(first)
    second = second - (second @ first) * first
    second /= np.linalg.norm(second)
    # Half a step off the centre: the points are as dense left of it as right of it.
    line = (np.arange(coarse) + 0.5 - coarse / 2) * (2 * q_max / coarse)
    in_plane = (line[:, None, None] * first + line[None, :, None] * second).reshape(-1, 3)
    stacked = np.outer(levels, to_q[:, axis])
    q_norm = np.linalg.norm(stacked[:, None] + in_plane, axis=2)
    total = np.zeros(q_norm.shape, complex)
    for sign, molecule in ((1, mol_a), (-1, mol_b)):
        names = np.array(molecule.elements)
        for element in sorted(set(molecule.elements)):
            x = molecule.positions[names == element].T
            phases = np.exp(1j * stacked @ x) @ np.exp(1j * in_plane @ x).T
            total += sign * atomic_form_factor(element, q_norm) * phases
    return np.asarray((np.abs(total) ** 2).mean(axis=1))


def grid_of(plane: ReciprocalPlane, dtype: DTypeLike = np.complex128) -> AffineGrid:
    """Grid of the scattering vectors of a plane's pixels.

    Parameters
    ----------
    plane : ReciprocalPlane
        With cell and geometry.
    dtype : dtype
        complex64 or complex128.
    """
    cell, origin, steps = plane.geometry()
    to_q = q_matrix(cell)
    return AffineGrid(to_q @ origin, to_q @ steps, plane.shape, dtype)
