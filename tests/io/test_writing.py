"""What we write comes back whole, opens elsewhere, and is never half there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_function import CELL, ORIGIN, SHAPE, STEPS, array, check, intensity, volume

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.io import slabs, write
from dsfunet_core.io.hdf5 import LazyArray

RNG = np.random.default_rng(7)


def same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and np.array_equal(
        one, other, equal_nan=one.dtype.kind == "f"
    )


def full_volume(order: str = "hkl", **extra: Any) -> ReciprocalVolume:
    """The known function with a mask, NaN and both kinds of weights."""
    made = volume(order)
    values = made.intensity.copy()
    mask = np.random.default_rng(5).random(values.shape) < 0.2
    values[1, 2, 3] = np.nan
    rng = np.random.default_rng(6)
    return ReciprocalVolume(
        values,
        CELL,
        made.origin,
        made.steps,
        counts=rng.integers(1, 9, values.shape),
        variance=rng.random(values.shape).astype("f4"),
        mask=mask,
        laue_class="112/m",
        name="known",
        provenance={"file": "a.h5", "layers": (3, 4), "none": np.nan},
        **extra,
    )


@pytest.mark.parametrize("order", ["hkl", "lkh", "klh"])
@pytest.mark.parametrize("suffix", [".nxs", ".h5", ".npz"])
def test_volumes_come_back_exactly(tmp_path: Path, suffix: str, order: str) -> None:
    given_volume = full_volume(order)
    path = tmp_path / f"v{suffix}"
    write(path, given_volume)
    back = read(path)

    assert isinstance(back, ReciprocalVolume)
    for key in ("intensity", "counts", "variance", "mask", "origin", "steps"):
        assert same(getattr(given_volume, key), getattr(back, key)), key
    assert back.cell.parameters == CELL.parameters
    assert (back.name, back.laue_class) == ("known", "112/m")
    assert repr(back.provenance) == repr(given_volume.provenance)
    check(back)


@pytest.mark.parametrize("for_fft", [False, True])
@pytest.mark.parametrize("suffix", [".nxs", ".npz", ".yell.h5"])
def test_layers_of_volumes_come_back_and_can_be_taken_back(
    tmp_path: Path, suffix: str, for_fft: bool
) -> None:
    if for_fft and "yell" not in suffix:
        return
    rng = np.random.default_rng(8)
    layers = {name: rng.random((8, 8, 12)) < 0.2 for name in ("zinger", "Bögen, äußere")}
    values = rng.random((8, 8, 12))
    values[2, 3, 4] = np.nan
    given_volume = ReciprocalVolume(
        values,
        CELL,
        np.array([-0.4, -0.4, -0.6]),
        np.eye(3) / 10,
        mask=(layers["zinger"] | layers["Bögen, äußere"]).astype("i1"),
        masks=layers,
    )
    path = tmp_path / f"v{suffix}"
    kind = "yell" if "yell" in suffix else None
    write(path, given_volume, format=kind, for_fft=for_fft)
    back = read(path)

    assert isinstance(back, ReciprocalVolume)
    assert list(back.masks) == list(layers)
    for name, layer in layers.items():
        np.testing.assert_array_equal(back.masks[name][...], layer)
    for reason in (None, "zinger"):
        both = (
            (given_volume, back)
            if reason is None
            else (given_volume.unmasked(reason), back.unmasked(reason))
        )
        before, after = (v.block((slice(None),) * 3) for v in both)
        np.testing.assert_array_equal(before["valid"], after["valid"])
        np.testing.assert_array_equal(before["intensity"], after["intensity"])
    if kind:  # what Yell itself sees
        with h5py.File(path) as h5:
            seen = h5["data"][...]
        out = np.nan_to_num(
            np.where(layers["zinger"] | layers["Bögen, äußere"], np.nan, values)
        )
        np.testing.assert_array_equal(np.nan_to_num(seen), out)
        assert np.isfinite(seen).all() == for_fft


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("suffix", [".nxs", ".tif"])
def test_planes_come_back_exactly(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    dtype = data.draw(st.sampled_from(["f8", "f4"]))
    values = rng.normal(size=shape).astype(dtype)
    valid = rng.random(shape) < 0.7
    valid[0, 0] = True
    extra: dict[str, Any] = {}
    if data.draw(st.booleans()):
        extra |= {"cell": CELL, "origin": rng.normal(size=3)}
        extra["steps"] = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    for key in ("variance", "counts"):
        if data.draw(st.booleans(), label=key):
            extra[key] = rng.random(shape).astype(dtype)
    if data.draw(st.booleans(), label="layers"):
        extra["masks"] = {"zone": ~valid, "a Bragg": ~valid & (rng.random(shape) < 0.5)}
    else:
        values[~valid] = np.nan
    plane = ReciprocalPlane(
        intensity=values,
        valid=valid,
        laue_class=data.draw(st.sampled_from([None, "6/m"])),
        name=data.draw(st.sampled_from(["hk1", "h, −h, l"])),
        provenance={"file": "ä.h5", "layers": [3, 4], "where": (1, np.nan)},
        **extra,
    )
    path = tmp_path / f"plane{suffix}"

    write(path, plane, overwrite=True)
    back = read(path)

    assert isinstance(back, ReciprocalPlane)
    for key in ("intensity", "valid", "variance", "counts", "origin", "steps"):
        assert same(getattr(plane, key), getattr(back, key)), key
    assert list(back.masks) == list(plane.masks)
    assert all(same(back.masks[k], plane.masks[k]) for k in plane.masks)
    assert (back.cell is None) == (plane.cell is None)
    assert back.cell is None or back.cell.parameters == CELL.parameters
    assert (back.name, back.laue_class) == (plane.name, plane.laue_class)
    assert repr(back.provenance) == repr(plane.provenance)


@pytest.mark.parametrize("order", ["hkl", "lkh", "klh"])
def test_yell_files_have_rising_h_k_l(tmp_path: Path, order: str) -> None:
    given_volume = full_volume(order)
    write(tmp_path / "y.h5", given_volume, format="yell")
    with h5py.File(tmp_path / "y.h5") as h5:
        assert h5["data"].shape == SHAPE
        assert h5["data"].dtype == np.float64
        assert h5["format"].asstr()[()] == "Yell 1.0"
        assert h5["is_direct"][()] == np.False_
        np.testing.assert_allclose(h5["lower_limits"], ORIGIN)
        np.testing.assert_allclose(h5["step_sizes"], STEPS)
        np.testing.assert_array_equal(h5["unit_cell"], CELL.parameters)
    back = read(tmp_path / "y.h5")
    assert isinstance(back, ReciprocalVolume)
    check(back)
    turned = ["".join(order).index(c) for c in "hkl"]
    valid = given_volume.block((slice(None),) * 3)["valid"]
    assert same(back.block((slice(None),) * 3)["valid"], valid.transpose(turned))
    for key in ("counts", "variance"):
        assert same(getattr(back, key), getattr(given_volume, key).transpose(turned)), key
    assert back.laue_class == "112/m"
    assert back.name == "known"
    assert repr(back.provenance) == repr(given_volume.provenance)


def test_falling_axes_are_turned_for_yell(tmp_path: Path) -> None:
    up = volume("lkh")
    down = ReciprocalVolume(
        up.intensity[::-1, :, ::-1],
        CELL,
        up.origin + up.steps[:, 0] * (SHAPE[2] - 1) + up.steps[:, 2] * (SHAPE[0] - 1),
        up.steps * [-1, 1, -1],
    )
    check(down)
    write(tmp_path / "y.h5", down, format="yell")
    back = read(tmp_path / "y.h5")
    np.testing.assert_allclose(np.diag(back.steps), STEPS)
    check(back)


@pytest.mark.parametrize("shape", [(11, 13, 9), (10, 12, 8), (11, 10, 9)])
def test_yells_fourier_transform_gets_what_it_needs(tmp_path: Path, shape: tuple) -> None:
    """Even N, origin at N/2 in every axis, no NaN: a centred FFT is real then."""
    steps = np.array([0.2, 0.25, 0.3])
    origin = -steps * (np.array(shape) // 2)
    hkl = origin + np.moveaxis(np.indices(shape), 0, -1) * steps
    values = np.exp(-(hkl**2).sum(axis=-1) * 4)
    values[2, 3, 4] = values[-1, -1, -1] = np.nan
    write(
        tmp_path / "y.h5",
        ReciprocalVolume(values, CELL, origin, np.diag(steps)),
        format="yell",
        for_fft=True,
    )
    with h5py.File(tmp_path / "y.h5") as h5:
        written, limits = h5["data"][()], h5["lower_limits"][()]
    assert all(n % 2 == 0 for n in written.shape)
    np.testing.assert_allclose(limits + np.array(written.shape) // 2 * steps, 0, atol=1e-12)
    assert np.isfinite(written).all()
    assert written[2, 3, 4] == 0
    back = read(tmp_path / "y.h5").block((slice(None),) * 3)
    first = -np.rint(limits / steps).astype(int)
    np.testing.assert_array_equal(written[tuple(first)], 1)
    assert (
        np.count_nonzero(~back["valid"])
        == np.isnan(values[tuple(slice(0, n) for n in written.shape)]).sum()
    )
    assert written[tuple(n // 2 for n in written.shape)] == 1


def test_a_grid_without_the_origin_is_no_grid_for_yells_fourier_transform(
    tmp_path: Path,
) -> None:
    path = tmp_path / "y.h5"
    with pytest.raises(ParameterError, match=r"h = 0|l = 0|k = 0"):
        write(path, volume(), format="yell", for_fft=True)
    with pytest.raises(ParameterError, match="goes with"):
        write(tmp_path / "a.nxs", volume(), for_fft=True)
    assert list(tmp_path.iterdir()) == []


def test_planes_in_yells_format(tmp_path: Path) -> None:
    plane = volume().section("hk0.1")
    write(tmp_path / "p.h5", plane, format="yell")
    back = read(tmp_path / "p.h5")
    assert isinstance(back, ReciprocalVolume)
    assert back.shape == (*plane.shape, 1)
    check(back)
    check(back.section("hk0.1"))


def test_oblique_axes(tmp_path: Path) -> None:
    """A plane hhl: kept exactly in NeXus, and refused by name for Yell."""
    row, column = np.mgrid[:7, :8]
    steps = np.array([[0.2, 0.0], [0.2, 0.0], [0.0, 0.3]])
    origin = np.array([-0.6, -0.6, -1.0])
    values = intensity(origin + np.stack([row, column], -1) @ steps.T)
    plane = ReciprocalPlane(values, values > 0, CELL, origin, steps)
    write(tmp_path / "p.nxs", plane)
    check(read(tmp_path / "p.nxs"), least=20)
    with pytest.raises(GeometryError, match="oblique"):
        write(tmp_path / "p.h5", plane, format="yell")
    assert [p.name for p in tmp_path.iterdir()] == ["p.nxs"]


def test_nexus_opens_in_nexusformat(tmp_path: Path) -> None:
    nexus = pytest.importorskip("nexusformat.nexus", reason="nexusformat is not installed")
    write(tmp_path / "v.nxs", full_volume("lkh"))
    with nexus.nxload(tmp_path / "v.nxs") as root:
        shown = root.plottable_data
        assert shown.nxsignal.nxname == "intensity"
        assert [axis.nxname for axis in shown.nxaxes] == ["l", "k", "h"]
        for axis, index in zip(shown.nxaxes, (2, 1, 0), strict=True):
            expected = ORIGIN[index] + STEPS[index] * np.arange(SHAPE[index])
            np.testing.assert_allclose(axis.nxvalue, expected)
        values = shown.nxsignal.nxvalue
        np.testing.assert_allclose(values[4, 5, 6], array("lkh")[4, 5, 6])
        assert root["entry/sample"].nxclass == "NXsample"
    plane = volume().section("hk0.1")
    write(tmp_path / "p.nxs", plane)
    with nexus.nxload(tmp_path / "p.nxs") as root:
        assert [axis.nxname for axis in root.plottable_data.nxaxes] == ["h", "k"]


def test_nexus_opens_in_silx(tmp_path: Path) -> None:
    data = pytest.importorskip("silx.io.nxdata", reason="silx is not installed")
    write(tmp_path / "v.nxs", full_volume())
    with h5py.File(tmp_path / "v.nxs") as h5:
        shown = data.get_default(h5)
        assert shown.is_valid
        assert shown.signal_name == "intensity"
        assert shown.axes_dataset_names == ["h", "k", "l"]


def test_tiff_opens_in_fabio(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio", reason="fabio is not installed")
    plane = full_volume().section("hk0.1")
    write(tmp_path / "p.tif", plane)
    with fabio.open(str(tmp_path / "p.tif")) as image:
        shown = np.array(image.data)
    np.testing.assert_array_equal(shown, np.where(plane.valid, plane.intensity, np.nan))


class Watched(LazyArray):
    """Array that notes how much is asked for at once."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values.shape, values.dtype)
        self.values, self.largest = values, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.values[key]
        self.largest = max(self.largest, part.size)
        return part


