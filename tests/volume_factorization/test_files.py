"""Factorizations of volumes in files, as tables and from the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dsfunet_core import load_result, read, write
from dsfunet_core.cli.console import ReportingGroup
from dsfunet_core.cli.factorize_volume import factorize_volume
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.volume_factorization import (
    read_volume_factorization,
    write_volume_factorization,
)

app = typer.Typer(cls=ReportingGroup)
app.command("factorize-volume")(factorize_volume)
# A second command keeps the first one's name on the command line.
app.command("nothing")(lambda: None)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def written(tmp_path, noisy_result):
    path = tmp_path / "result.h5"
    write_volume_factorization(path, noisy_result)
    return path


def test_everything_comes_back_from_the_file(written, noisy_result):
    back = read_volume_factorization(written)
    np.testing.assert_array_equal(back.form_factor, noisy_result.form_factor)
    np.testing.assert_array_equal(back.alpha, noisy_result.alpha)
    np.testing.assert_array_equal(back.covariance, noisy_result.covariance)
    np.testing.assert_array_equal(back.residual(), noisy_result.residual())
    assert back.choices == noisy_result.choices
    assert back.table() == noisy_result.table()
    assert back[(0, -1, -1)] == noisy_result[(0, 1, 1)]
    np.testing.assert_array_equal(back.alpha_box(), noisy_result.alpha_box())


def test_the_file_opens_as_the_volume_it_was_made_from(written, noisy):
    volume = read(written)
    np.testing.assert_array_equal(
        volume.block((slice(None),) * 3)["intensity"], noisy.volume.intensity
    )
    np.testing.assert_allclose(volume.steps, noisy.volume.steps)
    with h5py.File(written) as h5:
        assert h5["entry/form_factor"].attrs["signal"] == "form_factor"
        assert h5["entry/warren_cowley/alpha_errors"].shape == (62,)
        assert h5["entry/program_name"].attrs["version"]


def test_files_are_not_replaced_unasked_and_others_are_refused(
    written, noisy_result, noisy, tmp_path
):
    with pytest.raises(ParameterError, match="overwrite"):
        write_volume_factorization(written, noisy_result)
    plain = tmp_path / "plain.h5"
    write(plain, noisy.volume)
    with pytest.raises(FileFormatError, match="no factorization of a volume"):
        read_volume_factorization(plain)
    with h5py.File(written, "a") as h5:
        h5["entry/warren_cowley/format_version"][()] = 99
    with pytest.raises(FileFormatError, match="format version 99"):
        read_volume_factorization(written)


def test_tables(noisy_result, tmp_path):
    lines = noisy_result.table(3).splitlines()
    assert lines[2].split()[:3] == ["(1,0,0)", "2", "7.100"]
    assert lines[5] == "… and 59 longer vectors"
    path = noisy_result.to_csv(tmp_path / "alpha.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 62
    for row in rows:
        vector = tuple(int(row[k]) for k in "uvw")
        assert float(row["alpha"]) == noisy_result[vector]
        assert float(row["sigma"]) == noisy_result.sigma_of(vector)


def test_command(noisy, tmp_path):
    volume, out, table = tmp_path / "v.h5", tmp_path / "out.h5", tmp_path / "alpha.csv"
    write(volume, noisy.volume)
    done = run(
        "factorize-volume", volume, "-o", out, "--order", 2, "--support", 6.5, "--csv", table
    )
    assert "(1,0,0)" in done.stdout
    assert "longer vectors" in done.stdout
    result = read_volume_factorization(out)
    assert result[(1, 0, 0)] == pytest.approx(0.2, abs=0.01)
    assert len(table.read_text().splitlines()) == 63
    # First what will be done, at last what it is worth.
    assert done.stdout.startswith("40 × 40 × 40 voxels")
    assert "[ok] order besides the product" in done.stdout
    content = json.loads(
        run(
            *("factorize-volume", volume, "-o", out, "--order", 1, "--limit", 2.5),
            *("--every", 2, "--support", 6.5, "--overwrite", "--json"),
        ).stdout
    )
    assert len(content["parameters"]) == 13
    assert content["choices"]["order"] == 1


def test_names_that_cannot_be_and_results_of_the_other_kind(noisy, tmp_path, written):
    volume = tmp_path / "v.h5"
    write(volume, noisy.volume)
    with pytest.raises(ParameterError, match="NeXus"):
        write_volume_factorization(tmp_path / "out.txt", read_volume_factorization(written))
    same = ("factorize-volume", volume, "-o", tmp_path / "a.h5", "--csv", tmp_path / "a.h5")
    assert "a name each" in run(*same, code=1).stderr
    text = run("factorize-volume", volume, "-o", tmp_path / "out.txt", code=1).stderr
    assert "end its name in .h5" in text
    assert not (tmp_path / "out.txt").exists()
    with pytest.raises(FileFormatError, match="factorization of a whole volume"):
        load_result(written)


def test_command_refuses_before_it_works(noisy, tmp_path, written):
    volume = tmp_path / "v.h5"
    write(volume, noisy.volume)
    assert "overwrite" in run("factorize-volume", volume, "-o", written, code=1).stderr
    text = run("factorize-volume", volume, "-o", tmp_path / "a.h5", "--support", "x", code=1)
    assert "--support x" in text.stderr
    plane = tmp_path / "plane.npz"
    write(plane, replace(noisy.volume).section("hk0.075"))
    text = run("factorize-volume", plane, "-o", tmp_path / "a.h5", code=1)
    assert "holds a plane" in text.stderr
    assert not (tmp_path / "a.h5").exists()
