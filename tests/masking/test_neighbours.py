"""Medians of neighbours that are left out change no answer."""

from __future__ import annotations

import numpy as np
import pytest

from dsfunet_core.masking.neighbours import neighbour_medians
from dsfunet_core.masking.noise import NoiseModel
from dsfunet_core.masking.outliers import NEIGHBOURS, median_bound, stands_out

SHAPE = (14, 15, 16)


def spotted(level: float, gain: float, seed: int, constant: float = 0.0) -> np.ndarray:
    """Counts times a gain, with gaps, negative values and spots on both sides of the limit."""
    rng = np.random.default_rng(seed)
    values = gain * (rng.poisson(level, SHAPE) - (0.3 if seed % 2 else 0.0))
    spots = rng.random(SHAPE) < 0.05
    values[spots] += np.sqrt(gain**2 * (level + 1) + constant) * rng.uniform(2, 14, spots.sum())
    values[rng.random(SHAPE) < 0.15] = np.nan
    return values


@pytest.mark.parametrize("across", [-1, 0, 2])
@pytest.mark.parametrize("stride", [1, 5])
@pytest.mark.parametrize(
    ("level", "gain", "constant", "known"),
    [
        (0.3, 1, 0, False),
        (20, 3, 0, False),
        (5, 0.2, 1, False),
        (30, 0, 25, False),
        (9, 1, 0, True),
    ],
)
def test_only_voxels_that_cannot_stand_out_are_passed_over(
    level: float, gain: float, constant: float, known: bool, stride: int, across: int
) -> None:
    for seed in range(3):
        values = spotted(level, gain or 1.0, seed, constant)
        valid = np.isfinite(values)
        variance = np.where(valid, np.maximum(values, 1), 0.0) if known else None
        noise = NoiseModel(constant, gain, variance)
        all_of_them = np.full(SHAPE, np.inf)
        full, few = (
            neighbour_medians(values, stride, across, bound)
            for bound in (all_of_them, median_bound(values, noise, 6.0))
        )
        np.testing.assert_array_equal(full[2], few[2])
        judged = valid & (full[2] >= NEIGHBOURS)
        expected, found = (
            stands_out(values, judged, median, spread, noise, 6.0)
            for median, spread, _ in (full, few)
        )
        np.testing.assert_array_equal(expected, found)
        assert found.any()
        assert np.isfinite(few[0]).sum() < 0.5 * np.isfinite(full[0]).sum()


def test_medians_are_those_of_numpy() -> None:
    values = spotted(20, 1, 0)
    median, spread, count = neighbour_medians(values, 1, -1, np.full(SHAPE, np.inf))
    for i, j, k in ((5, 6, 7), (0, 0, 0), (13, 14, 15), (3, 0, 9)):
        box = values[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2].copy()
        box[min(i, 1), min(j, 1), min(k, 1)] = np.nan
        around = box[np.isfinite(box)]
        assert count[i, j, k] == around.size
        assert median[i, j, k] == np.median(around)
        deviation = np.median(np.abs(around - np.median(around)))
        np.testing.assert_allclose(spread[i, j, k], 1.4826 * deviation)
