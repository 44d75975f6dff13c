"""Planes that are a product are told from planes that are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sro_planes import TRICLINIC, factorized, make_plane

from dsfunet_core.applicability import assess
from dsfunet_core.factorization import factorize
from dsfunet_core.simulate.crystals import VALIDATION, random_crystal
from dsfunet_core.simulate.planes import level_section, simulate_plane
from dsfunet_core.simulate.realism import add_counting_noise
from dsfunet_core.simulate.violations import VIOLATIONS, violated

COUNTS = 20.0


@pytest.fixture(scope="module")
def crystal():
    """Triclinic, with order from a Monte Carlo model."""
    rng = np.random.default_rng(12)
    return replace(random_crystal(rng, VALIDATION), cell=TRICLINIC)


@pytest.fixture(scope="module")
def simulated(crystal):
    return simulate_plane(crystal, level_section(2, 1.0), size=160, q_max=6.0)


def noisy(simulated, seed=3):
    return add_counting_noise(simulated, COUNTS, np.random.default_rng(seed)).plane


@pytest.fixture(scope="module")
def clean(simulated):
    return factorize(noisy(simulated), order=4)


def named(report):
    return {check.what: check for check in report.checks}


def test_a_product_with_counting_noise_passes_every_check(clean):
    report = assess(clean)
    assert report.holds, report.table()
    assert not report.shortcomings, report.table()
    assert "Nothing speaks against" in report.verdict


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_what_is_no_product_is_told(kind, simulated, clean):
    broken = violated(simulated, kind, 0.3, np.random.default_rng(1))
    # A support that may grow takes up what it can, and a while.
    support = clean.choices["support"]
    report = assess(factorize(noisy(broken), order=4, support=support))
    assert not report.holds, report.table()
    assert all(check.sentence.endswith(".") for check in report.checks)
    assert report.concerns[0].what in report.verdict


def test_a_background_that_is_refined_is_no_longer_a_concern(simulated):
    plane = simulated.plane
    level = 0.3 * plane.intensity.mean()
    raised = replace(simulated, plane=plane.replace(intensity=plane.intensity + level))
    measured = noisy(raised)
    failing = assess(factorize(measured, order=4))
    assert not failing.holds, failing.table()
    assert assess(factorize(measured, order=4, background=True)).holds


def test_scale_and_turning_the_image_change_nothing(clean):
    figures = {what: check.value for what, check in named(assess(clean)).items()}
    turned = clean.plane.replace(
        intensity=1000 * clean.plane.intensity.T,
        valid=clean.plane.valid.T,
        steps=clean.plane.steps[:, ::-1],
    )
    lattice = replace(
        clean.lattice, basis=clean.lattice.basis[::-1], origin=clean.lattice.origin[::-1]
    )
    other = replace(
        clean,
        plane=turned,
        form_factor=1000 * clean.form_factor.T,
        sro=clean.sro.T,
        weights=clean.weights.T,
        lattice=lattice,
    )
    for what, check in named(assess(other)).items():
        assert check.value == pytest.approx(figures[what], rel=1e-6, abs=1e-9), what


def test_bragg_remnants_are_told_by_outliers_at_the_lattice_points(simulated):
    plane = noisy(simulated)
    u, v = np.rint(plane.hkl() - [0, 0, 1])[..., :2].transpose(2, 0, 1)
    rows, columns = np.indices(plane.shape)
    lattice = plane.lattice
    centre = lattice.origin + np.stack([u, v], axis=-1) @ lattice.basis.T
    near = np.hypot(rows - centre[..., 0], columns - centre[..., 1]) < 0.8
    peaks = plane.replace(intensity=plane.intensity + 300.0 * near)
    found = named(assess(factorize(peaks, order=4)))["outliers"]
    assert not found.passed
    assert "Bragg" in found.sentence


def test_no_order_is_a_shortcoming_and_no_concern(crystal):
    random = crystal.alpha * 0
    random[tuple(n // 2 for n in random.shape)] = 1
    simulated = simulate_plane(
        replace(crystal, alpha=random), level_section(2, 1.0), size=160, q_max=6.0
    )
    report = assess(factorize(noisy(simulated), order=4))
    assert report.holds, report.table()
    assert [check.what for check in report.shortcomings] == ["contrast of the order"]


def test_a_hole_in_every_cell_and_little_coverage_are_told(clean):
    plane = clean.plane
    hkl = plane.hkl()
    off = np.abs(hkl - np.rint(hkl)).max(axis=-1)
    masked = plane.valid & (off > 0.25)
    weights = np.where(masked, clean.weights, 0)
    report = assess(replace(clean, plane=plane.replace(valid=masked), weights=weights))
    assert not named(report)["cell never seen"].passed
    corner = np.zeros_like(plane.valid)
    corner[:60, :60] = True
    weights = np.where(corner, clean.weights, 0)
    report = assess(replace(clean, plane=plane.replace(valid=corner), weights=weights))
    assert not named(report)["coverage"].passed
    assert "limited" in report.verdict


def test_a_grid_that_fits_the_lattice_leaves_no_cell_unseen(clean):
    basis = np.array([[10.0, 0.0], [0.0, 8.0]])
    lattice = replace(clean.lattice, basis=basis, origin=np.zeros(2))
    found = named(assess(replace(clean, lattice=lattice)))["cell never seen"]
    assert found.value == 0


def test_order_below_zero_is_told(clean):
    lower = replace(clean, sro=clean.sro - clean.sro.min() - 0.5)
    assert not named(assess(lower))["lowest short-range order"].passed


def test_factors_of_a_network_are_looked_at_as_far_as_possible():
    result = factorized(make_plane("hk1", TRICLINIC), np.full((90, 110), 1.3), method="network")
    noise = np.random.default_rng(0).normal(scale=3, size=result.plane.shape)
    noisy = result.plane.replace(intensity=result.plane.intensity + noise)
    assert named(assess(replace(result, plane=noisy)))["residual"].passed
    wave = 3 * np.cos(np.indices(noise.shape)[0] / 4)
    other = result.plane.replace(intensity=result.plane.intensity + wave)
    report = assess(replace(result, plane=other))
    found = named(report)
    assert set(found) == {"residual", "mean of the order", "coverage"}
    assert not found["residual"].passed
    assert not found["mean of the order"].passed
    assert "network's factors do not explain" in report.verdict


def test_all_of_it_goes_into_json(clean):
    told = json.loads(json.dumps(assess(clean).to_dict()))
    assert told["holds"] is True
    assert {"what", "value", "limit", "passed", "sentence"} <= set(told["checks"][0])
