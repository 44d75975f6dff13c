"""The lattice as one more unknown of the refinement."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from dsfunet_core.factorization.normal_equations import cholesky
from dsfunet_core.factorization.priors import decay_variance, prior
from dsfunet_core.factorization.problem import (
    Fields,
    Problem,
    Unknowns,
    evaluate,
    jacobian_fields,
)
from dsfunet_core.factorization.weighting import pixel_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["RefinedLattice", "refine_lattice", "scatter_of_halves"]

#: How far the lattice is expected to be off, as a fraction of its vectors: a direction
#: along which nothing varies stays where it is.
EXPECTED_ERROR = 0.01
#: A shift of the outermost wave by less than this [cycles at the plane's edge] is none.
STILL = 3e-4
#: Largest shift in one cycle [cycles at the plane's edge, first harmonic].
LARGEST_STEP = 0.2
#: Nothing is gained beyond this misfit, in units of the signal's mean square.
EXACT = 1e-7
#: Edge of the blocks of pixels [pixels] that halves of the plane are made of, and how many
#: times it is halved to see what uncertainties are worth.
BLOCK, HALVINGS = 16, 3


@dataclass(frozen=True, eq=False)
class RefinedLattice:
    """A lattice refined together with both factors.

    Parameters
    ----------
    problem : Problem
        With the lattice moved.
    unknowns : Unknowns
        Coefficients that go with it.
    direct : ndarray, shape (2, 2)
        Columns: direct-lattice vectors [cycles a pixel].
    covariance : ndarray, shape (4, 4)
        Of their components 00, 01, 10, 11, factors marginalised.
    converged : bool
        Whether the lattice stood still, or nothing was left to be explained.
    """

    problem: Problem
    unknowns: Unknowns
    direct: NDArray[np.float64]
    covariance: NDArray[np.float64]
    converged: bool

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Standard uncertainties of ``direct``, shape (2, 2)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0)).reshape(2, 2)


def refine_lattice(
    problem: Problem,
    unknowns: Unknowns,
    direct: NDArray,
    origin: Tensor,
    spacing: NDArray,
    *,
    max_cycles: int = 8,
) -> RefinedLattice:
    """Gauss–Newton on both factors and the four components of the lattice's basis.

    The basis enters through the phases θ_u = 2π (D u)·(p − o):

        ∂S/∂D_ji = Σ_u 2 Re[2πi u_i C_u exp(iθ_u)] (p_j − o_j).

    With complex C_u the origin is no unknown: it turns their phases.

    Parameters
    ----------
    problem : Problem
        One plane, or its pieces as a batch (see `pieces`): each has a form factor of its
        own, order and lattice are common to all. The coefficients of the order are complex;
        there is no background.
    unknowns : Unknowns
        Where to start; the coefficients of the order the same in every row.
    direct : ndarray, shape (2, 2)
        Columns: direct-lattice vectors [cycles a pixel].
    origin : Tensor, shape (batch, 2)
        Pixel of each piece that the phases are counted from.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    max_cycles : int
        Largest number of cycles.

    Returns
    -------
    RefinedLattice
        Lattice, factors, uncertainties.
    """
    here = torch.as_tensor(np.array(direct)).to(problem.intensity)
    edge = _farthest(problem, origin)
    hold = 1 / (EXPECTED_ERROR * torch.linalg.vector_norm(here, dim=0)) ** 2
    converged = False
    first, covariance = here, here.new_zeros(4, 4)
    for _ in range(max_cycles):
        fields = evaluate(problem, unknowns)
        weights, exact = _scaled_weights(problem, fields)
        normal = _Normal(problem, unknowns, origin, fields, weights)
        normal.matrix.diagonal()[-4:] += hold.repeat(2)
        normal.right[-4:] -= (hold * (here - first)).flatten()
        step, shift, covariance = normal.solved()
        far = float((shift.abs() * edge[:, None]).sum(0).amax())
        length = min(LARGEST_STEP / max(far, 1e-300), 1.0)
        problem, unknowns, here = _moved(
            problem, unknowns, here, origin, spacing, step, shift, length, weights
        )
        converged = far < STILL or exact
        if converged:
            break
    return RefinedLattice(
        problem, unknowns, here.cpu().numpy(), covariance.cpu().numpy(), converged
    )


def scatter_of_halves(problem: Problem, unknowns: Unknowns, origin: Tensor) -> float:
    """How far halves of a plane put the lattice apart, over what noise would.

    Residuals that are the model's own error are correlated, and the covariance, which takes
    them for noise, is too small. The plane is halved by blocks of pixels; the step that one
    half asks for less that of the other has twice the covariance of each.

    Parameters
    ----------
    problem, unknowns, origin
        As refined, see :func:`refine_lattice`.

    Returns
    -------
    float
        Mean of squared differences over their variance: 1 where residuals are white.
    """
    fields = evaluate(problem, unknowns)
    weights, _ = _scaled_weights(problem, fields)
    rows, columns = problem.intensity.shape[1:]
    generator = torch.Generator().manual_seed(0)
    ratios = []
    for _ in range(HALVINGS):
        blocks = torch.rand(
            (math.ceil(rows / BLOCK), math.ceil(columns / BLOCK)), generator=generator
        )
        half = (blocks < blocks.median()).to(weights)
        half = half.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[:rows, :columns]
        parts = []
        for share in (half, 1 - half):
            normal = _Normal(problem, unknowns, origin, fields, weights * share)
            # Of a direction along which nothing varies no half knows anything.
            normal.matrix.diagonal()[-4:] += 1e-9 * normal.matrix.diagonal()[-4:].max()
            _, shift, covariance = normal.solved()
            parts.append((shift.flatten(), covariance))
        apart = parts[0][0] - parts[1][0]
        variance = parts[0][1] + parts[1][1]
        ratios.append(float(apart @ torch.linalg.solve(variance, apart)) / 4)
    return float(np.mean(ratios))


def _farthest(problem: Problem, origin: Tensor) -> Tensor:
    """Largest distances from the origin along rows and columns [pixels]."""
    size = torch.tensor(problem.intensity.shape[1:]).to(origin)
    return torch.maximum(origin.abs(), (size - origin).abs()).amax(0)


def _scaled_weights(problem: Problem, fields: Fields) -> tuple[Tensor, bool]:
    """Weights in units of the misfit of all pieces, and whether nothing is to be gained."""
    weights, misfit, _ = pixel_weights(problem, fields, robust=problem.robust)
    used = (weights > 0).sum((1, 2))
    misfit = (misfit * used).sum() / used.sum()
    signal = (weights * problem.intensity**2).sum() / used.sum()
    return weights / misfit, bool(misfit < EXACT * signal)


class _Normal:
    """Normal equations with the form factors of all pieces eliminated.

    What is left are the coefficients of the order and the lattice's components, which
    come last. The pieces' blocks are independent of each other.
    """

    def __init__(
        self,
        problem: Problem,
        unknowns: Unknowns,
        origin: Tensor,
        fields: Fields,
        weights: Tensor,
    ) -> None:
        h_basis, s_basis = problem.form_factor_basis, problem.sro_basis
        n, m, _ = problem.sizes
        precision, mean = prior(problem)
        d_h, d_s = jacobian_fields(problem, fields)
        residual = weights * (problem.intensity - fields.model)
        own = h_basis.gram(weights * d_h**2)
        own.diagonal(dim1=1, dim2=2).add_(precision[:, :n])
        own_right = h_basis.analyze(d_h * residual)
        own_right -= precision[:, :n] * (unknowns.form_factor - mean[:, :n])
        slopes = [d_s * slope for slope in _slopes(problem, unknowns, origin)]
        weighted = [weights * slope for slope in slopes]
        cross = torch.cat(
            [
                s_basis.cross(weights * d_h * d_s, h_basis),
                torch.stack([h_basis.analyze(d_h * w) for w in weighted], 2),
            ],
            2,
        )
        common = cross.new_zeros(m + 4, m + 4)
        common[:m, :m] = s_basis.gram(weights * d_s**2).sum(0)
        beside = torch.stack([s_basis.analyze(d_s * w).sum(0) for w in weighted], 1)
        common[:m, m:], common[m:, :m] = beside, beside.T
        for k, one in enumerate(weighted):
            for j, other in enumerate(slopes):
                common[m + k, m + j] = (one * other).sum()
        order = unknowns.sro[0]
        decay = 1 / decay_variance(problem, unknowns.sro)[0]
        common.diagonal()[:m] += decay
        right = torch.cat(
            [
                s_basis.analyze(d_s * residual).sum(0) - decay * order,
                torch.stack([(slope * residual).sum() for slope in slopes]),
            ]
        )
        self._factor = cholesky(own)
        #: L⁻¹ of what ties the form factors to the rest, and of their own right-hand side.
        self._tied = torch.linalg.solve_triangular(
            self._factor, torch.cat([cross, own_right[..., None]], 2), upper=False
        )
        reduced = self._tied.mT @ self._tied
        self.matrix = common - reduced[:, :-1, :-1].sum(0)
        self.right = right - reduced[:, :-1, -1].sum(0)

    def solved(self) -> tuple[Unknowns, Tensor, Tensor]:
        """Step of both factors, step of the lattice, and the lattice's covariance."""
        m = len(self.right) - 4
        factor = cholesky(self.matrix[None])
        step = torch.cholesky_solve(self.right[None, :, None], factor)[0, :, 0]
        unit = torch.zeros_like(self.matrix[:, :4])
        unit[m:] = torch.eye(4, dtype=unit.dtype, device=unit.device)
        covariance = torch.cholesky_solve(unit[None], factor)[0, m:]
        left = self._tied[..., -1:] - self._tied[..., :-1] @ step[:, None]
        own = torch.linalg.solve_triangular(self._factor.mT, left, upper=True)[..., 0]
        order = step[:m].expand(len(own), -1)
        return Unknowns(own, order, own[:, :0]), step[m:].reshape(2, 2), covariance


