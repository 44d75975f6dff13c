"""Small triclinic volumes whose factors are known."""

from __future__ import annotations

import gemmi
import numpy as np

from dsfunet_core.simulate.molecules import random_molecule
from dsfunet_core.simulate.sro import alpha_box
from dsfunet_core.volume_factorization import SimulatedVolume, simulate_volume

#: Holds the autocorrelation of the pair [Å].
SUPPORT = 8.0
CELL = gemmi.UnitCell(7.1, 8.3, 9.2, 78, 97, 112)
ALPHA = {
    (1, 0, 0): 0.2,
    (0, 1, 0): -0.2,
    (0, 0, 1): 0.1,
    (0, 1, 1): 0.08,
    (1, -2, 1): 0.05,
}


def triclinic(counts: float = 0.0, *, seed: int = 3, size: int = 40) -> SimulatedVolume:
    """Two molecules on a site, order within two cells, 30 % missing in shells and gaps."""
    pair = np.random.default_rng(3)
    first, second = random_molecule(pair, 5), random_molecule(pair, 6)
    return simulate_volume(
        first,
        second,
        alpha_box(ALPHA)[3:8, 3:8, 3:8],
        CELL,
        size=size,
        step=0.15,
        counts=counts,
        rng=np.random.default_rng(seed),
    )
