"""A plane cut into pieces, each with a form factor of its own.

Order is the same everywhere, but nothing ties the form factor at one end of a plane to that
at the other end beyond the reach of its correlations. Cut into pieces, its thousands of
unknowns fall apart into blocks: the normal matrix of n unknowns in b pieces takes 1/b² of
the time. What the edges between the pieces lose is a little of the support's sharpness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem

__all__ = ["Pieces", "cut_up"]


@dataclass(frozen=True, eq=False)
class Pieces:
    """A plane's pieces, as a batch.

    Parameters
    ----------
    problem : Problem
        Data of the pieces (batch); those without a measured pixel are left out.
    origin : Tensor, shape (batch, 2)
        The plane's origin, in pixels of every piece.
    shape : tuple of int
        Rows and columns of the plane.
    number : int
        Pieces along each edge.
    measured : Tensor of bool, shape (number²,)
        Pieces that are there.
    """

    problem: Problem
    origin: Tensor
    shape: tuple[int, int]
    number: int
    measured: Tensor

    def joined(self, images: Tensor, elsewhere: float = 0.0) -> Tensor:
        """One image of the plane from those of its pieces.

        Parameters
        ----------
        images : Tensor, shape (batch, h, w)
            Of the pieces.
        elsewhere : float
            Value in pieces without a measured pixel.

        Returns
        -------
        Tensor, shape (n_rows, n_columns)
            Put together.
        """
        h, w = images.shape[1:]
        k = self.number
        whole = images.new_full((k * k, h, w), elsewhere)
        whole[self.measured] = images
        whole = whole.reshape(k, k, h, w).permute(0, 2, 1, 3).reshape(k * h, k * w)
        return whole[: self.shape[0], : self.shape[1]]


def cut_up(problem: Problem, origin: Tensor, number: int) -> Pieces:
    """Cut the problem of one plane into ``number`` by ``number`` pieces.

    Parameters
    ----------
    problem : Problem
        Of one plane, without variances; bases are those of the plane and need replacing.
    origin : Tensor, shape (1, 2)
        Pixel the phases are counted from.
    number : int
        Pieces along each edge.

    Returns
    -------
    Pieces
        Those with measured pixels.
    """
    rows, columns = (int(n) for n in problem.intensity.shape[1:])
    h, w = -(-rows // number), -(-columns // number)
    beyond = (0, number * w - columns, 0, number * h - rows)

    def cut(image: Tensor, mode: str = "constant") -> Tensor:
        padded = torch.nn.functional.pad(image[None], beyond, mode=mode)[0]
        parts = padded.reshape(number, h, number, w).permute(0, 2, 1, 3)
        return parts.reshape(number**2, h, w)

    valid = cut(problem.valid)
    measured = valid.sum((1, 2)) > 0
    corner = torch.cartesian_prod(
        torch.arange(number, dtype=origin.dtype) * h,
        torch.arange(number, dtype=origin.dtype) * w,
    ).to(origin.device)
    places = (origin - corner)[measured]
    pieces = replace(
        problem,
        intensity=cut(problem.intensity)[measured],
        valid=valid[measured],
        envelope=cut(problem.envelope, "replicate")[measured],
        unseen=cut(problem.unseen.to(problem.valid))[measured],
        form_factor_basis=replace(problem.form_factor_basis, shape=(h, w), origin=places),
    )
    return Pieces(pieces, places, (rows, columns), number, measured)
