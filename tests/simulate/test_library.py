"""The bundled fragments: chemistry that makes sense, and a fair split."""

from collections import Counter, defaultdict

import gemmi
import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.library import fragment, fragments, pairs

FIXED = ("atoms", "perovskites")
MOLECULES = [f for f in fragments() if f.group not in FIXED]


def test_breadth_of_the_paper():
    counts = Counter(f.group for f in fragments())
    assert len(MOLECULES) >= 58
    assert counts["atoms"] == 4
    assert counts["perovskites"] == 8
    assert len({f.name for f in fragments()}) == len(fragments())


def test_held_out_fragments_are_spread_over_the_groups():
    held_out = Counter(f.group for f in MOLECULES if f.held_out)
    assert sum(held_out.values()) >= 12
    assert set(held_out) == {f.group for f in MOLECULES}
    assert min(held_out.values()) >= 2


@pytest.mark.parametrize("member", MOLECULES, ids=lambda f: f.name)
def test_bonds_are_those_of_chemistry(member):
    x, elements = member.molecule.positions, member.molecule.elements
    radii = np.array([gemmi.Element(e).covalent_r for e in elements])
    distance = np.linalg.norm(x[:, None] - x, axis=2)
    ratio = distance / (radii[:, None] + radii)
    np.fill_diagonal(ratio, 9)
    # Nothing nearer than a multiple bond; every atom bonded; one piece.
    assert ratio.min() > 0.78
    bonded = ratio < 1.2
    reached = {0}
    while True:
        more = reached | set(np.flatnonzero(bonded[list(reached)].any(axis=0)).tolist())
        if more == reached:
            break
        reached = more
    assert len(reached) == len(elements)
    valences = defaultdict(set)
    for element, n in zip(elements, bonded.sum(axis=1), strict=True):
        valences[element].add(int(n))
    assert valences["H"] <= {1}
    assert valences["C"] <= {1, 2, 3, 4}


@pytest.mark.parametrize("member", MOLECULES, ids=lambda f: f.name)
def test_the_cell_holds_the_molecule_with_its_skin(member):
    x = member.molecule.positions
    radii = np.array([gemmi.Element(e).vdw_r for e in member.molecule.elements])[:, None]
    span = (x + radii).max(axis=0) - (x - radii).min(axis=0)
    np.testing.assert_allclose(member.cell, span, atol=2e-3)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-3)
    # On its principal axes, the longest along x.
    moments = x.T @ x
    np.testing.assert_allclose(moments - np.diag(np.diag(moments)), 0, atol=0.05)
    assert np.all(np.diff(np.diag(moments)) <= 0.05)


def test_a_few_bond_lengths_are_right():
    def nearest(name, a, b):
        molecule = fragment(name).molecule
        pick = {e: molecule.positions[np.array(molecule.elements) == e] for e in (a, b)}
        d = np.linalg.norm(pick[a][:, None] - pick[b], axis=2)
        return d[d > 0.1].min()

    assert nearest("benzene", "C", "C") == pytest.approx(1.395, abs=0.02)
    assert nearest("water", "O", "H") == pytest.approx(0.965, abs=0.02)
    assert nearest("acetonitrile", "C", "N") == pytest.approx(1.16, abs=0.02)
    assert nearest("SrTiO3", "Ti", "O") == pytest.approx(3.905 / 2)
    assert nearest("SrTiO3", "Sr", "O") == pytest.approx(3.905 / np.sqrt(2), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "bond", "length"),
    [
        ("carbon dioxide", "CO", 1.16),
        ("carbon disulfide", "CS", 1.55),
        ("thiocyanate", "CS", 1.65),
        ("tetrafluoroborate", "BF", 1.39),
        ("hexafluorophosphate", "PF", 1.60),
        ("sulfate", "SO", 1.47),
        ("perchlorate", ("Cl", "O"), 1.44),
        ("nitrate", "NO", 1.25),
    ],
)
def test_small_ions_have_measured_bonds_and_regular_angles(name, bond, length):
    molecule = fragment(name).molecule
    elements = np.array(molecule.elements)
    centre = molecule.positions[elements == bond[0]][0]
    arms = molecule.positions[elements == bond[1]] - centre
    np.testing.assert_allclose(np.linalg.norm(arms, axis=1), length, atol=0.02)
    # Equal ligands repel each other equally: their directions cancel.
    if name != "thiocyanate":
        np.testing.assert_allclose(arms.sum(axis=0), 0, atol=0.03)
        angles = np.degrees(np.arccos(np.clip(arms @ arms.T / length**2, -1, 1)))
        assert angles[np.triu_indices(len(arms), 1)].min() > 85


def test_perovskites_are_abx3():
    for member in fragments():
        if member.group == "perovskites":
            assert sorted(Counter(member.molecule.elements).values()) == [1, 1, 3]


def test_pairs_never_mix_training_with_validation():
    training, validation = pairs(), pairs(held_out=True)
    for some, held_out in ((training, False), (validation, True)):
        for a, b in some:
            assert a.held_out is b.held_out is held_out
            assert a.group == b.group
            assert a.name != b.name
        assert len({frozenset((a.name, b.name)) for a, b in some}) == len(some)
    names = {f.name for pair in training for f in pair}
    assert names.isdisjoint({f.name for pair in validation for f in pair})


def test_an_unknown_fragment_is_answered_with_its_neighbours():
    assert fragment("Benzene").name == "benzene"
    with pytest.raises(ParameterError, match="did you mean toluene"):
        fragment("tolune")
    with pytest.raises(ParameterError, match="no fragment is called"):
        fragment("zzzzzzzz")
