"""Volumes in which nothing was measured are refused, without reading large ones to see it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from known_function import CELL, ORIGIN, SHAPE, STEPS, array

from dsfunet_core import ReciprocalVolume, read, write
from dsfunet_core.errors import FileFormatError, GeometryError
from dsfunet_core.io import measured
from dsfunet_core.io.hdf5 import HDF5Array
from dsfunet_core.io.meerkat import write_meerkat
from dsfunet_core.pdf import delta_pdf
from dsfunet_core.symmetrize import symmetrize_volume, write_symmetrized


def meerkat(path: Path, values: np.ndarray, **more: object) -> Path:
    write_meerkat(path, values, CELL, ORIGIN, STEPS, **more)  # type: ignore[arg-type]
    return path


def test_all_nan_and_all_without_counts(tmp_path: Path) -> None:
    empty = meerkat(tmp_path / "nan.h5", np.full(SHAPE, np.nan))
    uncounted = meerkat(tmp_path / "none.h5", array(), counts=np.zeros(SHAPE))
    masked = tmp_path / "masked.nxs"
    write(
        masked,
        ReciprocalVolume(array(), CELL, ORIGIN, np.diag(STEPS), mask=np.ones(SHAPE, bool)),
    )
    mantid = tmp_path / "mantid.nxs"
    with h5py.File(mantid, "w") as h5:
        group = h5.create_group("MDHistoWorkspace/data")
        group["signal"] = np.full((4, 4, 4), np.nan)
        for i in range(3):
            group[f"D{i}"] = np.linspace(-1, 1, 5)
            group[f"D{i}"].attrs["long_name"] = ["[H,0,0]", "[0,K,0]", "[0,0,L]"][i]
    six = CELL.parameters
    for path, where in ((empty, {}), (uncounted, {}), (masked, {}), (mantid, {"cell": six})):
        with pytest.raises(FileFormatError, match=r"none of the .* voxels .*was measured"):
            read(path, **where)


def test_one_voxel_is_enough(tmp_path: Path) -> None:
    for corner in ((0, 0, 0), (8, 9, 11), (8, 0, 5)):
        values = np.full(SHAPE, np.nan)
        values[corner] = 3.0
        path = tmp_path / "one.h5"
        path.unlink(missing_ok=True)
        assert read(meerkat(path, values)).shape == SHAPE


def test_large_volumes_are_not_read_to_find_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (150, 150, 150)
    full, empty = tmp_path / "full.h5", tmp_path / "empty.h5"
    for path, fill in ((full, 1.0), (empty, np.nan)):
        with h5py.File(path, "w") as h5:
            h5.create_dataset("data", data=np.full(shape, fill, "f4"), chunks=(32,) * 3)
            h5["unit_cell"] = CELL.parameters
            h5["lower_limits"], h5["step_sizes"] = [-7.5] * 3, [0.1] * 3
    voxels = 0
    whole = HDF5Array.__getitem__

    def counted(self: HDF5Array, key: object) -> np.ndarray:
        nonlocal voxels
        block = whole(self, key)
        voxels += block.size if self.ndim == 3 else 0
        return block

    monkeypatch.setattr(HDF5Array, "__getitem__", counted)
    read(full)
    assert voxels <= 16**3
    monkeypatch.setattr(measured, "_LOOKED_THROUGH", 10**6)
    voxels = 0
    volume = read(empty)  # too large to look through; found out where all of it is read
    assert voxels < 0.2 * 150**3
    for use in (
        lambda: delta_pdf(volume),
        lambda: symmetrize_volume(volume, "-1"),
        lambda: write_symmetrized(tmp_path / "average.h5", volume, "-1"),
        lambda: write(tmp_path / "copy.nxs", volume),
        lambda: write(tmp_path / "copy.h5", volume, format="yell"),
    ):
        with pytest.raises(GeometryError, match="no measured"):
            use()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.h5", "full.h5"]
