"""The lattice-constrained factorizer against planes whose factors are known."""

import threading

import gemmi
import numpy as np
import pytest
from factorization_planes import TRICLINIC, known_plane

from dsfunet_core import factorize
from dsfunet_core.errors import CancelledError, GeometryError, ParameterError
from dsfunet_core.metrics import mean_squared_error
from dsfunet_core.plane import ReciprocalPlane

SUPPORT = 5.0


def gaps(shape, seed=0):
    """Two stripes, a beam stop and random 3 × 3 holes: about a quarter of the plane."""
    rng = np.random.default_rng(seed)
    row, column = np.indices(shape)
    valid = np.hypot(row - shape[0] / 2, column - shape[1] / 2) > 6
    valid &= (np.abs(row - 0.6 * column - 20) > 3) & (np.abs(column - 35) > 4)
    for r, c in rng.integers(0, min(shape) - 3, size=(60, 2)):
        valid[r : r + 3, c : c + 3] = False
    return valid


@pytest.mark.parametrize(
    ("origin_hkl", "directions"),
    [
        ((0, 0, 1), ((1, 0, 0), (0, 1, 0))),
        ((0, 0, 0.5), ((1, 0, 0), (0, 1, 0))),
        ((0, 0, 0.3), ((1, 0, 0), (0, 1, 0))),
        ((0, 0, 0), ((1, 1, 0), (0, 0, 1))),
        ((0, 2, 0), ((0, 0, 1), (1, 0, 0))),
    ],
    ids=["hk1", "hk half", "hk0.3 (complex C)", "hhl", "h2l with rows along l"],
)
def test_both_factors_come_back_on_a_triclinic_plane_with_dead_zones(origin_hkl, directions):
    known = known_plane(origin_hkl=origin_hkl, directions=directions)
    plane = known.plane.replace(valid=gaps(known.plane.shape))
    result = factorize(plane, support=SUPPORT)
    truth = known.true_values(result.coefficients.indices)
    assert np.abs(result.coefficients.values - truth).max() < 6e-3
    assert mean_squared_error(result.sro, known.sro) < 3e-4
    assert mean_squared_error(result.form_factor, known.form_factor, plane.valid) < 1e-3
    assert result.r_factor < 0.01
    if origin_hkl == (0, 0, 0.3):
        # A level that is neither integer nor half-integer has complex coefficients.
        assert np.abs(truth.imag).max() > 0.02


def test_values_under_the_mask_change_nothing():
    known = known_plane()
    valid = gaps(known.plane.shape)
    results = []
    for garbage in (0.0, 1e9, np.nan):
        intensity = np.where(valid, known.plane.intensity, garbage)
        plane = known.plane.replace(intensity=intensity, valid=valid)
        results.append(factorize(plane, support=SUPPORT))
    for other in results[1:]:
        np.testing.assert_array_equal(other.sro, results[0].sro)
        np.testing.assert_array_equal(other.form_factor, results[0].form_factor)


def test_scaling_the_data_scales_the_form_factor_alone():
    known = known_plane()
    plane = known.plane.replace(valid=gaps(known.plane.shape))
    one = factorize(plane, support=SUPPORT)
    many = factorize(plane.replace(intensity=plane.intensity * 3e7), support=SUPPORT)
    np.testing.assert_allclose(many.sro, one.sro, atol=1e-6)
    np.testing.assert_allclose(many.form_factor, one.form_factor * 3e7, rtol=1e-4, atol=1e-4)


def test_exchanging_rows_and_columns_exchanges_the_indices():
    known = known_plane()
    plane = known.plane.replace(valid=gaps(known.plane.shape))
    turned = ReciprocalPlane(
        plane.intensity.T, plane.valid.T, plane.cell, plane.origin, plane.steps[:, ::-1]
    )
    a, b = factorize(plane, support=SUPPORT), factorize(turned, support=SUPPORT)
    np.testing.assert_allclose(b.sro.T, a.sro, atol=1e-4)
    np.testing.assert_allclose(b.coefficients.values, a.coefficients.values, atol=1e-4)


