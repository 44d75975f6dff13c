"""dsfunet scan and dsfunet refine."""

from __future__ import annotations

import numpy as np
import pytest

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.io.results import save_result
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.sections import Section
from dsfunet_core.simulate import tris_amide
from dsfunet_core.simulate.planes import cartesian_grid
from dsfunet_core.simulate.structures import read_molecule
from dsfunet_core.structures.calculate import Amplitude
from dsfunet_core.structures.model import tris_amide_model
from dsfunet_core.structures.moves import displaced, torsion

TRUE = 11.0


@pytest.fixture(scope="session")
def hk1(tmp_path_factory):
    """Perfect factorization of the benchmark crystal with its tert-butyl groups turned."""
    origin, steps = cartesian_grid(tris_amide.CELL, Section.parse("hk1"), 96, 5.0)
    blank = np.ones((96, 96))
    plane = ReciprocalPlane(blank, blank > 0, tris_amide.CELL, origin, steps, name="hk1")
    model = tris_amide_model()
    model = displaced(model, [torsion(model, ("N", "C4"))], [TRUE])
    form_factor = np.abs(Amplitude(plane)(model)) ** 2 * np.exp(-0.03 * plane.q_norm() ** 2)
    _, sro = tris_amide.simulate(plane)
    clean = 40 * form_factor / form_factor.mean() * sro
    noisy = np.random.default_rng(1).poisson(clean).astype(float)
    result = Factorization(
        plane.replace(intensity=noisy), "lattice", 40 * form_factor / form_factor.mean(), sro
    )
    path = tmp_path_factory.mktemp("structures") / "hk1.h5"
    save_result(path, result)
    return path


def test_scan_finds_the_angle_and_draws_it(dsfunet, dsfunet_json, hk1, tmp_path):
    options = ["scan", hk1, "--structure", "tris-amide", "--bond", "N,C4", "--step", "5"]
    found = dsfunet_json(*options)
    assert found["minima"][0]["value"] == pytest.approx(TRUE, abs=0.05)
    assert found["minima"][0]["debye_waller"] == pytest.approx(0.03, abs=1e-3)
    curve, figure = tmp_path / "curve.csv", tmp_path / "curve.png"
    said = dsfunet(*options, "--csv", curve, "--figure", figure).stdout
    assert "C5, C6, C7" in said
    table = np.loadtxt(curve, delimiter=",", skiprows=1)
    assert table.shape == (25, 5)
    assert abs(table[table[:, 1].argmin(), 0] - TRUE) <= 2.5
    assert figure.read_bytes().startswith(b"\x89PNG")
    before = curve.read_bytes()
    assert "--overwrite" in dsfunet(*options, "--csv", curve, code=1).stderr
    assert curve.read_bytes() == before


def test_refinement_against_the_counts_and_its_coordinates(dsfunet_json, hk1, tmp_path):
    written = tmp_path / "refined.xyz"
    found = dsfunet_json(
        "refine", hk1, "--structure", "tris-amide", "--bond", "N,C4", "--start", "5",
        "--xyz", written,
    )  # fmt: skip
    (name,) = found["values"]
    assert found["converged"]
    assert 0.01 < found["sigma"][name] < 0.5
    assert abs(found["values"][name] - TRUE) < 4 * found["sigma"][name]
    refined = read_molecule(written)
    model = tris_amide_model()
    turned = displaced(model, [torsion(model, ("N", "C4"))], [TRUE])
    np.testing.assert_allclose(refined.positions, turned.atoms.positions, atol=0.03)


def test_other_moves_than_torsions(dsfunet_json, hk1):
    methyls = "C5,C6,C7,H5A,H5B,H5C,H6A,H6B,H6C,H7A,H7B,H7C"
    model = tris_amide_model()
    axis = model.atoms.positions[model.atom("C4")] - model.atoms.positions[model.atom("N")]
    direction = ",".join(f"{x:.5f}" for x in axis)
    found = dsfunet_json(
        "refine", hk1, "--structure", "tris-amide", "--bond", "N,C4", "--start", "5,0",
        "--move", "shift all 0,0,1", "--no-contacts",
    )  # fmt: skip
    shift = found["values"]["shift all 0,0,1"]
    assert abs(shift) < 4 * found["sigma"]["shift all 0,0,1"] < 0.2
    # About an axis through the middle of the group that is nearly that of the torsion.
    scanned = dsfunet_json(
        "scan", hk1, "--structure", "tris-amide", "--step", "5",
        "--move", f"rotate {methyls} {direction}",
    )  # fmt: skip
    assert scanned["minima"][0]["value"] == pytest.approx(TRUE, abs=3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bond", "N"], "two labels"),
        (["--bond", "N,C99"], "no atom is called 'C99'"),
        ([], "nothing is to move"),
        (["--move", "wobble C5"], "is not understood"),
        (["--move", "shift C5 0,0"], "three components"),
        (["--move", "shift C5 0,0,1", "--bond", "N,C4"], "not both"),
        (["--bond", "N,C4", "--range", "10", "5"], "three rising"),
        (["--bond", "N,C4", "--against", "luck"], "form-factor or scattering"),
        (["--bond", "N,C4", "--q-range", "50", "60"], "no measured pixel"),
        (["--bond", "N,C4", "--b-from-a", "x,y,-z"], "brings its own B"),
    ],
)
def test_scan_says_what_to_change(dsfunet, hk1, options, said):
    failed = dsfunet("scan", hk1, "--structure", "tris-amide", *options, code=1)
    assert said in failed.stderr.replace("\n", " ")
