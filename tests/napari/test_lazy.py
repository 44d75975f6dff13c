"""The array that stands for a volume in the viewer."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from dsfunet_core import ReciprocalVolume
from napari_dsfunet.lazy import LazyVolume

SHAPE = (5, 4, 3)
AXES = (2, 0, 1)


class Recording:
    """Array that notes how much of it was read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.array[index]
        self.read += part.size
        return part


def make(masked: bool = True) -> tuple[LazyVolume, np.ndarray, Recording]:
    import gemmi

    rng = np.random.default_rng(3)
    values = rng.random(SHAPE)
    counts = rng.integers(0, 3, SHAPE) if masked else None
    mask = rng.random(SHAPE) < 0.2 if masked else None
    source = Recording(values)
    volume = ReciprocalVolume(
        intensity=source,
        cell=gemmi.UnitCell(5, 6, 7, 80, 95, 105),
        origin=np.zeros(3),
        steps=np.eye(3),
        counts=counts,
        mask=mask,
    )
    expected = values.astype(np.float32)
    if masked:
        expected[(counts == 0) | mask] = np.nan
    return LazyVolume(volume, AXES), expected.transpose(AXES), source


def an_index(n: int) -> st.SearchStrategy[Any]:
    return st.integers(-n, n - 1) | st.slices(n)


@settings(max_examples=150, deadline=None)
@given(st.tuples(*(an_index(SHAPE[axis]) for axis in AXES)))
def test_indexes_like_numpy(index: Any) -> None:
    lazy, expected, _ = make()
    np.testing.assert_array_equal(lazy[index], expected[index])
    assert lazy[index].dtype == np.float32


@pytest.mark.parametrize("index", [..., 1, (1, ...), (..., 2), slice(1, 3), (0, slice(None))])
def test_short_indices(index: Any) -> None:
    lazy, expected, _ = make()
    np.testing.assert_array_equal(lazy[index], expected[index])
    np.testing.assert_array_equal(np.asarray(lazy), expected)


def test_one_slice_reads_one_slice() -> None:
    lazy, _, source = make()
    lazy[1]
    assert source.read == SHAPE[0] * SHAPE[1]


def test_the_layer_that_was_read_last_is_kept_and_not_changed() -> None:
    lazy, expected, source = make()
    first = lazy[1]
    np.testing.assert_array_equal(lazy[1], expected[1])
    np.testing.assert_array_equal(lazy[1:2, :, ::-1], expected[1:2, :, ::-1])
    assert source.read == SHAPE[0] * SHAPE[1]
    np.testing.assert_array_equal(lazy[1, 1:3], expected[1, 1:3])
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 7
    np.testing.assert_array_equal(lazy[2], expected[2])
    np.testing.assert_array_equal(lazy[1], expected[1])


@pytest.mark.parametrize("index", [7, (0, -9), ([1, 2],), (0, 0, 0, 0), "h"])
def test_what_is_no_index(index: Any) -> None:
    with pytest.raises(IndexError):
        make()[0][index]
