"""Planes cut out of volumes."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, Section
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.sections import cut

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)


class CountingArray:
    """An array that keeps count of what is read from it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.array[key]
        self.read += part.size
        return part


def linear(hkl: np.ndarray) -> np.ndarray:
    """Intensity that trilinear interpolation reproduces exactly."""
    return 50 + hkl @ np.array([1.3, -2.1, 3.7])


def make_volume(
    shape: tuple[int, int, int] = (21, 25, 29),
    step: tuple[float, float, float] = (0.2, 0.25, 0.1),
    function: Any = linear,
    steps: np.ndarray | None = None,
    **parts: Any,
) -> ReciprocalVolume:
    """Triclinic volume centred on 000, filled with a function of hkl."""
    steps = np.diag(step) if steps is None else steps
    origin = -steps @ ((np.array(shape) - 1) / 2)
    hkl = origin + np.moveaxis(np.indices(shape), 0, -1) @ steps.T
    return ReciprocalVolume(function(hkl), CELL, origin, steps, **parts)


OBLIQUE_STEPS = np.array([[0.2, 0.02, 0.0], [0.03, 0.22, -0.04], [-0.01, 0.05, 0.15]])


@pytest.mark.parametrize(
    ("text", "origin", "directions", "name"),
    [
        ("hk1", (0, 0, 1), ((1, 0, 0), (0, 1, 0)), "hk1"),
        ("h0l", (0, 0, 0), ((1, 0, 0), (0, 0, 1)), "h0l"),
        ("0kl", (0, 0, 0), ((0, 1, 0), (0, 0, 1)), "0kl"),
        ("hhl", (0, 0, 0), ((1, 1, 0), (0, 0, 1)), "hhl"),
        ("h-hl", (0, 0, 0), ((1, -1, 0), (0, 0, 1)), "h-hl"),
        ("2kl", (2, 0, 0), ((0, 1, 0), (0, 0, 1)), "2kl"),
        ("-1kl", (-1, 0, 0), ((0, 1, 0), (0, 0, 1)), "-1kl"),
        ("hk0.5", (0, 0, 0.5), ((1, 0, 0), (0, 1, 0)), "hk0.5"),
        ("hk.5", (0, 0, 0.5), ((1, 0, 0), (0, 1, 0)), "hk0.5"),
        ("hk1/2", (0, 0, 0.5), ((1, 0, 0), (0, 1, 0)), "hk0.5"),
        ("hk-3/2", (0, 0, -1.5), ((1, 0, 0), (0, 1, 0)), "hk-1.5"),
        ("hk−1", (0, 0, -1), ((1, 0, 0), (0, 1, 0)), "hk-1"),
        ("HK1", (0, 0, 1), ((1, 0, 0), (0, 1, 0)), "hk1"),
        (" h, k, 1 ", (0, 0, 1), ((1, 0, 0), (0, 1, 0)), "hk1"),
        ("h k 12", (0, 0, 12), ((1, 0, 0), (0, 1, 0)), "hk12"),
        ("12kl", (12, 0, 0), ((0, 1, 0), (0, 0, 1)), "12kl"),
        ("(hk1)", (0, 0, 1), ((1, 0, 0), (0, 1, 0)), "hk1"),
        ("h2hl", (0, 0, 0), ((1, 2, 0), (0, 0, 1)), "h, 2h, l"),
        ("h, h+1, l", (0, 1, 0), ((1, 1, 0), (0, 0, 1)), "h, h+1, l"),
        ("h, k, -h-k", (0, 0, 0), ((1, 0, -1), (0, 1, -1)), "h, k, -h-k"),
    ],
)
def test_notation_is_understood(text: str, origin: tuple, directions: tuple, name: str) -> None:
    section = Section.parse(text)

    np.testing.assert_array_equal(section.origin, origin)
    np.testing.assert_array_equal(section.directions.T, directions)
    assert section.name == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hkl", "all three indices are free"),
        ("h11", "one index is free"),
        ("111", "no index is free"),
        ("h, h, h", "one index is free"),
        ("hk", "three indices were expected"),
        ("h, k", "three indices were expected"),
        ("xyz", "three indices were expected"),
        ("", "three indices were expected"),
        ("hk1/0", "a denominator is 0"),
        ("h, k, 1x", "'1x' is no index"),
        ("hk1e5", "three indices were expected"),
        ("0*hkl", "three indices were expected"),
    ],
)
def test_texts_that_name_no_plane_say_why(text: str, reason: str) -> None:
    with pytest.raises(ParameterError, match="does not name a plane: ") as caught:
        Section.parse(text)

    assert f"{text!r} does not name a plane" in str(caught.value)
    assert reason in str(caught.value)
    assert '"hk0.5"' in str(caught.value)


