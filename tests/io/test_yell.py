"""Yell-family files, key by key as each program writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read
from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.grid import metric_of
from dsfunet_core.io.hdf5 import HDF5Array

Writer = Callable[..., Path]
SHAPE = (4, 5, 6)
LIMITS, STEPS = (-1.0, -2.0, -3.0), (0.25, 0.5, 1.0)


def keys(cell: gemmi.UnitCell, rng: np.random.Generator) -> dict:
    """What all the writers have in common."""
    return {
        "data": rng.normal(size=SHAPE),
        "format": "Yell 1.0",
        "is_direct": False,
        "lower_limits": np.array(LIMITS),
        "step_sizes": np.array(STEPS),
        "unit_cell": np.array(cell.parameters),
    }


@pytest.fixture
def common(cell: gemmi.UnitCell, rng: np.random.Generator) -> dict:
    return keys(cell, rng)


def assert_volume(volume: object, common: dict, cell: gemmi.UnitCell) -> ReciprocalVolume:
    assert isinstance(volume, ReciprocalVolume)
    np.testing.assert_allclose(volume.block((slice(None),) * 3)["intensity"], common["data"])
    np.testing.assert_allclose(volume.cell.parameters, cell.parameters, rtol=1e-6)
    np.testing.assert_allclose(volume.hkl((0, 0, 0)), LIMITS)
    np.testing.assert_allclose(volume.hkl((3, 4, 5)), (-0.25, 0.0, 2.0))
    return volume


def test_yell_and_gemmi_disorder(write_h5: Writer, common: dict, cell: gemmi.UnitCell) -> None:
    volume = assert_volume(read(write_h5("yell.h5", **common)), common, cell)

    assert isinstance(volume.intensity, HDF5Array)
    assert volume.laue_class is None
    assert volume.counts is None
    assert volume.name == "yell"
    assert volume.provenance["format"] == "Yell 1.0"
    assert volume.provenance["file"].endswith("yell.h5")


def test_names_do_not_matter(write_h5: Writer, common: dict, cell: gemmi.UnitCell) -> None:
    assert_volume(read(write_h5("no_extension", **common)), common, cell)
    assert_volume(read(str(write_h5("odd.npy", **common))), common, cell)


def test_meerkat2_in_single_precision(
    write_h5: Writer, common: dict, cell: gemmi.UnitCell
) -> None:
    single = {k: v.astype("f4") for k, v in common.items() if isinstance(v, np.ndarray)}
    single["step_sizes"] = np.array([0.08, 0.08, 0.08], "f4")
    volume = read(
        write_h5(
            **common | single,
        )
    )
    assert isinstance(volume, ReciprocalVolume)
    assert volume.intensity.dtype == np.float32
    # What was meant, not what single precision made of it.
    np.testing.assert_array_equal(np.diag(volume.steps), 0.08)
    assert volume.cell.parameters == cell.parameters


@pytest.mark.parametrize(
    ("flag", "noted"),
    [
        (np.int32(0), False),
        (np.int32(256), True),  # one-byte bool written as four bytes by Meerkat2
        (np.int8(0), False),
        (np.array(0, ">i4"), False),
        (np.array([False]), False),
    ],
)
def test_reciprocal_flags(
    write_h5: Writer, common: dict, cell: gemmi.UnitCell, flag: object, noted: bool
) -> None:
    volume = assert_volume(read(write_h5(**common | {"is_direct": flag})), common, cell)
    assert ("is_direct" in str(volume.provenance.get("notes"))) is noted


@pytest.mark.parametrize("flag", [True, np.int32(1), np.int32(257)])
def test_direct_space_is_refused(write_h5: Writer, common: dict, flag: object) -> None:
    with pytest.raises(FileFormatError, match="map of direct space"):
        read(write_h5(**common | {"is_direct": flag}))


def test_discus_oblique_and_big_endian(
    write_h5: Writer, common: dict, cell: gemmi.UnitCell
) -> None:
    steps = np.array([[0.25, 0.1, 0], [0.25, -0.1, 0], [0, 0.05, 1.0]])
    big = {k: v.astype(">f8") for k, v in common.items() if isinstance(v, np.ndarray)}
    for name, column in zip(("abs", "ord", "top"), steps.T, strict=True):
        big[f"step_sizes_{name}"] = column.astype(">f8")
    big |= {"is_direct": np.int8(0), "PROGRAM": "DISCUS60"}

    volume = read(write_h5(**common | big))

    assert isinstance(volume, ReciprocalVolume)
    np.testing.assert_array_equal(volume.steps, steps)
    np.testing.assert_allclose(volume.hkl((1, 1, 0)), np.array(LIMITS) + [0.35, 0.15, 0.05])
    assert volume.intensity.dtype == np.dtype("=f8")
    assert volume.intensity[1, 2:4].dtype.isnative
    np.testing.assert_array_equal(volume.intensity[1:3, ::2], common["data"][1:3, ::2])
    assert volume.provenance["writer"] == "DISCUS60"


def test_discus_plane_of_one_layer(write_h5: Writer, common: dict) -> None:
    common["data"] = common["data"][:, :, :1]
    for name, column in zip(("abs", "ord", "top"), np.eye(3) * [0.25, 0.5, 0], strict=True):
        common[f"step_sizes_{name}"] = column
    volume = read(write_h5(**common))
    assert isinstance(volume, ReciprocalVolume)
    plane = volume.section("hk-3")
    np.testing.assert_array_equal(plane.intensity, common["data"][:, :, 0])
    np.testing.assert_allclose(plane.hkl(1, 1), (-0.75, -1.5, -3))
    assert "one voxel" in volume.provenance["notes"][0]


@pytest.mark.parametrize("step", [0.0, np.inf])
def test_single_layer_without_a_step(write_h5: Writer, common: dict, step: float) -> None:
    common |= {"data": common["data"][:, :1], "step_sizes": np.array([0.25, step, 1.0])}
    volume = read(write_h5(**common))
    assert isinstance(volume, ReciprocalVolume)
    assert volume.section("h-2l").shape == (4, 6)


@pytest.mark.parametrize("bad", [0.0, np.inf, np.nan])
def test_steps_must_span_space(write_h5: Writer, common: dict, bad: float) -> None:
    with pytest.raises(FileFormatError, match="do not span reciprocal space"):
        read(write_h5(**common | {"step_sizes": np.array([0.25, bad, 1.0])}))


def test_nan_is_unmeasured(write_h5: Writer, common: dict) -> None:
    common["data"][1, 2, 3] = np.nan
    volume = read(write_h5(**common))
    assert isinstance(volume, ReciprocalVolume)
    valid = volume.block((slice(None),) * 3)["valid"]
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("number", "laue"),
    [(1, None), (0, None), (2, "-1"), (5, "2/m"), (176, "6/m"), (148, "-3"), (999, None)],
)
def test_laue_class_comes_from_the_space_group(
    write_h5: Writer, common: dict, number: int, laue: str | None
) -> None:
    volume = read(write_h5(**common | {"space_group_nr": np.array([number], float)}))
    assert volume.laue_class == laue


class TestMetric:
    def test_agreeing_with_the_cell(
        self, write_h5: Writer, common: dict, cell: gemmi.UnitCell
    ) -> None:
        metric = metric_of(cell) * (1 + 1e-5)
        volume = read(write_h5(**common | {"metric_tensor": metric, "space_group_nr": [2.0]}))
        assert volume.cell is not None
        assert volume.cell.parameters == cell.parameters
        assert volume.laue_class == "-1"
        assert "notes" not in volume.provenance
        assert volume.provenance["writer"] == "Meerkat"

    def test_differing_from_it_wins(
        self, write_h5: Writer, common: dict, cell: gemmi.UnitCell
    ) -> None:
        other = gemmi.UnitCell(7.3, 8.9, 12.2, 97, 112, 78)
        metric = metric_of(other)
        volume = read(write_h5(**common | {"metric_tensor": metric, "space_group_nr": [2.0]}))
        assert volume.cell is not None
        np.testing.assert_allclose(volume.cell.parameters, other.parameters)
        assert volume.provenance["crystal_cell"] == list(cell.parameters)
        assert len(volume.provenance["notes"]) == 2
        assert volume.laue_class is None

    def test_alone_is_enough(
        self, write_h5: Writer, common: dict, cell: gemmi.UnitCell
    ) -> None:
        del common["unit_cell"]
        volume = read(write_h5(**common | {"metric_tensor": metric_of(cell)}))
        assert volume.cell is not None
        np.testing.assert_allclose(volume.cell.parameters, cell.parameters)

    @pytest.mark.parametrize("metric", [-np.eye(3), np.zeros((3, 3)), np.ones((3, 3))])
    def test_impossible(self, write_h5: Writer, common: dict, metric: np.ndarray) -> None:
        with pytest.raises(FileFormatError, match="metric_tensor in .* is no metric"):
            read(write_h5(**common | {"metric_tensor": metric}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit_cell": None}, "misses unit_cell"),
        ({"lower_limits": None}, r"misses lower_limits \(before 2017: maxind\)"),
        ({"lower_limits": None, "step_sizes": None}, "lower_limits .* and step_sizes"),
        ({"unit_cell": np.ones(5)}, r"unit_cell in .* has shape \(5,\); 6 numbers"),
        ({"unit_cell": np.array([5, 5, 5, 10, 10, 90.0])}, "no unit cell"),
        ({"unit_cell": np.array([5, 5, -5, 90, 90, 90.0])}, "no unit cell"),
        ({"unit_cell": np.array([5, 5, np.nan, 90, 90, 90.0])}, "no unit cell"),
        ({"lower_limits": np.array([0, 0, np.nan])}, "not finite"),
        ({"step_sizes": "0.1 0.1 0.1"}, "real numbers were expected"),
        ({"data": np.ones((2, 3, 4, 5))}, r"has shape \(2, 3, 4, 5\); a volume with three"),
        ({"data": np.ones((2, 0, 4))}, "none of them empty"),
        ({"data": np.ones(SHAPE, complex)}, "real numbers were expected"),
        ({"data": "text"}, "real numbers were expected"),
    ],
)
def test_what_is_wrong_is_named(
    write_h5: Writer, common: dict, change: dict, message: str
) -> None:
    changed = {k: v for k, v in (common | change).items() if v is not None}
    with pytest.raises(FileFormatError, match=message):
        read(write_h5(**changed))


def test_missing_data_lists_what_is_there(write_h5: Writer, common: dict) -> None:
    common["intensities"] = common.pop("data")
    path = write_h5(**common | {"background": np.ones((4, 4))})
    with pytest.raises(FileFormatError, match=r"/intensities \(4, 5, 6\).*dataset="):
        read(path)
    assert isinstance(read(path, "intensities"), ReciprocalVolume)
    with pytest.raises(FileFormatError, match=r"has no data/v; .*unit_cell.* is there"):
        read(path, "data/v")


def test_dataset_in_a_group_takes_its_groups_geometry(
    tmp_path: Path, common: dict, cell: gemmi.UnitCell
) -> None:
    for folder in ("", "entry/"):
        path = tmp_path / f"grouped{len(folder)}.h5"
        with h5py.File(path, "w") as h5:
            for key, value in common.items():
                h5[f"entry/{key}" if key == "data" else f"{folder}{key}"] = value
        volume = assert_volume(read(path, "/entry/data"), common, cell)
        assert volume.provenance["dataset"] == "/entry/data"
    with pytest.raises(FileFormatError, match="group, not an array"):
        read(path, "entry")


def test_input_of_yell_without_geometry(write_h5: Writer) -> None:
    plane = read(write_h5(data=np.arange(6.0).reshape(2, 3)))
    assert isinstance(plane, ReciprocalPlane)
    assert plane.shape == (2, 3)
    assert not plane.has_geometry
    with pytest.raises(FileFormatError, match="nothing says where its voxels are"):
        read(write_h5(data=np.ones(SHAPE)))


def test_flat_data_with_geometry_is_padded(write_h5: Writer, common: dict) -> None:
    common["data"] = common["data"][:, :, 0]
    volume = read(write_h5(**common))
    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == (4, 5, 1)
    np.testing.assert_array_equal(volume.section("hk-3").intensity, common["data"])
