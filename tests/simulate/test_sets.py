"""Streams and sets: the same planes for everyone, whatever happens on the way."""

import json
import signal
import subprocess
import sys
import time

import gemmi
import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.lattice import plane_lattice
from dsfunet_core.metrics import root_scaled
from dsfunet_core.simulate import sets
from dsfunet_core.simulate.crystals import World
from dsfunet_core.simulate.library import pairs
from dsfunet_core.simulate.paper import PAPER_TRAINING, PAPER_VALIDATION
from dsfunet_core.simulate.sets import SetPlan, iterate_set, write_set_shards
from dsfunet_core.simulate.sro import plane_coefficients, sro_on_plane
from dsfunet_core.simulate.stream import PlaneStream, as_sample, plane_number

SMALL = World(pairs={"library": 1}, systems={"orthorhombic": 1}, coverage=None)


def numbers(planes):
    return [float(p["clean"].sum()) for p in planes]


def take(n, stream):
    return [p for p, _ in zip(stream, range(n), strict=False)]


def test_a_stream_is_the_same_for_any_number_of_workers():
    def stream(**more):
        return PlaneStream(3, SMALL, size=32, stop=12, **more)

    alone = list(stream())
    assert len(alone) == 12
    for workers, block in ((2, 1), (2, 3), (1, 2)):
        loader = DataLoader(stream(block=block), batch_size=block, num_workers=workers)
        together = torch.cat([batch["clean"] for batch in loader])
        assert sorted(together.sum(dim=(1, 2, 3)).tolist()) == sorted(numbers(alone))
        if block > 1:
            # Batches of one block come in order.
            torch.testing.assert_close(together, torch.stack([p["clean"] for p in alone]))


def test_a_stream_goes_on_where_it_was_stopped():
    whole = take(8, PlaneStream(4, SMALL, size=32))
    rest = take(3, PlaneStream(4, SMALL, size=32, start=5))
    assert numbers(whole[5:]) == numbers(rest)
    assert len(set(numbers(whole))) == 8
    other = take(3, PlaneStream(5, SMALL, size=32))
    assert not set(numbers(other)) & set(numbers(whole))


def test_samples_are_scaled_as_in_the_paper():
    """√I on [−1, 1], dead pixels −1, and factors that still multiply to the scattering."""
    plane = plane_number(6, 0, size=64)
    sample = as_sample(plane)
    assert all(image.shape == (1, 64, 64) for image in sample.values())
    scattering, valid = sample["scattering"][0].numpy(), plane.plane.valid
    assert (scattering[~valid] == -1).all()
    assert scattering.max() == pytest.approx(1)
    root = np.sqrt(plane.plane.intensity / plane.plane.intensity[valid].max())
    np.testing.assert_allclose(scattering[valid], 2 * root[valid] - 1, atol=1e-5)
    factors = [(sample[k][0].numpy() + 1) / 2 for k in ("form_factor", "sro", "clean")]
    product = factors[0] * factors[1]
    np.testing.assert_allclose(product / product.max(), factors[2], atol=1e-5)


def test_root_scaling():
    image = np.array([[1.0, 4.0], [9.0, -3.0]])
    np.testing.assert_allclose(root_scaled(image), [[-1 / 3, 1 / 3], [1, -1]], atol=1e-6)
    valid = np.array([[True, True], [True, False]])
    np.testing.assert_allclose(root_scaled(image, valid), [[-1, 0], [1, -1]], atol=1e-6)
    np.testing.assert_allclose(
        root_scaled(image, valid, from_zero=True), [[-1 / 3, 1 / 3], [1, -1]], atol=1e-6
    )
    assert (root_scaled(np.ones((2, 2))) == -1).all()
    assert (root_scaled(image, np.zeros((2, 2), bool)) == -1).all()


def test_the_papers_sets_have_the_papers_counts():
    assert PAPER_TRAINING.pairs == 1049
    planes = PAPER_TRAINING.planes
    assert len(planes) == 200
    assert sum(PAPER_TRAINING.systems[m] == "orthorhombic" for m, *_ in planes) == 144
    assert SetPlan("paper").total == 209_800
    assert SetPlan("paper-validation").total == 14_112
    # Four planes along each axis for Monte Carlo order, along the unique one otherwise.
    axes = {(m, axis) for m, axis, _ in planes}
    assert sum(1 for m, _ in axes if m == 0) == 3
    assert [axis for m, axis in axes if m == 20] == [2]


