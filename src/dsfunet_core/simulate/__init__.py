"""Simulated crystals: molecules, form factors, short-range order, dead zones, planes."""

from dsfunet_core.simulate.dead_zones import Detector, measured_mask
from dsfunet_core.simulate.form_factors import atomic_form_factor, molecular_form_factor
from dsfunet_core.simulate.molecules import Molecule, random_molecule
from dsfunet_core.simulate.monte_carlo import monte_carlo_configuration, monte_carlo_order
from dsfunet_core.simulate.sro import (
    check_realisable,
    damped_oscillator,
    plane_coefficients,
    warren_cowley,
)

__all__ = [
    "Detector",
    "Molecule",
    "atomic_form_factor",
    "molecular_form_factor",
    "check_realisable",
    "damped_oscillator",
    "monte_carlo_configuration",
    "monte_carlo_order",
    "plane_coefficients",
    "random_molecule",
    "measured_mask",
    "warren_cowley",
]
