"""NXdata groups of others (CHESS, nexusformat), in a triclinic cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from known_function import CELL, ORIGIN, SHAPE, STEPS, array, check, coordinates

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io import place
from dsfunet_core.io.nxdata import direction

SIX = CELL.parameters


def chess(path: Path, *, attributes: bool, order: str = "hkl") -> Path:
    with h5py.File(path, "w") as h5:
        group = h5.create_group("entry/data")
        group["counts"] = array(order).astype("f4")
        for i, c in enumerate("HKL"):
            group[c] = coordinates(i)
        if attributes:
            h5["entry"].attrs["NX_class"] = "NXentry"
            group.attrs.update(NX_class="NXdata", signal="counts", axes=list(order.upper()))
    return path


@pytest.mark.parametrize("attributes", [True, False])
def test_chess_waits_for_its_cell(tmp_path: Path, attributes: bool) -> None:
    path = chess(tmp_path / "c.nxs", attributes=attributes)
    with pytest.raises(FileFormatError, match=r"no unit cell; give it, as cell="):
        read(path)
    volume = read(path, cell=SIX)
    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == SHAPE
    assert volume.intensity.dtype == np.float32
    assert volume.provenance["format"] == "CHESS"
    check(volume)
    check(read(path, "entry/data/counts", cell=SIX))
    with pytest.raises(ParameterError, match="limits=None"):
        read(path, cell=SIX, axes="klh")  # the file's own limits are of another order
    check(volume.section("hk0.1"))


def test_chess_in_another_order_of_axes(tmp_path: Path) -> None:
    volume = read(chess(tmp_path / "c.nxs", attributes=True, order="klh"), cell=CELL)
    check(volume)


def nxdata(path: Path, order: str = "hkl", *, edges: bool = False, **extra: Any) -> Path:
    """Written by the NeXus people's own library."""
    nexus = pytest.importorskip("nexusformat.nexus", reason="nexusformat is not installed")
    fields = []
    for c in order:
        i = "hkl".index(c)
        x = coordinates(i)
        if edges:
            x = np.append(x, x[-1] + STEPS[i]) - STEPS[i] / 2
        fields.append(nexus.NXfield(x, name=f"Q{c}" if edges else c.upper()))
    group = nexus.NXdata(nexus.NXfield(array(order), name="signal"), fields, **extra)
    sample = nexus.NXsample()
    sample["unit_cell"] = np.array(SIX)
    nexus.NXroot(entry=nexus.NXentry(group, sample=sample)).save(path)
    return path


@pytest.mark.parametrize("order", ["hkl", "lkh", "klh"])
@pytest.mark.parametrize("edges", [True, False])
def test_nexusformat_in_any_order(tmp_path: Path, order: str, edges: bool) -> None:
    volume = read(nxdata(tmp_path / "n.nxs", order, edges=edges and order != "lkh"))
    assert isinstance(volume, ReciprocalVolume)
    check(volume)


def test_errors_become_variances(tmp_path: Path) -> None:
    sigma = np.sqrt(array())
    volume = read(nxdata(tmp_path / "n.nxs", errors=sigma))
    np.testing.assert_allclose(volume.block((slice(None),) * 3)["variance"], array())


def test_the_default_is_taken_or_asked_for(tmp_path: Path) -> None:
    path = nxdata(tmp_path / "n.nxs")
    with h5py.File(path, "r+") as h5:
        h5.copy("entry/data", "entry/other")
        for node in (h5, h5["entry"]):
            node.attrs.pop("default", None)
    with pytest.raises(FileFormatError, match=r"2 sets of data .*/entry/data, /entry/other"):
        read(path)
    check(read(path, "entry/other"))
    check(read(path, "entry/other/signal"))
    with h5py.File(path, "r+") as h5:
        h5.attrs["default"], h5["entry"].attrs["default"] = "entry", "other"
    assert read(path).provenance["dataset"] == "/entry/other/signal"


def test_a_plane_of_hk_needs_its_l(tmp_path: Path) -> None:
    path = tmp_path / "p.nxs"
    with h5py.File(path, "w") as h5:
        group = h5.create_group("entry/data")
        group.attrs.update(NX_class="NXdata", signal="I", axes=["K", "H"])
        group["I"] = array("klh")[:, 5].astype(">f8")
        group["H"], group["K"] = coordinates(0), coordinates(1)
    blind = read(path)
    assert isinstance(blind, ReciprocalPlane)
    assert not blind.has_geometry
    assert "third index" in blind.provenance["notes"][0]
    plane = read(path, cell=SIX, section=f"hk{coordinates(2)[5]:.1f}")
    check(plane)
    assert plane.intensity.dtype.isnative


def test_unnamed_axes_are_placed_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "u.nxs"
    with h5py.File(path, "w") as h5:
        group = h5.create_group("entry/data")
        group.attrs.update(NX_class="NXdata", signal="I")
        group["I"] = array("lkh")
    with pytest.raises(FileFormatError, match=r"not named after h, k and l"):
        read(path)
    ends = [x for i in (2, 1, 0) for x in coordinates(i)[[0, -1]]]
    check(read(path, cell=SIX, axes="lkh", limits=ends))