def test_planes_of_the_papers_set_share_pair_and_model():
    one, two, other = (PAPER_TRAINING.plane(1, 5, i) for i in (0, 5, 13))
    assert one.description["molecules"] == two.description["molecules"]
    assert one.description["sro_set"] == two.description["sro_set"]
    assert one.description["axis"] != two.description["axis"]
    assert other.description["sro_set"] != one.description["sro_set"]
    # A pair beyond the library's comes in new orientations.
    again = PAPER_TRAINING.plane(1, 5 + len(pairs()), 0)
    assert sorted(again.description["molecules"]) == sorted(one.description["molecules"])
    assert again.crystal.cell.parameters != one.crystal.cell.parameters
    held_out = PAPER_VALIDATION.plane(1, 5, 0)
    assert held_out.description["sro_set"] % 10 == 9


def small_plan(**more):
    return SetPlan("training", planes=5, seed=2, size=48, **more)


@pytest.fixture
def short_shards(monkeypatch):
    monkeypatch.setattr(sets, "SHARD", 2)


def test_a_set_holds_the_whole_truth(tmp_path, short_shards):
    folder = tmp_path / "set"
    assert write_set_shards(small_plan(), folder) == 5
    assert sorted(p.name for p in folder.iterdir()) == [
        "set.json", "shard-00000.h5", "shard-00001.h5", "shard-00002.h5",
    ]  # fmt: skip
    shards = list(iterate_set(folder))
    assert [len(s["sro"]) for s in shards] == [2, 2, 1]
    with h5py.File(folder / "shard-00001.h5") as file:
        note = json.loads(file["description"][1])
        made = plane_number(2, 3, size=48, dtype=np.complex64)
        assert note["molecules"] == list(made.description["molecules"])
        for name in ("form_factor", "sro"):
            np.testing.assert_array_equal(file[name][1], getattr(made, name))
        product = np.where(file["valid"][1], file["form_factor"][1] * file["sro"][1], 0)
        np.testing.assert_allclose(file["intensity"][1], product, rtol=1e-6)
        # I_SRO follows from the stored α, cell and grid alone.
        cell = gemmi.UnitCell(*file["cell"][1])
        lattice = plane_lattice(cell, file["origin"][1], file["steps"][1])
        sro = sro_on_plane(
            plane_coefficients(file["alpha"][1].astype(float), lattice),
            lattice.basis,
            lattice.origin,
            (48, 48),
        )
        np.testing.assert_allclose(np.maximum(sro, 0), file["sro"][1], atol=2e-5)
        np.testing.assert_allclose(file["basis"][1], lattice.basis)


def test_a_set_stopped_half_way_ends_with_the_same_bytes(tmp_path, short_shards):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_set_shards(small_plan(disturb=1.0), whole)

    class Stopped(Exception):
        pass

    def stop(done, total, message):
        if done == 1:
            raise Stopped

    with pytest.raises(Stopped):
        write_set_shards(small_plan(disturb=1.0), broken, callback=stop)
    with pytest.raises(FileFormatError, match="shard-00001.h5 is missing"):
        list(iterate_set(broken))
    write_set_shards(small_plan(disturb=1.0), broken, processes=2)
    for path in whole.iterdir():
        assert (broken / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_killed_command_can_be_given_again(tmp_path):
    """kill −9 in the middle of the work, then the same command once more."""
    command = [sys.executable, "-c", "from dsfunet_core.cli import app; app()", "simulate"]
    options = ["--planes", "450", "--size", "32", "--seed", "9"]
    folder = tmp_path / "killed"
    running = subprocess.Popen([*command, str(folder), *options])
    while not (folder / "shard-00000.h5").exists():
        time.sleep(0.05)
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (folder / "shard-00002.h5").exists()
    subprocess.run([*command, str(folder), *options], check=True)
    subprocess.run([*command, str(tmp_path / "whole"), *options], check=True)
    names = {p.name for p in folder.iterdir()}
    assert names == {p.name for p in (tmp_path / "whole").iterdir()}
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_with_something_else_is_left_alone(tmp_path, short_shards):
    folder = tmp_path / "set"
    write_set_shards(small_plan(), folder)
    with pytest.raises(ParameterError, match=r"seed = 2 \(not 3\)"):
        write_set_shards(SetPlan("training", planes=5, seed=3, size=48), folder)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").write_bytes(b"cat")
    with pytest.raises(ParameterError, match="not an empty folder"):
        write_set_shards(small_plan(), other)
    assert [p.name for p in other.iterdir()] == ["cat.png"]
    with pytest.raises(FileFormatError, match=r"no set.json"):
        list(iterate_set(other))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "papr"}, "choose one of"),
        ({"planes": 0}, "at least 1"),
        ({"disturb": 2}, "between 0 and 1"),
        ({"size": 8}, "at least 32"),
        ({"preset": "paper", "size": 128}, "256 pixels"),
        ({"preset": "paper-validation", "planes": 20_000}, "14112 planes"),
    ],
)
def test_plans_that_make_no_sense(values, message):
    with pytest.raises(ParameterError, match=message):
        SetPlan(**values)
