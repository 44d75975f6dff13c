"""Simulated crystals: molecules, form factors, short-range order, dead zones, planes."""

from dsfunet_core.simulate.crystals import (
    PAPER,
    TRAINING,
    VALIDATION,
    DisorderedCrystal,
    World,
    random_crystal,
    vegard_cell,
)
from dsfunet_core.simulate.dead_zones import (
    ALUMINIUM_RINGS,
    ICE_RINGS,
    measured_mask,
    powder_rings,
)
from dsfunet_core.simulate.detectors import DETECTORS, Detector
from dsfunet_core.simulate.form_factors import (
    RADIATIONS,
    atomic_form_factor,
    form_factor_difference,
    molecular_form_factor,
)
from dsfunet_core.simulate.library import Fragment, fragment, fragments, pairs
from dsfunet_core.simulate.measurements import random_measurement
from dsfunet_core.simulate.molecules import Molecule, random_molecule, random_rotation
from dsfunet_core.simulate.monte_carlo import (
    MonteCarloOrder,
    monte_carlo_configuration,
    monte_carlo_order,
)
from dsfunet_core.simulate.planes import (
    SimulatedPlane,
    level_section,
    random_plane,
    simulate_plane,
    strongest_levels,
)
from dsfunet_core.simulate.realism import (
    Realism,
    add_counting_noise,
    disturbed,
    random_realism,
)
from dsfunet_core.simulate.sro import (
    alpha_box,
    check_realisable,
    damped_oscillator,
    least_sro,
    plane_coefficients,
    shells,
    sro_on_plane,
    warren_cowley,
)
from dsfunet_core.simulate.sro_table import SroTable, sro_table
from dsfunet_core.simulate.structures import read_molecule

__all__ = [
    "ALUMINIUM_RINGS",
    "DETECTORS",
    "ICE_RINGS",
    "PAPER",
    "RADIATIONS",
    "TRAINING",
    "VALIDATION",
    "Detector",
    "DisorderedCrystal",
    "Fragment",
    "Molecule",
    "MonteCarloOrder",
    "Realism",
    "SimulatedPlane",
    "SroTable",
    "World",
    "add_counting_noise",
    "alpha_box",
    "atomic_form_factor",
    "check_realisable",
    "damped_oscillator",
    "disturbed",
    "form_factor_difference",
    "fragment",
    "fragments",
    "least_sro",
    "level_section",
    "measured_mask",
    "molecular_form_factor",
    "monte_carlo_configuration",
    "monte_carlo_order",
    "pairs",
    "plane_coefficients",
    "powder_rings",
    "random_crystal",
    "random_measurement",
    "random_molecule",
    "random_plane",
    "random_realism",
    "random_rotation",
    "read_molecule",
    "shells",
    "simulate_plane",
    "sro_on_plane",
    "sro_table",
    "strongest_levels",
    "vegard_cell",
    "warren_cowley",
]