def test_files_from_before_2014(tmp_path: Path) -> None:
    path = nxdata(tmp_path / "n.nxs")
    with h5py.File(path, "r+") as h5:
        group = h5["entry/data"]
        del group.attrs["signal"], group.attrs["axes"]
        group["signal"].attrs["signal"] = np.int32(1)
        group["signal"].attrs["axes"] = np.bytes_("H:K:L")
    check(read(path))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("H", (1, 0, 0)),
        ("Qk", (0, 1, 0)),
        ("L (r.l.u.)", (0, 0, 1)),
        ("q_l", (0, 0, 1)),
        ("[H,0,0]", (1, 0, 0)),
        ("[H,-H,0]", (1, -1, 0)),
        ("[0,0.5K,0]", (0, 0.5, 0)),
        ("[-0.5H,H,0] (in 1.2 A^-1)", (-0.5, 1, 0)),
        ("[H,K,0]", None),
        ("[H,1,0]", None),
        ("[0,0,0]", None),
        ("DeltaE", None),
        ("height", None),
        (None, None),
    ],
)
def test_names_of_axes(label: Any, expected: Any) -> None:
    found = direction(label)
    assert (found is None) if expected is None else (found.tolist() == list(expected))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"H": coordinates(2)}, "bin centres"),
        ({"H": coordinates(0)[:, None]}, "bin centres"),
        ({"I": np.ones((9, 10))}, "names 3 axes"),
        ({"I": np.ones((9, 10, 12, 2))}, "two axes"),
        ({"I": np.full((9, 0, 12), 1.0)}, "none of them empty"),
        ({"I": np.ones(SHAPE, complex)}, "real numbers"),
        ({"H": "text"}, "real numbers"),
        ({"unit_cell": [1, 2, 3, 4, 5]}, "6 numbers"),
        ({"unit_cell": [5, 5, 5, 10, 10, 90]}, "no unit cell"),
        ({"H": h5py.ExternalLink("/etc/passwd", "x")}, "outside the folder"),
        ({"I": h5py.ExternalLink("gone.h5", "x")}, "which is missing"),
        ({"I": h5py.SoftLink("/nowhere")}, "has no "),
        ({"axes": ["H", "K", "Z"]}, "has no /entry/data/Z"),
        ({"axes": ["H", "H", "L"]}, "do not span|bin centres"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict, message: str) -> None:
    parts: dict[str, Any] = {"I": array(), "unit_cell": SIX, "axes": ["H", "K", "L"]}
    parts |= {c: coordinates(i) for i, c in enumerate("HKL")}
    parts |= change
    path = tmp_path / "bad.nxs"
    with h5py.File(path, "w") as h5:
        group = h5.create_group("entry/data")
        group.attrs.update(NX_class="NXdata", signal="I", axes=parts.pop("axes"))
        h5["entry/sample/unit_cell"] = parts.pop("unit_cell")
        for key, value in parts.items():
            group[key] = value
    with pytest.raises(FileFormatError, match=message):
        read(path)


def test_claims_of_size_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nxs"
    with h5py.File(path, "w") as h5:
        group = h5.create_group("entry/data")
        group.attrs.update(NX_class="NXdata", signal="I", axes=["H", "K", "L"])
        group.create_dataset("I", (10**12, 1, 1), "f4", chunks=(1024, 1, 1))
        for c in "HKL":
            group.create_dataset(c, (10**12,), "f4", chunks=(1024,))
    assert path.stat().st_size < 10_000
    with pytest.raises(FileFormatError, match="claims the shape"):
        read(path)


def test_circles_of_links_end(tmp_path: Path) -> None:
    path = tmp_path / "loop.nxs"
    with h5py.File(path, "w") as h5:
        group = h5.create_group("a/b")
        group["a"] = h5["a"]
        group["soft"] = h5py.SoftLink("/a")
        h5.attrs["default"] = "a"
        h5["a"].attrs["default"] = "b"
        group.attrs["default"] = "a"
    with pytest.raises(FileFormatError, match="no arrays"):
        read(path)


def test_origin_of_the_known_function_is_not_symmetric() -> None:
    """Were the test function symmetric, none of the above would prove a thing."""
    values = array()
    for axis in range(3):
        assert np.abs(values - np.flip(values, axis)).max() > 0.3
        assert np.abs(values - np.roll(values, 1, axis)).max() > 0.3
    ends = [x for i in range(3) for x in coordinates(i)[[0, -1]]]
    check(place(values, cell=CELL, limits=ends))
    for wrong in ("khl", "hlk"):
        with pytest.raises(AssertionError):
            check(place(values, cell=CELL, axes=wrong, limits=ends))
    shifted = np.array(ends) + 0.2
    with pytest.raises(AssertionError):
        check(place(values, cell=CELL, limits=shifted))
    assert ORIGIN.sum() != 0