def test_friedel_fills_one_half_from_the_other():
    known = known_plane(origin_hkl=(0, 0, 0))
    valid = np.ones(known.plane.shape, bool)
    valid[:45] = False
    result = factorize(known.plane.replace(valid=valid), support=SUPPORT)
    assert result.choices["inversion_centre"]
    centre = known.plane.shape[0] // 2
    np.testing.assert_allclose(
        result.form_factor[centre - 50 : centre + 51, centre - 50 : centre + 51],
        result.form_factor[centre - 50 : centre + 51, centre - 50 : centre + 51][::-1, ::-1],
        rtol=1e-6, atol=1e-9 * result.form_factor.max(),
    )  # fmt: skip
    assert mean_squared_error(result.form_factor[:45], known.form_factor[:45]) < 1e-3


def test_no_inversion_centre_is_claimed_where_there_is_none():
    known = known_plane(origin_hkl=(0, 0, 1))
    difference = known.plane.intensity - known.plane.intensity[::-1, ::-1]
    assert np.abs(difference).max() > 0.1 * known.plane.intensity.max()
    result = factorize(known.plane, support=SUPPORT)
    assert not result.choices["inversion_centre"]


def test_cross_validation_finds_a_support_that_predicts():
    known = known_plane(n=111)
    plane = known.plane.replace(valid=gaps(known.plane.shape))
    result = factorize(plane, errors=False)
    scores = {float(k): v for k, v in result.choices["support_scores"].items()}
    chosen = result.choices["support_in_lattice_constants"]
    assert len(scores) >= 2
    # The best score is the chosen one's, up to the two per cent asked of a larger support.
    closest = min(scores, key=lambda k: abs(k - chosen))
    assert scores[closest] <= min(scores.values()) / 0.97
    assert mean_squared_error(result.sro, known.sro) < 1e-4


def test_counting_noise_errors_cover_the_truth():
    known = known_plane()
    valid = gaps(known.plane.shape)
    scale = 20 / known.plane.intensity[valid].mean()
    pulls, widths = [], []
    for seed in range(6):
        counts = np.random.default_rng(seed).poisson(known.plane.intensity * scale)
        result = factorize(
            known.with_intensity(counts.astype(float)).replace(valid=valid), support=SUPPORT
        )
        c = result.coefficients
        m = len(c.indices)
        error = (c.values - known.true_values(c.indices)).real
        pulls.append(error / c.sigma.real)
        widths.append(result.choices["misfit"])
        assert c.covariance.shape == (2 * m, 2 * m)
    # 6 × 60 pulls of unit variance: their mean square scatters by about 0.1.
    assert 0.7 < np.mean(np.square(pulls)) < 1.5
    # Counts have variance equal to their mean: the scale found must be one.
    assert np.mean(widths) == pytest.approx(1, abs=0.05)


def test_known_variances_and_merged_observations_mean_the_same():
    known = known_plane()
    valid = gaps(known.plane.shape)
    rng = np.random.default_rng(5)
    passes = rng.integers(1, 12, size=known.plane.shape).astype(float)
    scale = 10 / known.plane.intensity[valid].mean()
    mean = known.plane.intensity * scale
    intensity = rng.poisson(mean * passes) / passes
    base = known.with_intensity(intensity).replace(valid=valid)
    floor = 0.03 * mean[valid].mean()
    by_counts = factorize(base.replace(counts=passes), support=SUPPORT)
    by_variance = factorize(
        base.replace(variance=(mean + floor) / passes), support=SUPPORT, robust=False
    )
    assert by_variance.reduced_chi2 == pytest.approx(1, abs=0.1)
    difference = by_counts.coefficients.values - by_variance.coefficients.values
    sigma = by_variance.coefficients.sigma.real
    assert np.sqrt(np.mean((difference.real / sigma) ** 2)) < 0.7
    np.testing.assert_allclose(
        np.median(by_counts.coefficients.sigma.real / sigma), 1, atol=0.15
    )


def test_stray_spots_are_rejected():
    known = known_plane()
    valid = gaps(known.plane.shape)
    scale = 50 / known.plane.intensity[valid].mean()
    rng = np.random.default_rng(2)
    counts = rng.poisson(known.plane.intensity * scale).astype(float)
    spots = rng.choice(np.flatnonzero(valid), size=80, replace=False)
    counts.flat[spots] += 2000
    plane = known.with_intensity(counts).replace(valid=valid)
    errors = {}
    for robust in (True, False):
        result = factorize(plane, support=SUPPORT, robust=robust, errors=False)
        truth = known.true_values(result.coefficients.indices)
        errors[robust] = np.sqrt(np.mean(np.abs(result.coefficients.values - truth) ** 2))
        if robust:
            assert np.count_nonzero(result.weights.flat[spots]) == 0
    assert errors[True] < 0.25 * errors[False]


