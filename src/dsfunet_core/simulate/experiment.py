"""One plane as one experiment would bring it home, and its true factors as a result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization.result import Factorization, SroCoefficients
from dsfunet_core.simulate.dead_zones import measured_mask
from dsfunet_core.simulate.realism import Realism, disturbed

if TYPE_CHECKING:
    from dsfunet_core.simulate.detectors import Detector
    from dsfunet_core.simulate.planes import SimulatedPlane

__all__ = ["MOUNTING", "experiment", "true_factors"]

#: Rotation axis in the crystal's frame when none is given: off every axis, as crystals are
#: glued.
MOUNTING = (0.3, 0.2, 1.0)


def experiment(
    simulated: SimulatedPlane,
    *,
    detector: Detector | None = None,
    rotation: tuple[float, float] = (0.0, 200.0),
    axis: tuple[float, float, float] = MOUNTING,
    realism: Realism | None = None,
    seed: int = 0,
    name: str | None = None,
) -> SimulatedPlane:
    """Plane with the dead zones of a detector and what a measurement adds.

    Parameters
    ----------
    simulated : SimulatedPlane
        From `simulate_plane`.
    detector : Detector, optional
        Without it the whole plane is measured.
    rotation : tuple of float
        First and last angle of the scan [°].
    axis : tuple of float
        Rotation axis in the crystal's frame.
    realism : Realism, optional
        Damping, background, leftover Bragg peaks, counts a pixel.
    seed : int
        Of the noise; the same seed gives the same plane.
    name : str, optional
        What to call the plane.

    Returns
    -------
    SimulatedPlane
        Intensity is 0 where nothing was measured; the provenance of the plane tells
        how it was made.

    Raises
    ------
    ParameterError
        If the detector sees nothing of the plane.
    """
    plane = simulated.plane
    if detector is not None:
        seen = measured_mask(plane.q(), detector, rotation=rotation, axis=axis)
        if not seen.any():
            raise ParameterError(
                "the detector sees nothing of this plane: bring it nearer, shorten the "
                "wavelength, or choose a plane nearer to Q = 0."
            )
        plane = plane.replace(valid=seen, intensity=np.where(seen, plane.intensity, 0))
    if name is not None:
        plane = plane.replace(name=name)
    made = replace(simulated, plane=plane)
    made = disturbed(made, realism or Realism(), np.random.default_rng(seed))
    crystal = simulated.crystal
    known = made.plane.processed(
        "simulated",
        molecules=[crystal.mol_a.name, crystal.mol_b.name],
        concentration=crystal.concentration,
        cell=list(crystal.cell.parameters),
        realism=vars(realism or Realism()),
        measured=float(plane.valid.mean()),
        seed=seed,
    )
    return replace(made, plane=known)


def true_factors(simulated: SimulatedPlane) -> Factorization:
    """Truth of a simulated plane, as a factorization would bring it.

    Parameters
    ----------
    simulated : SimulatedPlane
        With or without noise; its residual is the noise and whatever else was added.

    Returns
    -------
    Factorization
        By method "simulated". Short-range order is scaled to mean 1 over a cell of the
        plane, as factorizations are; the form factor takes up C₀₀.
    """
    coefficients = simulated.coefficients
    scale = float(np.real(coefficients[0, 0]))
    half = [u for u in coefficients if u > (0, 0)]
    return Factorization(
        plane=simulated.plane,
        method="simulated",
        form_factor=np.asarray(simulated.form_factor * scale, float),
        sro=np.asarray(simulated.sro / scale, float),
        coefficients=SroCoefficients(
            np.array(half, dtype=np.int64).reshape(-1, 2),
            np.array([coefficients[u] for u in half], np.complex128) / scale,
        ),
        lattice=simulated.plane.lattice,
    )
