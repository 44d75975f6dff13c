from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest
from sro_planes import CUBIC, HEXAGONAL, TRICLINIC, factorized, make_plane, sro_at

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import SroCoefficients
from dsfunet_core.plane_symmetry import column_vectors
from dsfunet_core.refine import UnitCellMap, project, refine_sro
from dsfunet_core.refine.design import coefficient_matrix
from dsfunet_core.simulate.tris_amide import YELL_ALPHA
from dsfunet_core.symmetry import orbits, shell_vectors

TRUTH = np.array(list(YELL_ALPHA.values()))


def random_alpha(found, rng, size=0.1):
    """Parameters that fall off with the number of the shell."""
    return {
        o.representative: rng.uniform(-size, size) / np.abs(o.representative).max()
        for o in found
    }


def coefficients_of(plane, alpha, laue_class, order=5, covariance=None, rng=None):
    """C_u by Fourier transform of eq. (3) on a fine grid of one cell, scaled to C_00 = 1."""
    n = 64
    lattice = plane.lattice
    u = np.moveaxis(np.indices((n, n)), 0, -1) / n
    sro = sro_at(lattice.offset + u @ lattice.directions.T, alpha, laue_class)
    transform = np.fft.fft2(sro) / n**2
    indices = [
        (i, j) for i, j in itertools.product(range(-order, order + 1), repeat=2)
        if i > 0 or (i == 0 and j > 0)
    ]  # fmt: skip
    values = np.array([transform[i, j] for i, j in indices]) / transform[0, 0].real
    if covariance is not None and rng is not None:
        m = len(indices)
        noise = np.linalg.cholesky(covariance) @ rng.normal(size=2 * m)
        values = values + noise[:m] + 1j * noise[m:]
    return SroCoefficients(np.array(indices), values, covariance)


def random_covariance(size, rng, sigma=0.002):
    """Covariance with correlations between neighbours, as a mask makes them."""
    mixing = np.eye(size) + 0.15 * rng.normal(size=(size, size))
    sigmas = sigma * rng.uniform(0.5, 2, size)
    return sigmas[:, None] * (mixing @ mixing.T) * sigmas


def test_table_2_comes_back_from_the_paper_s_plane():
    plane = make_plane("hk1", HEXAGONAL, shape=(256, 256), reach=8.3, skew=0.5)
    result = factorized(plane, sro_at(plane.hkl(), YELL_ALPHA, "6/m"))
    fit = refine_sro(result, laue_class="6/m")
    assert fit.basis == "map"
    assert [o.representative for o in fit.orbits] == list(YELL_ALPHA)
    assert np.abs(fit.alpha - TRUTH).max() < 1e-5
    assert fit.scale == pytest.approx(1, abs=1e-5)
    assert fit[-2, 1, 0] == fit[3, 2, 0]
    assert fit.normal == (0, 0, 1)
    assert fit.r_factor < 1e-4


CASES = [
    ("hk1", TRICLINIC, "-1"), ("h0l", TRICLINIC, "-1"), ("2kl", TRICLINIC, "-1"),
    ("hk0.5", TRICLINIC, "-1"), ("h1/2l", TRICLINIC, "-1"), ("hhl", TRICLINIC, "-1"),
    ("h, -h, l", TRICLINIC, "-1"), ("hk0.25", TRICLINIC, "-1"), ("hk1", HEXAGONAL, "-3"),
    ("h1l", gemmi.UnitCell(5, 6, 7, 90, 103, 90), "2/m"), ("hk0.5", CUBIC, "m-3m"),
    ("hhl", CUBIC, "4/mmm"), ("h, h+1, l", CUBIC, "4/mmm"), ("h, h+1/2, l", CUBIC, "mmm"),
]  # fmt: skip


