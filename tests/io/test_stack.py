"""Images above each other as a volume: folders, pages of a TIFF, bare NumPy volumes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from known_function import CELL, SHAPE, array, check, coordinates, volume

from dsfunet_core import ReciprocalVolume, read, write
from dsfunet_core.errors import FileFormatError

fabio = pytest.importorskip("fabio", reason="fabio is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")

#: Layers hk at every l, as a viewer shows them: k falls down the rows, h rises.
LAYERS = np.ascontiguousarray(array("lkh")[:, ::-1])
ENDS = [coordinates(i)[[0, -1]] for i in range(3)]
WHERE = {
    "cell": CELL.parameters,
    "axes": "lkh",
    "limits": [*ENDS[2], *ENDS[1][::-1], *ENDS[0]],
}


def save(folder: Path, numbers: range = range(-4, 8), suffix: str = "edf") -> Path:
    """One image a layer; names are numbered without zeros in front."""
    folder.mkdir()
    for number, layer in zip(numbers, LAYERS, strict=True):
        path = folder / f"hk_{number}.{suffix}"
        if suffix == "tif":
            tifffile.imwrite(path, layer)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fabio.edfimage.EdfImage(data=layer).write(str(path))
    return folder


@pytest.mark.parametrize("suffix", ["edf", "tif"])
@pytest.mark.parametrize("first", [-4, 5])
def test_a_folder_of_layers_is_a_volume(tmp_path: Path, suffix: str, first: int) -> None:
    folder = save(tmp_path / "unwarp", range(first, first + 12), suffix)
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.edf").write_bytes(b"{")
    made = read(folder, **WHERE)
    assert isinstance(made, ReciprocalVolume)
    check(made)
    check(made.section("hk0.1"))
    check(made.section("h0l"))
    assert "notes.txt" in made.provenance["notes"][0]
    write(tmp_path / "v.nxs", made)
    check(read(tmp_path / "v.nxs"))
    with pytest.raises(AssertionError):
        check(read(folder, **WHERE | {"axes": "lhk", "limits": WHERE["limits"]}))


def test_it_is_sliced_like_an_array(tmp_path: Path) -> None:
    stack = read(save(tmp_path / "unwarp"), **WHERE).intensity
    for key in (3, (slice(2, 9, 3), 4), (slice(None, None, -1), slice(5, 2, -1), 2), -1, ...):
        np.testing.assert_array_equal(stack[key], LAYERS[key])
    assert stack[4:4].shape == (0, 10, 9)


def test_only_what_is_sliced_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "unwarp")
    made = read(folder, **WHERE)
    (folder / "hk_3.edf").unlink()
    check(made.section("hk0.1"))
    (folder / "hk_-4.edf").write_bytes((folder / "hk_-4.edf").read_bytes()[:700])
    with pytest.raises(FileFormatError, match=r"hk_-4\.edf.*truncated"):
        made.section("hk-0.9")


def test_dead_pixels_and_empty_layers(tmp_path: Path) -> None:
    counts = np.round(LAYERS * 1000).astype(np.int32)
    counts[2], counts[5, 3, 4] = -1, -2
    tifffile.imwrite(tmp_path / "s.tif", counts, photometric="minisblack")
    valid = read(tmp_path / "s.tif", **WHERE).block((slice(None),) * 3)["valid"]
    np.testing.assert_array_equal(valid, counts >= 0)
    plane = read(tmp_path / "s.tif", "5")
    assert np.argwhere(~plane.valid).tolist() == [[3, 4]]


def test_pages_of_a_tiff_are_layers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", LAYERS, photometric="minisblack")
    check(read(tmp_path / "s.tif", **WHERE))
    with pytest.raises(FileFormatError, match=r"12 pages; say which.*axes"):
        read(tmp_path / "s.tif")


@pytest.mark.parametrize("name", ["v.npy", "v.npz"])
def test_numpy_volumes_can_be_placed(tmp_path: Path, name: str) -> None:
    if name.endswith("y"):
        np.save(tmp_path / name, LAYERS)
    else:
        np.savez(tmp_path / name, data=LAYERS, counts=np.ones(LAYERS.shape))
    check(read(tmp_path / name, **WHERE))
    with pytest.raises(FileFormatError, match=r"without saying where") as raised:
        read(tmp_path / name)
    assert "dsfunet convert" in raised.value.told("terminal")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "unwarp")
    with pytest.raises(FileFormatError, match=r"folder of 12 images, hk_-4.edf to hk_7.edf"):
        read(folder)
    tifffile.imwrite(folder / "hk_2.edf", np.ones((4, 5)))
    with pytest.raises(FileFormatError, match=r"hk_2\.edf has \(4, 5\) pixels, but .*hk_-4"):
        read(folder, **WHERE).section("h0l")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty" / "v.nxs", volume())
    with pytest.raises(FileFormatError, match="0 images; name one file"):
        read(tmp_path / "empty")
    assert SHAPE == (9, 10, 12)
