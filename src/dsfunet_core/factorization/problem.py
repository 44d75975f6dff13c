"""One batch of planes: data, bases, unknowns, and the model that ties them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dsfunet_core.factorization.transforms import FormFactorBasis, SroBasis

__all__ = ["Fields", "Problem", "Unknowns", "evaluate", "jacobian_fields"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and bases of one batch of planes.

    Parameters
    ----------
    intensity : Tensor, shape (batch, H, W)
        Linear intensity, 0 where masked.
    valid : Tensor, shape (batch, H, W)
        1 for pixels that take part, 0 otherwise.
    envelope : Tensor, shape (batch, H, W)
        Smooth positive E(p).
    form_factor_basis, sro_basis
        Bases of H and S.
    prior_variance : Tensor, shape (batch, n_P)
        Prior variances of the coefficients of H.
    unseen : Tensor, shape (batch, H, W)
        1 where the same place of the reciprocal cell was hardly measured in any cell.
    variance : Tensor, shape (batch, H, W), optional
        Known variances. Without them the variance is taken proportional to the model,
        as for counts, with a scale estimated from the misfit.
    observations : Tensor, shape (batch, H, W), optional
        Number of observations merged into a pixel; divides the counting variance.
    background_basis : Tensor, shape (k, H, W), optional
        Smooth functions spanning the background.
    robust : bool
        Give outliers no weight.
    """

    intensity: Tensor
    valid: Tensor
    envelope: Tensor
    form_factor_basis: FormFactorBasis
    sro_basis: SroBasis
    prior_variance: Tensor
    unseen: Tensor
    variance: Tensor | None = None
    observations: Tensor | None = None
    background_basis: Tensor | None = None
    robust: bool = True

    def without(self, held_out: Tensor) -> Problem:
        """The same problem with some pixels (1 in ``held_out``) left out."""
        return replace(self, valid=self.valid * (1 - held_out))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of real unknowns: form factor, short-range order, background."""
        k = 0 if self.background_basis is None else len(self.background_basis)
        return self.form_factor_basis.size, self.sro_basis.size, k

    def mean_intensity(self) -> Tensor:
        """Mean over the valid pixels, shape (batch,)."""
        total = (self.intensity * self.valid).sum((1, 2))
        return total / self.valid.sum((1, 2)).clamp(min=1)


@dataclass(frozen=True, eq=False)
class Unknowns:
    """Coefficients of the three factors, each of shape (batch, size)."""

    form_factor: Tensor
    sro: Tensor
    background: Tensor

    def cat(self) -> Tensor:
        """All unknowns in one vector, shape (batch, total)."""
        return torch.cat([self.form_factor, self.sro, self.background], 1)

    def moved(self, step: Tensor) -> Unknowns:
        """Unknowns after a step of the joint vector."""
        n, m = self.form_factor.shape[1], self.sro.shape[1]
        return Unknowns(
            self.form_factor + step[:, :n],
            self.sro + step[:, n : n + m],
            self.background + step[:, n + m :],
        )


@dataclass(frozen=True, eq=False)
class Fields:
    """The factors on the pixels, (batch, H, W) each."""

    h: Tensor
    s: Tensor
    background: Tensor | float
    model: Tensor


def evaluate(problem: Problem, unknowns: Unknowns) -> Fields:
    """Factors and model on the pixels for given unknowns."""
    h = problem.form_factor_basis.synthesize(unknowns.form_factor)
    s = 1 + problem.sro_basis.synthesize(unknowns.sro)
    model = problem.envelope * h * s.clamp(min=0)
    background: Tensor | float = 0.0
    if problem.background_basis is not None:
        background = torch.einsum("bk,khw->bhw", unknowns.background, problem.background_basis)
        model = model + background
    return Fields(h, s, background, model)


def jacobian_fields(problem: Problem, fields: Fields) -> tuple[Tensor, Tensor]:
    """∂M/∂H and ∂M/∂S on the pixels."""
    positive = fields.s > 0
    return (
        problem.envelope * fields.s.clamp(min=0),
        problem.envelope * fields.h * positive,
    )
