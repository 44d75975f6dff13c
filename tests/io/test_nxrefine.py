"""NXRefine's files, with the real nexusformat, in a triclinic cell."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from known_function import CELL, SHAPE, array, check, coordinates

from dsfunet_core import ReciprocalVolume, read
from dsfunet_core.errors import FileFormatError
from dsfunet_core.io import nxrefine

nexus = pytest.importorskip("nexusformat.nexus", reason="nexusformat is not installed")

STARS = [2 * np.pi * x for x in CELL.reciprocal().parameters[:3]]
ANGLES_STAR = CELL.reciprocal().parameters[3:]
NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


def axes() -> list:
    made = [
        nexus.NXfield(coordinates(i), name=f"Q{c}", scaling_factor=STARS[i])
        for i, c in enumerate("hkl")
    ]
    return made[::-1]


def counts() -> np.ndarray:
    n = np.random.default_rng(1).integers(1, 9, SHAPE[::-1]).astype("f4")
    n[2, 3, 4] = 0
    return n


def scan(folder: Path, *, sample: bool = True, entries: tuple[str, ...] = ("f1",)) -> Path:
    """Scan with one rotation an entry, as NXRefine and CCTW leave it."""
    entries_of_scan = {}
    for name in entries:
        with h5py.File(folder / f"{name}_transform.nxs", "w") as h5:
            h5["entry/data/v"] = (array("lkh") * counts()).astype("f4")
            h5["entry/data/n"] = counts()
        entry = nexus.NXentry()
        file = f"{name}_transform.nxs"
        entry["transform"] = nexus.NXdata(
            nexus.NXlink("/entry/data/v", file=file, name="data"), axes()
        )
        entry["transform"].attrs["angles"] = ANGLES_STAR[::-1]
        entry["transform/weights"] = nexus.NXlink("/entry/data/n", file=file)
        if sample:
            entry["sample"] = nexus.NXsample()
            for key, value in zip(NAMES, CELL.parameters, strict=True):
                entry[f"sample/unitcell_{key}"] = value
            entry["sample/laue_group"] = "-1"
        entries_of_scan[name] = entry
    path = folder / "scan.nxs"
    nexus.NXroot(**entries_of_scan).save(path)
    return path


@pytest.mark.parametrize("sample", [True, False])
def test_one_rotation(tmp_path: Path, sample: bool) -> None:
    volume = read(scan(tmp_path, sample=sample))

    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == SHAPE[::-1]
    check(volume)
    block = volume.block((slice(None),) * 3)
    np.testing.assert_array_equal(np.argwhere(~block["valid"]), [[2, 3, 4]])
    np.testing.assert_array_equal(block["counts"], counts())
    assert volume.laue_class == ("-1" if sample else None)
    assert volume.provenance["kept in"].endswith("f1_transform.nxs")


def test_sections_of_the_turned_array(tmp_path: Path) -> None:
    volume = read(scan(tmp_path))
    for plane in ("hk0.1", "h0l", "0.25kl", "hhl"):
        cut = volume.section(plane)
        if plane != "hhl":  # interpolated
            check(cut)


def test_several_rotations_ask_which(tmp_path: Path) -> None:
    path = scan(tmp_path, entries=("f1", "f2", "f3"))
    with pytest.raises(FileFormatError, match=r"/f1/transform, /f2/transform, /f3/transform"):
        read(path)
    check(read(path, "f2/transform"))
    check(read(path, "/f2/transform/data"))
    with nexus.nxload(path, "rw") as root:
        root["f3/transform"].set_default()
    assert read(path).provenance["dataset"] == "/f3/transform/data"


def merged(folder: Path) -> Path:
    """What stands in the scan after merging and symmetrising."""
    values = array("lkh")
    values[2, 3, 4] = 0
    with h5py.File(folder / "transform.nxs", "w") as h5:
        h5["entry/data/v"] = values.astype("f4")
    with h5py.File(folder / "symm_transform.nxs", "w") as h5:
        h5["entry/data/data"] = values
        h5["entry/data/fill"] = array("lkh")
        # Reciprocal of the window of the Fourier transform: no counts.
        h5["entry/data/data_weights"] = np.full(values.shape, 40.0)
    entry = nexus.NXentry()
    for name, file, target in (
        ("transform", "transform.nxs", "v"),
        ("symm_transform", "symm_transform.nxs", "data"),
    ):
        link = nexus.NXlink(f"/entry/data/{target}", file=file, name="data")
        entry[name] = nexus.NXdata(link, axes())
        entry[name].attrs["angles"] = ANGLES_STAR[::-1]
    entry["symm_transform/data_weights"] = nexus.NXlink(
        "/entry/data/data_weights", file="symm_transform.nxs"
    )
    entry["symm_transform/filled_data"] = nexus.NXlink(
        "/entry/data/fill", file="symm_transform.nxs"
    )
    path = folder / "scan.nxs"
    nexus.NXroot(entry=entry).save(path)
    return path


@pytest.mark.parametrize("name", ["transform", "symm_transform"])
def test_merged_and_symmetrised_have_0_for_unmeasured(tmp_path: Path, name: str) -> None:
    volume = read(merged(tmp_path), f"entry/{name}")
    assert isinstance(volume, ReciprocalVolume)
    check(volume)
    valid = volume.block((slice(None),) * 3)["valid"]
    np.testing.assert_array_equal(np.argwhere(~valid), [[2, 3, 4]])
    assert volume.counts is None


def test_another_dataset_of_a_group(tmp_path: Path) -> None:
    volume = read(merged(tmp_path), "entry/symm_transform/filled_data")
    assert volume.block((slice(None),) * 3)["valid"].all()
    check(volume)


def test_a_folder_that_moved(tmp_path: Path) -> None:
    path = scan(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(path, tmp_path / "elsewhere"))
    with pytest.raises(FileFormatError, match=r"f1_transform\.nxs, which is missing"):
        read(moved)


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    path = scan(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    path = Path(shutil.move(path, inner))
    with h5py.File(path, "r+") as h5:
        del h5["f1/transform/data"]
        h5["f1/transform/data"] = h5py.ExternalLink("../f1_transform.nxs", "/entry/data/v")
    with pytest.raises(FileFormatError, match="outside the folder"):
        read(path)


def test_sums_without_their_scan(tmp_path: Path) -> None:
    scan(tmp_path)
    path = tmp_path / "f1_transform.nxs"
    assert nxrefine.recognises(path, None)
    with pytest.raises(FileFormatError, match=r"without coordinates.*cell="):
        read(path)
    ends = [c for i in (2, 1, 0) for c in coordinates(i)[[0, -1]]]
    check(read(path, cell=CELL, limits=ends))


def test_disagreeing_cells_are_noted(tmp_path: Path) -> None:
    path = scan(tmp_path)
    with h5py.File(path, "r+") as h5:
        h5["f1/transform/Qh"].attrs["scaling_factor"] = 2 * STARS[0]
    volume = read(path)
    check(volume)
    assert "sample's cell is used" in volume.provenance["notes"][0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("f1/transform/Qh", np.linspace(-1, 1, 5), r"9 bin centres or 10 bin edges"),
        ("f1/transform/Qh", np.linspace(-1, 1, 9) ** 3, "evenly spaced"),
        ("f1/transform/Qh", np.full(9, np.nan), "evenly spaced"),
        ("f1/transform/Qh", np.ones(9), "are all 1"),
        ("f1/transform/weights", np.ones((3, 3, 3)), "same three axes"),
        ("f1/transform/data", np.ones((9, 9)), "names 3 axes|three axes"),
        ("f1/sample/unitcell_a", -3.0, "no unit cell"),
        ("f1/sample/unitcell_gamma", 1.0, "no unit cell"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, key: str, value: np.ndarray, message: str
) -> None:
    path = scan(tmp_path)
    with h5py.File(path, "r+") as h5:
        del h5[key]
        h5[key] = value
    with pytest.raises(FileFormatError, match=message):
        read(path)


def test_a_sample_that_all_rotations_share(tmp_path: Path) -> None:
    """NXRefine links the sample of ``entry`` into every rotation."""
    path = scan(tmp_path, entries=("f1", "f2"))
    with h5py.File(path, "r+") as h5:
        h5.create_group("entry").attrs["NX_class"] = "NXentry"
        h5.move("f1/sample", "entry/sample")
        del h5["f2/sample"]
        h5["f1/sample"] = h5py.SoftLink("/entry/sample")
        h5["entry/sample/space_group"] = "P -1"
    for name in ("f1/transform", "f2/transform"):
        volume = read(path, name)
        check(volume)
    assert read(path, "f1/transform").laue_class == "-1"