@pytest.mark.parametrize("symmetrised", [False, True])
@pytest.mark.parametrize(("section", "cell", "laue_class"), CASES)
def test_known_parameters_come_back(section, cell, laue_class, symmetrised, rng):
    plane = make_plane(section, cell, shape=(150, 170), reach=3.7, skew=0.2)
    found = column_vectors(3, laue_class, plane.lattice, cell)
    alpha = random_alpha(found, rng)
    # Summed over the orbits as they are listed: columns need not have the full symmetry.
    listed = {tuple(v): alpha[o.representative] / 2 for o in found for v in o.members.tolist()}
    result = factorized(plane, sro_at(plane.hkl(), listed))
    target = project(result, laue_class=laue_class if symmetrised else None)
    fit = refine_sro(target, laue_class=laue_class, shells=3)
    assert np.abs(fit.alpha - list(alpha.values())).max() < 1e-4
    assert fit.scale == pytest.approx(1, abs=1e-4)
    assert fit.normal is not None
    assert np.all(fit.normal @ plane.lattice.directions == 0)
    assert [x for x in fit.normal if x][-1] > 0


def test_the_width_of_the_bins_does_not_shorten_long_vectors():
    plane = make_plane("hk1", TRICLINIC, shape=(301, 287), reach=6.1, skew=0.3)
    alpha = {(5, 0, 0): 0.3, (5, 5, 0): -0.2, (1, 0, 0): 0.1}
    result = factorized(plane, sro_at(plane.hkl(), alpha))
    fit = refine_sro(result)
    assert all(abs(fit[v] - a) < 1e-4 for v, a in alpha.items())
    # By the centres of the bins, α_550 would come out almost 4 % short.
    centred = UnitCellMap.from_values(fit.observed.values, plane.lattice, cell=plane.cell)
    assert abs(refine_sro(centred)[5, 5, 0] + 0.2) > 5e-3


def test_permuting_the_axes_permutes_the_parameters(rng):
    a, b, c, al, be, ga = TRICLINIC.parameters
    permuted = gemmi.UnitCell(c, a, b, ga, al, be)
    plane = make_plane("hk1", TRICLINIC, shape=(100, 120), skew=0.2)
    alpha = random_alpha(column_vectors(2, "-1", plane.lattice), rng)
    sro = sro_at(plane.hkl(), alpha)
    turned = plane.replace(
        cell=permuted, origin=plane.origin[[2, 0, 1]], steps=plane.steps[[2, 0, 1]]
    )
    first = refine_sro(factorized(plane, sro), shells=2)
    second = refine_sro(factorized(turned, sro), shells=2)
    for orbit, value in zip(first.orbits, first.alpha, strict=True):
        u, v, w = orbit.representative
        assert second[w, u, v] == pytest.approx(value, abs=1e-9)
        assert orbit.length == pytest.approx(
            next(o.length for o in second.orbits if [w, u, v] in o.members.tolist())
        )


@pytest.mark.parametrize("symmetrised", [False, True])
def test_uncertainties_are_those_of_the_scatter(symmetrised, rng):
    plane = make_plane("hk1", HEXAGONAL, shape=(96, 96), reach=3.3, skew=0.5)
    valid = rng.random(plane.shape) < 0.8
    valid[40:48] = False
    plane = plane.masked(valid)
    truth = sro_at(plane.hkl(), YELL_ALPHA, "6/m")
    pulls, reduced = [], []
    for _ in range(40):
        result = factorized(plane, truth, rng=rng, sigma=1.0)
        cell = project(result, laue_class="6/m" if symmetrised else None, bins=(40, 40))
        fit = refine_sro(cell, laue_class="6/m")
        pulls.append([*(fit.alpha - TRUTH) / fit.sigma, (fit.scale - 1) / fit.scale_sigma])
        reduced.append(fit.reduced_chi2)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.1)
    assert np.mean(reduced) == pytest.approx(1, abs=0.05)


def test_symmetrising_the_map_or_the_model_comes_to_the_same(rng):
    plane = make_plane("hk1", HEXAGONAL, shape=(150, 150), reach=6.3, skew=0.5)
    result = factorized(plane, sro_at(plane.hkl(), YELL_ALPHA, "6/m"), rng=rng, sigma=0.3)
    model = refine_sro(project(result), laue_class="6/m")
    both = refine_sro(project(result, laue_class="6/m"))
    assert both.laue_class == "6/m"
    assert np.abs(model.alpha - both.alpha).max() < 0.3 * model.sigma.min()
    assert np.allclose(model.sigma, both.sigma, rtol=0.05)


