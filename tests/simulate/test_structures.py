"""Molecules from files, against distances known beforehand."""

import gemmi
import numpy as np
import pytest

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.simulate.library import fragment
from dsfunet_core.simulate.structures import read_molecule

CELL = gemmi.UnitCell(7.1, 8.3, 9.7, 81, 97, 108)
HEADER = """data_test
_cell_length_a 7.1
_cell_length_b 8.3
_cell_length_c 9.7
_cell_angle_alpha 81
_cell_angle_beta 97
_cell_angle_gamma 108
_space_group_name_H-M_alt '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_disorder_group
"""


def cif(tmp_path, atoms, group="P 1"):
    """A CIF of atoms given in Cartesian coordinates."""
    lines = []
    for i, (element, x, u, part) in enumerate(atoms):
        f = CELL.fractionalize(gemmi.Position(*x))
        lines.append(f"{element}{i} {element} {f.x:.6f} {f.y:.6f} {f.z:.6f} {u} {part}")
    path = tmp_path / "test.cif"
    path.write_text(HEADER.format(group=group) + "\n".join(lines) + "\n")
    return path


def distances(molecule):
    d = np.linalg.norm(molecule.positions[:, None] - molecule.positions, axis=2)
    return np.sort(d[np.triu_indices(len(d), 1)])


def test_a_triclinic_cif_keeps_every_distance(tmp_path):
    dmf = fragment("dimethylformamide").molecule
    atoms = [
        (e, x + (3, 3, 4), 0.03, ".") for e, x in zip(dmf.elements, dmf.positions, strict=True)
    ]
    found = read_molecule(cif(tmp_path, atoms))
    assert found.elements == dmf.elements
    np.testing.assert_allclose(distances(found), distances(dmf), atol=1e-4)
    np.testing.assert_allclose(found.b_iso, 8 * np.pi**2 * 0.03)


def test_anisotropic_displacements_become_their_mean(tmp_path):
    path = cif(tmp_path, [("C", (1, 1, 1), "?", ".")])
    u = np.array([0.02, 0.05, 0.03, 0.004, -0.006, 0.002])
    names = "U_11 U_22 U_33 U_12 U_13 U_23".split()
    path.write_text(
        path.read_text()
        + "loop_\n_atom_site_aniso_label\n"
        + "".join(f"_atom_site_aniso_{n}\n" for n in names)
        + "C0 "
        + " ".join(map(str, u))
        + "\n"
    )
    # U_eq = ⅓ Σ_ij U_ij a*_i a*_j a_i·a_j.
    matrix = np.array([[u[0], u[3], u[4]], [u[3], u[1], u[5]], [u[4], u[5], u[2]]])
    axes = np.array(CELL.orth.mat.tolist())
    star = np.linalg.norm(np.linalg.inv(axes), axis=1)
    expected = (matrix * np.outer(star, star) * (axes.T @ axes)).sum() / 3
    assert read_molecule(path).b_iso[0] == pytest.approx(8 * np.pi**2 * expected, rel=1e-6)


def test_an_inversion_centre_completes_half_a_molecule(tmp_path):
    benzene = fragment("benzene").molecule
    half = benzene.positions @ (0.3, 0.5, 0.81) > 0
    atoms = [
        (e, x, 0.02, ".")
        for e, x, keep in zip(benzene.elements, benzene.positions, half, strict=True)
        if keep
    ]
    path = cif(tmp_path, atoms, "P -1")
    found = read_molecule(path)
    assert sorted(found.elements) == sorted(benzene.elements)
    np.testing.assert_allclose(distances(found), distances(benzene), atol=5e-3)
    assert len(read_molecule(path, complete=False).elements) == 6


