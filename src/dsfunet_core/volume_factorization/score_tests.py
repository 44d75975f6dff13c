"""Whether a volume's residual holds what no product of the two factors takes up.

The score tests of :mod:`dsfunet_core.factorization.score_tests`, with every sum over the voxels
of a wave times a field as one trigonometric sum of that field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.factorization.score_tests import Score, family_score
from dsfunet_core.volume_factorization.bases import OrderBasis, cross_matrix
from dsfunet_core.volume_factorization.problem import total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization.grid import VolumeGrid
    from dsfunet_core.volume_factorization.normal import Normal
    from dsfunet_core.volume_factorization.problem import Problem
    from dsfunet_core.volume_factorization.solver import Solution

__all__ = ["beyond_the_product"]

#: Largest component of the vectors whose order is allowed to change across the volume.
REACH = 1


def beyond_the_product(solution: Solution, normal: Normal) -> dict[str, Score]:
    """Score tests of what breaks the product.

    Parameters
    ----------
    solution : Solution
        From :func:`solver.refine`, converged.
    normal : Normal
        Normal equations there; with another prior than the solution's, both factors are
        moved to where that wants them, to first order.

    Returns
    -------
    dict
        ``"order"``, ``"second product"``, ``"contrast"`` and ``"background"`` as on a plane,
        in units of the mean intensity; across the volume the order changes by quadratic
        terms, which are even as F is.
    """
    tests = _Tests(solution, normal)
    problem, fields = solution.problem, solution.fields
    d_s = problem.envelope * fields.h * (fields.s > 0)
    quadratic = _quadratics(problem.form_factor.grid)
    across = [d_s * g for g in quadratic]
    near = _near(problem)
    mean = total(problem.valid, problem.intensity) / total(problem.valid)
    level = np.full(problem.form_factor.grid.shape, mean, np.float32)
    found = {
        "order": tests.of_waves(across, near),
        "second product": tests.of_waves([problem.envelope], near),
        "contrast": tests.of_fields([a * (fields.s - 1) for a in across]),
        "background": tests.of_fields([level]),
    }
    return {name: score for name, score in found.items() if score is not None}


class _Tests:
    """What the families share."""

    def __init__(self, solution: Solution, normal: Normal) -> None:
        problem, fields = solution.problem, solution.fields
        self.problem, self.factor = problem, normal.factor
        self.step = self._solved(normal.right)
        self.weights = solution.weights.values / np.float32(normal.misfit)
        self.residual = problem.intensity - fields.model
        self.d_h = problem.envelope * np.maximum(fields.s, 0)
        self.d_s = problem.envelope * fields.h * (fields.s > 0)
        self.power = total(self.weights, fields.model**2)

    def of_waves(self, fields: list[NDArray[np.float32]], near: list[int]) -> Score | None:
        """Patterns field · ψ for some orbits of the order."""
        order = self.problem.order
        waves = OrderBasis.build(order.grid, [order.orbits[k] for k in near])
        score, along, together = [], [], []
        for i, field in enumerate(fields):
            weighted = self.weights * field
            score.append(waves.analyze(weighted * self.residual))
            taken = cross_matrix(self.problem.form_factor, waves, weighted * self.d_h)
            along.append(np.concatenate([taken, order.gram(weighted * self.d_s)[:, near]]))
            row = [waves.gram(weighted * other) for other in fields[i:]]
            together.append(row)
        n = len(near)
        pairs = np.empty((len(fields) * n,) * 2)
        for i, row in enumerate(together):
            for k, block in enumerate(row, start=i):
                pairs[i * n : (i + 1) * n, k * n : (k + 1) * n] = block
                pairs[k * n : (k + 1) * n, i * n : (i + 1) * n] = block.T
        return self._score(np.concatenate(score), np.concatenate(along, axis=1), pairs)

    def of_fields(self, fields: list[NDArray[np.float32]]) -> Score | None:
        """Patterns that are these fields."""
        problem = self.problem
        score, along = np.empty(len(fields)), []
        pairs = np.empty((len(fields),) * 2)
        for i, field in enumerate(fields):
            weighted = self.weights * field
            score[i] = total(weighted, self.residual)
            by_form_factor = problem.form_factor.analyze(weighted * self.d_h)
            by_order = problem.order.analyze(weighted * self.d_s)
            along.append(np.concatenate([by_form_factor, by_order]))
            for k, other in enumerate(fields[: i + 1]):
                pairs[i, k] = pairs[k, i] = total(weighted, other)
        return self._score(score, np.stack(along, axis=1), pairs)

    def _score(
        self,
        score: NDArray[np.float64],
        along: NDArray[np.float64],
        pairs: NDArray[np.float64],
    ) -> Score | None:
        size = np.sqrt(np.maximum(np.diag(pairs), 1e-300))
        taken = self._solved(along / size)
        variance = pairs / np.outer(size, size) - taken.T @ taken
        return family_score(score / size - taken.T @ self.step, variance, size, self.power)

    def _solved(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.factor, right, lower=True, check_finite=False))


def _near(problem: Problem) -> list[int]:
    """Orbits of the order within reach."""
    return [
        k
        for k, orbit in enumerate(problem.order.orbits)
        if np.abs(orbit.members).max() <= REACH
    ]


def _quadratics(grid: VolumeGrid) -> list[NDArray[np.float32]]:
    """x², xy, … over the volume, less the mean, x from −1 to 1 at most."""
    axes = np.ix_(*(c / max(np.abs(c).max(), 1e-12) for c in grid.coordinates))
    terms = [
        np.broadcast_to(axes[i] * axes[k], grid.shape).astype(np.float32)
        for i in range(3)
        for k in range(i, 3)
    ]
    return [term - term.mean(dtype=np.float64).astype(np.float32) for term in terms]