@pytest.mark.parametrize("format", ["nexus", "yell"])
@pytest.mark.parametrize("order", ["hkl", "lkh"])
def test_volumes_are_read_a_slab_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, order: str
) -> None:
    monkeypatch.setattr(slabs, "SLAB_BYTES", 2**17)
    shape = (128, 16, 128)
    watched = Watched(RNG.random(shape))
    index = ["hkl".index(c) for c in order]
    made = ReciprocalVolume(watched, CELL, np.zeros(3), np.eye(3)[:, index])
    write(tmp_path / "v.h5", made, format=format)
    assert watched.largest <= 128 * 16 * 32
    back = read(tmp_path / "v.h5")
    turned = (
        watched.values if format == "nexus" else watched.values.transpose(np.argsort(index))
    )
    np.testing.assert_array_equal(back.intensity[...], turned)


@pytest.mark.parametrize("name", ["v.nxs", "v.npz", "y.h5"])
def test_nothing_is_replaced_unasked_and_nothing_left_behind(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("precious")
    format = "yell" if name == "y.h5" else None
    with pytest.raises(ParameterError, match="exists already"):
        write(path, volume(), format=format)
    assert path.read_text() == "precious"

    class Broken(Watched):
        def __getitem__(self, key: Any) -> np.ndarray:
            raise OSError("the disk went away")

    broken = ReciprocalVolume(Broken(array()), CELL, ORIGIN, np.diag(STEPS))
    with pytest.raises(OSError, match="went away"):
        write(path, broken, format=format, overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    write(path, volume(), format=format, overwrite=True)
    check(read(path))


@pytest.mark.parametrize("format", ["nexus", "yell"])
def test_all_nan_is_not_written(tmp_path: Path, format: str) -> None:
    empty = ReciprocalVolume(np.full((4, 5, 6), np.nan), CELL, np.zeros(3), np.eye(3))
    with pytest.raises(GeometryError, match="no measured"):
        write(tmp_path / "v.h5", empty, format=format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("v.txt", {}, r"suffix '.txt' does not say"),
        ("v", {}, "does not say"),
        ("v.nxs", {"format": "excel"}, "allowed are nexus, npz, tiff, yell"),
        ("v.tif", {}, "one plane, not the volume"),
        ("missing/v.nxs", {}, "folder .* is missing"),
    ],
)
def test_what_to_change_is_said(tmp_path: Path, name: str, options: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        write(tmp_path / name, volume(), **options)
    assert list(tmp_path.iterdir()) == []


def test_planes_of_results_are_read_by_name(tmp_path: Path) -> None:
    from factorization_planes import known_plane

    from dsfunet_core import factorize, save_result

    result = factorize(known_plane(n=41).plane, support=5)
    save_result(tmp_path / "r.h5", result)
    plane = read(tmp_path / "r.h5", "entry/form_factor")
    np.testing.assert_array_equal(plane.intensity, result.form_factor)
    np.testing.assert_allclose(plane.hkl(), result.plane.hkl())
    assert isinstance(plane.cell, gemmi.UnitCell)