def test_a_molecule_across_the_edge_of_the_cell_is_put_together(tmp_path):
    """Atoms brought back into the cell one by one are joined again by translations."""
    water = fragment("water").molecule
    atoms = []
    for e, x in zip(water.elements, water.positions, strict=True):
        f = np.mod(CELL.fractionalize(gemmi.Position(*x)).tolist(), 1)
        atoms.append((e, CELL.orthogonalize(gemmi.Fractional(*f)).tolist(), 0.0, "."))
    found = read_molecule(cif(tmp_path, atoms))
    oxygen = found.positions[found.elements.index("O")]
    near = np.linalg.norm(found.positions - oxygen, axis=1) < 1.2
    assert near.sum() == 3
    np.testing.assert_allclose(
        distances(type(found)(("O", "H", "H"), found.positions[near])),
        distances(water),
        atol=1e-4,
    )


def test_a_disorder_group_is_chosen_not_guessed(tmp_path):
    atoms = [
        ("N", (3, 3, 3), 0.02, "."),
        ("C", (4.4, 3, 3), 0.02, "1"),
        ("O", (3, 4.3, 3), 0.02, "2"),
    ]
    path = cif(tmp_path, atoms)
    with pytest.raises(ParameterError, match="disorder groups 1, 2"):
        read_molecule(path)
    assert read_molecule(path, disorder_group=1).elements == ("N", "C")
    assert read_molecule(path, disorder_group=2).elements == ("N", "O")
    with pytest.raises(ParameterError, match="no disorder group 3"):
        read_molecule(path, disorder_group=3)


def test_a_framework_does_not_go_on_for_ever(tmp_path):
    path = tmp_path / "chain.cif"
    text = HEADER.format(group="P 1").replace("_cell_length_a 7.1", "_cell_length_a 1.5")
    path.write_text(text + "C1 C 0.1 0.1 0.1 0.02 .\n")
    with pytest.raises(FileFormatError, match="framework"):
        read_molecule(path)
    assert read_molecule(path, complete=False).elements == ("C",)


def test_disorder_about_an_inversion_centre_is_not_completed_into_itself(tmp_path):
    """Both orientations share the place: half an ångström apart there are no bonds."""
    atoms = [("C", (0.2, 0, 0), 0.02, "-1"), ("C", (1.6, 0.5, 0), 0.02, "-1")]
    found = read_molecule(cif(tmp_path, atoms, "P -1"))
    np.testing.assert_allclose(distances(found), [np.hypot(1.4, 0.5)], atol=1e-4)
    assert read_molecule(tmp_path / "test.cif", disorder_group=-1).elements == ("C", "C")
    path = cif(tmp_path, [(e, x, u, ".") for e, x, u, _ in atoms], "P -1")
    with pytest.raises(FileFormatError, match="C0 and C0, or images of them, are 0.40 Å"):
        read_molecule(path)
    assert read_molecule(path, complete=False).elements == ("C", "C")


def test_an_atom_on_a_special_position_stays_one(tmp_path):
    atoms = [("C", (0.004, 0, 0), 0.02, "."), ("O", (0.7, 0.9, 0.1), 0.02, ".")]
    found = read_molecule(cif(tmp_path, atoms, "P -1"))
    assert sorted(found.elements) == ["C", "O", "O"]
    oxygen = found.positions[np.array(found.elements) == "O"]
    np.testing.assert_allclose(oxygen.sum(axis=0), 0, atol=1e-4)


def test_deuterium_is_kept(tmp_path):
    atoms = [("O", (3, 3, 3), 0.02, "."), ("D", (3.96, 3, 3), 0.02, ".")]
    assert read_molecule(cif(tmp_path, atoms)).elements == ("O", "D")
    path = tmp_path / "a.xyz"
    path.write_text("\ufeff1\n\nD 0 0 0\n", encoding="utf-8")
    assert read_molecule(path).elements == ("D",)


def test_symmetry_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    path = cif(tmp_path, [("C", (1, 1, 1), 0.02, ".")], "Q 99")
    with pytest.raises(FileFormatError, match="space group 'Q 99' is not known"):
        read_molecule(path)
    assert read_molecule(path, complete=False).elements == ("C",)
    path.write_text(
        path.read_text() + "loop_\n_space_group_symop_operation_xyz\nx,y,z\nx,foo,z\n"
    )
    with pytest.raises(FileFormatError, match="symmetry operation"):
        read_molecule(path)


