"""Planes with known diffuse scattering, peaks and noise."""

from __future__ import annotations

import gemmi
import numpy as np

from dsfunet_core import ReciprocalPlane

TRICLINIC = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)
HEXAGONAL = gemmi.UnitCell(7.0, 7.0, 9.0, 90, 90, 120)
CELLS = {"triclinic": TRICLINIC, "hexagonal": HEXAGONAL}


def flat(
    cell: gemmi.UnitCell = TRICLINIC, *, n: int = 121, step: float = 0.05, level: float = 1.0
) -> ReciprocalPlane:
    """hk plane of intensity 1 around (0, 0, level)."""
    steps = step * np.eye(3)[:, :2]
    origin = np.array([0, 0, level]) - steps @ np.full(2, n // 2)
    ones = np.ones((n, n))
    return ReciprocalPlane(ones, ones > 0, cell, origin, steps)


def diffuse(plane: ReciprocalPlane, mean: float) -> np.ndarray:
    """Smooth, with positive correlations along a: maxima at the lattice points."""
    hkl = plane.hkl()
    order = 1 + 0.6 * np.cos(2 * np.pi * hkl[..., 0]) - 0.3 * np.cos(2 * np.pi * hkl[..., 1])
    product = order * np.exp(-((plane.q_norm() - 2) ** 2))
    return mean * product / product.mean()


def bragg_peaks(
    plane: ReciprocalPlane, rng: np.random.Generator, mean: float, width: float = 0.04
) -> np.ndarray:
    """Round Gaussians [σ in Å⁻¹] at every integer hk, from 1 to 1000 times the mean."""
    q = plane.q()
    hkl = np.rint(plane.hkl()).astype(int)
    image = np.zeros(plane.shape)
    for point in np.unique(hkl.reshape(-1, 3), axis=0):
        row, column = plane.pixel(point)
        centre = plane.hkl(row, column) @ np.array(plane.cell.frac.mat.tolist()) * 2 * np.pi
        squared = ((q - centre) ** 2).sum(axis=-1)
        sigma = width * rng.uniform(0.7, 1.3)
        image += mean * 10 ** rng.uniform(0, 3) * np.exp(-squared / (2 * sigma**2))
    return image