def test_the_scale_is_refined_unless_told_otherwise():
    plane = make_plane("hk1", TRICLINIC, shape=(120, 120))
    alpha = {(1, 0, 0): -0.2, (0, 1, 0): 0.1}
    sro = sro_at(plane.hkl(), alpha)
    fit = refine_sro(factorized(plane, 3.7 * sro), shells=1)
    assert fit.scale == pytest.approx(3.7, rel=1e-4)
    assert fit[1, 0, 0] == pytest.approx(-0.2, abs=1e-4)
    assert fit.scale_sigma > 0
    fixed = refine_sro(factorized(plane, sro), shells=1, scale=False)
    assert fixed.scale == 1
    assert fixed.scale_sigma == 0
    assert fixed[0, 1, 0] == pytest.approx(0.1, abs=1e-4)


def test_weights_are_heeded(rng):
    plane = make_plane("hk1", TRICLINIC, shape=(60, 60))
    sro = sro_at(plane.hkl(), {(1, 0, 0): 0.2})
    result = factorized(plane, sro, weights=np.ones(plane.shape))
    spoiled = result.plane.intensity.copy()
    spoiled[:, 30:] += 20
    weights = np.ones(plane.shape)
    weights[:, 30:] = 1e-12
    fit = refine_sro(
        factorized(plane, sro, plane=plane.replace(intensity=spoiled), weights=weights),
        shells=1,
    )
    assert fit[1, 0, 0] == pytest.approx(0.2, abs=1e-4)


def test_coefficients_are_fitted_with_their_full_covariance(rng):
    plane = make_plane("hk1", HEXAGONAL, shape=(64, 64), skew=0.5)
    image = sro_at(plane.hkl(), YELL_ALPHA, "6/m")
    covariance = random_covariance(120, rng)
    pulls, chi2 = [], []
    for _ in range(40):
        found = coefficients_of(plane, YELL_ALPHA, "6/m", covariance=covariance, rng=rng)
        fit = refine_sro(factorized(plane, image, coefficients=found), laue_class="6/m")
        pulls.append((fit.alpha - TRUTH) / fit.sigma)
        chi2.append(fit.chi2)
    assert fit.basis == "coefficients"
    assert fit.dof == 120 - 15
    assert fit.scale == 1
    assert np.std(pulls) == pytest.approx(1, abs=0.08)
    assert np.mean(chi2) == pytest.approx(105, abs=6)
    assert np.std(chi2) == pytest.approx(np.sqrt(210), rel=0.35)
    # The textbook formula, with the design written out.
    classes, matrix = coefficient_matrix(list(fit.orbits), plane.lattice)
    rows = {tuple(u): row for u, row in zip(classes.tolist(), matrix, strict=True)}
    design = np.array([rows.get(tuple(u), 0 * matrix[0])[1:] for u in found.indices.tolist()])
    a = np.concatenate([design.real, design.imag])
    w = np.linalg.inv(covariance)
    c = np.concatenate([found.values.real, found.values.imag])
    assert np.allclose(fit.alpha, np.linalg.solve(a.T @ w @ a, a.T @ w @ c), atol=1e-9)
    assert np.allclose(fit.covariance, np.linalg.inv(a.T @ w @ a), rtol=1e-6)


def test_chi_squared_tells_a_wrong_laue_class_and_missing_shells(rng):
    plane = make_plane("hk1", HEXAGONAL, shape=(64, 64), skew=0.5)
    image = sro_at(plane.hkl(), YELL_ALPHA, "6/m")
    covariance = random_covariance(120, rng, sigma=0.0005)
    found = coefficients_of(plane, YELL_ALPHA, "6/m", covariance=covariance, rng=rng)
    result = factorized(plane, image, coefficients=found)
    right = refine_sro(result, laue_class="6/m")
    assert right.reduced_chi2 < 1.4
    assert right.inflation < 1.2
    assert refine_sro(result, laue_class="6/mmm").reduced_chi2 > 3
    assert refine_sro(result, laue_class="6/m", shells=3).reduced_chi2 > 3
    assert refine_sro(result, laue_class="-1").reduced_chi2 < 1.6