def test_disorder_groups_by_letter_are_refused(tmp_path):
    """Read as numbers they would all be 0, and both parts on top of each other."""
    path = cif(tmp_path, [("C", (1, 1, 1), 0.02, "A"), ("C", (1.3, 1, 1), 0.02, "B")])
    with pytest.raises(FileFormatError, match="disorder group 'A'"):
        read_molecule(path)


def test_the_one_structure_of_several_blocks(tmp_path):
    path = cif(tmp_path, [("C", (1, 1, 1), 0.02, ".")])
    text = path.read_text()
    path.write_text("data_global\n_journal_year 2020\n" + text)
    assert read_molecule(path).elements == ("C",)
    path.write_text(text + text.replace("data_test", "data_other"))
    with pytest.raises(FileFormatError, match="2 structures, test, other"):
        read_molecule(path)


def write_sdf(path, molecule):
    lines = [
        "title",
        "",
        "",
        f"{len(molecule.elements):3d}  0  0  0  0  0            999 V2000",
    ]
    for e, x in zip(molecule.elements, molecule.positions, strict=True):
        lines.append("".join(f"{v:10.4f}" for v in x) + f" {e:<3} 0  0")
    path.write_text("\n".join([*lines, "M  END", "$$$$", ""]))


def write_xyz(path, molecule):
    lines = [str(len(molecule.elements)), "comment"]
    for e, x in zip(molecule.elements, molecule.positions, strict=True):
        lines.append(f"{e} {x[0]:.4f} {x[1]:.4f} {x[2]:.4f}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("suffix", "write"), [("xyz", write_xyz), ("sdf", write_sdf), ("mol", write_sdf)]
)
def test_round_trip(tmp_path, suffix, write):
    triflate = fragment("triflate").molecule
    path = tmp_path / f"triflate.{suffix}"
    write(path, triflate)
    found = read_molecule(path)
    assert found.elements == triflate.elements
    assert found.name == "triflate"
    np.testing.assert_allclose(found.positions, triflate.positions, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xyz", "", "line 1"),
        ("a.xyz", "two\n\nC 0 0 0\n", "number of atoms"),
        ("a.xyz", "2\n\nC 0 0 0\n", "ends before"),
        ("a.xyz", "1\n\nC 0 zero 0\n", "line 3"),
        ("a.xyz", "1\n\nC 0 nan 0\n", "finite"),
        ("a.xyz", "1\n\nQq 0 0 0\n", "'Qq' is not a chemical symbol"),
        ("a.sdf", "x\n\n\n  0  0  0     0  0            999 V3000\n", "V3000"),
        ("a.sdf", "x\n", "line 4"),
        ("a.xyz", "²\n\nC 0 0 0\n", "number of atoms"),
        ("a.sdf", "x\n\n\n  2  0 V2000\n", "ends before"),
        ("a.sdf", "x\n\n\n  1  0 V2000\n" + 3 * "       nan" + " C\n", "line 5"),
        ("a.sdf", "x\n\n\n  1  0 V2000\n" + 3 * "    0.0000" + " R#\n", "'R#' is not"),
        ("a.cif", "", "not a readable CIF"),
        ("a.cif", "no cif [[", "not a readable CIF"),
        ("a.cif", "data_empty\n", "no atom sites"),
        ("a.cif", HEADER.format(group="P 1") + "C1 C ? 0 0 0.02 .\n", "atom C1"),
        ("a.cif", HEADER.format(group="P 1") + "Q1 Qq 0 0 0 0.02 .\n", "chemical symbol"),
        ("a.pdb", "ATOM", "not from .pdb"),
    ],
)
def test_bad_files_are_named_with_their_fault(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_molecule(path)


def test_other_mistakes(tmp_path):
    with pytest.raises(Exception, match="missing.xyz"):
        read_molecule(tmp_path / "missing.xyz")
    path = tmp_path / "a.xyz"
    path.write_text("1\n\nC 0 0 0\n")
    with pytest.raises(ParameterError, match="only a CIF"):
        read_molecule(path, disorder_group=1)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="not a text file"):
        read_molecule(path)
