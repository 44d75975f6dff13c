"""Arrays placed by hand, in a triclinic cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from known_function import CELL, SHAPE, array, check, coordinates, intensity, volume

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, Section, place, read
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io import arrays
from dsfunet_core.io.hdf5 import HDF5Array

SIX = CELL.parameters


def ends(order: str) -> list[float]:
    return [x for c in order for x in coordinates("hkl".index(c))[[0, -1]]]


@pytest.mark.parametrize("order", ["hkl", "lkh", "klh"])
def test_volumes_in_any_order(order: str) -> None:
    made = place(array(order), cell=SIX, axes=order, limits=ends(order))
    assert isinstance(made, ReciprocalVolume)
    check(made)


@pytest.mark.parametrize(
    ("section", "axes", "rows"),
    [("hk0.1", None, "hk"), ("hk0.1", "kh", "kh"), ("h0l", "hl", "hl"), ("0.25kl", "lk", "lk")],
)
def test_planes(section: str, axes: str | None, rows: str) -> None:
    fixed = next(c for c in "hkl" if c not in rows)
    at = int(
        np.argmin(
            np.abs(coordinates("hkl".index(fixed)) - {"l": 0.1, "k": 0, "h": 0.25}[fixed])
        )
    )
    image = array(rows + fixed)[:, :, at]
    made = place(image, cell=CELL, section=section, axes=axes, limits=ends(rows))
    assert isinstance(made, ReciprocalPlane)
    assert made.name == section
    check(made)


def test_oblique_planes_and_falling_rows() -> None:
    hh, level = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(1.5, -1.5, 7))
    image = intensity(np.stack([hh, hh, level], axis=-1))
    made = place(image, cell=CELL, section="hhl", axes="lh", limits=(1.5, -1.5, -1, 1))
    check(made)
    section = Section(np.zeros(3), np.array([[1, 0], [1, 0], [0, 1.0]]))
    check(place(image, cell=CELL, section=section, axes="lh", limits=(1.5, -1.5, -1, 1)))


def test_what_is_known_stays(tmp_path: Path) -> None:
    """Another cell for the same indices, and weights untouched."""
    known = volume("lkh", counts=np.full(SHAPE[::-1], 3), laue_class="-1", name="mine")
    moved = place(known, cell=(5, 6, 7, 80, 90, 100))
    assert isinstance(moved, ReciprocalVolume)
    assert moved.cell.parameters == (5, 6, 7, 80, 90, 100)
    np.testing.assert_array_equal(moved.steps, known.steps)
    assert moved.counts is known.counts
    assert (moved.name, moved.laue_class) == ("mine", "-1")
    plane = known.section("hk0.1")
    plane = plane.replace(valid=plane.valid & (plane.intensity > 4), masks={})
    placed = place(plane, cell=CELL)
    np.testing.assert_array_equal(placed.valid, plane.valid)
    check(placed, least=10)


def test_volumes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as h5:
        h5["some/where/values"] = array("lkh").astype(">f4")
        h5["orientation"] = np.eye(3)
    assert arrays(path) == {"/some/where/values": SHAPE[::-1]}
    with pytest.raises(FileFormatError, match=r"nothing says where its voxels are.*cell="):
        read(path)
    made = read(path, cell=SIX, axes="lkh", limits=ends("lkh"))
    assert isinstance(made, ReciprocalVolume)
    assert isinstance(made.intensity, HDF5Array)
    check(made)
    check(read(path, "some/where/values", cell=SIX, axes="lkh", limits=ends("lkh")))


def test_a_choice_of_arrays_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "raw.h5"
    with h5py.File(path, "w") as h5:
        h5["b/intensity"], h5["a/background"] = array(), array()[:, :, 0]
    assert list(arrays(path)) == ["/b/intensity", "/a/background"]
    where: dict[str, Any] = {"cell": SIX, "limits": ends("hkl")}
    with pytest.raises(FileFormatError, match=r"/b/intensity .*/a/background .*dataset="):
        read(path, **where)
    check(read(path, "b/intensity", **where))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 5), {"section": "hk0", "limits": (0, 1, 0, 1)}, r"no unit cell\. Give cell="),
        ((4, 5), {"cell": SIX, "limits": (0, 1, 0, 1)}, "which plane the image is"),
        ((4, 5), {"cell": SIX, "section": "hk0"}, r"limits=None; first and last h"),
        ((4, 5), {"cell": SIX, "section": "hk0", "limits": (0, 1, 0)}, "first and last k were"),
        ((4, 5), {"cell": SIX, "section": "hk0", "limits": (0, 1, 2, 2)}, "are the same"),
        ((4, 5), {"cell": SIX, "section": "hk0", "limits": (0, 1, 2, np.nan)}, "were expected"),
        (
            (4, 5),
            {"cell": SIX, "section": "hkl", "limits": (0, 1, 2, 3)},
            "does not name a plane",
        ),
        (
            (4, 5),
            {"cell": SIX, "section": "hk0", "axes": "hl", "limits": (0, 1, 2, 3)},
            "every one of h, k",
        ),
        ((4, 5, 6), {"cell": SIX, "axes": "hkk", "limits": range(6)}, "every one of h, k, l"),
        ((4, 5, 6), {"cell": SIX, "section": "hk0", "limits": range(6)}, "goes with planes"),
        ((4,), {"cell": SIX, "limits": (0, 1)}, "two axes"),
        ((4, 0), {"cell": SIX, "section": "hk0", "limits": (0, 1, 0, 1)}, "none of them empty"),
    ],
)
def test_what_is_missing_is_said(shape: tuple, options: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        place(np.ones(shape), **options)


def test_impossible_cells() -> None:
    with pytest.raises(FileFormatError, match="no unit cell"):
        place(np.ones((4, 5)), cell=(5, 5, 5, 10, 10, 90), section="hk0", limits=(0, 1, 0, 1))
