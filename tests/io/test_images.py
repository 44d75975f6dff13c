"""Detector images and TIFF, written by fabio and tifffile themselves."""

from __future__ import annotations

import contextlib
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from known_function import CELL, array, check, coordinates

from dsfunet_core import ReciprocalPlane, read
from dsfunet_core.errors import FileFormatError

fabio = pytest.importorskip("fabio", reason="fabio is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")

#: hk0.1 as a viewer shows it: k falls down the rows, h rises along the columns.
IMAGE = np.ascontiguousarray(array("khl")[::-1, :, 5])
WHERE = {
    "cell": CELL.parameters,
    "section": "hk0.1",
    "axes": "kh",
    "limits": [*coordinates(1)[[-1, 0]], *coordinates(0)[[0, -1]]],
}
COUNTS = np.round(IMAGE * 1000).astype(np.int32)


def save(path: Path, kind: str, data: np.ndarray) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabio.fabioformats.factory(kind + "image").__class__(data=data).write(str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "suffix", "scale"),
    [
        ("edf", ".edf", None),
        ("cbf", ".cbf", 1000),
        ("oxd", ".img", 1000),
        ("dtrek", ".img", 1000),
    ],
)
def test_images_come_back_at_known_hkl(
    tmp_path: Path, kind: str, suffix: str, scale: float | None
) -> None:
    data = IMAGE.astype("f4") if scale is None else COUNTS
    if kind == "dtrek":
        data = data.astype(np.uint16)
    path = save(tmp_path / f"image{suffix}", kind, data)

    plane = read(path)
    assert isinstance(plane, ReciprocalPlane)
    assert not plane.has_geometry
    np.testing.assert_array_equal(plane.intensity, data)

    placed = read(path, **WHERE)
    if scale is not None:
        placed = placed.replace(intensity=placed.intensity / scale)
    check(placed, rtol=1e-3)
    with pytest.raises(AssertionError):
        check(read(path, **WHERE | {"axes": "hk", "limits": WHERE["limits"][::-1]}), rtol=1e-3)
    assert placed.provenance["placed"]["axes"] == "kh"


def test_names_do_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "a.edf", "edf", IMAGE)
    np.testing.assert_array_equal(read(path.rename(tmp_path / "b.npz")).intensity, IMAGE)


def test_dead_pixels_are_masked(tmp_path: Path) -> None:
    data = COUNTS.copy()
    data[2, 3], data[4, 5] = -1, -2
    plane = read(save(tmp_path / "a.cbf", "cbf", data))
    assert np.argwhere(~plane.valid).tolist() == [[2, 3], [4, 5]]
    with pytest.raises(FileFormatError, match="none of the"):
        read(save(tmp_path / "b.cbf", "cbf", np.full((10, 9), -1, np.int32)))
    with pytest.raises(FileFormatError, match="none of the"):
        read(save(tmp_path / "b.edf", "edf", np.full((10, 9), np.nan)))