def test_smooth_background_is_told_from_the_form_factor():
    known = known_plane()
    valid = gaps(known.plane.shape)
    x = np.linspace(-1, 1, known.plane.shape[0])
    background = known.plane.intensity.mean() * (0.3 + 0.1 * x[:, None] - 0.1 * x**2)
    plane = known.with_intensity(known.plane.intensity + background).replace(valid=valid)
    errors = {}
    for term in (True, False):
        result = factorize(plane, support=SUPPORT, background=term, errors=False)
        truth = known.true_values(result.coefficients.indices)
        errors[term] = np.sqrt(np.mean(np.abs(result.coefficients.values - truth) ** 2))
    assert errors[True] < 0.1 * errors[False]
    assert errors[True] < 2e-3


def test_a_hole_in_every_cell_is_admitted_in_the_errors():
    known = known_plane()
    uv = (known.plane.hkl() @ np.eye(3)[:, :2]) % 1
    distance = np.hypot(*(np.minimum(uv, 1 - uv)).transpose(2, 0, 1))
    scale = 20 / known.plane.intensity.mean()
    counts = np.random.default_rng(0).poisson(known.plane.intensity * scale).astype(float)
    whole = factorize(known.with_intensity(counts), support=SUPPORT)
    punched = factorize(
        known.with_intensity(counts).replace(valid=distance > 0.25), support=SUPPORT
    )
    ratio = punched.coefficients.sigma.real / whole.coefficients.sigma.real
    assert np.median(ratio) > 3
    error = punched.coefficients.values - known.true_values(punched.coefficients.indices)
    assert np.abs(error.real / punched.coefficients.sigma.real).max() < 5


def test_progress_and_cancel():
    known = known_plane(n=97)
    steps = []
    stop = threading.Event()

    def callback(step, total, message):
        steps.append((step, total, message))
        if len(steps) > 3:
            stop.set()

    with pytest.raises(CancelledError):
        factorize(known.plane, callback=callback, cancel=stop)
    assert all(0 <= step <= total for step, total, _ in steps)
    assert steps == sorted(steps, key=lambda s: s[0])


def test_ten_pixels_a_cell_are_enough_for_order_five():
    # (5, v) and (−5, v) are the same at every pixel: only their sum is seen.
    known = known_plane(step=0.1)
    result = factorize(known.plane, support=SUPPORT)
    assert mean_squared_error(result.sro, known.sro) < 1e-4
    coefficients = result.coefficients
    found = {
        tuple(u): c for u, c in zip(coefficients.indices, coefficients.values, strict=True)
    }
    inside = [u for u in found if max(map(abs, u)) < 5]
    np.testing.assert_allclose(
        [found[u] for u in inside], [known.coefficients.get(u, 0) for u in inside], atol=0.005
    )
    for v in range(-4, 5):
        both = known.coefficients.get((5, v), 0) + known.coefficients.get((-5, v), 0)
        twice = found[5, v] + np.conj(found[5, -v])
        assert abs(twice - both) < 0.01


def test_a_batch_gives_what_its_planes_give_alone():
    from dsfunet_core.factorization.lattice import factorize_arrays
    from dsfunet_core.factorization.plane_data import PlaneData

    rng = np.random.default_rng(0)
    data = []
    for seed in (1, 2):
        known = known_plane(n=97, seed=seed, cell=gemmi.UnitCell(8, 8, 8, 90, 90, 90))
        lattice = known.plane.lattice
        data.append(
            PlaneData(
                known.plane.intensity * rng.uniform(0.5, 2),
                gaps(known.plane.shape, seed),
                lattice.basis,
                lattice.origin,
                inversion=False,
            )
        )
    together = factorize_arrays(data, support=0.09, errors=False)
    for one, joint in zip(data, together, strict=True):
        alone = factorize_arrays([one], support=0.09, errors=False)[0]
        np.testing.assert_allclose(joint.values, alone.values, atol=2e-4)
        assert mean_squared_error(joint.form_factor, alone.form_factor) < 1e-5


