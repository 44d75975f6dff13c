"""Summaries of volumes that are too large to read."""

from __future__ import annotations

import numpy as np
import pytest
from sro_planes import TRICLINIC

from dsfunet_core import overview
from dsfunet_core.overview import display_range, sample_blocks
from dsfunet_core.plane import ReciprocalVolume


class Watched:
    """Array that remembers how much of it was read."""

    def __init__(self, array, chunks=None):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.chunks, self.read, self.keys = chunks, 0, []

    def __getitem__(self, key):
        block = self.array[key]
        self.keys.append(key)
        self.read += block.size
        return block


def volume(array, **fields):
    return ReciprocalVolume(array, TRICLINIC, np.zeros(3), np.eye(3) * 0.1, **fields)


@pytest.fixture
def gappy():
    """Cube with a fifth of its voxels missing, and a few Bragg peaks."""
    rng = np.random.default_rng(3)
    array = rng.uniform(10, 20, size=(60, 60, 60))
    array[::12, ::12, ::12] = 1e6
    array[rng.random(array.shape) < 0.2] = np.nan
    return array


def test_a_small_volume_is_read_as_a_whole(gappy):
    sampled = sample_blocks(volume(gappy))
    assert sampled.voxels == sampled.of == 60**3
    assert sampled.coverage == np.isfinite(gappy).mean()


@pytest.mark.parametrize("chunks", [(30, 30, 5), (60, 60, 1), (4, 4, 4), None])
def test_of_a_large_one_few_blocks_of_whole_chunks(gappy, monkeypatch, chunks):
    monkeypatch.setattr(overview, "VOXELS", 10_000)
    monkeypatch.setattr(overview, "BLOCK", 2_000)
    watched = Watched(gappy, chunks=chunks)
    sampled = sample_blocks(volume(watched))
    assert sampled.voxels == watched.read < 0.55 * gappy.size
    for key in watched.keys:
        for part, chunk, n in zip(key, chunks or (1, 1, 60), gappy.shape, strict=True):
            assert part.start % chunk == 0
            assert part.stop % chunk == 0 or part.stop >= n
    assert sampled.coverage == pytest.approx(0.8, abs=0.02)
    # Bragg peaks do not take all the shades.
    assert 9 < sampled.low < 11
    assert 19 < sampled.high < 21


def test_blocks_are_spread_over_all_of_a_volume(monkeypatch):
    """A slope along every axis: what blocks in one corner say would be far off."""
    monkeypatch.setattr(overview, "VOXELS", 10_000)
    monkeypatch.setattr(overview, "BLOCK", 500)
    ramp = np.indices((60, 60, 60)) / 59
    for axis in range(3):
        outer = np.where(ramp[axis] < 0.5, np.nan, ramp[axis])
        sampled = sample_blocks(volume(Watched(outer, chunks=(6, 6, 6))))
        assert sampled.coverage == pytest.approx(0.5, abs=0.08)
        assert sampled.low < 0.6
        assert sampled.high > 0.9


def test_counts_and_masks_tell_what_was_measured(gappy):
    full = np.nan_to_num(gappy)
    counts = np.isfinite(gappy).astype(int)
    mask = np.zeros(gappy.shape, bool)
    mask[:30] = True
    sampled = sample_blocks(volume(full, counts=counts, mask=mask))
    assert sampled.coverage == pytest.approx(0.4, abs=0.02)


def test_nothing_measured():
    sampled = sample_blocks(volume(np.full((4, 4, 4), np.nan)))
    assert sampled.coverage == 0
    assert sampled.low < sampled.high


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.full(5, 7.0), np.array([1.0]), np.array([])]
)
def test_a_range_is_never_empty(values):
    low, high = display_range(values)
    assert low < high
