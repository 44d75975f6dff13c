"""A triclinic plane and a small pair of molecules for tests of structures."""

import gemmi
import numpy as np

from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate.molecules import Molecule
from dsfunet_core.structures.model import disorder_model

TRICLINIC = gemmi.UnitCell(7.1, 8.3, 9.2, 81, 97, 112)


def plane_of(cell, n=40):
    steps = np.array([[0.21, 0.02], [-0.03, 0.17], [0.05, 0.01]])
    origin = np.array([0.1, -0.2, 1.3]) - steps @ [n / 2, n / 2]
    return ReciprocalPlane(np.ones((n, n)), np.ones((n, n), bool), cell, origin, steps)


def ethanol_and_more():
    """Two species in general positions, with displacement parameters."""
    rng = np.random.default_rng(4)
    labels = ("C1", "C2", "O", "H1A", "H1B", "H1C", "H2A", "H2B", "HO")
    x = np.array(
        [
            [0, 0, 0], [1.51, 0, 0], [2.0, 1.33, 0.1], [-0.4, 1.0, 0.1], [-0.4, -0.5, 0.9],
            [-0.4, -0.5, -0.9], [1.9, -0.5, 0.9], [1.9, -0.5, -0.9], [2.95, 1.3, 0.1],
        ]
    )  # fmt: skip
    elements = tuple(label[0] for label in labels)
    a = Molecule(elements, x, rng.uniform(1, 3, 9), "a", labels)
    b = Molecule(("C", "Cl"), np.array([[0.2, 0.1, 0], [1.8, 0.3, 0.2]]), name="b")
    return disorder_model(a, b)
