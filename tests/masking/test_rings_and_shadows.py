"""Powder rings, beam stop, gaps."""

from __future__ import annotations

import numpy as np
import pytest
from masking_planes import CELLS, TRICLINIC, diffuse, flat

import dsfunet_core as ds
from dsfunet_core.errors import ParameterError
from dsfunet_core.masking import find_rings, mask_beam_stop, mask_gaps, mask_rings


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_rings_are_found_where_they_are(cell, level):
    plane = flat(cell, n=161, step=0.035, level=level)
    q = plane.q_norm()
    places = {1.6: 0.015, 2.3: 0.02}
    powder = sum(40 * np.exp(-((q - at) ** 2) / (2 * s**2)) for at, s in places.items())
    counts = np.random.default_rng(0).poisson(diffuse(plane, 20) + powder)

    rings = find_rings(plane.replace(intensity=counts + 0.0))

    assert [ring.q for ring in rings] == pytest.approx(list(places), abs=0.02)
    masked = mask_rings(plane.replace(intensity=counts + 0.0))
    out = masked.masks["powder rings"]
    assert powder[out].sum() > 0.9 * powder.sum()
    assert out.mean() < 0.15


def test_no_rings_where_there_are_none():
    plane = flat(TRICLINIC, n=161, step=0.035)
    for seed in range(3):
        counts = np.random.default_rng(seed).poisson(diffuse(plane, 20))
        assert find_rings(plane.replace(intensity=counts + 0.0)) == []


def test_peaks_of_a_sixfold_crystal_are_no_rings():
    plane = ds.read(ds.sample("tris-amide-hk1")).section("hk1")
    assert find_rings(plane) == []
    q = plane.q_norm()
    powder = 5 * np.exp(-((q - 2.69) ** 2) / (2 * 0.03**2))
    rings = find_rings(plane.replace(intensity=plane.intensity + powder))
    assert [ring.q for ring in rings] == pytest.approx([2.69], abs=0.03)


def test_an_arc_is_no_ring():
    plane = flat(TRICLINIC, n=161, step=0.035)
    q, direction = plane.q_norm(), plane.q() @ [1.0, 0, 0]
    arc = 60 * np.exp(-((q - 2) ** 2) / (2 * 0.02**2)) * (direction > 1.2)
    counts = np.random.default_rng(0).poisson(diffuse(plane, 20) + arc)
    assert find_rings(plane.replace(intensity=counts + 0.0)) == []


@pytest.mark.parametrize("level", [0.0, 1.0, 3.0])
def test_a_spot_where_q_is_least_is_no_ring(level):
    """The innermost bin of |Q| of a plane like hk1 is a disc, many pixels wide."""
    plane = flat(TRICLINIC, n=161, step=0.035, level=level)
    q = plane.q_norm()
    spot = 200 * np.exp(-(q**2 - q.min() ** 2) / (2 * 0.15**2))
    counts = np.random.default_rng(0).poisson(diffuse(plane, 20) + spot)
    assert find_rings(plane.replace(intensity=counts + 0.0)) == []


def test_rings_given_by_hand_are_shells_of_q():
    plane = flat(TRICLINIC)
    out = mask_rings(plane, [(1.5, 0.1)]).masks["powder rings"]
    np.testing.assert_array_equal(out, np.abs(plane.q_norm() - 1.5) <= 0.1)
    with pytest.raises(ParameterError, match="half-width -1"):
        mask_rings(plane, [(1.5, -1)])


def test_a_beam_stop_with_its_holder():
    plane = flat(TRICLINIC, n=161, step=0.03, level=0.0)
    q = plane.q_norm()
    row, column = np.mgrid[:161, :161]
    shadow = (q < 0.35) | ((np.abs(column - 80) < 4) & (row > 80))
    light = 200 * np.exp(-0.5 * q)
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.where(shadow, 0.05, 1) * light) + 0.0

    found = mask_beam_stop(plane.replace(intensity=counts)).masks["beam stop"]

    assert found[shadow].mean() > 0.97
    assert (found & ~shadow).mean() < 0.04


def test_no_shadow_no_mask():
    plane = flat(TRICLINIC, level=0.0)
    light = np.random.default_rng(0).poisson(50 * np.exp(-0.3 * plane.q_norm())) + 0.0
    assert not mask_beam_stop(plane.replace(intensity=light)).masks["beam stop"].any()


def test_a_beam_stop_by_radius():
    plane = flat(TRICLINIC, level=0.0)
    out = mask_beam_stop(plane, 0.4).masks["beam stop"]
    np.testing.assert_array_equal(out, plane.q_norm() <= 0.4)
    for wrong in ({"radius": 0.0}, {"fraction": 1.0}):
        with pytest.raises(ParameterError):
            mask_beam_stop(plane, **wrong)


@pytest.mark.parametrize("mean", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("number", [-1.0, 0.0])
def test_gaps_are_told_from_few_counts(mean, number):
    plane = flat(TRICLINIC, n=151, step=0.025)
    counts = np.random.default_rng(1).poisson(diffuse(plane, mean)) + 0.0
    gap = np.zeros(plane.shape, bool)
    gap[:, 60:70] = gap[100:112] = True
    counts[gap] = number

    found = mask_gaps(plane.replace(intensity=counts)).masks["gaps"]

    assert found[gap].mean() > 0.97
    assert (found & ~gap).mean() < 0.02


def test_scattering_that_fades_is_no_gap():
    plane = flat(TRICLINIC, n=151)
    counts = np.random.default_rng(1).poisson(diffuse(plane, 5.0)) + 0.0
    assert (counts == 0).mean() > 0.2
    assert mask_gaps(plane.replace(intensity=counts)).masks["gaps"].mean() < 0.02


@pytest.fixture(scope="module")
def tris_amide():
    return ds.read(ds.sample("tris-amide-hk1")).section("hk1")


def test_dark_diffuse_scattering_is_no_shadow_and_no_gap(tris_amide):
    # Streaks between dark valleys; the plane's smallest |Q| lies in one of them.
    assert not mask_beam_stop(tris_amide).masks["beam stop"].any()
    assert not mask_gaps(tris_amide).masks["gaps"].any()


def test_shadows_are_found_among_dark_valleys(tris_amide):
    rows, columns = np.indices(tris_amide.shape)
    middle = np.unravel_index(tris_amide.q_norm().argmin(), tris_amide.shape)
    disc = np.hypot(rows - middle[0], columns - middle[1]) < 14
    gap = np.abs(columns - 90) < 4
    for shade, masker, name in ((disc, mask_beam_stop, "beam stop"), (gap, mask_gaps, "gaps")):
        shaded = tris_amide.replace(intensity=np.where(shade, 0, tris_amide.intensity))
        found = masker(shaded).masks[name]
        assert found[shade & tris_amide.valid].mean() > 0.9
        assert (found & ~shade).sum() < 0.005 * found.size
