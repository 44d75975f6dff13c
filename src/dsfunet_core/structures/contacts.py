"""Atoms that are not bonded keep apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.structures.moves import bonds

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.moves import Move

__all__ = ["Contacts"]

#: Nearest distance as a fraction of the sum of van der Waals radii, and its softness [Å].
FRACTION, SOFTNESS = 0.65, 0.05


class Contacts:
    """Restraint (d_min − d)/0.05 Å on pairs nearer than 0.65 of their van der Waals distance.

    Pairs are those of one species, at least four bonds apart or not connected, of which a
    move changes the distance. Distances that the unmoved structure has are allowed.

    Parameters
    ----------
    model : DisorderModel
        Where all moves are 0.
    moves : sequence of Move
        What will move.
    """

    def __init__(self, model: DisorderModel, moves: Sequence[Move]) -> None:
        self.model, self.moves = model, tuple(moves)
        images = [image for image in model.images if image.sign > 0]
        self.matrices = np.array([image.matrix for image in images])
        self.shifts = np.array([image.shift for image in images])
        moving = np.zeros(len(model.occupancy), bool)
        for move in moves:
            moving[move.atoms] = True
        first = images[0].atoms
        near = bonds(model.molecules()[0])
        steps = near | (near.astype(int) @ near > 0)
        steps = steps | (steps.astype(int) @ near > 0)
        n = len(first)
        whole = np.tile(first, len(images))
        i, j = np.triu_indices(len(whole), 1)
        # One of each pair from the first image: the others repeat it.
        kept = (i < n) & (moving[whole[i]] | moving[whole[j]]) & ~steps[i, j]
        self.first, self.second = i[kept], j[kept]
        self.atoms = first
        radius = np.array([gemmi.Element(e).vdw_r for e in model.atoms.elements])
        least = FRACTION * (radius[whole[self.first]] + radius[whole[self.second]])
        self.least = np.minimum(least, self._distances(np.zeros(len(self.moves))))

    def _distances(self, values: NDArray) -> NDArray[np.float64]:
        import torch

        with torch.no_grad():
            return np.asarray(self._all(torch.as_tensor(np.asarray(values, float))).numpy())

    def _all(self, values: Tensor) -> Tensor:
        import torch

        positions = torch.as_tensor(self.model.atoms.positions)
        occupancy = torch.as_tensor(self.model.occupancy)
        for move, value in zip(self.moves, values, strict=True):
            positions, occupancy = move.apply(positions, occupancy, value)
        own = positions[torch.as_tensor(self.atoms)]
        whole = own @ torch.as_tensor(self.matrices).mT + torch.as_tensor(self.shifts)[:, None]
        flat = whole.reshape(-1, 3)
        apart = flat[torch.as_tensor(self.first)] - flat[torch.as_tensor(self.second)]
        return apart.norm(dim=1)

    def misfit(self, values: NDArray) -> NDArray[np.float64]:
        """How far below the least distances pairs are, in units of the softness.

        Parameters
        ----------
        values : ndarray, shape (n_moves,)
            Of the moves.

        Returns
        -------
        ndarray, shape (n_pairs,)
            0 for pairs far enough apart.
        """
        return np.maximum(self.least - self._distances(values), 0) / SOFTNESS

    def at(self, values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Misfit of the pairs that are too near, and its derivatives.

        Parameters
        ----------
        values : ndarray, shape (n_moves,)
            Of the moves.

        Returns
        -------
        misfit : ndarray, shape (n_pairs,)
            See `misfit`.
        slopes : ndarray, shape (n_pairs, n_moves)
            Its derivatives.
        """
        import torch

        at = torch.as_tensor(np.asarray(values, float))
        slopes = [
            torch.autograd.functional.jvp(self._all, at, unit)[1].numpy()
            for unit in torch.eye(len(at), dtype=at.dtype)
        ]
        misfit = self.misfit(values)
        return misfit, np.where(misfit[:, None] > 0, -np.stack(slopes, 1) / SOFTNESS, 0.0)
