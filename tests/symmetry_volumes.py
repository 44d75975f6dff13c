"""Random volumes that fit a Laue class, and equivalents by gemmi's own arithmetic."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from dsfunet_core import ReciprocalVolume
from dsfunet_core.symmetry import LAUE_CLASSES

CELLS = {
    "nothing": gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112),
    "α = γ = 90°": gemmi.UnitCell(5, 6, 7, 90, 105, 90),
    "α = β = 90°": gemmi.UnitCell(5, 6, 7, 90, 90, 105),
    "β = γ = 90°": gemmi.UnitCell(5, 6, 7, 105, 90, 90),
    "α = β = γ = 90°": gemmi.UnitCell(5, 6, 7, 90, 90, 90),
    "a = b, α = β = γ = 90°": gemmi.UnitCell(5, 5, 7, 90, 90, 90),
    "a = b, α = β = 90°, γ = 120°": gemmi.UnitCell(5, 5, 7, 90, 90, 120),
    "a = b = c, α = β = γ": gemmi.UnitCell(5, 5, 5, 71, 71, 71),
    "a = b = c, α = β = γ = 90°": gemmi.UnitCell(5, 5, 5, 90, 90, 90),
}


def cell_of(symbol: str) -> gemmi.UnitCell:
    """The most general cell that a Laue class allows, or nearly."""
    return CELLS[LAUE_CLASSES[symbol].requirement]


def gemmi_images(symbol: str, hkl: np.ndarray) -> np.ndarray:
    """Equivalents of integer hkl (n, 3) by gemmi, shape (order, n, 3)."""
    operations = gemmi.SpaceGroup(LAUE_CLASSES[symbol].space_group).operations().sym_ops
    return np.array([[op.apply_to_hkl([int(x) for x in h]) for h in hkl] for op in operations])


def random_volume(
    symbol: str,
    reach: tuple[int, int, int] = (5, 5, 5),
    step: float = 0.5,
    *,
    gaps: float = 0.3,
    seed: int = 1,
    **parts: Any,
) -> ReciprocalVolume:
    """Noise on an odd grid about Q = 0, some of it missing."""
    rng = np.random.default_rng(seed)
    shape = tuple(2 * n + 1 for n in reach)
    intensity = rng.gamma(2.0, 10.0, size=shape)
    intensity[rng.random(shape) < gaps] = np.nan
    origin = -step * np.array(reach, dtype=float)
    return ReciprocalVolume(intensity, cell_of(symbol), origin, np.eye(3) * step, **parts)
