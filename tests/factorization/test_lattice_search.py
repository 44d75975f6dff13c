"""Lattices found blind, and lattices refined, on planes whose lattice is known."""

import numpy as np
import pytest
import torch
from factorization_planes import known_plane

from dsfunet_core.errors import CancelledError
from dsfunet_core.factorization.lattice_points import (
    lattices_of_points,
    local_mean,
    reduced,
    same_lattice,
)
from dsfunet_core.factorization.lattice_scan import second_directions
from dsfunet_core.factorization.lattice_search import find_lattice, search_lattice
from dsfunet_core.factorization.lattice_trial import Bench
from dsfunet_core.factorization.pieces import cut_up
from dsfunet_core.factorization.plane_data import PlaneData
from dsfunet_core.factorization.preparation import build_problem
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


def problem_of(known):
    origin = np.array([n // 2 for n in known.plane.shape], float)
    data = PlaneData(known.plane.intensity, holes(known.plane.shape), 8 * np.eye(2), origin)
    return build_problem([data], 5, False, True, np.eye(2), None)[0], origin


def test_pieces_join_to_the_plane_they_were_cut_from():
    problem, origin = problem_of(known_plane())
    problem.valid[0, :50, :50] = 0
    pieces = cut_up(problem, torch.as_tensor(origin)[None], 3)
    assert len(pieces.problem.valid) < 9
    joined = pieces.joined(pieces.problem.intensity * pieces.problem.valid)
    torch.testing.assert_close(joined, (problem.intensity * problem.valid)[0])
    # The same pixel of the plane, whichever piece it is counted in.
    corners = torch.as_tensor(origin) - pieces.origin
    h, w = pieces.problem.valid.shape[1:]
    assert set((corners[:, 0] / h).tolist()) <= {0, 1, 2}
    assert set((corners[:, 1] / w).tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("number", [1, 2])
def test_a_trial_mends_the_right_lattice_and_rejects_a_wrong_one(number):
    known = known_plane(step=0.085)
    true = reduced(known.plane.lattice.direct_basis)
    problem, origin = problem_of(known)
    bench = Bench(problem, origin, number, 0.06)
    strain = np.array([[1.004, 0.002], [-0.003, 0.997]])
    right = bench.try_lattice(strain @ true, 5, cycles=6)
    assert same_lattice(right.direct, true, 1e-3)
    wrong = bench.try_lattice(true @ np.diag([1, 0.5]), 5, cycles=6)
    assert wrong.misfit > 4 * right.misfit
    assert bench.against_none(right) > 240
    # A continued trial is no worse for having been continued.
    more = bench.try_lattice(right.direct, 5, cycles=2, after=right)
    assert more.misfit < 1.05 * right.misfit


def test_a_second_direction_too_faint_for_peaks_is_scanned_for():
    rng = np.random.default_rng(8)
    shape = (128, 128)
    rows, columns = np.indices(shape) - 64
    direct = np.array([[0.085, 0.012], [-0.01, 0.105]])
    sro = np.ones(shape)
    for h in range(-5, 6):
        for k in range(6):
            if (k, h) > (0, 0):
                size = 0.4 / h**2 if k == 0 else 0.008
                d = direct @ [h, k]
                phase = 2 * np.pi * (d[0] * rows + d[1] * columns + rng.random())
                sro += size * np.cos(phase)
    form_factor = 1 + np.exp(-(rows**2 + columns**2) / 2e3)
    intensity = form_factor * sro + 0.04 * rng.normal(size=shape)
    found = second_directions(intensity, holes(shape), form_factor, direct[:, 0])
    assert same_lattice(found[0], direct, 0.03)


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


@pytest.mark.slow
@pytest.mark.parametrize("counts", [0, 5])
def test_fringes_of_a_large_molecule_are_no_order(counts):
    # Two humps ten times as far apart as they are wide: waves in |F|², no lattice.
    rows, columns = np.indices((128, 128)) - 64.0
    hump = np.exp(-(rows**2 + columns**2) / 3e3)
    fringes = 2 + np.cos(0.31 * rows + 0.17 * columns) + np.cos(0.12 * rows - 0.28 * columns)
    image = hump * fringes
    if counts:
        image = np.random.default_rng(4).poisson(image * counts / image.mean()).astype(float)
    assert not search_lattice(image, holes(image.shape)).found


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