def test_combinations_that_were_not_measured_do_not_count(rng):
    """A solver that imposes a centre leaves the imaginary parts without variance."""
    plane = make_plane("hk0", HEXAGONAL, shape=(64, 64), skew=0.5)
    covariance = np.zeros((120, 120))
    covariance[:60, :60] = random_covariance(60, rng)
    found = coefficients_of(plane, YELL_ALPHA, "6/m")
    found = SroCoefficients(found.indices, found.values, covariance)
    image = sro_at(plane.hkl(), YELL_ALPHA, "6/m")
    fit = refine_sro(factorized(plane, image, coefficients=found), laue_class="6/m")
    assert fit.dof == 60 - 15
    assert np.abs(fit.alpha - TRUTH).max() < 1e-9


def test_coefficients_without_covariance_count_alike():
    plane = make_plane("hk1", HEXAGONAL, shape=(64, 64), skew=0.5)
    found = coefficients_of(plane, YELL_ALPHA, "6/m")
    values = found.values.copy()
    values[3] += 0.01
    image = sro_at(plane.hkl(), YELL_ALPHA, "6/m")
    found = SroCoefficients(found.indices, values)
    fit = refine_sro(factorized(plane, image, coefficients=found), laue_class="6/m")
    assert np.isnan(fit.chi2)
    assert np.isnan(fit.reduced_chi2)
    assert fit.inflation == 1
    assert 0 < fit.sigma.max() < 0.001
    assert "no variances known" in fit.table()


@pytest.mark.parametrize("section", ["hhl", "h, h+1, l", "h, h+0.5, l", "h, k, h+k"])
@pytest.mark.parametrize("route", ["map", "coefficients"])
def test_disorder_in_three_dimensions_from_one_plane_of_a_cubic_crystal(section, route, rng):
    """With (0,0,1) equivalent to (1,0,0), what the plane adds up can be told apart."""
    plane = make_plane(section, CUBIC, shape=(150, 150), reach=4.2, skew=0.2)
    alpha = {
        o.representative: rng.uniform(-0.08, 0.08)
        for o in orbits([(1, 0, 0), (1, 1, 0)], "m-3m")
    }
    sro = sro_at(plane.hkl(), alpha, "m-3m")
    found = None
    if route == "coefficients":
        covariance = random_covariance(120, rng, sigma=1e-9)
        found = coefficients_of(plane, alpha, "m-3m", covariance=covariance)
    result = factorized(plane, sro, coefficients=found)
    fit = refine_sro(result, laue_class="m-3m", shells=1, in_plane_only=False)
    assert fit.normal is None
    assert fit.basis == route
    assert [o.multiplicity for o in fit.orbits] == [6, 12, 8]
    for v, a in alpha.items():
        assert fit[v] == pytest.approx(a, abs=1e-4)
    assert fit[1, 1, 1] == pytest.approx(0, abs=1e-4)
    if route == "coefficients":
        # k·(1 + what other orbits add to C_00) = 1.
        column = coefficient_matrix(list(fit.orbits), plane.lattice)[1][0].real
        assert fit.scale * (column @ np.append(1, fit.alpha)) == pytest.approx(1)


def test_a_map_on_an_absolute_scale_tells_more(rng):
    """On hk0, (0,0,1) only adds to the mean, which a free scale takes away."""
    plane = make_plane("hk0", CUBIC, shape=(150, 150), reach=4.2)
    alpha = {(1, 0, 0): 0.05, (1, 1, 0): -0.04}
    cell = project(plane.replace(intensity=sro_at(plane.hkl(), alpha, "m-3m")))
    with pytest.raises(ParameterError, match="the scale"):
        refine_sro(cell, laue_class="m-3m", shells=1, in_plane_only=False)
    fit = refine_sro(cell, laue_class="m-3m", shells=1, in_plane_only=False, scale=False)
    assert fit.alpha == pytest.approx([0.05, -0.04, 0], abs=1e-4)


