"""JSON that gives back what was put in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.json_exact import from_json, to_json

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.complex_numbers(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.just("@")), inner, max_size=4),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_everything_comes_back(value: object) -> None:
    text = to_json(value)
    json.loads(text, parse_constant=pytest.fail)  # no NaN or Infinity: standard JSON
    assert repr(from_json(text)) == repr(value)  # repr: NaN equals NaN, −0 differs from 0


@given(
    hnp.arrays(
        st.sampled_from(["f8", "f4", ">f8", "i2", "u8", "?", "c16", "U3"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_arrays_come_back(array: np.ndarray) -> None:
    back = from_json(to_json({"a": array}))["a"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_numpy_scalars_and_paths_become_plain() -> None:
    value = {"n": np.int64(3), "x": np.float32(0.5), "ok": np.bool_(True), "p": Path("a") / "b"}
    assert from_json(to_json(value)) == {"n": 3, "x": 0.5, "ok": True, "p": str(Path("a/b"))}


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(ParameterError, match=r"value\['a'\]\[1\] is a set .*cannot be stored"):
        to_json({"a": [1, {2}]})
    with pytest.raises(ParameterError, match="is a ndarray"):
        to_json(np.array([object()]))


@pytest.mark.parametrize("text", ["{", '{"@": "array"}', '{"@": "complex", "is": [1, 2, 3]}'])
def test_damage_is_reported(text: str) -> None:
    with pytest.raises(FileFormatError, match="damaged JSON"):
        from_json(text)
    with pytest.raises(FileFormatError, match="'quaternion'.*newer"):
        from_json('{"@": "quaternion", "is": 1}')
