"""Network and solver together, with the lattice known, found and not found."""

import numpy as np
import pytest
from factorization_planes import known_plane

from dsfunet_core import factorize
from dsfunet_core.errors import ParameterError
from dsfunet_core.evaluate import EvaluationSet, evaluate_set
from dsfunet_core.explain import explain_choices
from dsfunet_core.factorization.filling import filled_from
from dsfunet_core.factorization.lattice_points import same_lattice
from dsfunet_core.io.results import load_result, save_result
from dsfunet_core.metrics import mean_squared_error

SUPPORT = 5.0


def gaps(shape):
    valid = np.ones(shape, bool)
    valid[30:70, 20:60], valid[:, 90:94] = False, False
    return valid


def said(result):
    return {choice.what: choice for choice in explain_choices(result)}


@pytest.fixture(scope="module")
def known():
    plane = known_plane()
    masked = plane.plane.replace(valid=gaps(plane.plane.shape))
    return plane, masked


@pytest.fixture(scope="module")
def hybrid(known):
    return factorize(known[1], "hybrid", support=SUPPORT)


def test_with_the_lattice_known_the_order_is_the_solvers(known, hybrid):
    lattice = factorize(known[1], "lattice", support=SUPPORT)
    assert hybrid.method == "hybrid"
    np.testing.assert_array_equal(hybrid.sro, lattice.sro)
    np.testing.assert_array_equal(
        hybrid.coefficients.covariance, lattice.coefficients.covariance
    )
    valid = known[1].valid
    np.testing.assert_array_equal(hybrid.form_factor[valid], lattice.form_factor[valid])
    # Only far from measured pixels the network has a say.
    assert np.abs(hybrid.form_factor - lattice.form_factor)[50, 40] > 0
    assert hybrid.choices["lattice_from"] == "given"
    assert "network compact" in said(hybrid)["dead zones"].value


def test_an_image_without_a_cell_gets_its_lattice_and_coefficients_with_errors(known, tmp_path):
    truth, plane = known
    image = plane.replace(cell=None, origin=None, steps=None)
    result = factorize(image, "hybrid")
    assert result.method == "hybrid"
    assert result.choices["lattice_from"] == "search"
    true = truth.plane.lattice.direct_basis
    assert same_lattice(result.lattice.direct_basis, true)
    assert mean_squared_error(result.sro, truth.sro) < 1e-3
    assert mean_squared_error(result.form_factor, truth.form_factor, plane.valid) < 1e-3
    assert (result.coefficients.sigma.real > 0).any()
    assert "Å" not in said(result)["support"].value
    # Without noise what is left is the lattice's error and the model's own; σ tells of both.
    assert np.sqrt(np.mean(((result.sro - truth.sro) / result.sro_sigma) ** 2)) < 3
    told = said(result)["lattice"].value
    assert told.startswith("found blind: reciprocal vectors (")
    assert "-0.00" not in told
    save_result(tmp_path / "found.h5", result)
    back = load_result(tmp_path / "found.h5")
    assert back.choices == result.choices
    np.testing.assert_array_equal(back.lattice.basis, result.lattice.basis)


def test_where_nothing_repeats_itself_the_network_stands_and_says_why(known):
    truth, plane = known
    counts = np.random.default_rng(1).poisson(20 * truth.form_factor / truth.form_factor.mean())
    image = plane.replace(intensity=counts.astype(float), cell=None, origin=None, steps=None)
    result = factorize(image, "hybrid")
    assert result.method == "network"
    assert result.coefficients is None
    assert result.choices["lattice_from"] == "none"
    assert "No lattice was found" in result.choices["why"]
    assert said(result)["lattice"].value == "not found"


@pytest.mark.parametrize("method", ["lattice", "hybrid"])
def test_a_cell_half_a_percent_off_and_an_origin_a_pixel_off_are_put_right(known, method):
    truth, plane = known
    strained = plane.steps * [1.005, 0.996]
    moved = plane.replace(steps=strained, origin=plane.origin + plane.steps @ [0.9, -0.7])
    wrong = factorize(moved, method, support=SUPPORT, errors=False)
    right = factorize(moved, method, support=SUPPORT, errors=False, refine_lattice=True)
    assert mean_squared_error(right.sro, truth.sro) < 3e-4
    assert mean_squared_error(wrong.sro, truth.sro) > 1e-2
    assert np.abs(right.lattice.origin - truth.plane.lattice.origin).max() < 0.05
    expected = truth.plane.lattice.origin - moved.lattice.origin
    np.testing.assert_allclose(right.choices["origin_shift"], expected, atol=0.05)
    assert np.abs(expected).max() > 1
    assert "Refined" in said(right)["lattice"].why


def test_filling_leaves_measured_pixels_and_mixes_far_from_them():
    valid = np.ones((40, 40), bool)
    valid[5:35, 5:35] = False
    rng = np.random.default_rng(0)
    solved = rng.random((40, 40))
    other = np.full((40, 40), 7.0)
    filled = filled_from(solved, other, valid, 0.1)
    np.testing.assert_array_equal(filled[valid], solved[valid])
    expected = (solved[valid] * 7).sum() / (49 * valid.sum()) * 7
    assert filled[20, 20] == pytest.approx(0.8 * solved[20, 20] + 0.2 * expected, rel=1e-3)


def test_options_that_mean_nothing_are_refused(known):
    image = known[1].replace(cell=None, origin=None, steps=None)
    with pytest.raises(ParameterError, match="no scale"):
        factorize(image, "hybrid", support=12.0)
    with pytest.raises(ParameterError, match="uses no lattice"):
        factorize(known[1], "network", refine_lattice=True)


def test_evaluate_with_and_without_the_lattice(known):
    truth, plane = known
    one = EvaluationSet(
        intensity=plane.intensity[None],
        valid=plane.valid[None],
        form_factor=truth.form_factor[None],
        sro=truth.sro[None],
        basis=plane.lattice.basis[None],
    )
    for blind in (False, True):
        figures = evaluate_set(one, method="hybrid", blind=blind)
        assert figures["mse"]["sro"]["mean"] < 1e-3
        assert figures["weights"] == "compact"
    (found,) = figures["lattices"]
    assert same_lattice(np.linalg.inv(found).T, truth.plane.lattice.direct_basis)
    with pytest.raises(ParameterError, match='"hybrid" only'):
        evaluate_set(one, method="lattice", blind=True)


def test_an_image_of_one_value_is_refused_before_a_search(known):
    flat = known[1].replace(
        intensity=np.ones(known[1].shape), cell=None, origin=None, steps=None
    )
    with pytest.raises(ParameterError, match="same intensity"):
        factorize(flat, "hybrid")
