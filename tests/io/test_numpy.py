"""NumPy files, there and back."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.numpy import write_npz

CELL = (6.1, 7.3, 8.9, 78, 97, 112)
PLANE = np.arange(20.0).reshape(4, 5)


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and np.array_equal(
        one, other, equal_nan=one.dtype.kind == "f"
    )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_planes_come_back_exactly(tmp_path: Path, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    dtype = data.draw(st.sampled_from(["f8", "f4"]))
    extra: dict[str, Any] = {}
    if data.draw(st.booleans()):
        extra |= {"cell": gemmi.UnitCell(*CELL), "origin": rng.normal(size=3)}
        extra["steps"] = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    for key in ("variance", "counts"):
        if data.draw(st.booleans(), label=key):
            extra[key] = rng.random(shape).astype(dtype)
    plane = ReciprocalPlane(
        intensity=rng.normal(size=shape).astype(dtype),
        valid=rng.random(shape) < 0.7,
        laue_class=data.draw(st.sampled_from([None, "6/m"])),
        name=data.draw(st.sampled_from(["hk1", "h, −h, l", ""])),
        provenance={"file": "a.h5", "layers": [3, 4], "where": (1, np.nan)},
        **extra,
    )
    path = tmp_path / "plane.npz"

    write_npz(path, plane, overwrite=True)
    back = read(path)

    assert isinstance(back, ReciprocalPlane)
    for key in ("intensity", "valid", "variance", "counts", "origin", "steps"):
        assert same(getattr(plane, key), getattr(back, key)), key
    assert (back.cell is None) == (plane.cell is None)
    assert back.cell is None or back.cell.parameters == CELL
    assert (back.name, back.laue_class) == (plane.name, plane.laue_class)
    assert repr(back.provenance) == repr(plane.provenance)


def test_volumes_come_back_exactly(tmp_path: Path, rng: np.random.Generator) -> None:
    data = rng.normal(size=(3, 4, 5))
    data[0, 0, 0] = np.nan
    steps = np.array([[0.2, 0.02, 0.0], [0.03, 0.22, -0.04], [-0.01, 0.05, 0.15]])
    volume = ReciprocalVolume(
        data,
        gemmi.UnitCell(*CELL),
        np.array([-1.0, -2, -3]),
        steps,
        counts=rng.integers(0, 9, size=data.shape),
        mask=rng.random(data.shape) < 0.2,
    )

    write_npz(tmp_path / "v.npz", volume)
    back = read(tmp_path / "v.npz")

    assert isinstance(back, ReciprocalVolume)
    for key in ("intensity", "variance", "counts", "origin", "steps"):
        assert same(getattr(volume, key), getattr(back, key)), key
    np.testing.assert_array_equal(back.mask, volume.mask)
    with pytest.raises(ParameterError, match="exists already"):
        write_npz(tmp_path / "v.npz", volume)


def test_npy_is_a_plane_without_a_lattice(tmp_path: Path) -> None:
    data = np.asfortranarray(PLANE.astype(">f4"))
    data[1, 2] = np.nan
    np.save(tmp_path / "image.npy", data)

    plane = read(tmp_path / "image.npy")

    assert isinstance(plane, ReciprocalPlane)
    np.testing.assert_array_equal(plane.intensity, data)
    assert plane.intensity.dtype == np.dtype("=f4")
    assert np.argwhere(~plane.valid).tolist() == [[1, 2]]
    assert not plane.has_geometry
    assert plane.name == "image"
    assert plane.intensity.flags.writeable
    assert plane.provenance["format"] == "NumPy .npy"
    with pytest.raises(FileFormatError, match="leave dataset out"):
        read(tmp_path / "image.npy", "intensity")


def test_integers_become_real_numbers(tmp_path: Path) -> None:
    plane = read(save(tmp_path / "i.npz", data=np.arange(20, dtype=">u2").reshape(4, 5)))
    assert plane.intensity.dtype == np.float64
    np.testing.assert_array_equal(plane.intensity, PLANE)


def test_limits_and_steps(tmp_path: Path) -> None:
    path = save(
        tmp_path / "v.npz",
        data=np.ones((3, 4, 5)),
        unit_cell=CELL,
        lower_limits=(-1, -2, -3),
        step_sizes=(0.5, 1, 1.5),
    )
    volume = read(path)
    assert isinstance(volume, ReciprocalVolume)
    np.testing.assert_array_equal(volume.hkl((1, 1, 1)), (-0.5, -1, -1.5))

    path = save(
        tmp_path / "p.npz",
        intensity=PLANE,
        valid=PLANE > 3,
        unit_cell=CELL,
        lower_limits=(-1, 2, -3),
        step_sizes=(0.5, 0, 1.5),
    )
    plane = read(path)
    assert isinstance(plane, ReciprocalPlane)
    np.testing.assert_array_equal(plane.hkl(1, 2), (-0.5, 2, 0))
    np.testing.assert_array_equal(plane.valid, PLANE > 3)


def test_intensities_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "many.npz", residual=PLANE, other=PLANE + 1)
    with pytest.raises(FileFormatError, match="'intensity' or 'data', only other, residual"):
        read(path)
    np.testing.assert_array_equal(read(path, "other").intensity, PLANE + 1)
    with pytest.raises(FileFormatError, match="has no array 'none'"):
        read(path, "none")


GEOMETRY = {"unit_cell": CELL, "lower_limits": (0, 0, 0), "step_sizes": (1, 1, 1)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": np.ones((3, 4, 5))}, "without saying where its voxels are"),
        ({"data": np.ones(3)}, r"shape \(3,\).*two axes \(a plane\) or three"),
        ({"data": np.ones((2, 2, 2, 2))}, "two axes"),
        ({"data": np.ones((0, 4))}, "two axes"),
        ({"data": np.ones((3, 4), complex)}, "real numbers"),
        ({"data": PLANE, "valid": PLANE[1:] > 0}, r"valid in .* has shape \(3, 5\)"),
        ({"data": PLANE, "variance": np.full(PLANE.shape, "x")}, "variance in .* type"),
        ({"data": PLANE, "unit_cell": CELL}, r"only in part .*\(unit_cell\)"),
        ({"data": PLANE, **GEOMETRY}, "exactly one of the three step_sizes is 0"),
        ({"data": np.ones((2, 2, 2)), **GEOMETRY, "step_sizes": (1, 0, 1)}, "independent"),
        ({"data": PLANE, **GEOMETRY, "unit_cell": CELL[:5]}, "6 finite numbers"),
        ({"data": PLANE, **GEOMETRY, "lower_limits": (0, np.nan, 0)}, "3 finite numbers"),
        (
            {"data": PLANE, **GEOMETRY, "step_sizes": (1, 1, 0), "unit_cell": (0,) * 6},
            "no unit cell",
        ),
        ({"data": PLANE, "provenance": "{"}, "damaged JSON"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        read(save(tmp_path / "bad.npz", **arrays))


class Attack:
    """Pickles into a call; unpickling it would leave a trace."""

    def __reduce__(self) -> Any:
        return (exec, ("raise AssertionError('the pickle was loaded')",))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    objects = np.array([[Attack(), Attack()], [1, 2]], dtype=object)
    np.save(tmp_path / "evil.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "evil.npz", data=objects, allow_pickle=True)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Attack()))

    for name in ("evil.npy", "evil.npz"):
        with pytest.raises(FileFormatError, match=r"pickled Python objects.*never read"):
            read(tmp_path / name)
    with pytest.raises(FileFormatError, match="neither HDF5 .* nor NumPy"):
        read(tmp_path / "evil.pkl")


@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
@pytest.mark.parametrize("keep", [0.03, 0.4, 0.95])
def test_truncated_files(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    data = np.random.default_rng(0).random((40, 40))
    np.save(path, data) if name.endswith("y") else np.savez_compressed(path, data=data)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(FileFormatError, match="truncated|damaged"):
        read(path)


def test_damaged_members(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", data=PLANE)
    raw = bytearray(path.read_bytes())
    raw[200:230] = bytes(30)
    path.write_bytes(raw)
    with pytest.raises(FileFormatError, match="no readable .npz"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", "no array at all")
    with pytest.raises(FileFormatError, match="damaged header"):
        read(path)


def test_claimed_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    header = io.BytesIO()
    description = {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)}
    np.lib.format.write_array_header_1_0(header, description)
    (tmp_path / "huge.npy").write_bytes(header.getvalue() + bytes(100))
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("data.npy", header.getvalue() + bytes(100))
    for name in ("huge.npy", "huge.npz"):
        with pytest.raises(FileFormatError, match="claims the shape"):
            read(tmp_path / name)


def test_volumes_larger_than_memory_are_refused_unread(
    tmp_path: Path, monkeypatch: Any
) -> None:
    where = {"unit_cell": CELL, "lower_limits": (-1, -1, -1), "step_sizes": (1, 1, 1)}
    path = save(tmp_path / "v.npz", intensity=np.ones((4, 5, 6)), **where)
    volume = read(path)
    monkeypatch.setattr("dsfunet_core.io.numpy.MAX_BYTES", 900)
    with pytest.raises(FileFormatError, match="Save the volume in HDF5"):
        read(path)
    with pytest.raises(ParameterError, match=r"write \.nxs"):
        write_npz(tmp_path / "again.npz", volume)
    assert not (tmp_path / "again.npz").exists()


@pytest.mark.parametrize("masked", [False, True])
def test_a_volume_without_a_measured_voxel_is_refused(tmp_path: Path, masked: bool) -> None:
    where = {"unit_cell": CELL, "lower_limits": (-1, -1, -1), "step_sizes": (1, 1, 1)}
    nothing = np.zeros((3, 3, 3), bool)
    values = {"intensity": np.ones((3, 3, 3)), "valid": nothing}
    if not masked:
        values = {"intensity": np.full((3, 3, 3), np.nan)}
    with pytest.raises(FileFormatError, match="none of the"):
        read(save(tmp_path / "v.npz", **values, **where))