def test_pulls_in_three_dimensions(rng):
    plane = make_plane("hhl", CUBIC, shape=(60, 60))
    alpha = {(1, 0, 0): -0.1, (1, 1, 0): 0.05, (1, 1, 1): 0.02}
    image = sro_at(plane.hkl(), alpha, "m-3m")
    covariance = random_covariance(120, rng, sigma=0.003)
    pulls = []
    for _ in range(50):
        found = coefficients_of(plane, alpha, "m-3m", covariance=covariance, rng=rng)
        result = factorized(plane, image, coefficients=found)
        fit = refine_sro(result, laue_class="m-3m", shells=1, in_plane_only=False)
        pulls.append((fit.alpha - list(alpha.values())) / fit.sigma)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


def test_what_one_plane_cannot_tell_apart_is_named():
    plane = make_plane("hk1", TRICLINIC, shape=(60, 60))
    result = factorized(plane, np.ones(plane.shape))
    with pytest.raises(ParameterError, match=r"\(0,0,1\).*in_plane_only=True"):
        refine_sro(result, shells=1, in_plane_only=False)
    hexagonal = make_plane("hk0.5", HEXAGONAL, shape=(60, 60), skew=0.5)
    with pytest.raises(ParameterError, match=r"the scale, .*\(1,0,0\), \(1,0,1\)"):
        refine_sro(
            factorized(hexagonal, np.ones(hexagonal.shape)), laue_class="6/m", shells=1,
            in_plane_only=False,
        )  # fmt: skip


def test_separable_orbits_are_accepted_exactly_when_the_matrix_has_full_rank():
    for section, laue_class in itertools.product(["hk0", "hhl", "h, k, h+k"], ["m-3", "m-3m"]):
        plane = make_plane(section, CUBIC, shape=(80, 80))
        _, matrix = coefficient_matrix(shell_vectors(2, laue_class), plane.lattice)
        full = np.linalg.matrix_rank(np.concatenate([matrix.real, matrix.imag]))
        target = project(plane.replace(intensity=np.ones(plane.shape)))
        if full == matrix.shape[1]:
            refine_sro(target, laue_class=laue_class, shells=2, in_plane_only=False)
        else:
            with pytest.raises(ParameterError, match="cannot tell"):
                refine_sro(target, laue_class=laue_class, shells=2, in_plane_only=False)


@pytest.mark.parametrize("scale", [True, False])
def test_bounds_hold_and_are_flagged(scale, rng):
    plane = make_plane("hk1", TRICLINIC, shape=(120, 120))
    alpha = {(1, 0, 0): 1.3, (0, 1, 0): -0.2}
    result = factorized(plane, sro_at(plane.hkl(), alpha), rng=rng, sigma=0.1)
    free = refine_sro(result, shells=1, scale=scale)
    assert free[1, 0, 0] > 1.2
    assert not free.at_bound.any()
    fit = refine_sro(result, shells=1, bounds=True, scale=scale)
    assert fit[1, 0, 0] == 1
    assert fit.at_bound.sum() == 1
    assert fit.sigma[fit.at_bound] == 0
    assert np.all(fit.sigma[~fit.at_bound] > 0)
    assert fit.dof == free.dof + 1
    assert fit.chi2 > free.chi2
    assert "(at its bound)" in fit.table()
    # The minimum within the bounds: moving k or any free α does not lower χ².
    if scale:
        observed = fit.observed
        use = observed.count > 0
        slope = (
            observed.weight * (observed.values - fit.calculated.values) * fit.calculated.values
        )
        norm = (observed.weight * fit.calculated.values**2)[use].sum()
        assert abs(slope[use].sum()) < 1e-9 * norm


