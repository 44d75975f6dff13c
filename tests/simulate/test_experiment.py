"""Crystals by name, experiments on them, and samples whose answer is known."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from dsfunet_core import factorize
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.sections import Section
from dsfunet_core.simulate.crystals import DisorderedCrystal
from dsfunet_core.simulate.detectors import Detector
from dsfunet_core.simulate.experiment import experiment, true_factors
from dsfunet_core.simulate.planes import simulate_plane
from dsfunet_core.simulate.realism import Realism
from dsfunet_core.simulate.samples import cubic_plane, hard_plane
from dsfunet_core.simulate.species import mixed_cell, species
from dsfunet_core.simulate.sro import alpha_box

WATER = "3\nwater\nO 10 0 0\nH 10.76 0.59 0\nH 9.24 0.59 0\n"


def triclinic(size=64):
    crystal = DisorderedCrystal(
        species("dioxane").molecule,
        species("toluene", turn=30).molecule,
        gemmi.UnitCell(7, 8, 9, 80, 95, 103),
        0.3,
        alpha_box({(1, 0, 0): -0.2, (0, 0, 1): 0.15, (0, 1, 1): 0.1}),
    )
    return simulate_plane(crystal, Section.parse("hk1"), size=size, q_max=5)


def test_a_turn_keeps_distances_and_the_middle():
    before, after = (species("toluene", turn=t).molecule for t in (0, 90))
    np.testing.assert_allclose(
        after.positions.mean(axis=0), before.positions.mean(axis=0), atol=1e-12
    )
    middle = before.positions.mean(axis=0)
    x, y, z = (before.positions - middle).T
    np.testing.assert_allclose(
        after.positions - middle, np.stack([-y, x, z], axis=1), atol=1e-12
    )


def test_room_follows_a_turn():
    for turn in (90, 270):
        room = species("toluene", turn=turn).room
        np.testing.assert_allclose(room, species("toluene", turn=0).room[[1, 0, 2]], atol=0.02)


def test_files_are_centred_and_cells_follow_vegard(tmp_path: Path):
    path = tmp_path / "water.xyz"
    path.write_text(WATER)
    water = species(str(path))
    np.testing.assert_allclose(water.molecule.positions.mean(axis=0), 0, atol=1e-12)
    vacancy = species("vacancy")
    cell = mixed_cell(water, vacancy, 0.3)
    np.testing.assert_allclose(cell.parameters[:3], water.room)
    toluene = species("toluene")
    cell = mixed_cell(water, toluene, 0.25)
    np.testing.assert_allclose(cell.parameters[:3], 0.25 * water.room + 0.75 * toluene.room)
    assert mixed_cell(water, toluene, 0.25, "hexagonal").gamma == 120


def test_what_cannot_be_named_is_explained(tmp_path: Path):
    with pytest.raises(ParameterError, match="no molecule is named"):
        species(" ")
    with pytest.raises(ParameterError, match="toluene"):
        species("tolune")
    with pytest.raises((FileFormatError, OSError), match=r"gone\.xyz"):
        species(str(tmp_path / "gone.xyz"))
    with pytest.raises(ParameterError, match="nothing scatters"):
        mixed_cell(species("vacancy"), species("vacancy"), 0.5)


def test_dead_zones_noise_and_truth_belong_together():
    made = triclinic()
    detector = Detector.named("PILATUS 1M", distance=150, wavelength=0.7)
    measured = experiment(
        made, detector=detector, realism=Realism(counts=200, debye_waller=0.03), seed=4
    )
    seen = measured.plane.valid
    assert 0.2 < seen.mean() < 0.99
    assert measured.plane.intensity[seen].mean() == pytest.approx(200, rel=0.02)
    assert not measured.plane.intensity[~seen].any()
    expected = measured.form_factor * measured.sro
    chi2 = (measured.plane.intensity - expected)[seen] ** 2 / np.maximum(expected[seen], 1)
    assert chi2.mean() == pytest.approx(1, abs=0.15)
    again = experiment(
        made, detector=detector, realism=Realism(counts=200, debye_waller=0.03), seed=4
    )
    np.testing.assert_array_equal(again.plane.intensity, measured.plane.intensity)


def test_a_detector_that_sees_nothing_is_refused():
    far = Detector.named("PILATUS 300K", distance=100_000, wavelength=0.7)
    with pytest.raises(ParameterError, match="sees nothing"):
        experiment(triclinic(), detector=far)


def test_true_factors_are_a_product_with_mean_order_one():
    made = triclinic(96)
    truth = true_factors(made)
    np.testing.assert_allclose(truth.residual, 0, atol=1e-9 * made.form_factor.max())
    assert truth.coefficients is not None
    uv = np.linspace(0, 1, 16, endpoint=False)
    over_cell = truth.coefficients.evaluate(
        np.stack(np.meshgrid(uv, uv, indexing="ij"), axis=-1)
    )
    assert over_cell.mean() == pytest.approx(1)
    lattice = truth.lattice
    assert lattice is not None
    pixels = np.stack(np.indices(made.sro.shape), axis=-1) - lattice.origin
    on_plane = truth.coefficients.evaluate(pixels @ np.linalg.inv(lattice.basis).T)
    np.testing.assert_allclose(truth.sro, on_plane, atol=1e-9)


def test_the_cubic_sample_is_solved():
    made = cubic_plane(size=128)
    truth = true_factors(made)
    found = factorize(made.plane, method="lattice", order=2, support=12.0, errors=False)
    assert np.corrcoef(found.sro.ravel(), truth.sro.ravel())[0, 1] > 0.999
    assert np.corrcoef(found.form_factor.ravel(), truth.form_factor.ravel())[0, 1] > 0.999


def test_the_hard_sample_is_what_it_says():
    made = hard_plane()
    plane = made.plane
    assert plane.intensity[plane.valid].mean() == pytest.approx(5, rel=0.02)
    assert 0.5 < plane.valid.mean() < 0.7
    peaks = np.rint(plane.pixel([[2, 1, 1], [-3, 2, 1], [1, -4, 1], [4, 3, 1]])).astype(int)
    above = [
        plane.intensity[r, c] - (made.form_factor * made.sro)[r, c]
        for r, c in peaks
        if plane.valid[r, c]
    ]
    assert np.mean(above) > 5  # Bragg remnants
