"""Whether the residual holds what no product of the two factors takes up.

A residual that looks like noise can still hide a tenth of the intensity: form factor and
order bend towards whatever scatters besides them. What they cannot follow is known, though.
A pattern p on the pixels enters the model with amplitude zero, and Rao's score test asks
whether it wants in, with every unknown of the product free to move along:

    t = pᵀWr,   V = pᵀWp − pᵀWJ (JᵀWJ + P)⁻¹ JᵀWp,   χ² = tᵀV⁻¹t.

The projection is what makes it sharp: V is the part of a pattern that is nobody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsfunet_core.factorization.normal_equations import cholesky
from dsfunet_core.factorization.priors import decay_variance, prior
from dsfunet_core.factorization.problem import Problem, jacobian_fields
from dsfunet_core.factorization.solver import Solution, normal_matrix, with_prior

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Score", "beyond_the_product", "family_score", "normal_score"]

#: Largest in-plane index of the order that is allowed to change across the plane.
REACH = 2
#: Degrees of the polynomials across the plane by which the order, and its contrast, change.
ORDER_DEGREE, CONTRAST_DEGREE = 2, 3
#: Share of a pattern that must be nobody else's for it to be asked about.
OWN = 2e-3


@dataclass(frozen=True)
class Score:
    """What one family of patterns finds in the residual.

    Parameters
    ----------
    sigma : float
        How far the score is above (for a single pattern: above or below) what noise gives,
        in standard deviations.
    patterns : int
        Patterns of the family that the product does not take up.
    share : float
        Share of the plane's weighted power that they explain, noise taken off.
    amplitude, amplitude_sigma : float, optional
        Of a single pattern, with its standard uncertainty, in units of the pattern.
    """

    sigma: float
    patterns: int
    share: float
    amplitude: float | None = None
    amplitude_sigma: float | None = None


def beyond_the_product(problem: Problem, solution: Solution) -> list[dict[str, Score]]:
    """Score tests of what breaks the product, for every plane of a batch.

    Parameters
    ----------
    problem : Problem
        Data and bases.
    solution : Solution
        From :func:`solver.solve`, converged.

    Returns
    -------
    list of dict
        ``"order"``: F·g(Q)·cos(Q·v), an order that is another one elsewhere on the plane;
        ``"second product"``: E·cos(Q·v), an order that multiplies a smooth form factor of
        its own; ``"contrast"``: F·g(Q)·(S − 1), an order more pronounced in one part of the
        plane than in another; ``"background"``: a constant, whose amplitude is in units of
        the mean intensity. g are polynomials across the plane, E is the envelope. Families
        that the product takes up altogether are left out.

    References
    ----------
    .. [1] C. R. Rao (1948). Proc. Camb. Phil. Soc. 44, 50–57.
    """
    patterns = _Patterns.of(problem, solution)
    names, fields, sizes, scores, along = [], [], [], [], []
    for name, field in patterns:
        size = field.square().sum((1, 2)).sqrt()
        field = field / size.clamp(min=1e-300)[:, None, None]
        names.append(name)
        sizes.append(size)
        scores.append((field * patterns.z).sum((1, 2)))
        along.append(patterns.along_unknowns(field))
        # A gram of unit vectors: single precision is plenty, and half of the memory.
        fields.append(field.to(torch.float32).flatten(1))
    stacked = torch.stack(fields, 1)
    taken = torch.linalg.solve_triangular(patterns.factor, torch.stack(along, 2), upper=False)
    together = (stacked @ stacked.transpose(1, 2)).to(taken.dtype)
    variance = (together - taken.transpose(1, 2) @ taken).cpu().numpy()
    score = torch.stack(scores, 1).cpu().numpy()
    length = torch.stack(sizes, 1).cpu().numpy()
    power = patterns.power.cpu().numpy()
    found = []
    for i in range(len(score)):
        one = {}
        for name in dict.fromkeys(names):
            at = np.array([k for k, n in enumerate(names) if n == name])
            family = family_score(
                score[i, at], variance[i][np.ix_(at, at)], length[i, at], power[i]
            )
            if family is not None:
                one[name] = family
        found.append(one)
    return found


@dataclass(frozen=True, eq=False)
class _Patterns:
    """Patterns over σ on the pixels of a batch, and what the unknowns take of them."""

    problem: Problem
    solution: Solution
    root_weights: Tensor
    factor: Tensor

    @staticmethod
    def of(problem: Problem, solution: Solution) -> _Patterns:
        """With the factor of the normal matrix at the solution."""
        n, m, _ = problem.sizes
        misfit = solution.misfit
        if problem.variance is not None:
            # Variances somebody measured are never scaled down.
            misfit = misfit.clamp(min=1)
        precision, _ = prior(problem)
        precision[:, n : n + m] = 1 / decay_variance(problem, solution.unknowns.sro)
        matrix = normal_matrix(problem, solution.fields, solution.weights)
        factor = cholesky(with_prior(matrix, misfit, precision))
        root = solution.weights.sqrt() / misfit.sqrt()[:, None, None]
        return _Patterns(problem, solution, root, factor)

    @property
    def z(self) -> Tensor:
        """Residual over σ, (batch, H, W)."""
        return self.root_weights * (self.problem.intensity - self.solution.fields.model)

    @property
    def power(self) -> Tensor:
        """Σ(model/σ)², shape (batch,)."""
        return (self.root_weights * self.solution.fields.model).square().sum((1, 2))

    def along_unknowns(self, pattern: Tensor) -> Tensor:
        """Jᵀ of a pattern over σ, (batch, H, W) → (batch, total)."""
        problem = self.problem
        d_h, d_s = jacobian_fields(problem, self.solution.fields)
        weighted = self.root_weights * pattern
        parts = [
            problem.form_factor_basis.analyze(d_h * weighted),
            problem.sro_basis.analyze(d_s * weighted),
        ]
        if problem.background_basis is not None:
            parts.append(torch.einsum("bhw,khw->bk", weighted, problem.background_basis))
        return torch.cat(parts, 1)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Families' names and patterns over σ."""
        problem, fields = self.problem, self.solution.fields
        _, form_factor = jacobian_fields(problem, fields)
        form_factor = self.root_weights * form_factor
        envelope = self.root_weights * problem.envelope
        polynomials = [
            (degree, problem.intensity.new_tensor(values))
            for degree, values in _polynomials(problem.form_factor_basis.shape)
        ]
        for column in self._near():
            unit = problem.intensity.new_zeros(len(envelope), problem.sro_basis.size)
            unit[:, column] = 1
            wave = problem.sro_basis.synthesize(unit)
            yield "second product", envelope * wave
            for degree, values in polynomials:
                if degree <= ORDER_DEGREE:
                    yield "order", form_factor * values * wave
        for _, values in polynomials:
            yield "contrast", form_factor * values * (fields.s - 1)
        yield "background", self.root_weights

    def _near(self) -> list[int]:
        """Columns of the order's unknowns within reach."""
        basis = self.problem.sro_basis
        near = np.flatnonzero(np.abs(basis.indices).max(axis=1) <= REACH)
        if not basis.centric:
            near = np.concatenate([near, near + len(basis.indices)])
        return [int(k) for k in near]