def test_bounds_that_do_not_bind_change_nothing(rng):
    plane = make_plane("hk1", TRICLINIC, shape=(80, 80))
    result = factorized(plane, sro_at(plane.hkl(), {(1, 0, 0): 0.3}), rng=rng)
    first, second = (refine_sro(result, shells=2, bounds=b) for b in (False, True))
    assert np.array_equal(first.alpha, second.alpha)
    assert np.array_equal(first.covariance, second.covariance)


def test_maps_of_one_cell_come_with_the_fit(rng):
    plane = make_plane("hk1", TRICLINIC, shape=(70, 70), reach=0.55)
    valid = np.ones(plane.shape, bool)
    valid[:20, :25] = False
    plane = plane.masked(valid)
    alpha = {(1, 0, 0): 0.3}
    cell = project(factorized(plane, sro_at(plane.hkl(), alpha), rng=rng))
    fit = refine_sro(cell, shells=1)
    empty = fit.observed.count == 0
    assert empty.any()
    assert np.isfinite(fit.calculated.values).all()
    assert np.array_equal(np.isnan(fit.difference.values), empty)
    expected = sro_at(fit.calculated.hkl(), alpha)
    assert np.abs(fit.calculated.values - expected)[empty].max() < 0.02
    assert 0 < fit.r_factor < 0.1


def test_a_cell_with_a_hole_is_refused_when_it_does_not_determine_the_fit():
    lattice = make_plane("hk1", TRICLINIC).lattice
    u = UnitCellMap.from_values(np.ones((40, 40)), lattice).centres()
    values = sro_at(lattice.offset + u @ lattice.directions.T, {(1, 0, 0): 0.2})
    values[:, 2:] = np.nan
    with pytest.raises(ParameterError, match="80 independent values for 121|never measured"):
        refine_sro(UnitCellMap.from_values(values, lattice))
    wide = UnitCellMap.from_values(np.where(np.isnan(values), np.nan, 1.0), lattice)
    with pytest.raises(ParameterError, match="never measured|independent"):
        refine_sro(wide, shells=3)


def test_what_is_wrong_is_named():
    plane = make_plane("hk1", TRICLINIC, shape=(40, 40))
    result = factorized(plane, np.ones(plane.shape))
    found = coefficients_of(plane, {(1, 0, 0): 0.1}, "-1", order=2)
    with pytest.raises(ParameterError, match=r"indices end at 2. Use shells=2"):
        refine_sro(factorized(plane, result.sro, coefficients=found), shells=3)
    with pytest.raises(ParameterError, match="shells=0"):
        refine_sro(result, shells=0)
    with pytest.raises(ParameterError, match="allowed are"):
        refine_sro(result, laue_class="7/m")
    with pytest.raises(GeometryError, match="'mmm'"):
        refine_sro(result, laue_class="mmm")
    with pytest.raises(ParameterError, match="target is a ndarray"):
        refine_sro(np.ones((4, 4)))
    broken = SroCoefficients(found.indices, found.values, np.full((24, 24), np.nan))
    with pytest.raises(ParameterError, match="errors=True"):
        refine_sro(factorized(plane, result.sro, coefficients=broken), shells=2)
    negative = factorized(plane, -np.ones(plane.shape))
    with pytest.raises(ParameterError, match="not positive"):
        refine_sro(negative, shells=1)


def test_a_lattice_without_a_cell_has_no_lengths():
    plane = make_plane("hk0", CUBIC, shape=(80, 80))
    sro = sro_at(plane.hkl(), {(1, 0, 0): 0.2})
    bare = plane.replace(cell=None, origin=None, steps=None)
    flat = np.full(plane.shape, 40.0)
    result = factorized(plane, sro, plane=bare.replace(intensity=flat * sro), form_factor=flat)
    fit = refine_sro(result, laue_class="4/m", shells=1)
    assert fit[0, 1, 0] == pytest.approx(0.1, abs=1e-4)
    assert np.isnan(fit.orbits[0].length)
    assert "–" in fit.table()
