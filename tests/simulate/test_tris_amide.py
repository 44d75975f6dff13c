"""The benchmark crystal against its published structure and order."""

import numpy as np
import pytest

from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate import tris_amide
from dsfunet_core.simulate.form_factors import molecular_form_factor
from dsfunet_core.simulate.sro import alpha_box


def distance(molecule, a, b):
    return np.linalg.norm(molecule.positions[a] - molecule.positions[b])


def test_bond_lengths_of_the_published_structure():
    molecule, _ = tris_amide.molecules()
    elements = np.array(molecule.elements)
    gaps = np.linalg.norm(molecule.positions[:, None] - molecule.positions, axis=-1)
    np.fill_diagonal(gaps, np.inf)
    oxygen, nitrogen, carbon, hydrogen = (
        np.flatnonzero(elements == e) for e in ("O", "N", "C", "H")
    )
    assert gaps[np.ix_(oxygen, carbon)].min(axis=1) == pytest.approx(1.236, abs=0.003)
    assert gaps[np.ix_(nitrogen, carbon)].min(axis=1) == pytest.approx(1.345, abs=0.003)
    # N–H···O along the column, within the column or with its copy a period further.
    shifts = [np.zeros(3), [0, 0, 6.93], [0, 0, -6.93]]
    bridge = np.min(
        [
            np.linalg.norm(
                molecule.positions[nitrogen][:, None] - molecule.positions[oxygen] + s, axis=-1
            )
            for s in shifts
        ],
        axis=0,
    )
    # Below 2.5 Å is the oxygen of the same amide group.
    bridge = np.where(bridge < 2.5, np.inf, bridge)
    assert bridge.min(axis=1) == pytest.approx(2.835, abs=0.01)
    assert len(molecule.elements) == 120
    nearest = gaps[hydrogen].min(axis=1)
    assert nearest.min() > 0.85
    assert nearest.max() < 1.1


def test_idealised_methyl_hydrogens_are_tetrahedral():
    molecule, _ = tris_amide.molecules()
    elements = np.array(molecule.elements)
    gaps = np.linalg.norm(molecule.positions[:, None] - molecule.positions, axis=-1)
    methyls = 0
    for c in np.flatnonzero(elements == "C"):
        hydrogens = np.flatnonzero((gaps[c] < 1.15) & (elements == "H"))
        if len(hydrogens) != 3:
            continue
        methyls += 1
        bonds = molecule.positions[hydrogens] - molecule.positions[c]
        bonds /= np.linalg.norm(bonds, axis=1)[:, None]
        angles = np.degrees(np.arccos(np.clip((bonds @ bonds.T)[np.triu_indices(3, 1)], -1, 1)))
        assert np.all((angles > 100) & (angles < 119))
    assert methyls == 18


def test_form_factor_vanishes_on_hk0_and_has_the_laue_symmetry_on_hk1():
    plane, _ = tris_amide.benchmark_plane()
    mol_a, mol_b = tris_amide.molecules()

    def contrast(level, indices):
        hk = np.array(indices, float)
        hkl = np.column_stack([hk, np.full(len(hk), level)])
        steps = np.array([[1.0, 0], [0, 1], [0, 0]])
        values = []
        for point in hkl:
            one = ReciprocalPlane(
                np.ones((1, 1)), np.ones((1, 1), bool), tris_amide.CELL, point, steps
            )
            f = molecular_form_factor(mol_a, one) - molecular_form_factor(mol_b, one)
            values.append(abs(f[0, 0]) ** 2)
        return np.array(values)

    turned = [(1.0, 0.5), (-0.5, 1.5), (-1.5, 1.0), (-1.0, -0.5), (0.5, -1.5), (1.5, -1.0)]
    assert contrast(0, turned).max() < 1e-6
    on_hk1 = contrast(1, turned)
    assert on_hk1.min() > 10
    np.testing.assert_allclose(on_hk1, on_hk1[0], rtol=1e-6)
    mirrored = contrast(1, [(0.5, 1.0)])[0]
    assert abs(mirrored - on_hk1[0]) > 0.05 * on_hk1[0]


def test_published_order_is_usable():
    plane, _ = tris_amide.benchmark_plane()
    _, sro = tris_amide.simulate(plane)
    assert sro.min() == pytest.approx(0.03, abs=0.01)
    assert sro.max() == pytest.approx(2.49, abs=0.01)
    box = alpha_box(tris_amide.YELL_ALPHA, "6/m")
    assert np.count_nonzero(box) == 1 + 15 * 6
    np.testing.assert_array_equal(box, box[::-1, ::-1, ::-1])