def _polynomials(shape: tuple[int, int]) -> list[tuple[int, NDArray[np.float64]]]:
    """Legendre polynomials over the plane but the constant, with their total degrees."""
    rows, columns = (
        np.polynomial.legendre.legvander(np.linspace(-1, 1, n), CONTRAST_DEGREE) for n in shape
    )
    return [
        (i + j, np.outer(rows[:, i], columns[:, j]))
        for i in range(CONTRAST_DEGREE + 1)
        for j in range(CONTRAST_DEGREE + 1 - i)
        if i + j > 0
    ]


def family_score(
    score: NDArray[np.float64],
    variance: NDArray[np.float64],
    size: NDArray[np.float64],
    power: float,
) -> Score | None:
    """Test of one family of patterns that were scaled to length 1.

    Parameters
    ----------
    score : ndarray, shape (n,)
        pᵀz of every pattern over σ.
    variance : ndarray, shape (n, n)
        Their covariance under noise alone, the product's unknowns projected out.
    size : ndarray, shape (n,)
        Lengths before they were scaled.
    power : float
        Σ(model/σ)².

    Returns
    -------
    Score or None
        None where the product takes up every one of them.
    """
    values, vectors = np.linalg.eigh((variance + variance.T) / 2)
    kept = values > OWN
    number = int(kept.sum())
    if number == 0:
        return None
    chi2 = float(((vectors[:, kept].T @ score) ** 2 / values[kept]).sum())
    share = max(chi2 - number, 0.0) / power
    if len(score) > 1:
        return Score(normal_score(chi2, number), number, share)
    own = float(variance[0, 0])
    return Score(
        float(score[0] / np.sqrt(own)),
        1,
        share,
        amplitude=float(score[0] / own / size[0]),
        amplitude_sigma=float(1 / np.sqrt(own) / size[0]),
    )


def normal_score(chi2: float, number: int) -> float:
    """χ² of some degrees of freedom as a standard normal deviate, after Wilson and Hilferty.

    Parameters
    ----------
    chi2 : float
        The sum of squares.
    number : int
        Degrees of freedom.
    """
    spread = 2 / (9 * number)
    return float(((chi2 / number) ** (1 / 3) - (1 - spread)) / np.sqrt(spread))
