from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sro_planes import CUBIC, HEXAGONAL, TRICLINIC, factorized, make_plane, sro_at

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.refine import UnitCellMap, project

ALPHA = {(1, 0, 0): -0.2, (0, 1, 0): 0.15, (1, 1, 0): 0.1, (2, -1, 0): -0.05}


def brute_force(plane, values, weights, bins):
    """Sums over bins by looping over pixels, from hkl alone."""
    sums = np.zeros((3, *bins))
    lattice = plane.lattice
    u = (plane.hkl() - lattice.offset) @ np.linalg.pinv(lattice.directions).T
    for place, value, weight in zip(
        u.reshape(-1, 2), values.ravel(), weights.ravel(), strict=True
    ):
        i, j = np.floor((place % 1) * bins).astype(int) % bins
        sums[:, i, j] += (1, weight, weight * value)
    return sums


@pytest.mark.parametrize("section", ["hk1", "h0l", "hhl", "2kl"])
def test_bins_hold_the_weighted_means_of_their_pixels(section, rng):
    plane = make_plane(section, TRICLINIC, shape=(41, 57), skew=0.3)
    values, variance = rng.normal(size=(2, *plane.shape))
    result = factorized(plane, values, rng=rng)
    ratio = result.plane.intensity / result.form_factor
    weights = result.weights * result.form_factor**2
    cell = project(result, threshold=0, bins=(9, 12))
    count, weight, total = brute_force(plane, ratio, weights, (9, 12))
    assert np.array_equal(cell.count, count)
    assert np.allclose(cell.weight, weight)
    assert np.allclose(cell.values, total / weight)
    assert cell.source == "ratio"


def test_periodic_data_with_one_pixel_a_bin_comes_back_as_it_was():
    steps = np.array([[1 / 24, 0], [0, 1 / 32], [0, 0]])
    origin = np.array([-2 + 0.5 / 24, 3 + 0.5 / 32, 1.0])
    blank = np.ones((72, 96))
    plane = ReciprocalPlane(blank, blank > 0, TRICLINIC, origin, steps)
    cell = project(factorized(plane, sro_at(plane.hkl(), ALPHA)), bins=(24, 32))
    assert np.array_equal(cell.count, np.full((24, 32), 9))
    assert np.allclose(cell.values, sro_at(cell.hkl(), ALPHA), atol=1e-13)
    assert np.allclose(cell.coordinates, cell.centres(), atol=1e-12)
    assert np.abs(cell.spread).max() < 1e-20
    assert cell.variance.max() < 1e-25
    assert cell.mean() == pytest.approx(1)


def test_masked_pixels_and_outliers_never_count(rng):
    plane = make_plane("hk1", TRICLINIC)
    result = factorized(plane, sro_at(plane.hkl(), ALPHA), rng=rng)
    valid = rng.random(plane.shape) < 0.7
    weights = result.weights * (rng.random(plane.shape) < 0.9)
    poison = np.where(valid & (weights > 0), result.plane.intensity, 1e12)
    poison[~valid] = np.nan
    noisy = factorized(plane, result.sro, plane=plane.replace(intensity=poison, valid=valid),
                       weights=weights, form_factor=result.form_factor)  # fmt: skip
    cell = project(noisy, threshold=0, bins=(8, 8))
    assert cell.count.sum() == (valid & (weights > 0)).sum()
    assert np.abs(cell.values).max() < 3


def test_pixels_below_the_threshold_are_left_out():
    plane = make_plane("hk1", TRICLINIC)
    result = factorized(plane, sro_at(plane.hkl(), ALPHA))
    valid = np.ones(plane.shape, bool)
    valid[:, :20] = False
    result = factorized(plane, result.sro, plane=result.plane.replace(valid=valid))
    form_factor = result.form_factor
    for threshold in (0, 0.05, 0.5):
        expected = valid & (form_factor >= threshold * form_factor[valid].max())
        cell = project(result, threshold=threshold)
        assert cell.count.sum() == expected.sum()
        assert cell.threshold == threshold


