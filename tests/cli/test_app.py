"""The command line as a whole: help, version, exit codes, start-up."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import dsfunet_core
from dsfunet_core.cli import app
from dsfunet_core.cli.console import to_plain

COMMANDS = ("info", "slice", "convert", "symmetrize", "mask", "pdf", "factorize", "fit-sro")
COMMANDS += ("scan", "refine", "report", "evaluate", "simulate", "train", "demo", "reproduce")
RUN = "import sys; from dsfunet_core.cli import app; sys.argv[0] = 'dsfunet'; app()"


def run_in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "COLUMNS": "100", **environment},
    )


def test_help_teaches():
    done = run_in_a_process("--help")
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert command in done.stdout
    assert "dsfunet fit-sro hk1.h5 --laue 6/m" in done.stdout


def test_help_imports_nothing_heavy():
    code = "import sys, dsfunet_core.cli; print([m for m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    heavy = {"torch", "h5py", "matplotlib", "numpy", "scipy", "gemmi", "napari"}
    assert not heavy & set(eval(done.stdout))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(dsfunet, command):
    text = " ".join(dsfunet(command, "--help").stdout.split())
    assert "Example" in text
    assert f"dsfunet {command}" in text


def test_version(dsfunet):
    assert dsfunet("--version").stdout.strip() == f"dsfunet {dsfunet_core.__version__}"


@pytest.mark.parametrize("arguments", [["sing"], ["slice"], ["info", "a", "--volume", "11"]])
def test_wrong_usage_exits_with_2(dsfunet, arguments):
    assert dsfunet(*arguments, code=2).stdout == ""


def test_a_mistake_is_one_paragraph_and_exit_code_1(tmp_path):
    done = run_in_a_process("info", str(tmp_path / "no.h5"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no.h5 does not exist" in done.stderr


@pytest.mark.parametrize("way", ["option", "environment"])
def test_traceback_on_request(tmp_path, way):
    options = ["--traceback"] if way == "option" else []
    environment = {"DSFUNET_TRACEBACK": "1"} if way == "environment" else {}
    done = run_in_a_process(*options, "info", str(tmp_path / "no.h5"), **environment)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_output_to_a_stream_without_greek_letters(factorized):
    done = run_in_a_process("fit-sro", str(factorized), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "(1,0,0)" in done.stdout


def test_folders_and_unreadable_files_are_mistakes(dsfunet, tmp_path):
    assert "folder" in dsfunet("info", tmp_path, code=1).stderr
    (tmp_path / "noise.h5").write_bytes(b"noise" * 100)
    assert "neither HDF5" in dsfunet("info", tmp_path / "noise.h5", code=1).stderr


def test_stopping_writes_nothing(dsfunet, crystal, tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("dsfunet_core.factorization.factorize", stop)
    path = tmp_path / "out.h5"
    failed = dsfunet("factorize", crystal, "--plane", "hk1", "-o", path, code=130)
    assert "nothing was written" in failed.stderr
    assert not path.exists()


def test_errors_of_the_program_are_not_hidden(crystal, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    def fail(*args, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("dsfunet_core.factorization.factorize", fail)
    arguments = ["factorize", str(crystal), "--plane", "hk1", "-o", str(tmp_path / "out.h5")]
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_plain_values_for_json():
    import numpy as np

    content = {
        "a": np.float64("nan"),
        "b": np.arange(3),
        3: (1.5, None, "x"),
        "d": np.bool_(True),
    }
    plain = to_plain(content)
    assert plain == {"a": None, "b": [0, 1, 2], "3": [1.5, None, "x"], "d": True}
    json.dumps(plain, allow_nan=False)
