"""Simulated crystals: molecules, form factors, short-range order, dead zones, planes."""

from dsfunet_core.simulate.dead_zones import Detector, measured_mask
from dsfunet_core.simulate.form_factors import atomic_form_factor, molecular_form_factor
from dsfunet_core.simulate.molecules import Molecule, random_molecule
from dsfunet_core.simulate.sro import (
    monte_carlo_configuration,
    plane_coefficients,
    warren_cowley,
)

__all__ = [
    "Detector",
    "Molecule",
    "atomic_form_factor",
    "molecular_form_factor",
    "monte_carlo_configuration",
    "plane_coefficients",
    "random_molecule",
    "measured_mask",
    "warren_cowley",
]