def test_the_background_is_taken_off_first():
    plane = make_plane("hk1", TRICLINIC)
    clean = factorized(plane, sro_at(plane.hkl(), ALPHA))
    background = 5 + 0.1 * plane.q_norm()
    lifted = clean.plane.replace(intensity=clean.plane.intensity + background)
    result = factorized(plane, clean.sro, plane=lifted, background=background)
    assert np.allclose(project(result).values, project(clean).values, equal_nan=True)


def test_a_network_is_judged_by_its_image():
    plane = make_plane("hk1", TRICLINIC)
    image = sro_at(plane.hkl(), ALPHA)
    result = factorized(plane, 2 * image, method="network", form_factor=np.ones(plane.shape))
    assert project(result).source == "sro"
    assert project(result).mean() == pytest.approx(2, abs=0.02)
    observed = project(result, source="ratio")
    assert observed.source == "ratio"
    assert observed.mean() != pytest.approx(2, abs=0.02)


def test_a_plane_folds_as_it_is():
    plane = make_plane("hk1", TRICLINIC)
    plane = plane.replace(intensity=sro_at(plane.hkl(), ALPHA))
    cell = project(plane)
    assert cell.source == "intensity"
    divided = project(factorized(plane, plane.intensity), threshold=0)
    assert np.allclose(cell.values, divided.values, equal_nan=True)


def test_exchanging_rows_and_columns_changes_nothing():
    plane = make_plane("hk1", TRICLINIC, skew=0.2)
    turned = plane.replace(
        intensity=plane.intensity.T, valid=plane.valid.T, steps=plane.steps[:, ::-1]
    )
    values = sro_at(plane.hkl(), ALPHA)
    first = project(plane.replace(intensity=values))
    second = project(turned.replace(intensity=values.T))
    assert np.allclose(first.values, second.values, equal_nan=True)
    assert np.array_equal(first.count, second.count)


def test_a_symmetric_map_has_its_symmetry():
    plane = make_plane("hk0", CUBIC, shape=(70, 81), skew=0.1)
    rng = np.random.default_rng(1)
    cell = project(
        plane.replace(intensity=rng.normal(size=plane.shape)), laue_class="m-3m", bins=(12, 12)
    )
    assert cell.laue_class == "m-3m"
    for other in (cell.values.T, cell.values[::-1], cell.values[:, ::-1]):
        assert np.allclose(cell.values, other)
    # On the diagonal a pixel meets its own mirror image: counted once.
    assert cell.count.sum() < 8 * plane.valid.sum()
    assert cell.independent == pytest.approx(144 / 8, rel=0.35)
    assert cell.weight.sum() == pytest.approx(plane.valid.sum())


def test_the_planes_own_laue_class_is_the_default():
    plane = make_plane("hk1", HEXAGONAL).replace(laue_class="6/m")
    assert project(plane).laue_class == "6/m"
    assert project(plane, laue_class="-3").laue_class == "-3"
    assert project(make_plane("hk1", HEXAGONAL)).laue_class is None


@pytest.mark.parametrize("laue_class", [None, "6/m"])
def test_variances_are_those_of_the_means(laue_class, rng):
    plane = make_plane("hk1", HEXAGONAL, reach=4.2, shape=(120, 120))
    alpha = {(1, 0, 0): -0.15, (2, 1, 0): 0.05}
    truth = sro_at(plane.hkl(), alpha, "6/m")
    exact = project(factorized(plane, truth, weights=np.ones(plane.shape)), bins=(12, 12))
    pulls, scatters = [], []
    for _ in range(30):
        result = factorized(plane, truth, rng=rng, sigma=0.5)
        noiseless = factorized(plane, truth, weights=result.weights)
        cell = project(result, laue_class=laue_class, bins=(12, 12))
        exact = project(noiseless, laue_class=laue_class, bins=(12, 12))
        pulls.append((cell.values - exact.values) / np.sqrt(cell.variance))
        scatters.append(cell.scatter)
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    # Curvature within these wide bins adds a little to the scatter.
    assert np.mean(scatters) == pytest.approx(1, abs=0.03)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-0.4, 0.4), st.floats(2.2, 5), st.sampled_from(["hk1", "h0.5l", "hhl", "1kl"]),
    st.sampled_from([(8, 8), (13, 21), (48, 48)]),
)  # fmt: skip
def test_no_sample_is_lost_or_doubled(skew, reach, section, bins):
    plane = make_plane(section, TRICLINIC, shape=(31, 37), reach=reach, skew=skew)
    cell = project(plane.replace(intensity=plane.q_norm()), bins=bins)
    assert cell.count.sum() == plane.valid.sum()
    filled = cell.count > 0
    assert np.array_equal(np.isfinite(cell.values), filled)
    away = (cell.coordinates - cell.centres())[filled] * bins
    assert np.abs(away).max() <= 0.5 + 1e-9
    assert np.all(np.linalg.eigvalsh(cell.spread[filled]) > -1e-15)
    total = np.nansum(cell.values * cell.weight)
    assert total == pytest.approx(plane.q_norm().sum())


