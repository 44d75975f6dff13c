"""Meerkat's layouts with counts, and the writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest

from dsfunet_core import ReciprocalVolume, read
from dsfunet_core.errors import FileFormatError, GeometryError, ParameterError
from dsfunet_core.io.grid import metric_of
from dsfunet_core.io.hdf5 import HDF5Array
from dsfunet_core.io.meerkat import CountRatio, with_crystal_axes, write_meerkat

Writer = Callable[..., Path]
SHAPE = (4, 5, 6)


@pytest.fixture
def sums(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(1, 9, size=SHAPE)


@pytest.fixture
def counts(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 4, size=SHAPE)


def assert_ratio(volume: object, sums: np.ndarray, counts: np.ndarray) -> ReciprocalVolume:
    assert isinstance(volume, ReciprocalVolume)
    block = volume.block((slice(1, 4), slice(None), slice(0, 5)))
    part = np.s_[1:4, :, 0:5]
    seen = counts[part] > 0
    np.testing.assert_array_equal(block["valid"], seen)
    expected = sums[part][seen] / counts[part][seen]
    np.testing.assert_allclose(block["intensity"][seen], expected)
    assert np.isnan(block["intensity"][~seen]).all()
    np.testing.assert_array_equal(block["counts"], counts[part])
    return volume


def test_two_arrays_of_yell_09(
    write_h5: Writer, cell: gemmi.UnitCell, sums: np.ndarray, counts: np.ndarray
) -> None:
    path = write_h5(
        rebinned_data=sums.astype("f4").astype("f8"),
        number_of_pixels_rebinned=counts,
        format="Yell 0.9",
        is_direct=False,
        space_group_nr=np.array([2.0]),
        unit_cell=np.array(cell.parameters),
        metric_tensor=metric_of(cell),
        lower_limits=np.array([-1.0, -2, -3]),
        step_sizes=np.array([0.25, 0.5, 1]),
    )

    volume = assert_ratio(read(path), sums.astype("f4"), counts)

    assert isinstance(volume.intensity, CountRatio)
    assert isinstance(volume.counts, HDF5Array)
    assert volume.provenance["format"] == "Yell 0.9"
    assert volume.laue_class == "-1"
    np.testing.assert_allclose(volume.hkl((1, 1, 1)), (-0.75, -1.5, -2))
    assert np.asarray(volume.intensity).shape == SHAPE
    assert "CountRatio(HDF5Array(" in repr(volume.intensity)


def test_before_2017(
    write_h5: Writer, cell: gemmi.UnitCell, sums: np.ndarray, counts: np.ndarray
) -> None:
    path = write_h5(
        rebinned_data=sums,
        number_of_pixels_rebinned=counts.astype("f8"),
        is_direct=False,
        maxind=np.array([3.0, 4.0, 5.0]),
        step_size=np.array([2.0, 2.0, 2.0]),
        number_of_pixels=np.array(SHAPE),
        metric_tensor=metric_of(cell),
        unit_cell=np.array(cell.parameters),
    )

    volume = assert_ratio(read(path), sums, counts)

    np.testing.assert_array_equal(volume.origin, (-3, -4, -5))
    np.testing.assert_array_equal(volume.steps, 2 * np.eye(3))
    assert volume.provenance["writer"] == "Meerkat before 2017"


def test_incomplete_files_say_what_is_missing(
    write_h5: Writer, sums: np.ndarray, counts: np.ndarray
) -> None:
    with pytest.raises(FileFormatError, match="without number_of_pixels_rebinned"):
        read(write_h5(rebinned_data=sums))
    with pytest.raises(FileFormatError, match="both must have the same three axes"):
        read(write_h5(rebinned_data=sums, number_of_pixels_rebinned=counts[1:]))
    with pytest.raises(FileFormatError, match="Was the reconstruction interrupted"):
        read(write_h5(rebinned_data=sums, number_of_pixels_rebinned=counts))


@pytest.mark.parametrize("with_counts", [False, True])
def test_what_is_written_is_read_back(
    tmp_path: Path,
    cell: gemmi.UnitCell,
    rng: np.random.Generator,
    with_counts: bool,
) -> None:
    shape = (37, 21, 11)  # more than a chunk along each axis
    data = rng.uniform(1, 9, size=shape).astype("f4")
    counts = rng.integers(0, 4, size=shape)
    data[counts == 0] = np.nan
    path = tmp_path / "out.h5"

    write_meerkat(
        path,
        data,
        cell,
        (-1.8, -1, -0.5),
        (0.1, 0.1, 0.1),
        counts=counts if with_counts else None,
        space_group_nr=2,
    )
    volume = read(path)

    assert isinstance(volume, ReciprocalVolume)
    block = volume.block((slice(None),) * 3)
    np.testing.assert_allclose(block["intensity"], data, rtol=2e-7)
    assert block["counts"] is None or np.array_equal(block["counts"], counts)
    assert volume.cell.parameters == cell.parameters
    assert volume.laue_class == "-1"
    np.testing.assert_array_equal(volume.origin, (-1.8, -1, -0.5))
    with h5py.File(path) as h5:
        assert h5["format"].asstr()[()] == ("Yell 0.9" if with_counts else "Yell 1.0")
        assert h5["is_direct"].dtype == bool
        assert h5["space_group_nr"].shape == (1,)
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


def test_nothing_is_overwritten_or_left_half_written(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    data = np.ones((3, 3, 3))
    arguments = ((5, 6, 7, 80, 90, 100), (0, 0, 0), (1, 1, 1))
    write_meerkat(path, data, *arguments)
    before = path.read_bytes()

    with pytest.raises(ParameterError, match="exists already.*overwrite=True"):
        write_meerkat(path, data, *arguments)
    with pytest.raises(ParameterError, match="no step may be 0"):
        write_meerkat(path, data, (5, 6, 7, 80, 90, 100), (0, 0, 0), (1, 0, 1), overwrite=True)
    with pytest.raises(ParameterError, match="space_group_nr=231"):
        write_meerkat(path, data, *arguments, space_group_nr=231, overwrite=True)
    with pytest.raises(ParameterError, match="the same for both"):
        write_meerkat(path, data, *arguments, counts=np.ones((2, 3, 3)), overwrite=True)

    class Failing:
        shape = (3, 3, 3)

        def __getitem__(self, key: object) -> np.ndarray:
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_meerkat(path, Failing(), *arguments, overwrite=True)
    with pytest.raises(ParameterError, match="folder .* is missing"):
        write_meerkat(tmp_path / "nowhere" / "out.h5", data, *arguments)

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]
    write_meerkat(path, 2 * data, *arguments, overwrite=True)
    volume = read(path)
    assert isinstance(volume, ReciprocalVolume)
    assert volume.intensity[0, 0, 0] == 2


def test_crystal_axes_need_an_orthonormal_volume(cell: gemmi.UnitCell) -> None:
    steps = 0.1 * np.eye(3)
    volume = ReciprocalVolume(np.ones((3, 3, 3)), cell, np.zeros(3), steps)
    with pytest.raises(GeometryError, match="indexed by hkl already"):
        with_crystal_axes(volume)
    cube = gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    orthonormal = ReciprocalVolume(np.ones((3, 3, 3)), cube, np.zeros(3), steps)
    with pytest.raises(GeometryError, match="give cell="):
        with_crystal_axes(orthonormal)
    with pytest.raises(ParameterError, match=r"signs=\(1, 2, 1\)"):
        with_crystal_axes(orthonormal, cell, signs=(1, 2, 1))
    turned = with_crystal_axes(orthonormal, cell)
    np.testing.assert_allclose(turned.steps @ turned.steps.T, 0.01 * metric_of(cell))
    np.testing.assert_allclose(turned.steps[0, 1:], 0, atol=1e-15)  # x is along a
