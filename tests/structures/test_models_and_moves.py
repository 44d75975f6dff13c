"""Structures of a disordered site, what can move in them, and what they scatter."""

import numpy as np
import pytest
from structure_samples import TRICLINIC, plane_of

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate import tris_amide
from dsfunet_core.simulate.form_factors import form_factor_difference
from dsfunet_core.simulate.molecules import Molecule
from dsfunet_core.structures.calculate import Amplitude, velocities
from dsfunet_core.structures.contacts import Contacts
from dsfunet_core.structures.model import disorder_model, tris_amide_model
from dsfunet_core.structures.moves import Occupancy, Rotation, Shift, bonds, displaced, torsion


def test_symmetry_makes_the_columns_of_the_benchmark():
    plane, _ = tris_amide.benchmark_plane()
    mol_a, mol_b = tris_amide.molecules()
    expected = form_factor_difference(mol_a, mol_b, plane)
    model = tris_amide_model()
    found = Amplitude(plane, dtype=np.complex128)(model)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())
    own_a, own_b = model.molecules()
    again = form_factor_difference(own_a, own_b, plane)
    np.testing.assert_allclose(again, expected, atol=1e-9 * np.abs(expected).max())


def test_parts_add_up_and_a_vacancy_is_nothing(ethanol):
    plane = plane_of(TRICLINIC)
    amplitude = Amplitude(plane, dtype=np.complex128)
    some = np.array([0, 3, 10])
    rest = np.setdiff1d(np.arange(11), some)
    np.testing.assert_allclose(
        amplitude(ethanol, some) + amplitude(ethanol, rest), amplitude(ethanol), atol=1e-9
    )
    alone = disorder_model(ethanol.molecules()[0])
    assert alone.molecules()[1].elements == ()
    # Labels that clash are told apart by the species.
    assert alone.labels[2] == "O_A"
    assert len(set(ethanol.labels)) == 11


def test_derivatives_are_those_of_finite_differences(ethanol):
    plane = plane_of(TRICLINIC)
    amplitude = Amplitude(plane, dtype=np.complex128)
    moves = [
        Rotation(np.arange(9), direction=np.array([0.3, 1, -0.4]), name="turn"),
        Rotation(np.array([3, 4, 5]), ends=(1, 0), name="methyl"),
        Shift(np.arange(9, 11), np.array([1, 2, 0.5])),
        Occupancy(np.array([10])),
    ]
    at = np.array([12.0, -31.0, 0.2, -0.15])
    velocity, growth = velocities(ethanol, moves, at)
    found = amplitude.derivatives(displaced(ethanol, moves, at), velocity, growth)
    for i, width in enumerate((1e-2, 1e-2, 1e-4, 1e-4)):
        step = np.zeros(4)
        step[i] = width
        high, low = (amplitude(displaced(ethanol, moves, at + s * step)) for s in (1, -1))
        np.testing.assert_allclose(
            found[i], (high - low) / (2 * width), atol=1e-5 * np.abs(found[i]).max()
        )


def test_an_atom_that_is_not_there_can_come(ethanol):
    """The derivative by an occupancy does not need the occupancy to be above 0."""
    plane = plane_of(TRICLINIC)
    gone = ethanol.moved(ethanol.atoms.positions, np.where(np.arange(11) == 10, 0.0, 1.0))
    moves = [Occupancy(np.array([10]))]
    amplitude = Amplitude(plane, dtype=np.complex128)
    velocity, growth = velocities(gone, moves, [0.0])
    (found,) = amplitude.derivatives(gone, velocity, growth)
    np.testing.assert_allclose(found, amplitude(ethanol) - amplitude(gone), atol=1e-9)


def test_tert_butyl_is_found_from_its_bonds():
    model = tris_amide_model()
    turning = torsion(model, ("N", "C4"))
    names = {model.labels[i] for i in turning.atoms}
    assert names == {"C5", "C6", "C7"} | {f"H{n}{x}" for n in (5, 6, 7) for x in "ABC"}
    before, after = model.atoms, displaced(model, [turning], [25.0]).atoms
    # Bonds of the group, and to its axis, keep their lengths; nothing else moves.
    near = bonds(before)
    distance = [
        np.linalg.norm(m.positions[:, None] - m.positions, axis=2) for m in (before, after)
    ]
    np.testing.assert_allclose(distance[0][near], distance[1][near], atol=1e-9)
    still = np.setdiff1d(np.arange(20), turning.atoms)
    np.testing.assert_array_equal(before.positions[still], after.positions[still])

    # A torsion angle N–C4 grows by the rotation (IUPAC sign).
    def dihedral(molecule):
        p = [molecule.positions[model.atom(x)] for x in ("C3", "N", "C4", "C5")]
        b = [p[i + 1] - p[i] for i in range(3)]
        n1, n2 = np.cross(b[0], b[1]), np.cross(b[1], b[2])
        return np.degrees(np.arctan2(np.linalg.norm(b[1]) * b[0] @ n2, n1 @ n2))

    assert (dihedral(after) - dihedral(before)) % 360 == pytest.approx(25, abs=1e-6)


def test_impossible_torsions_are_refused():
    model = tris_amide_model()
    with pytest.raises(ParameterError, match="not bonded; neighbours of N: C3, C4"):
        torsion(model, ("N", "C5"))
    with pytest.raises(ParameterError, match="no atom is called 'C99'"):
        torsion(model, ("N", "C99"))
    with pytest.raises(ParameterError, match="nothing hangs"):
        torsion(model, ("N", "H0A"))
    ring = Molecule(
        ("C",) * 6,
        np.array([[np.cos(a), np.sin(a), 0] for a in np.arange(6) * np.pi / 3]) * 1.4,
    )
    with pytest.raises(ParameterError, match="part of a ring"):
        torsion(disorder_model(ring), ("C1", "C2"))


def test_operations_that_make_no_sense_are_refused(ethanol):
    molecule = ethanol.molecules()[0]
    with pytest.raises(ParameterError, match="no symmetry operation"):
        disorder_model(molecule, b_from_a="x,y,q", cell=TRICLINIC)
    with pytest.raises(ParameterError, match="needs the cell"):
        disorder_model(molecule, b_from_a="x,y,-z")
    with pytest.raises(ParameterError, match="changes distances"):
        disorder_model(molecule, b_from_a="y,x,z", cell=TRICLINIC)
    with pytest.raises(ParameterError, match="not both"):
        disorder_model(molecule, molecule, b_from_a="-x,-y,-z", cell=TRICLINIC)


def test_contacts_say_who_comes_too_near(ethanol):
    """Two chlorines pushed onto each other, and only from where they touch."""
    pair = Molecule(("Cl", "Cl"), np.array([[0, 0, 0], [6.0, 0, 0]]), labels=("A", "B"))
    push = Shift(np.array([1]), np.array([-1.0, 0, 0]))
    contacts = Contacts(disorder_model(pair), [push])
    least = contacts.least[0]
    assert 2 < least < 3
    assert contacts.misfit([6 - least - 0.01])[0] == 0
    misfit, slopes = contacts.at([6 - least + 0.1])
    assert misfit[0] == pytest.approx(0.1 / 0.05)
    assert slopes[0, 0] == pytest.approx(1 / 0.05)