def test_bin_centres_lie_on_the_plane():
    plane = make_plane("h, h+1, l", TRICLINIC)
    cell = project(plane)
    normal = np.cross(*cell.lattice.directions.T)
    assert np.allclose(cell.hkl() @ normal, cell.lattice.offset @ normal)
    i, j = 5, 7
    pixel = plane.pixel(cell.hkl()[i, j])
    assert np.allclose(plane.hkl(*pixel), cell.hkl()[i, j])
    u = np.linalg.inv(cell.lattice.basis) @ (pixel - cell.lattice.origin)
    assert np.allclose(u, cell.centres()[i, j])
    assert cell.q().shape == (48, 48, 3)


def test_maps_survive_json_exactly(rng):
    plane = make_plane("hk1", TRICLINIC, shape=(20, 20))
    for cell in (
        project(factorized(plane, sro_at(plane.hkl(), ALPHA), rng=rng), bins=(24, 30)),
        UnitCellMap.from_values(rng.normal(size=(5, 6)), plane.lattice),
    ):
        back = UnitCellMap.from_dict(json.loads(json.dumps(cell.to_dict(), allow_nan=False)))
        for name in ("values", "weight", "coordinates", "spread", "variance", "count"):
            assert np.array_equal(
                getattr(back, name), getattr(cell, name), equal_nan=name != "count"
            )
        assert np.array_equal(back.scatter, cell.scatter, equal_nan=True)
        assert np.array_equal(back.lattice.basis, cell.lattice.basis)
        assert (back.cell is None) == (cell.cell is None)
        assert back.independent == cell.independent


def test_maps_of_others_are_taken_by_their_centres(rng):
    lattice = make_plane("hk1", TRICLINIC).lattice
    values = rng.normal(size=(6, 8))
    values[2, 3] = np.nan
    cell = UnitCellMap.from_values(values, lattice, variance=np.full((6, 8), 0.25))
    assert cell.count.sum() == 47
    assert cell.weight[0, 0] == 4
    assert cell.weight[2, 3] == 0
    with pytest.raises(GeometryError, match="variance"):
        UnitCellMap.from_values(values, lattice, variance=np.zeros((6, 8)))
    with pytest.raises(GeometryError, match="two axes"):
        UnitCellMap.from_values(np.zeros(5), lattice)
    with pytest.raises(GeometryError, match="no unit cell"):
        cell.q()


def test_what_is_wrong_is_named():
    plane = make_plane("hk1", TRICLINIC, shape=(20, 20))
    result = factorized(plane, np.ones(plane.shape))
    with pytest.raises(ParameterError, match="threshold=1.5"):
        project(result, threshold=1.5)
    with pytest.raises(ParameterError, match="bins="):
        project(result, bins=(2, 48))
    with pytest.raises(ParameterError, match="source="):
        project(result, source="image")
    with pytest.raises(ParameterError, match="no pixel"):
        project(factorized(plane, result.sro, plane=plane.masked(np.zeros(plane.shape, bool))))
    with pytest.raises(GeometryError, match="'6/m'"):
        project(result, laue_class="6/m")
    with pytest.raises(ParameterError, match="target is a ndarray"):
        project(np.ones((4, 4)))
    bare = ReciprocalPlane(np.ones((9, 9)), np.ones((9, 9), bool), name="photograph")
    with pytest.raises(GeometryError, match="'photograph' has no lattice"):
        project(factorized(plane, result.sro, plane=bare, lattice=None))
