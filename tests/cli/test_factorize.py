"""dsfunet factorize, fit-sro and report."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

from dsfunet_core import read
from dsfunet_core.factorization.lattice_points import same_lattice
from dsfunet_core.io.results import load_fit, load_result
from dsfunet_core.refine import SroRefinement


def test_factorize_writes_a_result_and_says_what_it_chose(dsfunet, crystal, tmp_path):
    path = tmp_path / "hk1.h5"
    options = ["--plane", "hk1", "--support", 5, "--order", 3, "--background", "--no-robust"]
    said = dsfunet("factorize", crystal, "-o", path, *options).stdout
    result = load_result(path)
    assert f"R = {result.r_factor:.4f}" in said
    assert "support: 5.0 Å" in said
    assert "You gave this radius." in said
    assert result.choices["order"] == 3
    assert result.background is not None


def test_factorize_masks_bragg_peaks(dsfunet_json, crystal, tmp_path):
    path = tmp_path / "hk1.h5"
    options = ["--plane", "hk1", "--support", 5, "--order", 2]
    said = dsfunet_json("factorize", crystal, "-o", path, *options, "--bragg-radius", 0.08)
    plane = load_result(path).plane
    assert said["valid_pixels"] == int(plane.valid.sum()) < 123 * 129
    row, column = plane.pixel((1, 2, 1)).round().astype(int)
    assert not plane.valid[row, column]
    assert said["r_factor"] < 0.05
    assert said["choices"]["order"] == 2


def test_a_plane_needs_no_plane_option(dsfunet, crystal, tmp_path):
    plane, path = tmp_path / "hk1.npz", tmp_path / "hk1.h5"
    dsfunet("slice", crystal, "--plane", "hk1", "-o", plane)
    failed = dsfunet("factorize", plane, "--plane", "hk0", "-o", path, code=1)
    assert "leave out --plane" in failed.stderr
    dsfunet("factorize", plane, "-o", path, "--support", 5, "--order", 2)
    assert load_result(path).plane.name == "hk1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--plane hk1"),
        (["--plane", "hk1", "--support", "large"], "auto"),
        (["--plane", "hk1", "--support", "-3"], "greater than 0"),
        (["--plane", "hk1", "--order", "99"], "1 to 12"),
        (["--plane", "hk1", "--method", "magic"], "lattice"),
        (["--plane", "hk1", "--bragg-radius", "0"], "more than 0"),
        (["--plane", "hk1", "--bragg-radius", "0.1", "--centring", "Q"], "'F'"),
        (["--plane", "hk1", "--device", "abacus"], "abacus"),
    ],
)
def test_factorize_says_what_to_change(dsfunet, crystal, tmp_path, options, said):
    failed = dsfunet("factorize", crystal, "-o", tmp_path / "out.h5", *options, code=1)
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "out.h5").exists()


def test_an_existing_result_is_refused_before_any_work(dsfunet, crystal, tmp_path):
    path = tmp_path / "out.h5"
    path.write_text("precious")
    started = time.perf_counter()
    failed = dsfunet("factorize", crystal, "--plane", "hk1", "-o", path, code=1)
    assert time.perf_counter() - started < 0.5
    assert "--overwrite" in failed.stderr
    assert path.read_text() == "precious"


def test_fit_sro_adds_the_fit_and_exports_it(dsfunet, factorized, tmp_path):
    table, everything, model = (tmp_path / n for n in ("a.csv", "a.json", "model.txt"))
    options = ["--laue", "-1", "--csv", table, "--json-out", everything, "--yell", model]
    said = dsfunet("fit-sro", factorized, *options).stdout
    fit = load_fit(factorized)
    assert fit is not None
    assert fit.table() in said
    # The plane sees the sum with (1, 0, 1), on a scale with (0, 0, 1) in it.
    assert fit[(1, 0, 0)] == pytest.approx((-0.21 + 0.05) / 1.1, abs=0.01)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["alpha"]) == fit.alpha[0]
    assert SroRefinement.from_json(everything).table() == fit.table()
    assert model.read_text().startswith("# Multiplicities")


def test_fit_sro_as_json(dsfunet_json, factorized):
    said = dsfunet_json("fit-sro", factorized, "--shells", 2)
    assert said["laue_class"] == "-1"
    assert len(said["parameters"]) == 12
    assert {"vector", "alpha", "sigma", "length"} <= said["parameters"][0].keys()


def test_a_second_fit_replaces_the_first_only_when_asked(dsfunet, factorized):
    said = dsfunet("fit-sro", factorized, "--shells", 2).stdout
    assert "no symmetry; choose one with --laue" in said
    failed = dsfunet("fit-sro", factorized, "--shells", 1, code=1)
    assert "--overwrite" in failed.stderr
    dsfunet("fit-sro", factorized, "--shells", 1, "--overwrite")
    fit = load_fit(factorized)
    assert fit is not None
    assert len(fit.alpha) == 4


def test_fit_sro_refuses_an_export_before_it_changes_the_result(dsfunet, factorized, tmp_path):
    (tmp_path / "a.csv").write_text("precious")
    dsfunet("fit-sro", factorized, "--csv", tmp_path / "a.csv", code=1)
    assert load_fit(factorized) is None


@pytest.mark.parametrize(("laue", "said"), [("6/m", "90"), ("9/m", "9/m")])
def test_fit_sro_refuses_a_wrong_laue_class(dsfunet, factorized, laue, said):
    assert said in dsfunet("fit-sro", factorized, "--laue", laue, code=1).stderr


def test_fit_sro_wants_a_result(dsfunet, crystal):
    assert "no result of a factorization" in dsfunet("fit-sro", crystal, code=1).stderr


def test_report_with_and_without_parameters(dsfunet, factorized, tmp_path):
    page = tmp_path / "hk1.html"
    said = dsfunet("report", factorized, "-o", page).stdout
    assert "fit-sro" in said
    assert "Warren–Cowley parameters</h2>" not in page.read_text(encoding="utf-8")
    dsfunet("fit-sro", factorized)
    assert "--overwrite" in dsfunet("report", factorized, "-o", page, code=1).stderr
    dsfunet("report", factorized, "-o", page, "--overwrite")
    assert "Warren–Cowley parameters</h2>" in page.read_text(encoding="utf-8")


def test_a_bare_image_is_factorized_blind_and_a_given_cell_refined(
    dsfunet, dsfunet_json, crystal, tmp_path
):
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    plane, image = tmp_path / "hk1.npz", tmp_path / "image.tif"
    dsfunet("slice", crystal, "--plane", "hk1", "-o", plane)
    known = read(plane)
    tifffile.imwrite(image, np.where(known.valid, known.intensity, np.nan).astype(np.float32))
    failed = dsfunet("factorize", image, "-o", tmp_path / "a.h5", code=1)
    assert "--method hybrid" in failed.stderr.replace("\n", " ")
    said = dsfunet("factorize", image, "--method", "hybrid", "-o", tmp_path / "b.h5").stdout
    assert "lattice: found blind" in said
    assert "fit-sro" not in said
    found = load_result(tmp_path / "b.h5").lattice.direct_basis
    assert same_lattice(found, known.lattice.direct_basis)
    options = ["--support", 5, "--order", 3, "--refine-lattice"]
    refined = dsfunet_json("factorize", plane, "-o", tmp_path / "c.h5", *options)
    assert np.abs(refined["choices"]["basis_shift"]).max() < 0.02
    assert np.array(refined["choices"]["basis_sigma"]).min() > 0
