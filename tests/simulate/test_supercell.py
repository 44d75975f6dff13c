"""Scattering of explicit crystals, atom by atom, against I_FF · I_SRO."""

import gemmi
import numpy as np
import pytest

from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate.form_factors import atomic_form_factor, molecular_form_factor
from dsfunet_core.simulate.molecules import Molecule, random_molecule
from dsfunet_core.simulate.monte_carlo import monte_carlo_configuration
from dsfunet_core.simulate.sro import (
    plane_coefficients,
    sro_on_plane,
    warren_cowley,
)

CELL = gemmi.UnitCell(6.3, 7.9, 9.1, 77, 98, 111)
COUPLINGS = (0.2, -0.15, 0.1)


def pair():
    """Two molecules, not centred on their site, one of them with displacements."""
    rng = np.random.default_rng(0)
    a, b = random_molecule(rng, 4), random_molecule(rng, 3)
    b_iso = rng.uniform(0, 4, size=len(a.elements))
    return Molecule(a.elements, a.positions + (0.4, -0.7, 1.1), b_iso), b


def scattered(molecule, q, sites):
    """Σ f exp(iQ·x) over every atom of the same molecule on many sites, shape (n_q,)."""
    q_norm = np.linalg.norm(q, axis=1)
    b_iso = np.zeros(len(molecule.elements)) if molecule.b_iso is None else molecule.b_iso
    total = np.zeros(len(q), complex)
    for element, x, b in zip(molecule.elements, molecule.positions, b_iso, strict=True):
        f = atomic_form_factor(element, q_norm) * np.exp(-b * q_norm**2 / (16 * np.pi**2))
        total += f * np.exp(1j * q @ (sites + x).T).sum(axis=1)
    return total


def diffuse(spins, molecules, q):
    """|Σ over all atoms − the same of the average crystal|² per cell [electrons²]."""
    sites = np.argwhere(spins != 0) @ np.array(CELL.orth.mat.tolist()).T
    is_a = spins.ravel() == 1
    m_a = is_a.mean()
    amplitude = sum(
        scattered(m, q, sites[here]) - share * scattered(m, q, sites)
        for m, here, share in zip(molecules, (is_a, ~is_a), (m_a, 1 - m_a), strict=True)
    )
    return np.abs(amplitude) ** 2 / spins.size


def commensurate_plane(n, level, directions, shape=(15, 13)):
    """Pixels at multiples of 1/n of the reciprocal lattice, where a supercell scatters."""
    steps = np.array(directions, float).T / n
    origin = np.array([0, 0, level / n]) - steps @ (6, 5)
    blank = np.ones(shape)
    return ReciprocalPlane(blank, blank > 0, CELL, origin, steps)


def factors(plane, molecules, m_a, alpha):
    """I_FF by eq. (1) and I_SRO by eq. (3)."""
    f_a, f_b = (molecular_form_factor(m, plane) for m in molecules)
    lattice = plane.lattice
    coefficients = plane_coefficients(alpha, lattice)
    sro = sro_on_plane(coefficients, lattice.basis, lattice.origin, plane.shape)
    return m_a * (1 - m_a) * np.abs(f_a - f_b) ** 2, sro


@pytest.mark.parametrize(
    ("level", "directions"),
    [
        (0, [(1, 0, 0), (0, 1, 0)]),
        (14, [(1, 0, 0), (0, 1, 0)]),
        (3, [(0, 1, 0), (1, 0, 1)]),
        (0, [(1, 1, 0), (0, 0, 1)]),
    ],
)
@pytest.mark.parametrize("concentration", [0.5, 0.2])
def test_every_crystal_scatters_as_the_product_says(level, directions, concentration):
    """All vectors of an 11 × 11 × 11 supercell are in the box of eq. (6): no truncation."""
    molecules = pair()
    rng = np.random.default_rng(1)
    spins = monte_carlo_configuration(COUPLINGS, concentration, size=11, rng=rng)
    plane = commensurate_plane(11, level, directions)
    explicit = diffuse(spins, molecules, plane.q().reshape(-1, 3)).reshape(plane.shape)
    i_ff, i_sro = factors(plane, molecules, (spins == 1).mean(), warren_cowley(spins))
    np.testing.assert_allclose(explicit, i_ff * i_sro, rtol=0, atol=1e-8 * i_ff.max())


def test_five_cells_are_enough_up_to_what_they_leave_out():
    molecules = pair()
    rng = np.random.default_rng(2)
    crystals = [monte_carlo_configuration(COUPLINGS, 0.4, size=15, rng=rng) for _ in range(6)]
    plane = commensurate_plane(15, 4, [(1, 0, 0), (0, 1, 0)])
    q = plane.q().reshape(-1, 3)
    explicit = np.mean([diffuse(s, molecules, q) for s in crystals], axis=0)
    every = np.array([warren_cowley(s, reach=7) for s in crystals])
    kept = np.mean([warren_cowley(s, reach=5) for s in crystals], axis=0)
    i_ff, i_sro = factors(plane, molecules, (crystals[0] == 1).mean(), kept)
    difference = explicit.reshape(plane.shape) / i_ff - i_sro
    left_out = every.copy()
    left_out[:, 2:-2, 2:-2, 2:-2] = 0
    of_mean = left_out.mean(axis=0)
    assert np.abs(difference).max() < np.abs(of_mean).sum()
    # Over all of reciprocal space the mean square is Σα² of what was left out (Parseval).
    expected = np.sqrt((of_mean**2).sum())
    assert 0.5 * expected < np.sqrt(np.mean(difference**2)) < 2 * expected
    # It is the scatter of small crystals, and averages away like one.
    of_one = np.sqrt((left_out**2).sum(axis=(1, 2, 3)).mean())
    assert expected == pytest.approx(of_one / np.sqrt(len(crystals)), rel=0.15)