@given(
    fixed=st.sampled_from([0, 1, 2]),
    value=st.integers(-4000, 4000).map(lambda n: n / 100),
)
def test_names_are_read_back(fixed: int, value: float) -> None:
    entries = ["h", "k", "l"]
    entries[fixed] = f"{value:g}"

    section = Section.parse("".join(entries))

    assert section.origin[fixed] == value
    again = Section.parse(section.name)
    np.testing.assert_array_equal(again.origin, section.origin)
    np.testing.assert_array_equal(again.directions, section.directions)


@given(st.text(alphabet="hkl0123456789.-+/, ", max_size=12))
def test_no_text_breaks_the_notation(text: str) -> None:
    try:
        section = Section.parse(text)
    except ParameterError:
        return
    again = Section.parse(section.name)
    np.testing.assert_allclose(again.origin, section.origin, rtol=1e-11)
    np.testing.assert_allclose(again.directions, section.directions, rtol=1e-11)


def test_section_from_vectors_is_checked_and_named() -> None:
    assert Section([0, 0, 1], [[1, 0], [0, 1], [0, 0]]).name == "hk1"
    assert Section([0, 0, 0], [[1, 0], [1, 0], [0, 1]]).name == "hhl"
    with pytest.raises(GeometryError, match="parallel"):
        Section([0, 0, 0], [[1, 2], [0, 0], [0, 0]])
    with pytest.raises(GeometryError, match=r"\(3,\) and \(3, 2\)"):
        Section([0, 0], [[1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("text", "normal"),
    [("hk1", (0, 0, 1)), ("hhl", (-1, 1, 0)), ("h, 2h, l", (-2, 1, 0)), ("h0l", (0, 1, 0))],
)
def test_normals_are_primitive(text: str, normal: tuple) -> None:
    np.testing.assert_array_equal(Section.parse(text).normal, normal)


@pytest.mark.parametrize(
    ("text", "index"),
    [("hk1", np.s_[:, :, 24]), ("h0l", np.s_[:, 12, :]), ("-1kl", np.s_[5, :, :])],
)
def test_layers_come_back_voxel_by_voxel(text: str, index: Any) -> None:
    rng = np.random.default_rng(1)
    volume = make_volume(function=lambda hkl: rng.normal(size=hkl.shape[:-1]))

    plane = volume.section(text)

    np.testing.assert_array_equal(plane.intensity, volume.intensity[index])
    assert plane.valid.all()
    section = Section.parse(text)
    np.testing.assert_allclose(plane.hkl() @ section.normal, section.normal @ section.origin)
    assert plane.name == text
    assert plane.cell is CELL
    assert plane.provenance["section"] == text
    assert plane.provenance["grid"] == "native"


def test_values_stay_with_their_hkl_in_every_layer() -> None:
    for steps in (np.diag([0.2, 0.25, 0.1]), OBLIQUE_STEPS):
        volume = make_volume(steps=steps)
        for axis in range(3):
            others = [i for i in range(3) if i != axis]
            section = Section(np.zeros(3), steps[:, others])
            plane = cut(volume, section)
            assert plane.provenance["array_axis"] == axis
            np.testing.assert_allclose(plane.intensity, linear(plane.hkl()))


def test_nearest_layer_is_taken_and_recorded() -> None:
    volume = make_volume()

    plane = volume.section("hk1.03")

    assert plane.provenance["layers"] == [24, 24]
    np.testing.assert_allclose(plane.hkl()[..., 2], 1.0)
    assert plane.name == "hk1.03"


def test_the_outermost_half_voxel_belongs_to_the_volume() -> None:
    volume = make_volume()  # l from -1.4 to 1.4
    np.testing.assert_allclose(volume.section("hk1.449").hkl()[..., 2], 1.4)
    with pytest.raises(GeometryError, match=r"'hk1.46' misses volume.*from -1.4 to 1.4"):
        volume.section("hk1.46")
    with pytest.raises(GeometryError, match="Choose a plane between"):
        volume.section("h, h+9, l")
    with pytest.raises(GeometryError, match="misses"):
        volume.section("hk3", grid="cartesian")


def test_float32_steps_find_their_layer() -> None:
    steps = np.diag(np.float32([0.08, 0.08, 0.08]).astype(float))
    volume = make_volume(shape=(101, 101, 101), steps=steps)
    assert volume.section("hk0").provenance["layers"] == [50, 50]
    assert volume.section("3.2kl").provenance["layers"] == [90, 90]


def test_thickness_averages_layers_equally_without_weights() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(size=(21, 25, 29))
    volume = make_volume(function=lambda hkl: data)

    plane = volume.section("hk1", thickness=0.4)

    assert plane.provenance["layers"] == [22, 26]
    np.testing.assert_allclose(plane.intensity, data[:, :, 22:27].mean(axis=2))
    np.testing.assert_allclose(plane.hkl()[..., 2], 1.0)
    assert volume.section("hk1", thickness=0.19).provenance["layers"] == [24, 24]
    assert volume.section("hk1", thickness=0.2).provenance["layers"] == [23, 25]
    between = volume.section("hk1.05", thickness=0.1)
    assert between.provenance["layers"] == [24, 25]
    np.testing.assert_allclose(between.hkl()[..., 2], 1.05)


def test_thickness_weights_by_counts_and_adds_them() -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(10, 1, size=(21, 25, 29))
    counts = rng.integers(0, 5, size=data.shape).astype(float)
    variance = rng.uniform(1, 2, size=data.shape)
    volume = make_volume(function=lambda hkl: data, counts=counts, variance=variance)

    plane = volume.section("hk1", thickness=0.4)

    n, i, v = (a[:, :, 22:27] for a in (counts, data, variance))
    total = n.sum(axis=2)
    seen = total > 0
    np.testing.assert_array_equal(plane.valid, seen)
    np.testing.assert_array_equal(plane.counts, total)
    np.testing.assert_allclose(
        plane.intensity[seen], ((n * i).sum(2) / np.maximum(total, 1))[seen]
    )
    expected = ((n**2 * v).sum(2) / np.maximum(total, 1) ** 2)[seen]
    np.testing.assert_allclose(plane.variance[seen], expected)
    assert np.isnan(plane.intensity[~seen]).all()


def test_thickness_weights_by_inverse_variance() -> None:
    rng = np.random.default_rng(4)
    data = rng.normal(10, 1, size=(21, 25, 29))
    variance = rng.uniform(1, 20, size=data.shape)
    variance[3, 3, 24] = 0.0
    volume = make_volume(function=lambda hkl: data, variance=variance)

    plane = volume.section("hk1", thickness=0.4)

    i, v = data[:, :, 22:27], variance[:, :, 22:27]
    assert plane.intensity[3, 3] == pytest.approx(i[3, 3].mean())  # no weight is infinite
    v[3, 3, 2] = 1.0
    weights = 1 / v
    keep = np.ones((21, 25), bool)
    keep[3, 3] = False
    expected = (weights * i).sum(2) / weights.sum(2)
    np.testing.assert_allclose(plane.intensity[keep], expected[keep])
    np.testing.assert_allclose(plane.variance[keep], (1 / weights.sum(2))[keep])


SECTIONS = ["hk1", "hhl", "h, 2h, l", "h, k, h+k"]


@pytest.mark.parametrize("text", SECTIONS)
@pytest.mark.parametrize("grid", ["native", "cartesian"])
@pytest.mark.parametrize("thickness", [0.0, 0.4])
@pytest.mark.parametrize("poison", [1e9, np.nan, np.inf])
def test_masked_voxels_never_leak(
    text: str, grid: str, thickness: float, poison: float
) -> None:
    rng = np.random.default_rng(5)
    clean = rng.normal(100, 5, size=(21, 25, 29))
    mask = rng.random(clean.shape) < 0.3
    mask[8:12, 8:14] = True
    counts = rng.integers(1, 9, size=clean.shape).astype(float)
    variance = rng.uniform(1, 2, size=clean.shape)

    def section(fill: float) -> ReciprocalPlane:
        parts = [np.where(mask, fill, a) for a in (clean, counts, variance)]
        volume = make_volume(
            function=lambda hkl: parts[0], counts=parts[1], variance=parts[2], mask=mask
        )
        return volume.section(text, grid=grid, thickness=thickness, size=48)

    with np.errstate(invalid="ignore"):
        one, other = section(7.0), section(poison)

    assert one.valid.any()
    assert not one.valid.all()
    for label in ("intensity", "valid", "counts", "variance"):
        np.testing.assert_array_equal(getattr(one, label), getattr(other, label))
    assert np.abs(one.intensity[one.valid] - 100).max() < 30


@pytest.mark.parametrize("steps", [np.diag([0.2, 0.25, 0.1]), OBLIQUE_STEPS])
@pytest.mark.parametrize("text", ["hhl", "h-hl", "h, 2h, l", "h, k, -h-k", "hk0.33"])
@pytest.mark.parametrize("grid", ["native", "cartesian"])
def test_interpolation_is_exact_for_linear_intensity(
    steps: np.ndarray, text: str, grid: str
) -> None:
    volume = make_volume(steps=steps)

    plane = volume.section(text, grid=grid, size=64)

    section = Section.parse(text)
    if "layers" in plane.provenance:
        np.testing.assert_allclose(plane.intensity, linear(plane.hkl()))
        return
    np.testing.assert_allclose(
        plane.hkl() @ section.normal, section.normal @ section.origin, atol=1e-9
    )
    index = volume.index(plane.hkl())
    inside = np.all((index > -1e-6) & (index < np.array(volume.shape) - 1 + 1e-6), axis=-1)
    assert plane.valid[inside].all()
    assert inside.mean() > (0.3 if grid == "native" else 0.99)
    np.testing.assert_allclose(plane.intensity[inside], linear(plane.hkl())[inside])


def test_diagonal_planes_meet_voxels_also_on_even_grids() -> None:
    rng = np.random.default_rng(6)
    data = rng.normal(size=(20, 20, 30))
    volume = make_volume(shape=data.shape, step=(0.2, 0.2, 0.1), function=lambda hkl: data)

    plane = volume.section("hhl")

    rows = np.arange(20)
    np.testing.assert_allclose(plane.intensity, data[rows, rows], atol=1e-12)
    np.testing.assert_allclose(plane.steps, [[0.2, 0], [0.2, 0], [0, 0.1]])


def test_a_pixel_needs_half_of_its_weight() -> None:
    volume = make_volume(shape=(5, 5, 5), step=(1, 1, 1))
    mask = np.zeros((5, 5, 5), bool)
    mask[:, :, 3] = True
    for level, seen in ((0.4, True), (0.6, False)):
        # A direction out of the layer makes it an interpolated plane.
        section = Section([0, 0, level], [[1, 0], [0, 1], [1e-3, 0]])
        plane = cut(make_volume(shape=(5, 5, 5), step=(1, 1, 1), mask=mask), section)
        assert bool(plane.valid[2, 2]) is seen
    assert volume.section("hhl").valid.all()


def test_variance_is_propagated_through_interpolation() -> None:
    rng = np.random.default_rng(7)
    sigma = 3.0
    shape = (12, 13, 14)
    variance = np.full(shape, sigma**2)
    section = Section.parse("h, k, h")
    planes = []
    for _ in range(400):
        noise = rng.normal(0, sigma, size=shape)
        volume = make_volume(shape, function=lambda hkl, n=noise: n, variance=variance)
        planes.append(cut(volume, section, grid="cartesian", size=12, thickness=0.4))
    observed = np.var([p.intensity for p in planes], axis=0)
    valid = planes[0].valid
    ratio = observed[valid] / planes[0].variance[valid]
    assert abs(ratio.mean() - 1) < 0.05
    assert np.abs(ratio - 1).max() < 0.5


def test_cartesian_grid_is_square_and_centred_on_the_section() -> None:
    plane = make_volume().section("hk1", grid="cartesian", size=40)

    np.testing.assert_allclose(plane.hkl(20, 20), [0, 0, 1], atol=1e-12)
    step = plane.metric[0, 0]
    np.testing.assert_allclose(plane.metric, step * np.eye(2), atol=1e-12)
    along = q_matrix(CELL) @ plane.steps
    np.testing.assert_allclose(np.cross(along[:, 0], q_matrix(CELL)[:, 0]), 0, atol=1e-12)
    assert along[:, 1] @ q_matrix(CELL)[:, 1] > 0
    assert plane.valid.all()
    finer = make_volume().section("hk1", grid="cartesian", size=40, q_max=0.3)
    np.testing.assert_allclose(np.sqrt(finer.metric[0, 0]), 0.6 / 40)


def test_default_q_max_is_the_largest_filled() -> None:
    volume = make_volume()
    plane = volume.section("hk1", grid="cartesian", size=40)
    half = 20 * np.sqrt(plane.metric[0, 0])
    wider = volume.section("hk1", grid="cartesian", size=40, q_max=1.1 * half)
    assert plane.valid.all()
    assert not wider.valid.all()


def test_coarse_cartesian_pixels_average_the_voxels_they_hold() -> None:
    rng = np.random.default_rng(8)
    shape = (101, 101, 5)
    volume = make_volume(
        shape,
        (0.02, 0.02, 0.1),
        lambda hkl: rng.normal(size=shape),
        variance=np.ones(shape),
    )
    plane = volume.section("hk0", grid="cartesian", size=16)

    assert 0.7 < np.var(plane.intensity / np.sqrt(plane.variance)) < 1.4
    assert np.median(plane.variance) < 0.08


def test_a_section_starting_outside_asks_for_q_max() -> None:
    section = Section([5, 0, 0], [[1, 0], [0, 1], [0, 0]])
    with pytest.raises(GeometryError, match="Give q_max"):
        cut(make_volume(), section, grid="cartesian")
    cut(make_volume(), section, grid="cartesian", q_max=9.0, size=32)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"grid": "polar"}, "grid='polar'"),
        ({"thickness": -1}, "thickness=-1"),
        ({"size": 1}, "size=1"),
        ({"q_max": 0.0}, "q_max=0.0"),
    ],
)
def test_parameters_are_checked(options: dict, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        make_volume().section("hk0", **options)


@pytest.mark.parametrize(
    ("text", "options", "share"),
    [
        ("hk0", {}, 1 / 120),
        ("0kl", {"thickness": 0.1}, 3 / 120),
        ("hhl", {}, 1 / 2),
        ("hk0", {"grid": "cartesian"}, 3 / 120),
        ("h, k, h", {"grid": "cartesian", "size": 256}, 0.6),
    ],
)
def test_only_the_slab_is_read(text: str, options: dict, share: float) -> None:
    array = CountingArray(np.ones((121, 121, 121), np.float32))
    steps = np.eye(3) * 0.05
    volume = ReciprocalVolume(array, CELL, -steps @ [60, 60, 60], steps)

    volume.section(text, **options)

    assert 0 < array.read <= share * array.array.size


def test_volume_of_a_single_layer() -> None:
    volume = make_volume(shape=(9, 9, 1), step=(0.5, 0.5, 1.0))
    assert volume.section("hk0").valid.all()
    cartesian = volume.section("hk0", grid="cartesian", size=32)
    assert cartesian.valid.all()
    np.testing.assert_allclose(cartesian.intensity, linear(cartesian.hkl()))
    assert volume.section("h0l").shape == (9, 1)


@settings(max_examples=40, deadline=None)
@given(
    u=st.lists(st.integers(-2, 2), min_size=3, max_size=3),
    v=st.lists(st.integers(-2, 2), min_size=3, max_size=3),
    level=st.floats(-0.4, 0.4),
)
def test_any_plane_through_the_volume(u: list[int], v: list[int], level: float) -> None:
    if np.linalg.matrix_rank([u, v]) < 2:
        return
    section = Section(level * np.cross(u, v) / 4, np.array([u, v]).T)
    volume = make_volume(steps=OBLIQUE_STEPS, shape=(15, 16, 17))

    plane = cut(volume, section)

    valid = plane.valid
    assert valid.any()
    index = volume.index(plane.hkl()[valid])
    within = np.all((index >= -1e-6) & (index <= np.array(volume.shape) - 1 + 1e-6), axis=1)
    np.testing.assert_allclose(
        plane.intensity[valid][within], linear(plane.hkl()[valid][within])
    )
    # Along each direction the grid steps from voxel to voxel.
    fastest = np.abs(np.linalg.solve(volume.steps, plane.steps)).max(axis=0)
    np.testing.assert_allclose(fastest, 1)
