"""dsfunet convert, and the commands of docs/files.md."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import typer
from known_function import CELL, array, check, coordinates, volume
from typer.testing import CliRunner, Result

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read, sample, write
from dsfunet_core.cli.console import ReportingGroup
from dsfunet_core.cli.convert import convert
from dsfunet_core.cli.inspect import info

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
SIX = " ".join(map(str, CELL.parameters))


@pytest.fixture
def run() -> Callable[..., Result]:
    app = typer.Typer(cls=ReportingGroup, pretty_exceptions_enable=False)
    app.command("convert")(convert)
    app.command("info")(info)

    def run(*arguments: Any, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def crystal(tmp_path: Path) -> Path:
    write(tmp_path / "crystal.nxs", volume("lkh"))
    return tmp_path / "crystal.nxs"


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".nxs"])
def test_volumes(run: Any, crystal: Path, tmp_path: Path, suffix: str) -> None:
    said = run("convert", crystal, tmp_path / f"out{suffix}").stdout
    assert "12 × 10 × 9" in said
    check(read(tmp_path / f"out{suffix}"))


def test_a_plane_of_a_volume(run: Any, crystal: Path, tmp_path: Path) -> None:
    run("convert", crystal, tmp_path / "out.tif", "--plane", "hk0.1")
    plane = read(tmp_path / "out.tif")
    assert isinstance(plane, ReciprocalPlane)
    check(plane)
    assert plane.provenance["section"] == "hk0.1"


def test_yell_by_name(run: Any, crystal: Path, tmp_path: Path) -> None:
    options = ["--format", "yell", "--json"]
    said = json.loads(run("convert", crystal, tmp_path / "y.h5", *options).stdout)
    assert said["format"] == "yell"
    assert said["unit_cell"] == list(CELL.parameters)
    with h5py.File(tmp_path / "y.h5") as h5:
        assert h5["data"].shape == (9, 10, 12)
    failed = run("convert", crystal, tmp_path / "z.h5", "--format", "yell", "--for-fft", code=1)
    assert "= 0 on a voxel" in failed.stderr
    assert not (tmp_path / "z.h5").exists()


def test_the_even_grid_for_yell_is_told(run: Any, tmp_path: Path) -> None:
    grid = ReciprocalVolume(np.ones((11, 12, 13)), CELL, np.full(3, -0.5), np.eye(3) / 10)
    write(tmp_path / "odd.nxs", grid)
    said = run(
        "convert", tmp_path / "odd.nxs", tmp_path / "y.h5", "--format", "yell", "--for-fft"
    )
    assert "10 × 10 × 10 points" in said.stdout
    assert read(tmp_path / "y.h5").shape == (10, 10, 10)


def test_an_image_gets_its_cell(run: Any, tmp_path: Path) -> None:
    """k falls down the rows of the picture, h rises along its columns."""
    h, k = coordinates(0), coordinates(1)
    np.save(tmp_path / "image.npy", array("khl")[::-1, :, 5])
    limits = f"{k[-1]},{k[0]},{h[0]},{h[-1]}"
    options = ["--cell", SIX, "--section", "hk0.1", "--axes", "kh", "--limits", limits]
    run("convert", tmp_path / "image.npy", tmp_path / "hk.nxs", *options)
    check(read(tmp_path / "hk.nxs"))
    said = run("convert", tmp_path / "image.npy", tmp_path / "bare.nxs").stdout
    assert "without a unit cell" in said


def test_a_volume_without_cell(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "chess.nxs"
    with h5py.File(path, "w") as h5:
        h5["entry/data/counts"] = array()
        for i, c in enumerate("HKL"):
            h5[f"entry/data/{c}"] = coordinates(i)
    failed = run("convert", path, tmp_path / "out.nxs", code=1)
    assert "no unit cell" in failed.stderr
    run("convert", path, tmp_path / "out.nxs", "--cell", SIX)
    volume = read(tmp_path / "out.nxs")
    assert isinstance(volume, ReciprocalVolume)
    check(volume)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["out.txt"], "suffix"),
        (["out.tif"], "not the volume"),
        (["out.nxs", "--plane", "hk7"], "misses volume"),
        (["out.nxs", "--cell", "1 2 three"], "--cell"),
        (["out.nxs", "--cell", "1 2 3"], "no unit cell"),
        (["out.nxs", "--limits", "1,2"], "limits="),
        (["missing/out.nxs"], "folder"),
        (["out.nxs", "--dataset", "entry/none"], "none"),
        (["out.nxs", "--for-fft"], "yell"),
    ],
)
def test_what_to_change_is_said(
    run: Any, crystal: Path, tmp_path: Path, monkeypatch: Any, arguments: list, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    failed = run("convert", crystal, *arguments, code=1)
    assert said in failed.stderr
    assert failed.stdout == ""
    assert list(tmp_path.iterdir()) == [crystal]


def test_a_layer_without_data_is_refused(run: Any, tmp_path: Path) -> None:
    values = array()
    values[..., 5] = np.nan
    made = volume()
    write(tmp_path / "holey.nxs", made.replace(intensity=values))
    failed = run(
        "convert", tmp_path / "holey.nxs", tmp_path / "out.tif", "--plane", "hk0.1", code=1
    )
    assert "none of the 90 pixels of plane hk0.1 was measured" in failed.stderr
    assert not (tmp_path / "out.tif").exists()


def test_a_file_is_replaced_only_when_asked(run: Any, crystal: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.nxs"
    target.write_text("precious")
    assert "--overwrite" in run("convert", crystal, target, code=1).stderr
    assert target.read_text() == "precious"
    run("convert", crystal, target, "--overwrite")
    check(read(target))


def test_commands_of_the_page_work_as_written(
    run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample(), "crystal.h5")
    page, namespace = PAGE.read_text(encoding="utf-8"), {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), namespace)
    lines = "\n".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL)).splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("dsfunet ")]
    assert len(commands) >= 5
    for command in commands:
        run(*command[1:])
        if command[1] == "convert":
            assert read(command[3]).intensity is not None
