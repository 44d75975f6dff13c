"""HDF5 files that are not to be trusted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfunet_core import read
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io import hdf5, hdf5_file
from dsfunet_core.io.hdf5 import HDF5Array, numbers, text

Writer = Callable[..., Path]
GEOMETRY = {
    "unit_cell": np.array([6.1, 7.3, 8.9, 78, 97, 112]),
    "lower_limits": np.zeros(3),
    "step_sizes": np.ones(3),
}
DATA = np.arange(60.0).reshape(3, 4, 5)


def test_behaves_like_an_array(write_h5: Writer) -> None:
    array = HDF5Array(write_h5(data=DATA), "data")

    assert (array.shape, array.ndim, array.size, len(array)) == ((3, 4, 5), 3, 60, 3)
    assert array.dtype == np.float64
    assert array.nbytes == 480
    assert array.chunks is None
    np.testing.assert_array_equal(np.asarray(array), DATA)
    assert np.asarray(array, dtype="f4").dtype == np.float32
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(array, copy=False)
    np.testing.assert_array_equal(array[-1, ::2, ...], DATA[-1, ::2])
    np.testing.assert_array_equal(array[np.int64(1)], DATA[1])
    assert array[1, 2, 3] == DATA[1, 2, 3]
    with pytest.raises(IndexError):
        array[3]
    with pytest.raises(IndexError, match="4 indices for an array of 3 axes"):
        array[0, 0, 0, 0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[...], DATA)


@given(data=st.data())
def test_slices_like_numpy(tmp_path_factory: Any, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "slices.h5"
    if not path.exists():
        with h5py.File(path, "w") as h5:
            h5["data"] = DATA
    key = tuple(
        data.draw(st.one_of(st.slices(n), st.integers(-n, n - 1)), label=f"axis {n}")
        for n in DATA.shape
    )
    np.testing.assert_array_equal(HDF5Array(path, "data")[key], DATA[key])


def test_works_under_dask(write_h5: Writer) -> None:
    da = pytest.importorskip("dask.array")
    lazy = da.from_array(HDF5Array(write_h5(data=DATA), "data"), chunks=(2, 2, 5))
    np.testing.assert_array_equal(lazy[::-1, 1].compute(scheduler="synchronous"), DATA[::-1, 1])


def test_files_are_not_kept_open(write_h5: Writer) -> None:
    path = write_h5(data=DATA)
    array = HDF5Array(path, "data")
    _ = array[0]
    with h5py.File(path, "r+") as h5:
        h5["data"][0, 0, 0] = 77
    assert array[0, 0, 0] == 77
    path.unlink()
    with pytest.raises(FileFormatError, match="cannot be opened as HDF5"):
        array[0]


def test_a_dataset_replaced_by_a_smaller_one(write_h5: Writer) -> None:
    path = write_h5(data=DATA)
    array = HDF5Array(path, "data")
    write_h5(other=DATA)
    with pytest.raises(FileFormatError, match="was changed since"):
        array[0]


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.9])
def test_truncated_files(write_h5: Writer, keep: float) -> None:
    path = write_h5(data=np.random.default_rng(0).random((30, 30, 30)), **GEOMETRY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(FileFormatError, match="truncated"):
        read(path)


def test_damaged_chunks(tmp_path: Path) -> None:
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as h5:
        data = np.random.default_rng(0).random((20, 20, 20))
        made = h5.create_dataset("data", data=data, chunks=(20, 20, 20), compression="gzip")
        for key, value in GEOMETRY.items():
            h5[key] = value
        h5.flush()
        offset = made.id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[offset + 50 : offset + 2000] = bytes(1950)
    path.write_bytes(raw)

    volume = read(path)
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        volume.section("hk1")  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "volume.h5"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="neither HDF5|truncated"):
        read(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="does not exist"):
        read(tmp_path / "none.h5")
    with pytest.raises(FileFormatError, match="is a folder"):
        read(tmp_path)


def linked(path: Path, link: object, **extra: object) -> Path:
    with h5py.File(path, "w") as h5:
        h5["data"] = link
        for key, value in (GEOMETRY | extra).items():
            h5[key] = value
    return path


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    with h5py.File(tmp_path / "parts" / "v.nxs", "w") as h5:
        h5["entry/data/v"] = DATA
        h5["entry/alias"] = h5py.SoftLink("data")
        h5["back"] = h5py.ExternalLink("../main.h5", "/real")
    for name, target in (
        ("soft", h5py.SoftLink("/real")),
        ("relative soft", h5py.SoftLink("real")),
        ("external", h5py.ExternalLink("parts/v.nxs", "/entry/data/v")),
        ("windows", h5py.ExternalLink("parts\\v.nxs", "/entry/alias/v")),
        ("absolute", h5py.ExternalLink(str(tmp_path / "parts" / "v.nxs"), "entry/data/v")),
        ("there and back", h5py.ExternalLink("parts/v.nxs", "back")),
    ):
        path = linked(tmp_path / "main.h5", target, real=DATA)
        volume = read(path)
        np.testing.assert_array_equal(volume.intensity[...], DATA, err_msg=name)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as h5:
        h5["data"] = DATA
    with h5py.File(inner / "hop.h5", "w") as h5:
        h5["data"] = h5py.ExternalLink("../secret.h5", "data")
    (inner / "symbolic.h5").symlink_to(secret)
    for target in ("../secret.h5", str(secret), "hop.h5", "symbolic.h5"):
        path = linked(inner / "main.h5", h5py.ExternalLink(target, "data"))
        with pytest.raises(FileFormatError, match=r"outside the folder .*not followed"):
            read(path)


def test_geometry_is_on_the_same_leash(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with h5py.File(tmp_path / "secret.h5", "w") as h5:
        h5["cell"] = GEOMETRY["unit_cell"]
    path = linked(inner / "main.h5", DATA, unit_cell=h5py.ExternalLink("../secret.h5", "cell"))
    with pytest.raises(FileFormatError, match="outside the folder"):
        read(path)


def test_dangling_links_name_the_missing_file(tmp_path: Path) -> None:
    path = linked(tmp_path / "main.h5", h5py.ExternalLink("f1_transform.nxs", "/entry/data/v"))
    with pytest.raises(FileFormatError, match=r"f1_transform\.nxs, which is missing"):
        read(path)
    path = linked(tmp_path / "main.h5", h5py.SoftLink("/nowhere"))
    with pytest.raises(FileFormatError, match="has no .*nowhere"):
        read(path)
    path = linked(tmp_path / "main.h5", h5py.SoftLink("/data"))
    with pytest.raises(FileFormatError, match="chain of over 16 links"):
        read(path)


def test_raw_storage_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(DATA.tobytes())
    path = tmp_path / "main.h5"
    with h5py.File(path, "w") as h5:
        h5.create_dataset("data", DATA.shape, "f8", external=[(str(raw), 0, DATA.nbytes)])
    with pytest.raises(FileFormatError, match=r"raw file .*raw\.bin"):
        HDF5Array(path, "data")


def test_virtual_datasets_stay_in_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for folder in (tmp_path, inner):
        with h5py.File(folder / "part.h5", "w") as h5:
            h5["v"] = DATA
    for source, message in (
        ("../part.h5", "outside the folder"),
        ("gone.h5", "which is missing"),
        ("part.h5", ""),
    ):
        layout = h5py.VirtualLayout(DATA.shape, DATA.dtype)
        layout[:] = h5py.VirtualSource(source, "v", DATA.shape)
        path = inner / "main.h5"
        with h5py.File(path, "w") as h5:
            h5.create_virtual_dataset("data", layout)
        if message:
            with pytest.raises(FileFormatError, match=message):
                HDF5Array(path, "data")
        else:
            np.testing.assert_array_equal(HDF5Array(path, "data")[...], DATA)


def test_virtual_datasets_over_numbered_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "main.h5"
    unlimited = h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple((3, 4, 5), (unlimited, 4, 5))
    space.select_hyperslab((0, 0, 0), (unlimited, 1, 1), (1, 1, 1), (1, 4, 5))
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_virtual(space, b"part_%b.h5", b"v", h5py.h5s.create_simple((1, 4, 5)))
    with h5py.File(path, "w") as h5:
        h5py.h5d.create(h5.id, b"data", h5py.h5t.NATIVE_DOUBLE, space, layout)
    with pytest.raises(FileFormatError, match="numbered files"):
        HDF5Array(path, "data")


def test_filters_of_hdf5plugin_are_read(tmp_path: Path) -> None:
    path = tmp_path / "blosc.h5"
    with h5py.File(path, "w") as h5:
        h5.create_dataset("data", data=DATA, **hdf5plugin.Blosc())
    np.testing.assert_array_equal(HDF5Array(path, "data")[...], DATA)


def test_unknown_filters_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "exotic.h5"
    with h5py.File(path, "w") as h5:
        h5.create_dataset("data", data=DATA, **hdf5plugin.Blosc())
    monkeypatch.setattr(hdf5_file.h5py.h5z, "filter_avail", lambda code: code != 32001)
    with pytest.raises(FileFormatError, match=r"filter 32001 \(blosc.*h5repack"):
        HDF5Array(path, "data")


def test_claimed_sizes_are_checked_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as h5:
        h5.create_dataset("long", (2**40, 1, 1), "f4", chunks=(1024, 1, 1))
        h5.create_dataset("cube", (10_000,) * 3, "f4", chunks=(32,) * 3)
        touched = h5.create_dataset("touched", (10_000,) * 3, "f4", chunks=(32,) * 3)
        touched[:2, :2, :2] = 1.0
        h5.create_dataset("whole", (1000,) * 3, "f4")
        h5.create_dataset("lumpy", (1024, 1024, 300), "f8", chunks=(1024, 1024, 300))
        h5["real"] = np.arange(24.0).reshape(2, 3, 4)
        sparse = h5.create_dataset("sparse", (300,) * 3, "f4", chunks=(32,) * 3)
        sparse[100:110, 100:110, 100:110] = 5.0
    with pytest.raises(FileFormatError, match="claims the shape"):
        HDF5Array(path, "long")
    with pytest.raises(FileFormatError, match="smaller ones"):
        HDF5Array(path, "lumpy")
    for name in ("cube", "touched", "whole"):
        with pytest.raises(FileFormatError, match=r"claims the shape .* were written"):
            HDF5Array(path, name)
    assert HDF5Array(path, "sparse")[105, 99:101, 105].tolist() == [0, 5]
    monkeypatch.setattr(hdf5, "MAX_READ_BYTES", 100)
    real = HDF5Array(path, "real")
    with pytest.raises(ParameterError, match=r"GiB of /real .*is refused"):
        real[...]
    assert real[1, 2, 1:3].tolist() == [21, 22]


def test_numbers_and_text(write_h5: Writer) -> None:
    path = write_h5(
        data=DATA,
        single=np.float32([0.1, 0.08]),
        word="Yell 1.0",
        fixed=np.bytes_("DISCUS60"),
        array=np.array(["a", "b"], dtype=object),
    )
    assert numbers(path, "none", 3) is None
    assert numbers(path, "none/deeper", 3) is None
    np.testing.assert_array_equal(numbers(path, "single", 2), [0.1, 0.08])
    with pytest.raises(FileFormatError, match="1 number was expected"):
        numbers(path, "single", 1)
    assert text(path, "word") == "Yell 1.0"
    assert text(path, "fixed") == "DISCUS60"
    assert [text(path, name) for name in ("array", "data", "none")] == [None] * 3
