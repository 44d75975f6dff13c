"""F_A − F_B of a model on a plane, and its derivatives with respect to moves.

On an affine grid exp(iQ·x) is an outer product of two one-dimensional exponentials, and so
is its derivative: Q·v, for a velocity v of the atom, is linear in row and column. A
derivative costs three small matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.form_factors import grid_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.moves import Move

__all__ = ["Amplitude", "velocities"]


class Amplitude:
    """Calculates ΔF(Q) = F_A − F_B, the amplitude in eq. (1), again and again.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its cell and grid are used.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    dtype : dtype
        complex64 is twice as fast, and right to 10⁻⁵ of the maximum.
    """

    def __init__(
        self,
        plane: ReciprocalPlane,
        *,
        radiation: str = "xray",
        dtype: DTypeLike = np.complex64,
    ) -> None:
        self.radiation = radiation
        self._grid = grid_of(plane, dtype)
        self._atomic: dict[tuple[str, float], NDArray] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self._grid.shape

    def __call__(
        self, model: DisorderModel, atoms: ArrayLike | None = None
    ) -> NDArray[np.complexfloating]:
        """ΔF of a model.

        Parameters
        ----------
        model : DisorderModel
            What scatters.
        atoms : array_like of int, optional
            Count only these of its atoms, and all their copies.

        Returns
        -------
        ndarray of complex, shape (n_rows, n_columns)
            In electrons (X-rays), fm (neutrons) or Å (electrons).
        """
        total = np.zeros(self.shape, self._grid.complex)
        for kind, x, _, weight, _, _ in self._groups(model, atoms):
            total += self._grid.phases(x, weight) * self._scattering(kind)
        return total

    def require_contrast(self, model: DisorderModel) -> None:
        """Refuse a plane on which A and B scatter alike.

        Parameters
        ----------
        model : DisorderModel
            The structure.

        Raises
        ------
        ParameterError
            If ΔF is nothing but rounding errors beside what the atoms scatter.
        """
        most = sum(
            np.abs(weight).sum() * np.abs(self._scattering(kind)).max()
            for kind, _, _, weight, _, _ in self._groups(model, None)
        )
        if not np.abs(self(model)).max() > 1e-4 * most:
            raise ParameterError(
                "the structure does not scatter on this plane: A and B look alike there. Use "
                "another plane, or check that B is where it should be."
            )

    def derivatives(
        self,
        model: DisorderModel,
        velocity: NDArray[np.float64],
        growth: NDArray[np.float64],
    ) -> NDArray[np.complexfloating]:
        """How ΔF changes with some parameters.

        Parameters
        ----------
        model : DisorderModel
            Where.
        velocity : ndarray, shape (n_parameters, n_atoms, 3)
            Derivatives of the coordinates [Å per unit of the parameter].
        growth : ndarray, shape (n_parameters, n_atoms)
            Derivatives of the occupancies.

        Returns
        -------
        ndarray of complex, shape (n_parameters, n_rows, n_columns)
            Exact.
        """
        changing = np.any(velocity != 0, axis=(0, 2)) | np.any(growth != 0, axis=0)
        result = np.zeros((len(velocity), *self.shape), self._grid.complex)
        rows = self._grid.rows[:, None].astype(self._grid.real)
        columns = self._grid.columns.astype(self._grid.real)
        for kind, x, atom, weight, sign, turns in self._groups(model, np.flatnonzero(changing)):
            for number, (moves, grows) in enumerate(zip(velocity, growth, strict=True)):
                speed = np.einsum("nij,nj->ni", turns, moves[atom])
                if not speed.any() and not grows[atom].any():
                    continue
                along = 1j * weight[:, None] * (speed @ self._grid.steps)
                start = 1j * weight * (speed @ self._grid.origin) + sign * grows[atom]
                change = self._grid.phases(x, start)
                change += rows * self._grid.phases(x, along[:, 0])
                change += columns * self._grid.phases(x, along[:, 1])
                result[number] += change * self._scattering(kind)
        return result

    def _scattering(self, kind: tuple[str, float]) -> NDArray[np.floating]:
        if kind not in self._atomic:
            self._atomic[kind] = self._grid.atomic(*kind, self.radiation)
        return self._atomic[kind]

    def _groups(self, model: DisorderModel, atoms: ArrayLike | None) -> list[tuple]:
        """By element and B: positions, atoms, weights, signs, rotations of all copies."""
        wanted = np.ones(len(model.occupancy), bool)
        if atoms is not None:
            wanted[:] = False
            wanted[np.asarray(atoms, int)] = True
        b_iso = model.atoms.b_iso
        groups: dict[tuple[str, float], list[list]] = {}
        for image in model.images:
            chosen = image.atoms[wanted[image.atoms]]
            x = model.atoms.positions[chosen] @ image.matrix.T + image.shift
            for position, i in zip(x, chosen, strict=True):
                b = 0.0 if b_iso is None else float(b_iso[i])
                group = groups.setdefault((model.atoms.elements[i], b), [[], [], [], [], []])
                group[0].append(position)
                group[1].append(i)
                group[2].append(image.sign * model.occupancy[i])
                group[3].append(float(image.sign))
                group[4].append(image.matrix)
        return [
            (kind, *(np.array(member) for member in members))
            for kind, members in groups.items()
        ]


def velocities(
    model: DisorderModel, moves: Sequence[Move], values: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Derivatives of coordinates and occupancies with respect to moves, by autograd.

    Parameters
    ----------
    model : DisorderModel
        Before the moves.
    moves : sequence of Move
        Done one after the other.
    values : array_like, shape (n_moves,)
        Where.

    Returns
    -------
    velocity : ndarray, shape (n_moves, n_atoms, 3)
        [Å per unit of each move].
    growth : ndarray, shape (n_moves, n_atoms)
        Of the occupancies.
    """
    import torch

    positions = torch.as_tensor(model.atoms.positions)
    occupancy = torch.as_tensor(model.occupancy)

    def after(parameters: torch.Tensor) -> tuple:
        where, weight = positions, occupancy
        for move, value in zip(moves, parameters, strict=True):
            where, weight = move.apply(where, weight, value)
        return where + 0 * parameters.sum(), weight + 0 * parameters.sum()

    at = torch.as_tensor(np.atleast_1d(np.asarray(values, float)))
    changes = [
        torch.autograd.functional.jvp(after, at, unit)[1]
        for unit in torch.eye(len(at), dtype=at.dtype)
    ]
    return tuple(torch.stack(parts).numpy() for parts in zip(*changes, strict=True))  # type: ignore[return-value]
