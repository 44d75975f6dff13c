"""Which Laue class the data have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from symmetry_volumes import CELLS, cell_of, random_volume

from dsfunet_core import ReciprocalVolume
from dsfunet_core.errors import ParameterError
from dsfunet_core.symmetrize import allowed_laue_classes, rank_laue_classes
from dsfunet_core.symmetry import LAUE_CLASSES, laue_rotations


def crystal(symbol: str, noise: float = 0.1, cell=None, shift: float = 0.0) -> ReciprocalVolume:
    """Diffuse features with exactly the symmetry of a class, and noise."""
    rng = np.random.default_rng(0)
    n, step = 24, 0.25
    steps, origin = np.eye(3) * step, np.full(3, -n * step + shift)
    hkl = origin + np.moveaxis(np.indices((2 * n + 1,) * 3), 0, -1) @ steps
    intensity = np.full(hkl.shape[:-1], 4.0)
    for v in ([0.31, 0.12, 0.23], [0.11, 0.47, 0.05]):
        for w in laue_rotations(symbol):
            intensity += np.cos(2 * np.pi * (hkl @ (w @ np.array(v)))) / np.sqrt(
                len(laue_rotations(symbol))
            )
    intensity *= 1 + noise * rng.normal(size=intensity.shape)
    return ReciprocalVolume(intensity, cell or cell_of(symbol), origin, steps)


@pytest.mark.parametrize("symbol", sorted(LAUE_CLASSES))
def test_the_class_of_the_data_is_found_in_the_holohedral_cell(symbol):
    hexagonal = symbol in ("-3", "-3m1", "-31m", "6/m", "6/mmm")
    cell = CELLS["a = b, α = β = 90°, γ = 120°"] if hexagonal else None
    if not hexagonal:
        cell = CELLS["a = b = c, α = β = γ = 90°"]
    ranking = rank_laue_classes(crystal(symbol, cell=cell), samples=6000)
    assert ranking.suggestion == (symbol,)
    assert ranking.tests[0].laue_class == symbol
    members = {w.tobytes() for w in laue_rotations(symbol)}
    for test in ranking.tests:
        inside = {w.tobytes() for w in laue_rotations(test.laue_class)} <= members
        assert test.consistent == inside
        if not inside:
            assert test.r_meas > 1.5 * ranking.tests[0].r_meas


def test_only_classes_that_the_cell_allows_are_tried():
    assert allowed_laue_classes(CELLS["nothing"]) == ["-1"]
    assert allowed_laue_classes(CELLS["α = γ = 90°"]) == ["-1", "2/m"]
    assert "m-3m" in allowed_laue_classes(CELLS["a = b = c, α = β = γ = 90°"])
    assert "6/m" not in allowed_laue_classes(CELLS["a = b = c, α = β = γ = 90°"])
    ranking = rank_laue_classes(random_volume("-1"), samples=500)
    assert [t.laue_class for t in ranking.tests] == ["-1"]


def test_noise_is_not_taken_for_low_symmetry():
    ranking = rank_laue_classes(crystal("m-3m", noise=0.5), samples=8000)
    assert ranking.suggestion == ("m-3m",)
    r = {t.laue_class: t for t in ranking.tests}
    # R_int grows with redundancy, R_meas does not.
    assert r["m-3m"].r_int > 1.25 * r["-1"].r_int
    assert r["m-3m"].r_meas == pytest.approx(r["-1"].r_meas, rel=0.05)


def test_nothing_is_suggested_where_noise_hides_everything():
    rng = np.random.default_rng(1)
    volume = crystal("6/m")
    ranking = rank_laue_classes(replace(volume, intensity=rng.gamma(1, size=volume.shape)))
    assert ranking.suggestion == ()
    assert "Noise hides" in ranking.table()


def test_bragg_peaks_do_not_decide():
    volume = crystal("4/m")
    peaks = volume.intensity.copy()
    peaks[::4, ::4, ::4] *= 1e5  # their noise with them
    ranking = rank_laue_classes(replace(volume, intensity=peaks), samples=6000)
    assert ranking.suggestion == ("4/m",)


def test_a_plane_says_which_classes_it_cannot_tell_apart():
    plane = crystal("6/m").section("hk0")
    ranking = rank_laue_classes(plane)
    assert set(ranking.suggestion) == {"-3", "6/m"}
    assert "sees them alike" in ranking.table()
    upper = rank_laue_classes(crystal("6/m").section("hk1"))
    assert upper.suggestion == ("6/m",)


def test_grids_off_the_origin_are_interpolated():
    ranking = rank_laue_classes(crystal("4/m", shift=0.07), samples=4000)
    assert ranking.suggestion == ("4/m",)


def test_data_without_equivalents_are_told_so():
    plane = random_volume("-1", reach=(9, 9, 3), gaps=0).section("hk1")
    with pytest.raises(ParameterError, match="holds no voxel together with an equivalent"):
        rank_laue_classes(plane)
    with pytest.raises(ParameterError, match="samples=3"):
        rank_laue_classes(plane, samples=3)
