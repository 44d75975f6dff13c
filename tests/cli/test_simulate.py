"""dsfunet simulate, and evaluate on what it wrote."""

import json

import h5py
import numpy as np
import pytest

from dsfunet_core import read


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


def test_single_planes_of_a_set_are_read_by_their_number(dsfunet, tmp_path):
    folder = tmp_path / "planes"
    dsfunet("simulate", folder, "--planes", 2, "--size", 96, "--preset", "validation")
    shard = folder / "shard-00000.h5"
    said = " ".join(dsfunet("info", shard, code=1).stderr.split())
    assert "2 simulated planes" in said
    assert "--dataset 0" in said
    assert "96 × 96" in dsfunet("info", shard, "--dataset", 1).stdout
    assert "no plane 2" in dsfunet("info", shard, "--dataset", 2, code=1).stderr
    for i in range(2):
        plane = read(shard, str(i))
        with h5py.File(shard) as file:
            np.testing.assert_array_equal(plane.intensity, file["intensity"][i])
            np.testing.assert_array_equal(plane.valid, file["valid"][i] > 0)
            np.testing.assert_allclose(plane.lattice.basis, file["basis"][i], rtol=1e-12)
