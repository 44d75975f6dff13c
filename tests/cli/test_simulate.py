"""dsfunet simulate, and evaluate on what it wrote."""

import json

import pytest


def test_a_set_is_written_continued_and_evaluated(dsfunet, tmp_path):
    folder = tmp_path / "planes"
    options = ("--planes", 2, "--size", 64, "--preset", "validation", "--seed", 4)
    said = dsfunet("simulate", folder, *options).stdout
    assert "2 planes in 1 shard, about" in said
    assert f"2 planes are in {folder}" in " ".join(said.split())
    before = (folder / "shard-00000.h5").read_bytes()
    dsfunet("simulate", folder, *options)
    assert (folder / "shard-00000.h5").read_bytes() == before
    figures = tmp_path / "figures.json"
    dsfunet("evaluate", folder, "--json", figures)
    content = json.loads(figures.read_text())
    assert content["n"] == 2
    assert content["mse"]["form_factor_measured"]["mean"] < 0.05


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "papr"], "choose one of: paper"),
        (["--planes", "0"], "give at least 1"),
        (["--processes", "0"], "processes = 0"),
        (["--preset", "paper", "--disturb", "0.5"], "undisturbed"),
    ],
)
def test_simulate_says_what_to_change_before_it_writes(dsfunet, tmp_path, options, said):
    folder = tmp_path / "planes"
    result = dsfunet("simulate", folder, *options, code=1)
    assert said in " ".join(result.stderr.split())
    assert not folder.exists()


def test_another_set_is_not_touched(dsfunet, tmp_path):
    folder = tmp_path / "planes"
    dsfunet("simulate", folder, "--planes", 1, "--size", 64)
    result = dsfunet("simulate", folder, "--planes", 1, "--size", 64, "--seed", 1, code=1)
    assert "seed = 0 (not 1)" in " ".join(result.stderr.split())
    empty = tmp_path / "empty"
    empty.mkdir()
    result = dsfunet("evaluate", empty, code=1)
    assert "no set.json" in result.stderr
