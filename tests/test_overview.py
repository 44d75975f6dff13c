"""Summaries of volumes that are too large to read."""

from __future__ import annotations

import numpy as np
import pytest
from sro_planes import TRICLINIC

from dsfunet_core import overview
from dsfunet_core.overview import display_range, sample_layers
from dsfunet_core.plane import ReciprocalVolume


class Watched:
    """Array that remembers how much of it was read."""

    def __init__(self, array, chunks=None):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.chunks, self.read = chunks, 0

    def __getitem__(self, key):
        block = self.array[key]
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
    sampled = sample_layers(volume(gappy))
    assert sampled.layers == sampled.of == 60
    assert sampled.coverage == np.isfinite(gappy).mean()


def test_a_large_one_by_a_few_layers_across_its_quickest_axis(gappy, monkeypatch):
    monkeypatch.setattr(overview, "VOXELS", 10_000)
    watched = Watched(gappy, chunks=(30, 30, 5))
    sampled = sample_layers(volume(watched))
    assert (sampled.layers, sampled.of) == (3, 60)
    assert watched.read == 3 * 60**2
    assert sampled.coverage == pytest.approx(0.8, abs=0.02)
    # Bragg peaks do not take all the shades.
    assert 9 < sampled.low < 11
    assert 19 < sampled.high < 21


def test_counts_and_masks_tell_what_was_measured(gappy):
    full = np.nan_to_num(gappy)
    counts = np.isfinite(gappy).astype(int)
    mask = np.zeros(gappy.shape, bool)
    mask[:30] = True
    sampled = sample_layers(volume(full, counts=counts, mask=mask))
    assert sampled.coverage == pytest.approx(0.4, abs=0.02)


def test_nothing_measured():
    sampled = sample_layers(volume(np.full((4, 4, 4), np.nan)))
    assert sampled.coverage == 0
    assert sampled.low < sampled.high


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.full(5, 7.0), np.array([1.0]), np.array([])]
)
def test_a_range_is_never_empty(values):
    low, high = display_range(values)
    assert low < high
