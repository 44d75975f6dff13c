"""Planes and a volume with known answers, to try things out on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.sections import Section
from dsfunet_core.simulate.crystals import DisorderedCrystal
from dsfunet_core.simulate.detectors import Detector
from dsfunet_core.simulate.experiment import experiment
from dsfunet_core.simulate.planes import SimulatedPlane, simulate_plane
from dsfunet_core.simulate.realism import Realism
from dsfunet_core.simulate.species import species
from dsfunet_core.simulate.sro import alpha_box

if TYPE_CHECKING:
    from dsfunet_core.volume_factorization import SimulatedVolume

__all__ = [
    "CUBIC_ALPHA",
    "HARD_ALPHA",
    "TRICLINIC_ALPHA",
    "cubic_plane",
    "hard_plane",
    "triclinic_volume",
]

#: True α of the cubic sample, Laue class m-3m.
CUBIC_ALPHA = {(1, 0, 0): -0.10, (1, 1, 0): -0.05, (1, 1, 1): 0.04, (2, 0, 0): 0.08}
#: True α of the hard sample, Laue class 2/m.
HARD_ALPHA = {(1, 0, 0): -0.25, (0, 1, 0): 0.18, (1, 1, 0): -0.06, (2, 0, 0): 0.08}

#: True α of the triclinic volume.
TRICLINIC_ALPHA = {
    (1, 0, 0): -0.20,
    (0, 1, 0): 0.15,
    (0, 0, 1): 0.12,
    (1, 1, 0): -0.06,
    (0, 1, -1): 0.08,
    (2, 0, 0): 0.05,
}


def cubic_plane(size: int = 256) -> SimulatedPlane:
    """Plane hk0 of a cubic crystal of adamantane and camphor, whole and free of noise.

    a = 7.6 Å, m_A = 1/2, α as in `CUBIC_ALPHA`, 0 for all other vectors.

    Parameters
    ----------
    size : int
        Pixels along each edge.

    Returns
    -------
    SimulatedPlane
        To ±7 Å⁻¹, with its truth.
    """
    crystal = DisorderedCrystal(
        species("adamantane").molecule,
        species("camphor").molecule,
        gemmi.UnitCell(7.6, 7.6, 7.6, 90, 90, 90),
        0.5,
        alpha_box(CUBIC_ALPHA, "m-3m"),
    )
    made = simulate_plane(crystal, Section.parse("hk0"), size=size, q_max=7.0)
    return experiment(made, name="cubic hk0")


def hard_plane(size: int = 256) -> SimulatedPlane:
    """Plane hk1 of a monoclinic crystal, measured badly.

    Toluene and phenol, 7.4 × 9.1 × 6.8 Å, β = 104°, m_A = 0.4, α as in `HARD_ALPHA`.
    D_w = 0.02 Å², gaps of a PILATUS 2M, a background of a tenth and leftover Bragg peaks
    of four times the mean intensity, 5 counts a pixel.

    Parameters
    ----------
    size : int
        Pixels along each edge.

    Returns
    -------
    SimulatedPlane
        To ±6.5 Å⁻¹, with its truth.
    """
    crystal = DisorderedCrystal(
        species("toluene").molecule,
        species("phenol").molecule,
        gemmi.UnitCell(7.4, 9.1, 6.8, 90, 104, 90),
        0.4,
        alpha_box(HARD_ALPHA, "2/m"),
    )
    made = simulate_plane(crystal, Section.parse("hk1"), size=size, q_max=6.5)
    return experiment(
        made,
        detector=Detector.named(
            "PILATUS 2M", wavelength=0.75, distance=150, beam=(20, 8), arm_width=3
        ),
        realism=Realism(debye_waller=0.02, background=0.1, bragg=4.0, counts=5.0),
        seed=5,
        name="hard hk1",
    )


def triclinic_volume(size: int = 56) -> SimulatedVolume:
    """Volume about Q = 0 of a triclinic crystal, 30 % of it never measured, 20 counts a voxel.

    Toluene and phenol, 6.4 × 7.1 × 7.8 Å, 82°, 97°, 104°, m_A = 1/2, α as in
    `TRICLINIC_ALPHA`, 0 for all other vectors. Steps of 0.09 r.l.u.

    Parameters
    ----------
    size : int
        Voxels along each edge.

    Returns
    -------
    SimulatedVolume
        With its truth.
    """
    from dsfunet_core.volume_factorization import simulate_volume

    return simulate_volume(
        species("toluene").molecule,
        species("phenol").molecule,
        alpha_box(TRICLINIC_ALPHA),
        gemmi.UnitCell(6.4, 7.1, 7.8, 82, 97, 104),
        size=size,
        step=0.09,
        counts=20.0,
        rng=np.random.default_rng(7),
    )