class TestErrors:
    """Bad input is refused with words that help."""

    def test_image_without_lattice(self):
        plane = ReciprocalPlane(np.ones((64, 64)), np.ones((64, 64), bool))
        with pytest.raises(GeometryError, match="no unit cell"):
            factorize(plane)

    def test_too_few_pixels(self):
        known = known_plane()
        valid = np.zeros(known.plane.shape, bool)
        valid[:10, :10] = True
        with pytest.raises(ParameterError, match="valid pixels"):
            factorize(known.plane.replace(valid=valid))

    def test_grid_that_cannot_tell_the_highest_terms_apart(self):
        # Eight pixels a cell: cos 5θ and cos 3θ are the same at every pixel.
        known = known_plane(step=1 / 8)
        with pytest.raises(ParameterError, match="order = 4"):
            factorize(known.plane, order=5)
        result = factorize(known.plane, support=SUPPORT, errors=False)
        assert result.r_factor < 0.2
        assert result.choices["order"] == 4

    def test_highest_terms_may_coincide_with_the_next(self):
        # Nine pixels a cell: cos 5θ and cos 4θ are the same at every pixel, their sum is known.
        known = known_plane(step=1 / 9)
        result = factorize(known.plane, support=SUPPORT)
        assert np.abs(result.sro - known.sro).max() < 0.01
        index = [tuple(u) for u in result.coefficients.indices.tolist()]
        sigma = np.sqrt(np.diag(result.coefficients.covariance))
        assert sigma[index.index((5, 0))] > 3 * sigma[index.index((3, 0))]

    def test_a_support_with_too_many_unknowns(self):
        with pytest.raises(ParameterError, match=r"at most 15,000 .* reach \d+\.\d Å"):
            factorize(known_plane().plane, support=150.0)

    def test_cells_too_small_for_the_pixels(self):
        known = known_plane(step=0.4)
        with pytest.raises(GeometryError, match="pixels wide"):
            factorize(known.plane)

    def test_nothing_but_background_subtracted_away(self):
        known = known_plane()
        with pytest.raises(ParameterError, match="no positive intensity"):
            factorize(known.with_intensity(-known.plane.intensity))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("order", 0),
            ("order", 2.5),
            ("support", -1),
            ("support", "large"),
            ("method", "x"),
            ("device", "abacus"),
        ],
    )
    def test_parameters(self, name, value):
        with pytest.raises(ParameterError, match=name):
            factorize(known_plane(n=33).plane, **{name: value})

    def test_irrational_plane(self):
        steps = 0.1 * np.array([[1, 0], [np.sqrt(2), 0], [0, 1]])
        plane = ReciprocalPlane(
            np.ones((64, 64)), np.ones((64, 64), bool), TRICLINIC, np.zeros(3), steps
        )
        with pytest.raises(GeometryError, match="irrational"):
            factorize(plane)


def test_an_intense_maximum_beside_a_gap_is_fitted_and_remnants_are_not():
    # The first form factor is far too small there: the maximum would be thrown out as a
    # remnant of a Bragg peak, and never be fitted.
    known = known_plane(step=0.085)
    n = known.plane.shape[0] // 2
    rows, columns = np.indices(known.plane.shape) - n
    form_factor = 1 + 0.3 * np.cos(rows / 14) * np.cos(columns / 11)
    form_factor += 60 * np.exp(-((rows - 3) ** 2 + columns**2) / 81)
    valid = known.plane.valid.copy()
    valid[n - 6 : n + 6, : n + 4] = False
    valid[:, n - 3 : n + 3] = False
    plane = known.plane.replace(intensity=form_factor * known.sro, valid=valid)
    result = factorize(plane, "lattice", errors=False)
    assert result.choices["outliers"] == 0
    assert mean_squared_error(result.form_factor, form_factor, valid) < 1e-6

    intensity = plane.intensity.copy()
    spots = np.random.default_rng(2).choice(np.flatnonzero(valid), 60, replace=False)
    intensity.ravel()[spots] *= 6
    result = factorize(plane.replace(intensity=intensity), "lattice", errors=False)
    assert 60 <= result.choices["outliers"] < 90
    assert not result.weights.ravel()[spots].any()
    assert mean_squared_error(result.form_factor, form_factor, valid) < 1e-4
