"""Lattices found blind, and lattices refined, on planes whose lattice is known."""

import numpy as np
import pytest
from factorization_planes import known_plane

from dsfunet_core.errors import CancelledError
from dsfunet_core.factorization.lattice_points import (
    lattices_of_points,
    local_mean,
    reduced,
    same_lattice,
)
from dsfunet_core.factorization.lattice_search import find_lattice, search_lattice
from dsfunet_core.factorization.plane_data import PlaneData
from dsfunet_core.factorization.shift import shift_lattice


def test_reduced_basis_is_short_and_spans_the_same_lattice():
    direct = np.array([[0.11, 0.02], [-0.01, 0.07]])
    skewed = direct @ np.array([[5, 3], [3, 2]])
    found = reduced(skewed)
    assert same_lattice(found, direct, 1e-9)
    a, b = found.T
    assert a @ a <= b @ b
    assert 0 <= a @ b <= a @ a / 2


@pytest.mark.parametrize("change", [np.diag([1, 2]), np.diag([0.5, 1]), [[1, 0.02], [0, 1]]])
def test_sublattices_and_strained_lattices_are_other_lattices(change):
    direct = np.array([[0.11, 0.02], [-0.01, 0.07]])
    assert same_lattice(direct, direct)
    assert not same_lattice(direct @ change, direct)


def test_the_sparsest_lattice_of_points_comes_first():
    direct = np.array([[0.09, 0.02], [-0.01, 0.07]])
    indices = np.array([[1, 0], [0, 1], [1, 1], [2, 0], [-1, 1]])
    found = lattices_of_points(indices @ direct.T, np.array([5, 3, 2, 1, 1.0]), (128, 128))
    assert same_lattice(found[0], direct, 1e-6)


def test_local_mean_of_a_constant_is_that_constant_behind_gaps():
    valid = np.ones((40, 50), bool)
    valid[10:20, 5:30] = False
    np.testing.assert_allclose(local_mean(np.full(valid.shape, 3.0), valid, 4.0), 3)


def holes(shape):
    valid = np.ones(shape, bool)
    valid[:40, 60:75], valid[80:84] = False, False
    return valid


def test_lattice_of_an_image_without_any_geometry():
    known = known_plane(step=0.085)
    image = known.plane.replace(cell=None, origin=None, steps=None)
    image = image.replace(valid=holes(image.shape))
    found = find_lattice(image)
    true = known.plane.lattice.direct_basis
    assert found.found
    assert same_lattice(found.direct, true)
    assert found.merit > 30
    assert found.unexplained < 1e-3
    np.testing.assert_allclose(
        abs(np.linalg.det(found.basis)),
        abs(np.linalg.det(known.plane.lattice.basis)),
        rtol=2e-3,
    )


def test_no_lattice_is_found_where_there_is_none():
    # The form factor alone: nothing repeats itself. Counting noise besides.
    known = known_plane()
    rng = np.random.default_rng(3)
    scale = 20 / known.form_factor.mean()
    noisy = rng.poisson(known.form_factor * scale).astype(float)
    found = search_lattice(noisy, holes(noisy.shape))
    assert not found.found
    assert found.reason


def test_a_search_can_be_cancelled():
    with pytest.raises(CancelledError):
        find_lattice(known_plane().plane, cancelled=lambda: True)


@pytest.mark.parametrize("origin_hkl", [(0, 0, 1), (0, 0, 0.3)])
def test_strain_and_origin_of_a_given_lattice_are_refined(origin_hkl):
    known = known_plane(origin_hkl=origin_hkl)
    lattice = known.plane.lattice
    strain = np.array([[1.005, 0.003], [-0.004, 0.996]])
    real = origin_hkl == (0, 0, 1)
    data = PlaneData(
        intensity=known.plane.intensity,
        valid=holes(known.plane.shape),
        basis=strain @ lattice.basis,
        origin=lattice.origin + [0.8, -0.6],
        real_coefficients=real,
    )
    moved, shift = shift_lattice(data)
    error = np.linalg.solve(lattice.basis, moved.basis) - np.eye(2)
    assert np.abs(error).max() < 5e-4
    np.testing.assert_allclose(shift.basis, moved.basis)
    assert np.abs(moved.basis - lattice.basis).max() < 5 * shift.sigma_basis.max() + 1e-3
    if real:
        assert np.abs(moved.origin - lattice.origin).max() < 0.05
        assert np.isfinite(shift.sigma_origin).all()
    else:
        # Complex coefficients take up any shift: the origin stays, and that is said.
        np.testing.assert_array_equal(moved.origin, data.origin)
        assert shift.as_choices()["origin_shift"] is None


def test_noise_moves_the_lattice_by_about_its_sigma():
    known = known_plane()
    lattice = known.plane.lattice
    scale = 30 / known.plane.intensity.mean()
    pulls = []
    for seed in range(4):
        counts = (
            np.random.default_rng(seed).poisson(known.plane.intensity * scale).astype(float)
        )
        data = PlaneData(counts, holes(counts.shape), lattice.basis, lattice.origin)
        moved, shift = shift_lattice(data, support=0.085)
        pulls.append((moved.basis - lattice.basis) / shift.sigma_basis)
    spread = np.sqrt(np.mean(np.square(pulls)))
    assert 0.4 < spread < 2.0
