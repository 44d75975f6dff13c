"""MAR345 images, written by fabio itself."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest

from dsfunet_core import read
from dsfunet_core.errors import FileFormatError

mar345image = pytest.importorskip("fabio.mar345image", reason="fabio is not installed")


def save(path: Path, data: np.ndarray, byteorder: str = "<") -> Path:
    image = mar345image.Mar345Image(data=data.astype(np.uint32))
    image.byteorder = byteorder
    image.write(str(path))
    return path


def counts(seed: int = 0, edge: int = 150) -> np.ndarray:
    """Background that varies, with peaks on both sides of 2¹⁵ and of 2¹⁶."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:edge, :edge]
    data = rng.poisson(20 + 3000 * np.exp(-((y - 70) ** 2 + (x - 40) ** 2) / 400)) + 1
    for value in (32767, 32768, 40_000, 65_535, 65_536, 250_000):
        data[tuple(rng.integers(1, edge, 2))] = value
    data[0, 3] = 50_000  # fabio itself reads this one as 4 294 951 760
    return np.asarray(data)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_pixel_comes_back(tmp_path: Path, byteorder: str) -> None:
    data = counts()
    plane = read(save(tmp_path / "a.mar3450", data, byteorder))
    np.testing.assert_array_equal(plane.intensity, data)
    assert plane.valid.all()
    assert not plane.has_geometry
    assert plane.provenance["format"] == "MAR345"


def test_differences_of_every_width(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 2 ** rng.integers(0, 17, (120, 120)), dtype=np.uint32)
    data[40:60] = 7  # chunks without differences
    plane = read(save(tmp_path / "a.mar1200", data))
    inside = plane.valid
    np.testing.assert_array_equal(plane.intensity[inside], data[inside])


def test_as_fabio_reads_it(tmp_path: Path) -> None:
    import fabio

    data = np.minimum(counts(3), 30_000)
    path = save(tmp_path / "a.mar2300", data)
    with fabio.open(str(path)) as image:
        np.testing.assert_array_equal(read(path).intensity, image.data)


def test_corners_beside_the_plate_are_not_measured(tmp_path: Path) -> None:
    data = counts()
    y, x = np.mgrid[:150, :150] - 74.5
    data[np.hypot(y, x) > 75] = 0
    data[80, 80] = 0  # on the plate: no photon
    plane = read(save(tmp_path / "a.mar3450", data))
    np.testing.assert_array_equal(plane.valid, np.hypot(y, x) <= 75)
    assert "beside the round plate" in plane.provenance["notes"][0]


@pytest.mark.parametrize("keep", [10, 500, 4096, 4150, 0.4, 0.7, 0.99])
def test_truncated(tmp_path: Path, keep: float) -> None:
    path = save(tmp_path / "a.mar3450", counts())
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw)) if keep < 1 else int(keep)])
    with pytest.raises(FileFormatError, match=r"a\.mar3450.*truncated or damaged"):
        read(path)


@pytest.mark.parametrize(
    ("at", "number", "message"),
    [
        (1, 1_000_000, "claims"),
        (1, 0, "claims"),
        (1, -4, "claims"),
        (5, 2**31 - 1, "claims"),
        (2, 2**31 - 1, "above 65535"),
        (2, -1, "above 65535"),
        (3, 2, "spiral"),
    ],
)
def test_headers_that_claim_nonsense(
    tmp_path: Path, at: int, number: int, message: str
) -> None:
    path = save(tmp_path / "a.mar3450", counts())
    raw = bytearray(path.read_bytes())
    raw[4 * at : 4 * at + 4] = struct.pack("<i", number)
    path.write_bytes(raw)
    with pytest.raises(FileFormatError, match=message):
        read(path)


def test_bright_pixels_outside_the_image(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mar3450", counts())
    raw = bytearray(path.read_bytes())
    raw[4096:4100] = struct.pack("<i", 150 * 150 + 1)
    path.write_bytes(raw)
    with pytest.raises(FileFormatError, match="outside the image"):
        read(path)


def test_the_other_packing_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mar3450", counts())
    path.write_bytes(path.read_bytes().replace(b"packed image, X", b"packed image V2, X"))
    with pytest.raises(FileFormatError, match="first version of the packing"):
        read(path)


@pytest.mark.parametrize("seed", range(40))
def test_damage_ends_in_an_error_or_an_image(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = bytearray(save(tmp_path / "a.mar3450", counts()).read_bytes())
    for _ in range(20):
        raw[rng.integers(4, len(raw) if seed % 2 else 200)] = rng.integers(0, 256)
    (tmp_path / "b.mar3450").write_bytes(raw)
    with contextlib.suppress(FileFormatError):
        assert read(tmp_path / "b.mar3450").intensity.size == 150**2
