"""JSON that gives back what was put in: tuples, arrays, complex numbers, NaN."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError

__all__ = ["from_json", "to_json"]

#: Key that marks an object standing for something JSON has no notation for.
_TAG = "@"


def to_json(value: Any) -> str:
    """Write as JSON what records of a computation are made of.

    Parameters
    ----------
    value : object
        Nested dicts, lists, tuples, NumPy arrays, strings, numbers (complex, infinite
        and NaN too), booleans and None. NumPy scalars become Python's, paths strings.

    Returns
    -------
    str
        Standard JSON.

    Raises
    ------
    ParameterError
        If something else is in it; the text says where.
    """
    return json.dumps(_encode(value, "value"), allow_nan=False)


def from_json(text: str) -> Any:
    """Read what :func:`to_json` wrote.

    Parameters
    ----------
    text : str
        JSON.

    Raises
    ------
    FileFormatError
        If it is no JSON, or marked with a type that is not known.
    """
    try:
        return _decode(json.loads(text))
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(f"damaged JSON in the file: {error}") from error


def _encode(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_TAG: "float", "is": repr(value)}
    if isinstance(value, complex):
        parts = [_encode(value.real, where), _encode(value.imag, where)]
        return {_TAG: "complex", "is": parts}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "is": _encode(list(value), where)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcU":
        flat = _encode(value.ravel().tolist(), where)
        return {_TAG: "array", "dtype": value.dtype.str, "shape": value.shape, "is": flat}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and _TAG not in value:
            return {key: _encode(item, f"{where}[{key!r}]") for key, item in value.items()}
        items = [[_encode(k, where), _encode(v, f"{where}[{k!r}]")] for k, v in value.items()]
        return {_TAG: "dict", "is": items}
    raise ParameterError(
        f"{where} is a {type(value).__name__} ({value!r:.60}), which cannot be stored in a "
        "file. Use numbers, strings, arrays, lists, tuples and dicts."
    )


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(_TAG)
    if tag is None:
        return {key: _decode(item) for key, item in value.items()}
    content = _decode(value["is"])
    if tag == "float":
        return float(content)
    if tag == "complex":
        return complex(*content)
    if tag == "tuple":
        return tuple(content)
    if tag == "array":
        return np.array(content, dtype=value["dtype"]).reshape(value["shape"])
    if tag == "dict":
        return dict(content)
    raise FileFormatError(
        f"the file marks a value as {tag!r}, which this version of dsfunet does not know; "
        "read it with the version that wrote it, or a newer one."
    )
