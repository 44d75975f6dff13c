"""The hk1 plane of the benchmark crystal, 256 × 256 pixels to 6.2 Å⁻¹, with dead zones."""

import numpy as np

from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.sections import Section
from dsfunet_core.simulate import Detector, measured_mask, tris_amide
from dsfunet_core.simulate.planes import cartesian_grid


def hk1_plane():
    """Plane with its mask, and its noise-free intensity (D_w = 0.03 Å²)."""
    origin, steps = cartesian_grid(tris_amide.CELL, Section.parse("hk1"), 256, 6.2)
    blank = np.ones((256, 256))
    plane = ReciprocalPlane(blank, blank > 0, tris_amide.CELL, origin, steps, name="hk1")
    form_factor, sro = tris_amide.simulate(plane, debye_waller=0.03)
    detector = Detector(wavelength=0.75, distance=150, beam=(20, 8), beam_stop=3)
    axis = np.array([0.3, 0.2, 1.0])
    valid = measured_mask(plane.q(), detector, rotation=(0, 200), axis=axis)
    return plane.replace(valid=valid), form_factor * sro
