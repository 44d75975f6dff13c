"""dsfunet symmetrize and dsfunet pdf."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from symmetry_volumes import random_volume
from typer.testing import CliRunner

from dsfunet_core import read
from dsfunet_core.cli.console import ReportingGroup
from dsfunet_core.cli.symmetrize import pdf, symmetrize
from dsfunet_core.io.meerkat import write_meerkat
from dsfunet_core.io.numpy import write_npz
from dsfunet_core.pdf import read_pdf
from dsfunet_core.symmetrize import symmetrize_volume

app = typer.Typer(cls=ReportingGroup)
app.command("symmetrize")(symmetrize)
app.command("pdf")(pdf)


@pytest.fixture
def run():
    def call(*arguments, code=0):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


@pytest.fixture
def volume_file(tmp_path):
    volume = random_volume("6/m", reach=(12, 12, 6), step=0.25)
    average = symmetrize_volume(volume, "6/m").volume.intensity
    rng = np.random.default_rng(0)
    data = average * (1 + 0.05 * rng.normal(size=average.shape))
    data[rng.random(data.shape) < 0.2] = np.nan
    path = tmp_path / "volume.h5"
    write_meerkat(path, data, volume.cell, volume.origin, np.diag(volume.steps))
    return path


def test_a_volume_is_averaged_into_a_file_that_can_be_read(run, volume_file, tmp_path):
    out = tmp_path / "average.h5"
    text = run("symmetrize", volume_file, out, "--laue", "6/m", "--outliers", 6).stdout
    assert "6/m: R_int = 0.0" in text
    assert "observations a voxel" in text
    average = read(out)
    assert average.laue_class == "6/m"
    np.testing.assert_allclose(
        average.intensity[...], average.intensity[...][::-1, ::-1, ::-1], rtol=1e-6
    )
    again = run("symmetrize", volume_file, out, "--laue", "6/m", code=1)
    assert "--overwrite" in again.stderr


def test_the_laue_class_is_tested_without_writing(run, volume_file, tmp_path):
    text = run("symmetrize", volume_file, "--test").stdout
    assert "Highest consistent symmetry: 6/m." in text
    found = json.loads(run("symmetrize", volume_file, "--test", "--json").stdout)
    assert found["test"]["suggestion"] == ["6/m"]
    assert [p.name for p in tmp_path.iterdir()] == ["volume.h5"]


def test_a_plane_is_averaged_into_npz(run, volume_file, tmp_path):
    plane, out = tmp_path / "hk0.npz", tmp_path / "average.npz"
    write_npz(plane, read(volume_file).section("hk0"))
    about = json.loads(run("symmetrize", plane, out, "--laue", "6/m", "--json").stdout)
    assert about["report"]["operations"] == 6
    assert read(out).valid.mean() > read(plane).valid.mean()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "say where to write"),
        (("out.h5",), "do not tell their Laue class"),
        (("out.h5", "--laue", "4/m"), "asks for a = b"),
        (("out.npz", "--laue", "6/m"), "is written as .h5"),
        (("out.h5", "--laue", "6/m", "--outliers", "0.1"), "outliers=0.1"),
    ],
)
def test_mistakes_are_explained(run, volume_file, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert reason in " ".join(run("symmetrize", volume_file, *arguments, code=1).stderr.split())
    assert [p.name for p in tmp_path.iterdir()] == ["volume.h5"]


def test_pdf_of_a_volume(run, volume_file, tmp_path):
    out = tmp_path / "pdf.h5"
    assert "3D-ΔPDF" in run("pdf", volume_file, out, "--extent", 1.5).stdout
    made = read_pdf(out)
    np.testing.assert_allclose(made.uvw([0, 0, 0])[2], -1.5, atol=0.1)
    assert made.provenance["processing"][-1]["fill"] == "shell"


def test_patterson_map_of_a_plane(run, volume_file, tmp_path):
    picture, numbers = tmp_path / "hk0.png", tmp_path / "hk0.npz"
    run("pdf", volume_file, picture, "--plane", "hk0", "--window", "welch")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    about = json.loads(run("pdf", volume_file, numbers, "--plane", "hk0", "--json").stdout)
    with np.load(numbers) as stored:
        assert list(stored["values"].shape) == about["shape"]
        assert stored["xy"].shape == (*about["shape"], 2)
    assert "written as .h5" in run("pdf", volume_file, tmp_path / "x.png", code=1).stderr
    refused = run("pdf", volume_file, tmp_path / "x.h5", "--plane", "hk0", code=1)
    assert ".png (picture)" in refused.stderr
