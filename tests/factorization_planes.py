"""Planes with known factors, made here from eq. (3) and a compact autocorrelation."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from dsfunet_core.plane import ReciprocalPlane

TRICLINIC = gemmi.UnitCell(7.1, 8.3, 9.7, 81, 97, 104)


@dataclass(frozen=True)
class KnownPlane:
    """Plane, its true factors, and the true coefficients of its order."""

    plane: ReciprocalPlane
    form_factor: np.ndarray
    sro: np.ndarray
    coefficients: dict[tuple[int, int], complex]

    def with_intensity(self, intensity: np.ndarray) -> ReciprocalPlane:
        return self.plane.replace(intensity=intensity)

    def true_values(self, indices: np.ndarray) -> np.ndarray:
        return np.array([self.coefficients.get((int(u), int(v)), 0) for u, v in indices])


def known_plane(
    *,
    origin_hkl: tuple[float, float, float] = (0, 0, 1),
    directions: tuple[tuple[int, int, int], tuple[int, int, int]] = ((1, 0, 0), (0, 1, 0)),
    step: float = 0.085,
    n: int = 129,
    seed: int = 1,
    cell: gemmi.UnitCell = TRICLINIC,
) -> KnownPlane:
    """A plane on its own hkl grid, of a five-atom difference molecule.

    Order: a handful of 3-D Warren–Cowley parameters, summed vector by vector; nothing
    here uses the code under test.
    """
    rng = np.random.default_rng(seed)
    steps = step * np.array(directions, float).T
    origin = np.array(origin_hkl, float) - steps @ np.full(2, n // 2)
    blank = np.ones((n, n))
    plane = ReciprocalPlane(blank, blank > 0, cell, origin, steps, name="known")
    index = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1)
    hkl = origin + index @ steps.T
    fractional = np.array(cell.frac.mat.tolist())
    q = 2 * np.pi * hkl @ fractional
    positions = rng.normal(scale=0.8, size=(5, 3))
    charges = rng.normal(size=5) + 0.5
    amplitude = np.exp(1j * q @ positions.T) @ charges
    form_factor = np.abs(amplitude) ** 2 * np.exp(-0.02 * (q**2).sum(-1))
    alpha = {(1, 0, 0): -0.21, (0, 1, 0): 0.13, (1, 1, 0): 0.06, (0, 0, 1): 0.05,
             (2, -1, 1): 0.04,
             (1, 0, 1): 0.05, (0, 2, 0): 0.05, (3, 1, 0): -0.03, (0, 5, 0): 0.02}  # fmt: skip
    sro = np.ones((n, n))
    coefficients: dict[tuple[int, int], complex] = {(0, 0): 1}
    lattice = plane.lattice
    for v, value in alpha.items():
        sro += 2 * value * np.cos(2 * np.pi * hkl @ np.array(v))
        for sign in (1, -1):
            w = sign * np.array(v)
            u = tuple(int(x) for x in w @ lattice.directions)
            phase = np.exp(2j * np.pi * w @ lattice.offset)
            coefficients[u] = coefficients.get(u, 0) + value * phase
    # A plane fixes the scale by the mean over its own cell: C_00 = 1.
    mean = coefficients[(0, 0)].real
    coefficients = {u: c / mean for u, c in coefficients.items()}
    assert sro.min() > 0
    return KnownPlane(
        plane.replace(intensity=form_factor * sro), form_factor * mean, sro / mean, coefficients
    )
