"""The lattice as one more unknown of the refinement."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from dsfunet_core.factorization.priors import decay_variance, prior
from dsfunet_core.factorization.problem import (
    Fields,
    Problem,
    Unknowns,
    evaluate,
    jacobian_fields,
)
from dsfunet_core.factorization.solver import (
    cholesky,
    gradient,
    normal_matrix,
    with_prior,
)
from dsfunet_core.factorization.weighting import pixel_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["RefinedLattice", "refine_lattice"]

#: How far the lattice is expected to be off, as a fraction of its vectors: a direction
#: along which nothing varies stays where it is.
EXPECTED_ERROR = 0.01
#: A shift of the outermost wave by less than this [cycles at the plane's edge] is none.
STILL = 3e-4
#: Largest shift in one cycle [cycles at the plane's edge, first harmonic].
LARGEST_STEP = 0.2


@dataclass(frozen=True, eq=False)
class RefinedLattice:
    """A lattice refined together with both factors.

    Parameters
    ----------
    problem : Problem
        With the lattice moved.
    unknowns : Unknowns
        Coefficients that go with it.
    direct : ndarray, shape (batch, 2, 2)
        Columns: direct-lattice vectors [cycles a pixel].
    sigma : ndarray, shape (batch, 2, 2)
        Their standard uncertainties, factors marginalised.
    """

    problem: Problem
    unknowns: Unknowns
    direct: NDArray[np.float64]
    sigma: NDArray[np.float64]


def refine_lattice(
    problem: Problem,
    unknowns: Unknowns,
    direct: Tensor,
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
        Data and bases; the coefficients of the order complex.
    unknowns : Unknowns
        Where to start.
    direct : Tensor, shape (batch, 2, 2)
        Columns: direct-lattice vectors [cycles a pixel].
    origin : Tensor, shape (batch, 2)
        Pixel the phases are counted from.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    max_cycles : int
        Largest number of cycles.

    Returns
    -------
    RefinedLattice
        Lattice, factors, uncertainties.
    """
    rows, columns = problem.intensity.shape[1:]
    edge = torch.tensor([rows / 2, columns / 2], dtype=direct.dtype, device=direct.device)
    expected = EXPECTED_ERROR * torch.linalg.vector_norm(direct, dim=1)  # batch, vector
    start = direct
    sigma = torch.zeros_like(direct)
    precision, mean = prior(problem)
    n, m, _ = problem.sizes
    for _ in range(max_cycles):
        fields = evaluate(problem, unknowns)
        weights, misfit, _ = pixel_weights(problem, fields, robust=problem.robust)
        precision[:, n : n + m] = 1 / decay_variance(problem, unknowns.sro)
        matrix, right = _normal(
            problem, unknowns, origin, fields, weights, misfit, precision, mean
        )
        total = right.shape[1] - 4
        hold = (1 / expected**2)[:, None].expand(-1, 2, -1).flatten(1)
        matrix.diagonal(dim1=1, dim2=2)[:, total:] += hold
        right[:, total:] -= hold * (direct - start).flatten(1)
        factor = cholesky(matrix)
        step = torch.cholesky_solve(right[..., None], factor)[..., 0]
        shift = step[:, total:].unflatten(1, (2, 2))
        far = (shift.abs() * edge[:, None]).sum(1).amax(1)
        length = (LARGEST_STEP / far.clamp(min=1e-300)).clamp(max=1)
        problem, unknowns, direct = _moved(
            problem, unknowns, direct, origin, spacing, step, length, misfit, weights
        )
        unit = torch.zeros_like(matrix[:, :, :4])
        unit[:, total:] = torch.eye(4, dtype=unit.dtype, device=unit.device)
        inverse = torch.cholesky_solve(unit, factor)[:, total:]
        sigma = inverse.diagonal(dim1=1, dim2=2).sqrt().unflatten(1, (2, 2))
        if float(far.max()) < STILL:
            break
    return RefinedLattice(problem, unknowns, direct.cpu().numpy(), sigma.cpu().numpy())


def _normal(
    problem: Problem,
    unknowns: Unknowns,
    origin: Tensor,
    fields: Fields,
    weights: Tensor,
    misfit: Tensor,
    precision: Tensor,
    mean: Tensor,
) -> tuple[Tensor, Tensor]:
    """Normal matrix and right-hand side with the lattice's components last."""
    d_h, d_s = jacobian_fields(problem, fields)
    residual = weights * (problem.intensity - fields.model)
    inner = with_prior(normal_matrix(problem, fields, weights), misfit, precision)
    right = gradient(problem, fields, residual) / misfit[:, None]
    right = right - precision * (unknowns.cat() - mean)
    batch, total = right.shape
    matrix = inner.new_empty((batch, total + 4, total + 4))
    matrix[:, :total, :total] = inner
    slopes = [d_s * slope for slope in _slopes(problem, unknowns, origin)]
    more = []
    for k, slope in enumerate(slopes):
        weighted = weights * slope / misfit[:, None, None]
        parts = [
            problem.form_factor_basis.analyze(d_h * weighted),
            problem.sro_basis.analyze(d_s * weighted),
        ]
        if problem.background_basis is not None:
            parts.append(torch.einsum("bhw,khw->bk", weighted, problem.background_basis))
        matrix[:, total + k, :total] = matrix[:, :total, total + k] = torch.cat(parts, 1)
        for j, other in enumerate(slopes):
            matrix[:, total + k, total + j] = (weighted * other).sum((1, 2))
        more.append((slope * residual).sum((1, 2)) / misfit)
    return matrix, torch.cat([right, torch.stack(more, 1)], 1)


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
    step: Tensor,
    length: Tensor,
    misfit: Tensor,
    weights: Tensor,
) -> tuple[Problem, Unknowns, Tensor]:
    """Take the step, halved for the planes where it overshoots."""

    def cost(some: Problem, values: Unknowns) -> Tensor:
        residual = some.intensity - evaluate(some, values).model
        return (weights * residual**2).sum((1, 2)) / misfit

    before = cost(problem, unknowns)
    for _ in range(6):
        scaled = length[:, None] * step
        new = direct + scaled[:, -4:].unflatten(1, (2, 2))
        basis = problem.sro_basis.with_lattice(torch.linalg.inv(new).mT, origin, spacing)
        trial = replace(problem, sro_basis=basis)
        values = unknowns.moved(scaled[:, :-4])
        worse = cost(trial, values) > before * (1 + 1e-9) + 1e-9
        if not bool(worse.any()):
            break
        length = torch.where(worse, length / 2, length)
    return trial, values, new
