"""Checks of the residual against residuals that are made here; nothing is solved twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sro_planes import TRICLINIC

from dsfunet_core.applicability import assess
from dsfunet_core.applicability.evidence import Evidence
from dsfunet_core.factorization import factorize
from dsfunet_core.simulate.crystals import VALIDATION, random_crystal
from dsfunet_core.simulate.planes import level_section, simulate_plane
from dsfunet_core.simulate.realism import add_counting_noise

COUNTS = 20.0
PERIODIC, BRAGG = "periodicity of the residual", "near Bragg positions"


@pytest.fixture(scope="module")
def solved():
    """A triclinic plane with counting noise, factorized."""
    crystal = replace(random_crystal(np.random.default_rng(12), VALIDATION), cell=TRICLINIC)
    plane = simulate_plane(crystal, level_section(2, 1.0), size=160, q_max=6.0)
    noisy = add_counting_noise(plane, COUNTS, np.random.default_rng(3)).plane
    return factorize(noisy, order=4)


def measured(solved, seed, extra=0.0, valid=None, floor=0.03):
    """The product itself, measured once more: Gaussian noise of σ² = product.

    The weights say σ² = product + ``floor``·mean, as those of the solver do.
    """
    product = np.maximum(solved.product, 0)
    mean = product.mean()
    noise = np.random.default_rng(seed).normal(size=product.shape) * np.sqrt(product)
    valid = solved.plane.valid if valid is None else valid
    plane = solved.plane.replace(intensity=product + noise + extra, valid=valid)
    return replace(
        solved, plane=plane, weights=np.where(valid, 1 / (product + floor * mean), 0)
    )


def named(result):
    return {check.what: check for check in assess(result).checks}


def peaked(solved):
    """Coordinates in the cell, and a sharp peak at every lattice point."""
    uv = Evidence(solved).coordinates
    return uv, np.exp(-((np.linalg.norm(uv - np.rint(uv), axis=-1) / 0.08) ** 2))


def test_chance_in_few_pixels_is_no_structure(solved):
    rng = np.random.default_rng(5)
    found = []
    for seed in range(60):
        valid = np.zeros_like(solved.plane.valid)
        row, column = rng.integers(0, 80, size=2)
        valid[row : row + 80, column : column + 80] = True
        checks = named(measured(solved, seed, valid=valid))
        found += [name for name in (PERIODIC, BRAGG) if not checks[name].passed]
    assert not found


def test_weights_that_are_wrong_for_bright_pixels_are_no_bragg_peaks(solved):
    # Order so sharp that lattice points are 20 times brighter: χ² there is not the mean's.
    _, peak = peaked(solved)
    bright = replace(solved, sro=0.3 + 6 * peak)
    result = measured(bright, 0, floor=0.3)
    evidence = Evidence(result)
    near = evidence.near_lattice_points
    assert (evidence.z[near] ** 2).mean() > 1.2
    assert named(result)[BRAGG].passed


@pytest.mark.parametrize("sign", [1, -1])
def test_a_little_of_one_sign_at_every_lattice_point_adds_up(solved, sign):
    _, peak = peaked(solved)
    # A standard deviation in the middle: no single pixel shows it.
    extra = sign * peak * np.sqrt(np.maximum(solved.product, 0))
    assert not named(measured(solved, 1, extra))[BRAGG].passed
    assert named(measured(solved, 1))[BRAGG].passed


def test_another_order_where_another_form_factor_is_strong_is_told(solved):
    uv, _ = peaked(solved)
    envelope = np.maximum(solved.form_factor, 0)
    slope = np.linspace(-1, 1, envelope.shape[0])[:, None]
    other = 0.12 * envelope * slope * np.cos(2 * np.pi * uv[..., 0])
    check = named(measured(solved, 2, other))[PERIODIC]
    assert not check.passed
    assert check.value > 8


def test_form_factor_the_support_had_no_room_for_is_not_taken_for_order(solved):
    # Autocorrelation half-way between lattice vectors, and one on a lattice vector.
    uv, _ = peaked(solved)
    envelope = np.maximum(solved.form_factor, 0) * solved.sro
    figures = {}
    for name, u in (("between", (0.5, 1.5)), ("at", (1.0, 1.0))):
        extra = 0.06 * envelope * np.cos(2 * np.pi * (uv @ np.array(u)) + 0.5)
        figures[name] = named(measured(solved, 3, extra))[PERIODIC].value
    assert figures["between"] < 4.5 < figures["at"]
