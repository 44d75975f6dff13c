"""A function of hkl that no mirror, permutation or shift of the axes maps onto itself."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from dsfunet_core import ReciprocalPlane, ReciprocalVolume
from dsfunet_core.lattice import q_matrix

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)
#: Every number here differs from every other, so that a mix-up shows.
ORIGIN, STEPS, SHAPE = np.array([-1.0, -1.5, -0.9]), np.array([0.25, 0.3, 0.2]), (9, 10, 12)


def intensity(hkl: np.ndarray, cell: gemmi.UnitCell = CELL) -> np.ndarray:
    """Blobs in Q, above 0 everywhere, lopsided in every direction."""
    q = np.asarray(hkl, dtype=float) @ q_matrix(cell).T
    centres = np.array(
        [[0.6, 0.2, -0.3], [-0.4, 0.9, 0.5], [-0.5, -0.8, 0.6], [0.3, -0.5, -0.8]]
    )
    widths = np.array([[0.4, 0.6, 0.5], [0.5, 0.4, 0.7], [0.45, 0.6, 0.5], [0.6, 0.5, 0.4]])
    total = np.full(q.shape[:-1], 3.0)
    for height, centre, width in zip((9, 7, 5, 8), centres, widths, strict=True):
        total += height * np.exp(-0.5 * (((q - centre) / width) ** 2).sum(axis=-1))
    return total


def coordinates(axis: int) -> np.ndarray:
    """h, k or l of the voxel centres."""
    return ORIGIN[axis] + STEPS[axis] * np.arange(SHAPE[axis])


def array(order: str = "hkl") -> np.ndarray:
    """The function on the grid, with array axes in the order given."""
    grid = np.stack(np.meshgrid(*map(coordinates, range(3)), indexing="ij"), axis=-1)
    return np.transpose(intensity(grid), ["hkl".index(c) for c in order])


def volume(order: str = "hkl", **extra: Any) -> ReciprocalVolume:
    """The function as a volume with array axes in the order given."""
    index = ["hkl".index(c) for c in order]
    return ReciprocalVolume(array(order), CELL, ORIGIN, np.diag(STEPS)[:, index], **extra)


def check(
    data: ReciprocalVolume | ReciprocalPlane, *, rtol: float = 1e-5, least: int = 50
) -> None:
    """Every valid value is the function's at the *hkl* that the geometry gives it."""
    np.testing.assert_allclose(data.cell.parameters, CELL.parameters, rtol=1e-5)
    if isinstance(data, ReciprocalPlane):
        values, valid, hkl = data.intensity, data.valid, data.hkl()
    else:
        block = data.block((slice(None),) * 3)
        values, valid = block["intensity"], block["valid"]
        hkl = data.hkl(np.moveaxis(np.indices(data.shape), 0, -1))
    assert valid.sum() >= least
    np.testing.assert_allclose(values[valid], intensity(hkl)[valid], rtol=rtol)
