"""What a product leaves of a volume: noise, or structure that neighbouring voxels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.volume_factorization.solver import Solution

__all__ = ["correlated", "neighbours", "structured_share"]

#: Correlation of neighbouring residuals that chance does not explain, and the most believed.
INDEPENDENT, MOST_ALIKE = 0.05, 0.95


def neighbours(solution: Solution) -> NDArray[np.float64]:
    """Correlation of the weighted residuals of neighbouring voxels.

    Parameters
    ----------
    solution : Solution
        From :func:`refine`.

    Returns
    -------
    ndarray, shape (3,)
        One number an array axis: 0 but for chance where only noise is left.
    """
    problem, fields = solution.problem, solution.fields
    weights = solution.weights.values
    z = np.sqrt(weights) * (problem.intensity - fields.model)
    z = np.where(weights > 0, z, 0)
    found = np.zeros(3)
    for axis in range(3):
        ahead, behind = np.moveaxis(z, axis, 0)[1:], np.moveaxis(z, axis, 0)[:-1]
        both = (ahead != 0) & (behind != 0)
        square = float((ahead[both] ** 2 + behind[both] ** 2).sum(dtype=np.float64)) / 2
        if square > 0:
            found[axis] = float((ahead * behind).sum(dtype=np.float64)) / square
    return found


def correlated(correlations: NDArray[np.float64]) -> float:
    """Voxels for one independent residual.

    Parameters
    ----------
    correlations : ndarray, shape (3,)
        ρ of neighbours along each axis.

    Returns
    -------
    float
        Π (1 + ρ)/(1 − ρ) over the three axes, as for noise that forgets by ρ a step. 1 where
        only noise is left; without noise the model's own smooth errors are left, which are
        alike over many voxels.
    """
    counted = np.where(correlations > INDEPENDENT, np.minimum(correlations, MOST_ALIKE), 0.0)
    return float(np.prod((1 + counted) / (1 - counted)))


def structured_share(solution: Solution) -> float:
    """Share of the intensity's power that the product leaves in structure.

    Parameters
    ----------
    solution : Solution
        From :func:`refine`.

    Returns
    -------
    float
        Σ of the products of neighbouring residuals over that of the model: noise, which is
        independent from voxel to voxel, is not in it.
    """
    problem, fields = solution.problem, solution.fields
    used = solution.weights.values > 0
    left = np.where(used, problem.intensity - fields.model, 0)
    whole = np.where(used, fields.model, 0)
    power = np.zeros(2)
    for axis in range(3):
        for number, field in enumerate((left, whole)):
            along = np.moveaxis(field, axis, 0)
            power[number] += float((along[1:] * along[:-1]).sum(dtype=np.float64))
    return float(power[0] / power[1]) if power[1] > 0 else 0.0