def _slopes(problem: Problem, unknowns: Unknowns, origin: Tensor) -> list[Tensor]:
    """∂S/∂D_ji on the pixels in the order (j, i) = 00, 01, 10, 11."""
    basis = problem.sro_basis
    c = basis.complex_values(unknowns.sro)
    u = torch.as_tensor(basis.indices, dtype=torch.float64, device=c.device)
    along = []
    for i in range(2):
        turned = 2j * math.pi * u[:, i] * c
        wave = (basis.row * turned[:, :, None]).transpose(1, 2) @ basis.column
        along.append(2 * wave.real)
    places = [
        torch.arange(size, dtype=torch.float64, device=c.device) - origin[:, j, None]
        for j, size in enumerate(problem.intensity.shape[1:])
    ]
    return [
        wave * (places[0][:, :, None] if j == 0 else places[1][:, None, :])
        for j in range(2)
        for wave in along
    ]


def _moved(
    problem: Problem,
    unknowns: Unknowns,
    direct: Tensor,
    origin: Tensor,
    spacing: NDArray,
    step: Unknowns,
    shift: Tensor,
    length: float,
    weights: Tensor,
) -> tuple[Problem, Unknowns, Tensor]:
    """Take the step, halved where it overshoots."""

    def cost(some: Problem, values: Unknowns) -> float:
        residual = some.intensity - evaluate(some, values).model
        return float((weights * residual**2).sum())

    before = cost(problem, unknowns)
    for _ in range(6):
        new = direct + length * shift
        reciprocal = torch.linalg.inv(new).mT.expand(len(origin), -1, -1)
        basis = problem.sro_basis.with_lattice(reciprocal, origin, spacing)
        trial = replace(problem, sro_basis=basis)
        values = unknowns.moved(length * step.cat())
        if cost(trial, values) <= before * (1 + 1e-9) + 1e-9:
            break
        length /= 2
    return trial, values, new
