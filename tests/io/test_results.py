"""Factorizations stored as NeXus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sro_planes import HEXAGONAL, factorized, make_plane, sro_at

from dsfunet_core import Factorization, ReciprocalPlane, load_result, read, save_result
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.factorization.result import SroCoefficients
from dsfunet_core.io.results import add_fit, load_fit
from dsfunet_core.refine import SroRefinement, refine_sro
from dsfunet_core.simulate.tris_amide import YELL_ALPHA

SHAPE = (9, 12)


@pytest.fixture(scope="module")
def refined() -> tuple[Factorization, SroRefinement]:
    plane = make_plane("hk1", HEXAGONAL, shape=(60, 60), reach=3.2, skew=0.5)
    result = factorized(plane, sro_at(plane.hkl(), YELL_ALPHA, "6/m"))
    return result, refine_sro(result, laue_class="6/m", shells=3)


def make_result(
    rng: np.random.Generator, *, geometry: bool = True, full: bool = True, dtype: str = "f8"
) -> Factorization:
    def image() -> np.ndarray:
        return rng.normal(10, 1, size=SHAPE).astype(dtype)

    intensity = image()
    intensity[2, 3] = np.nan
    plane = ReciprocalPlane(
        intensity,
        np.isfinite(intensity),
        cell=gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112) if geometry else None,
        origin=np.array([-1.0, -2, 1]) if geometry else None,
        steps=np.array([[0.25, 0], [0, 0.5], [0, 0]]) if geometry else None,
        variance=image() if full else None,
        counts=rng.integers(0, 9, SHAPE) if full else None,
        laue_class="6/m" if full else None,
        name="hk1 – Ebene",
        provenance={"file": "a.h5", "layers": [3, 4], "steps": ({"radius": 0.1},)},
    )
    indices = np.array([[1, 0], [0, 1], [1, -1]])
    values = rng.normal(size=3) + 1j * rng.normal(size=3)
    values[1] = complex(-0.0, 0.0)
    covariance = np.cov(rng.normal(size=(6, 20))) if full else None
    return Factorization(
        plane,
        "lattice",
        image(),
        image(),
        background=image() if full else None,
        weights=image() if full else None,
        coefficients=SroCoefficients(indices, values, covariance) if full else None,
        lattice=plane.lattice if geometry and full else None,
        choices={"support": 14.12, "shape": (2, 3), "chi2": np.nan, "why": None, "α": [1]},
    )


def same(one: Any, other: Any) -> None:
    """Equal to the last bit, types included."""
    if one is None or other is None:
        assert one is other
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, gemmi.UnitCell):
        assert one.parameters == other.parameters
    elif hasattr(one, "__dataclass_fields__"):
        for field in one.__dataclass_fields__:
            same(getattr(one, field), getattr(other, field))
    else:
        assert repr(one) == repr(other)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 99),
    geometry=st.booleans(),
    full=st.booleans(),
    dtype=st.sampled_from(["f8", "f4"]),
)
def test_results_come_back_exactly(
    tmp_path: Path, seed: int, geometry: bool, full: bool, dtype: str
) -> None:
    rng = np.random.default_rng(seed)
    result = make_result(rng, geometry=geometry, full=full, dtype=dtype)
    path = tmp_path / "result.nxs"

    save_result(path, result, overwrite=True)
    back = load_result(path)

    same(result, back)
    same(result.residual, back.residual)
    assert load_fit(path) is None


def test_other_programs_find_their_way(tmp_path: Path, rng: np.random.Generator) -> None:
    nexus = pytest.importorskip("nexusformat.nexus", reason="nexusformat is not installed")
    result = make_result(rng)
    path = tmp_path / "result.nxs"
    save_result(path, result)

    root = nexus.nxload(path)

    entry = root["entry"]
    assert entry.nxclass == "NXentry"
    assert root.get_default().nxsignal.nxname == "form_factor"
    images = ("form_factor", "sro", "background", "weights", "product", "residual")
    for name in images:
        data = entry[name]
        assert data.nxclass == "NXdata"
        assert [axis.nxname for axis in data.nxaxes] == ["h", "k"]
        np.testing.assert_array_equal(data.nxsignal.nxvalue, getattr(result, name))
    plane = entry["plane"]
    np.testing.assert_array_equal(plane.nxsignal.nxvalue, result.plane.intensity)
    np.testing.assert_allclose(plane["h"].nxvalue, -1 + 0.25 * np.arange(9))
    np.testing.assert_allclose(plane["k"].nxvalue, -2 + 0.5 * np.arange(12))
    assert entry["coefficients"].nxsignal.nxname == "real"
    assert entry["coefficients/real"].nxvalue.shape == (3,)
    assert entry["coefficients"].nxerrors.nxvalue.shape == (3,)
    assert entry["program_name"].attrs["version"]
    np.testing.assert_allclose(entry["sample/unit_cell"].nxvalue, [6.1, 7.3, 8.9, 78, 97, 112])


def test_oblique_planes_have_pixels_for_axes(tmp_path: Path, rng: np.random.Generator) -> None:
    result = make_result(rng, full=False)
    steps = np.array([[0.1, 0], [0.1, 0], [0, 0.2]])
    plane = result.plane.replace(steps=steps)
    result = Factorization(plane, "lattice", result.form_factor, result.sro)
    save_result(tmp_path / "oblique.nxs", result)
    with h5py.File(tmp_path / "oblique.nxs") as h5:
        assert h5["entry/plane"].attrs["axes"].tolist() == ["row", "column"]
        assert h5["entry/plane/row"].attrs["units"] == "pixel"
    same(load_result(tmp_path / "oblique.nxs"), result)


def test_nothing_is_overwritten_or_left_half_written(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "result.nxs"
    result = make_result(rng)
    save_result(path, result)
    before = path.read_bytes()
    unstorable = Factorization(
        result.plane, "lattice", result.form_factor, result.sro, choices={"model": object()}
    )

    with pytest.raises(ParameterError, match="exists already"):
        save_result(path, result)
    with pytest.raises(ParameterError, match=r"value\['model'\] is a object"):
        save_result(path, unstorable, overwrite=True)

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["result.nxs"]


def test_read_points_to_load_result(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "result.nxs"
    save_result(path, make_result(rng))
    with pytest.raises(FileFormatError, match="load_result"):
        read(path)


def test_other_files_are_no_results(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as h5:
        h5["data"] = np.ones(3)
    with pytest.raises(FileFormatError, match=r"no result of a factorization"):
        load_result(path)
    (tmp_path / "text.nxs").write_text("hello")
    with pytest.raises(FileFormatError, match=r"no result of a factorization"):
        load_result(tmp_path / "text.nxs")
    with pytest.raises(FileFormatError, match="does not exist"):
        load_result(tmp_path / "none.nxs")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("sro", "sro"),
        ("plane/valid", "valid"),
        ("choices", "/entry/choices"),
        ("plane/provenance", "provenance"),
        ("format_version", "format_version"),
    ],
)
def test_damaged_results_say_what_is_missing(
    tmp_path: Path, rng: np.random.Generator, gone: str, message: str
) -> None:
    path = tmp_path / "result.nxs"
    save_result(path, make_result(rng))
    with h5py.File(path, "r+") as h5:
        del h5[f"entry/{gone}"]
    with pytest.raises(FileFormatError, match=message):
        load_result(path)


def test_wrong_shapes_and_newer_versions(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "result.nxs"
    save_result(path, make_result(rng))
    with h5py.File(path, "r+") as h5:
        del h5["entry/sro/sro"]
        h5["entry/sro/sro"] = np.ones((3, 3))
    with pytest.raises(FileFormatError, match=r"sro in .* shape \(3, 3\).*\(9, 12\)"):
        load_result(path)
    with h5py.File(path, "r+") as h5:
        h5["entry/format_version"][()] = 99
    with pytest.raises(FileFormatError, match="format version 99.*newer version"):
        load_result(path)


def test_refinements_are_stored_beside_the_factorization(
    tmp_path: Path, refined: tuple[Factorization, SroRefinement]
) -> None:
    result, fit = refined
    save_result(tmp_path / "both.nxs", result, fit)
    save_result(tmp_path / "later.nxs", result)
    add_fit(tmp_path / "later.nxs", fit)

    for name in ("both.nxs", "later.nxs"):
        path = tmp_path / name
        same(load_result(path), result)
        back = load_fit(path)
        assert back is not None
        assert back.to_dict() == fit.to_dict()
        with h5py.File(path) as h5:
            group = h5["entry/sro_refinement"]
            assert group.attrs["NX_class"] == "NXdata"
            np.testing.assert_array_equal(group[group.attrs["signal"]], fit.alpha)
            np.testing.assert_array_equal(group["alpha_errors"], fit.sigma)
            assert group["v"][0].tolist() == [1, 0, 0]
            assert "6/m" in group["table"].asstr()[()]
            # The copy keeps hard links: an axis is stored once.
            axis = h5["entry/plane"].attrs["axes"][0]
            assert h5[f"entry/plane/{axis}"] == h5[f"entry/sro/{axis}"]


def test_a_refinement_is_replaced_only_if_asked(
    tmp_path: Path, refined: tuple[Factorization, SroRefinement]
) -> None:
    result, fit = refined
    path = tmp_path / "result.nxs"
    save_result(path, result, fit)
    other = refine_sro(result, laue_class="6/m", shells=2)
    before = path.read_bytes()

    with pytest.raises(ParameterError, match="holds a refinement already"):
        add_fit(path, other)
    assert path.read_bytes() == before

    add_fit(path, other, overwrite=True)
    back = load_fit(path)
    assert back is not None
    assert back.to_dict() == other.to_dict()
    assert [p.name for p in tmp_path.iterdir()] == ["result.nxs"]
