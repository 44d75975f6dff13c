"""Whatever is damaged in a file of any format, the error is ours and says where."""

from __future__ import annotations

import contextlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from known_function import volume

from dsfunet_core import read, write
from dsfunet_core.errors import DsfunetError, FileFormatError


def files(folder: Path) -> list[Path]:
    """One file in every format of ours."""
    made = volume("lkh")
    write(folder / "v.nxs", made)
    write(folder / "v.npz", made)
    write(folder / "y.h5", made, format="yell")
    write(folder / "p.tif", made.section("hk0.1"))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("keep", [0, 0.02, 0.2, 0.5, 0.8, 0.99])
def test_truncated_files(tmp_path: Path, keep: float) -> None:
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
        with pytest.raises(FileFormatError, match=path.name):
            read(path).section("hk0.1")


@pytest.mark.parametrize("seed", range(15))
def test_bytes_that_changed(tmp_path: Path, seed: int) -> None:
    """Either an answer or one error of ours; HDF5's own links and types included."""
    rng = np.random.default_rng(seed)
    for path in files(tmp_path):
        if path.suffix in (".nxs", ".h5"):
            continue  # HDF5 itself crashes on some damage to its heaps
        raw = bytearray(path.read_bytes())
        for _ in range(8):
            raw[rng.integers(0, len(raw))] = rng.integers(0, 256)
        path.write_bytes(raw)
        with contextlib.suppress(DsfunetError):
            assert read(path).provenance is not None


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "names.nxs"
    with h5py.File(path, "w") as h5:
        for name in (b"\xff\xfe", b"entry"):
            h5py.h5g.create(h5.id, name)
    with pytest.raises(FileFormatError, match="damaged|layout that is not known"):
        read(path)


def test_types_that_numpy_has_not(tmp_path: Path) -> None:
    path = tmp_path / "types.nxs"
    write(path, volume())
    with h5py.File(path, "r+") as h5:
        del h5["entry/data/h"]
        opaque = h5py.h5t.create(h5py.h5t.OPAQUE, 4)
        opaque.set_tag(b"what")
        space = h5py.h5s.create_simple((9,))
        h5py.h5d.create(h5["entry/data"].id, b"h", opaque, space)
        del h5["entry/geometry"]
    with pytest.raises(FileFormatError, match=r"types\.nxs"):
        read(path)


def test_descriptions_of_ours_that_were_changed(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    for text, message in (
        ('{"kind": "dsfunet plane", "pages": ["intensity"]}', "misses"),
        ('{"kind": "dsfunet plane", ', "damaged JSON"),
    ):
        tifffile.imwrite(tmp_path / "p.tif", np.ones((4, 5)), description=text, metadata=None)
        with pytest.raises(FileFormatError, match=message):
            read(tmp_path / "p.tif")
