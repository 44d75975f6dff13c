"""dsfunet info and dsfunet slice."""

from __future__ import annotations

import numpy as np
import pytest
from factorization_planes import TRICLINIC

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read


def test_info_tells_geometry_coverage_and_weights(dsfunet, crystal):
    text = dsfunet("info", crystal).stdout
    for said in ("a volume", "129 × 129 × 3", "7.1 8.3 9.7", "81 97 104", "Meerkat"):
        assert said in text
    assert "-5.44 … 5.44" in text
    assert "0.9 … 1.1" in text
    assert "95.3% of the voxels" in text
    assert "numbers of observations" in text


def test_info_as_json(dsfunet_json, crystal):
    about = dsfunet_json("info", crystal)
    assert about["kind"] == "volume"
    assert about["shape"] == [129, 129, 3]
    assert about["unit_cell"] == list(TRICLINIC.parameters)
    assert about["laue_class"] is None
    assert about["coverage"] == pytest.approx(123 / 129)
    assert about["limits"]["l"] == pytest.approx([0.9, 1.1])
    assert about["has_counts"] is True


def test_info_of_a_plane_and_of_a_result(dsfunet, dsfunet_json, crystal, factorized, tmp_path):
    plane = tmp_path / "plane.npz"
    dsfunet("slice", crystal, "--plane", "hk1", "-o", plane)
    assert dsfunet_json("info", plane)["kind"] == "plane"
    assert "a plane" in dsfunet("info", plane).stdout

    about = dsfunet_json("info", factorized)
    assert about["kind"] == "factorization"
    assert about["plane"]["shape"] == [129, 129]
    assert about["sro_refinement"] is None
    dsfunet("fit-sro", factorized)
    assert dsfunet_json("info", factorized)["sro_refinement"]["laue_class"] == "-1"
    assert "parameters in -1" in dsfunet("info", factorized).stdout


def test_slice_keeps_everything_in_npz(dsfunet, crystal, tmp_path):
    path = tmp_path / "hk1.npz"
    said = dsfunet("slice", crystal, "--plane", "hk1", "-o", path).stdout
    assert "129 × 129 pixels" in said
    plane, volume = read(path), read(crystal)
    assert isinstance(plane, ReciprocalPlane)
    assert isinstance(volume, ReciprocalVolume)
    expected = volume.section("hk1")
    np.testing.assert_array_equal(plane.intensity, expected.intensity)
    np.testing.assert_array_equal(plane.counts, expected.counts)
    np.testing.assert_allclose(plane.hkl(), expected.hkl())


def test_slice_on_a_cartesian_grid(dsfunet_json, crystal, tmp_path):
    path = tmp_path / "hk1.npz"
    options = ["--grid", "cartesian", "--size", 64, "--q-max", 2, "--thickness", 0.2]
    said = dsfunet_json("slice", crystal, "--plane", "hk1", "-o", path, *options)
    assert said["shape"] == [64, 64]
    assert said["provenance"]["thickness"] == 0.2
    plane = read(path)
    assert isinstance(plane, ReciprocalPlane)
    np.testing.assert_allclose(plane.metric, np.eye(2) * (4 / 64) ** 2, atol=1e-12)


def test_slice_as_numbers_and_as_picture(dsfunet, crystal, tmp_path):
    numbers, picture = tmp_path / "hk1.npy", tmp_path / "hk1.png"
    assert "npz" in dsfunet("slice", crystal, "--plane", "hk1", "-o", numbers).stdout
    values = np.load(numbers)
    assert np.isnan(values[60:66]).all()
    assert np.isfinite(values[:60]).all()
    dsfunet("slice", crystal, "--plane", "hk1", "-o", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plane", "hk1", "-o", "out.txt"], ".npz, .png, .npy"),
        (["--plane", "hk7", "-o", "out.npz"], "misses volume"),
        (["--plane", "hkq", "-o", "out.npz"], "hkq"),
        (["--plane", "hk1", "-o", "missing/out.npz"], "folder"),
    ],
)
def test_slice_says_what_to_change(dsfunet, crystal, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    failed = dsfunet("slice", crystal, *arguments, code=1)
    assert said in failed.stderr
    assert failed.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_slice_replaces_a_file_only_when_asked(dsfunet, crystal, tmp_path):
    path = tmp_path / "hk1.npz"
    path.write_text("precious")
    failed = dsfunet("slice", crystal, "--plane", "hk1", "-o", path, code=1)
    assert "--overwrite" in failed.stderr
    assert path.read_text() == "precious"
    dsfunet("slice", crystal, "--plane", "hk1", "-o", path, "--overwrite")
    assert isinstance(read(path), ReciprocalPlane)
