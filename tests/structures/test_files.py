"""Models from structure files."""

import numpy as np
import pytest
from structure_samples import TRICLINIC

from dsfunet_core.errors import ParameterError
from dsfunet_core.structures.files import read_model, write_xyz

HEAD = """data_test
_cell_length_a 7.1
_cell_length_b 8.3
_cell_length_c 9.2
_cell_angle_alpha 81
_cell_angle_beta 97
_cell_angle_gamma 112
_space_group_name_H-M_alt 'P -1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_disorder_group
"""
ATOMS = """C1 C 0.31 0.32 0.33 0.02 .
C2A C 0.45 0.42 0.30 0.03 1
N2B N 0.30 0.50 0.38 0.03 2
"""


@pytest.fixture
def cif(tmp_path):
    path = tmp_path / "disordered.cif"
    path.write_text(HEAD + ATOMS)
    return path


def test_parts_of_a_cif_are_a_and_b(cif):
    model = read_model(cif)
    mol_a, mol_b = model.molecules()
    assert sorted(mol_a.elements) == ["C", "C"]
    assert sorted(mol_b.elements) == ["C", "N"]
    assert mol_a.b_iso is not None
    np.testing.assert_allclose(sorted(mol_a.b_iso), 8 * np.pi**2 * np.array([0.02, 0.03]))
    to_cartesian = np.array(TRICLINIC.orth.mat.tolist())
    found = mol_b.positions[list(mol_b.elements).index("N")]
    np.testing.assert_allclose(found, to_cartesian @ [0.30, 0.50, 0.38], atol=1e-9)
    swapped = read_model(cif, groups=(2, 1)).molecules()
    assert sorted(swapped[0].elements) == ["C", "N"]
    with pytest.raises(ParameterError, match="given twice"):
        read_model(cif, groups=(1, 2), b_from_a="-x,-y,-z")


def test_b_can_be_an_image_of_a_and_xyz_goes_round(tmp_path):
    path = tmp_path / "one.cif"
    path.write_text(HEAD + "C1 C 0.31 0.32 0.33 0.02 .\nO1 O 0.40 0.38 0.41 0.02 .\n")
    model = read_model(path, b_from_a="-x,-y,-z", cell=TRICLINIC)
    mol_a, mol_b = model.molecules()
    np.testing.assert_allclose(mol_b.positions, -mol_a.positions)
    write_xyz(tmp_path / "a.xyz", model)
    again = read_model(tmp_path / "a.xyz", b=tmp_path / "a.xyz")
    np.testing.assert_allclose(again.molecules()[0].positions, mol_a.positions, atol=1e-6)
    assert read_model(tmp_path / "a.xyz").molecules()[1].elements == ()
    with pytest.raises(ParameterError, match="exists already"):
        write_xyz(tmp_path / "a.xyz", model)