@pytest.mark.parametrize(("kind", "suffix"), [("edf", "edf"), ("cbf", "cbf"), ("oxd", "img")])
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.95])
def test_truncated_images(tmp_path: Path, kind: str, suffix: str, keep: float) -> None:
    data = np.random.default_rng(0).integers(0, 2**20, (120, 130)).astype(np.int32)
    path = save(tmp_path / f"image.{suffix}", kind, data)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(FileFormatError, match="truncated|damaged"):
        read(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{\nHeaderID = EH:000001:000000:000000 ;\nByteOrder = LowByteFirst ;\n"
        b"DataType = FloatValue ;\nDim_1 = 1000000 ;\nDim_2 = 1000000 ;\n}\n",
        b"###CBF: VERSION 1.5\r\ndata_a\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        b'Content-Type: application/octet-stream;\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        b'X-Binary-Size: 100\r\nX-Binary-Element-Type: "signed 32-bit integer"\r\n'
        b"X-Binary-Size-Fastest-Dimension: 60000\r\nX-Binary-Size-Second-Dimension: 60000\r\n"
        b"X-Binary-Size-Padding: 1\r\n\r\n\x0c\x1a\x04\xd5",
        b"OD SAPPHIRE  4.0\r\nCOMPRESSION= TY1\r\nNX=60000 NY=60000 OI=0 OL=0\r\n",
        b"{\nHEADER_BYTES=  512;\nDIM=2;\nSIZE1=65000;\nSIZE2=65000;\nTYPE=float;\n}\n",
    ],
    ids=["edf", "cbf", "oxd", "adsc"],
)
def test_claims_of_size_are_checked(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "bomb.img"
    path.write_bytes(header + bytes(1000))
    with pytest.raises(FileFormatError, match=r"claims .* pixels in"):
        read(path)


def test_garbage_behind_a_good_beginning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, magic in enumerate([b"OD SAPPHIRE  4.0", b"###CBF: ", b"{\n", b"R-AXIS"]):
        path = tmp_path / f"bad{number}.img"
        path.write_bytes(magic + rng.integers(0, 256, 5000, dtype=np.uint8).tobytes())
        with pytest.raises(FileFormatError, match="truncated|damaged"):
            read(path)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("kind", ["f4", "u2", "i4"])
def test_tiff_of_other_programs(tmp_path: Path, byteorder: str, kind: str) -> None:
    data = (IMAGE if kind == "f4" else COUNTS).astype(byteorder + kind)
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=byteorder, compression="zlib")
    plane = read(tmp_path / "a.tif", **WHERE)
    np.testing.assert_array_equal(plane.intensity, data)
    assert plane.intensity.dtype.isnative
    check(plane if kind == "f4" else plane.replace(intensity=plane.intensity / 1000), rtol=1e-3)


def test_pages_and_colours_of_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([IMAGE, IMAGE + 1]), photometric="minisblack")
    with pytest.raises(FileFormatError, match="2 pages; say which"):
        read(path)
    np.testing.assert_array_equal(read(path, "1").intensity, IMAGE + 1)
    with pytest.raises(FileFormatError, match="say which"):
        read(path, "2")
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(FileFormatError, match="grey-scale"):
        read(path)


@pytest.mark.parametrize("keep", [8, 200, 0.5, 0.97])
def test_truncated_tiff(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.random.default_rng(0).random((90, 80)))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw)) if keep < 1 else int(keep)])
    with pytest.raises(FileFormatError, match="truncated|damaged"):
        read(path)


def test_a_tiff_that_claims_too_much(tmp_path: Path) -> None:
    tags = [
        (256, 1_000_000),
        (257, 1_000_000),
        (258, 32),
        (259, 1),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, 1_000_000),
        (279, 16),
        (339, 3),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path = tmp_path / "bomb.tif"
    path.write_bytes(
        b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(tags)) + entries + bytes(200)
    )
    with pytest.raises(FileFormatError, match="claims the shape"):
        read(path)


def test_byte_offsets_of_every_width(tmp_path: Path) -> None:
    """Steps of 1, 2, 4 and 8 bytes, and bytes of numbers that look like marks."""
    rng = np.random.default_rng(3)
    steps = rng.choice([1, -1], 4200) * 2 ** rng.integers(0, 30, 4200)
    steps[::7], steps[3::11], steps[5::13] = -128, 0x8080, -32768
    data = np.cumsum(steps) % 2**31
    data = data.reshape(60, 70).astype(np.int32)
    path = save(tmp_path / "a.cbf", "cbf", data)
    np.testing.assert_array_equal(read(path).intensity, data)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_cbf_ends_in_an_error_or_an_image(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = bytearray(save(tmp_path / "a.cbf", "cbf", COUNTS).read_bytes())
    for _ in range(20):
        raw[rng.integers(0, len(raw))] = rng.integers(0, 256)
    (tmp_path / "b.cbf").write_bytes(raw)
    with contextlib.suppress(FileFormatError):
        assert read(tmp_path / "b.cbf").shape
