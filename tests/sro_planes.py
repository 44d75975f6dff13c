"""Planes of short-range order summed up vector by vector, with nothing of the library's."""

from __future__ import annotations

import gemmi
import numpy as np

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.sections import Section
from dsfunet_core.symmetry import laue_rotations

TRICLINIC = gemmi.UnitCell(7.3, 8.9, 6.1, 78, 97, 108)
HEXAGONAL = gemmi.UnitCell(14.12, 14.12, 6.93, 90, 90, 120)
CUBIC = gemmi.UnitCell(5.4, 5.4, 5.4, 90, 90, 90)


def make_plane(
    section: str, cell: gemmi.UnitCell, shape=(90, 110), reach=3.1, skew=0.0
) -> ReciprocalPlane:
    """Plane with ``reach`` cells each way; ``skew`` tilts the rows against the lattice."""
    found = Section.parse(section)
    d1, d2 = np.asarray(found.directions, float).T
    steps = np.stack([2 * reach / shape[0] * (d1 + skew * d2), 2 * reach / shape[1] * d2], 1)
    origin = found.origin - steps @ (np.array(shape) / 2 - 0.321)
    blank = np.ones(shape)
    return ReciprocalPlane(blank, blank > 0, cell, origin, steps, name=section)


def sro_at(hkl: np.ndarray, alpha: dict, laue_class: str = "-1") -> np.ndarray:
    """Eq. (3): Σ α_v cos(2π h·v) over all vectors equivalent to those given, α_000 = 1."""
    total = np.ones(hkl.shape[:-1])
    for v, value in alpha.items():
        for member in np.unique(laue_rotations(laue_class) @ np.array(v), axis=0):
            total += value * np.cos(2 * np.pi * (hkl @ member))
    return total


def factorized(plane: ReciprocalPlane, sro: np.ndarray, /, *, rng=None, sigma=0.05, **changes):
    """Factorization of sro times a smooth form factor; with ``rng``, noise of known size."""
    i, j = np.indices(plane.shape)
    shape = np.array(plane.shape)
    form_factor = 40 * (1.2 + np.sin(i / shape[0] * 7) * np.cos(j / shape[1] * 5))
    intensity = form_factor * sro
    weights = None
    if rng is not None:
        errors = sigma * np.sqrt(form_factor) * (1 + 0.5 * np.cos(i))
        intensity = intensity + errors * rng.normal(size=plane.shape)
        weights = 1 / errors**2
    fields = {
        "plane": plane.replace(intensity=intensity),
        "method": "lattice",
        "form_factor": form_factor,
        "sro": sro,
        "weights": weights,
        "lattice": plane.lattice,
    }
    return Factorization(**(fields | changes))
