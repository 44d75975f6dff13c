"""What the plugin claims to open, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from napari.components import ViewerModel

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, factorize, sample, save_result
from dsfunet_core.errors import FileFormatError
from dsfunet_core.io import write
from dsfunet_core.io.meerkat import write_meerkat
from dsfunet_core.io.numpy import write_npz
from napari_dsfunet.layers import core_object, script_of
from napari_dsfunet.reader import get_reader, read_file
from napari_dsfunet.sample_data import tris_amide


@pytest.fixture
def meerkat(tmp_path: Path, triclinic: ReciprocalVolume) -> Path:
    path = tmp_path / "reconstruction.h5"
    steps = np.diag(triclinic.steps)
    write_meerkat(path, triclinic.intensity, triclinic.cell, triclinic.origin, steps)
    return path


def test_claims_reconstructions_by_content(
    meerkat: Path, tmp_path: Path, small_plane: ReciprocalPlane
) -> None:
    assert get_reader(str(meerkat)) is read_file
    assert get_reader([str(meerkat)]) is read_file
    renamed = meerkat.rename(tmp_path / "anything.dat")
    assert get_reader(str(renamed)) is read_file
    write_npz(tmp_path / "plane.npz", small_plane)
    assert get_reader(str(tmp_path / "plane.npz")) is read_file


def test_nexus_opens_where_it_lies(tmp_path: Path, triclinic: ReciprocalVolume) -> None:
    path = tmp_path / "volume.nxs"
    write(path, triclinic)
    assert get_reader(str(path)) is read_file
    ((data, options, _),) = read_file(str(path))
    volume = options["metadata"]["dsfunet"]["object"]
    np.testing.assert_allclose(volume.steps, triclinic.steps)
    np.testing.assert_allclose(np.asarray(data).T, np.asarray(triclinic.intensity[...]))


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"II*\x00tiff", b"\x93NUM"])
def test_leaves_others_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(content)
    assert get_reader(str(path)) is None


def test_never_raises(tmp_path: Path, meerkat: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as h5:
        h5["pictures"] = np.zeros((3, 3))
    assert get_reader(str(tmp_path / "foreign.h5")) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "missing.h5")) is None
    assert get_reader([str(meerkat), str(meerkat)]) is None
    assert get_reader("\0") is None


def test_damaged_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "damaged.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(FileFormatError, match="damaged"):
        reader(str(path))


def test_opens_through_napari(registered: Any, meerkat: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(str(meerkat), plugin="napari-dsfunet")
    volume = core_object(layer)
    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == (12, 10, 7)
    np.testing.assert_array_equal(np.asarray(layer.data).T, volume.intensity[...])


def test_sample_through_napari(registered: Any) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open_sample("napari-dsfunet", "tris-amide")
    assert isinstance(core_object(layer), ReciprocalVolume)
    assert layer.data.shape == (5, 301, 301)


def test_sample_script_reads_the_sample() -> None:
    ((_, options, _),) = tris_amide()
    assert options["metadata"]["dsfunet"]["script"] == (
        'volume = dsfunet_core.read(dsfunet_core.sample("tris-amide-hk1"))',
    )
    low, high = options["contrast_limits"]
    assert low <= 0 < high
    assert sample().is_file()


def test_saved_factorization_comes_back_as_layers(
    tmp_path: Path, small_plane: ReciprocalPlane
) -> None:
    result = factorize(small_plane, order=2, support=4.0, errors=False)
    path = tmp_path / "result.nxs"
    save_result(path, result)
    reader = get_reader(str(path))
    assert reader is not None
    names = [options["name"] for _, options, _ in reader(str(path))]
    assert names == ["hk1", "hk1 form factor", "hk1 SRO", "hk1 product", "hk1 residual"]


def test_script_of_a_file_names_it(meerkat: Path, registered: Any) -> None:
    (layer,) = ViewerModel().open(str(meerkat), plugin="napari-dsfunet")
    assert script_of(layer) == (f"volume = dsfunet_core.read({str(meerkat)!r})",)
