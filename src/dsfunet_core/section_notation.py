"""The notation of planes: "hk1", "hhl", "h, -h, l"."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["describe_plane", "parse_indices"]

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:/\d+)?"
#: One term of an index: sign, number, letter.
_TERM = re.compile(rf"([+-]?)({_NUMBER})?([hkl])?")
_LETTERS = "hkl"


def parse_indices(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Read three indices of which two are free.

    Parameters
    ----------
    text : str
        As in :meth:`dsfunet_core.sections.Section.parse`.

    Returns
    -------
    tuple
        *hkl* where the free indices are 0, shape (3,); change of *hkl* with each of
        them, shape (3, 2); and a name.

    Raises
    ------
    ParameterError
        If the text does not name a plane.
    """
    clean = text.strip().lower().replace("−", "-").strip("()[]")
    if re.search(r"[,\s]", clean):
        entries = [re.sub(r"\s+", "", e) for e in re.split(r"\s*,\s*|\s+", clean) if e]
        readings = [entries] if len(entries) == 3 else []
    else:
        readings = sorted(_split(clean, 3), key=_coefficients)
    reasons = []
    for entries in readings:
        try:
            return _from_entries(entries)
        except ValueError as error:
            reasons.append(str(error))
        except ZeroDivisionError:
            reasons.append("a denominator is 0")
    reason = reasons[0] if reasons else "three indices were expected"
    raise ParameterError(
        f"{text!r} does not name a plane: {reason}. Write two free indices and one "
        'fixed, as "hk1", "h0l", "hk0.5" or "2kl", or two free ones in three, as "hhl" or '
        '"h, -h, l".'
    )


def describe_plane(
    origin: NDArray[np.float64],
    directions: NDArray[np.float64],
    letters: tuple[str, str] | None = None,
) -> str:
    """Name a plane so that :func:`parse_indices` reads it.

    Parameters
    ----------
    origin : ndarray, shape (3,)
        *hkl* of a point on it.
    directions : ndarray, shape (3, 2)
        Columns: directions in it.
    letters : tuple of str, optional
        Names of the two; when left out, the indices that they change most.

    Returns
    -------
    str
        Compact, as ``"hk1"``, where that can be read back, else with commas.
    """
    if letters is None:
        first = int(np.argmax(np.abs(directions[:, 0])))
        second = next(i for i in np.argsort(-np.abs(directions[:, 1])) if i != first)
        letters = (_LETTERS[first], _LETTERS[second])
    entries = []
    for i in range(3):
        terms = [
            f"{slope:+.12g}{letter}"
            for slope, letter in zip(directions[i], letters, strict=True)
            if slope
        ]
        if origin[i] or not terms:
            terms.append(f"{origin[i] + 0.0:+.12g}")
        entries.append(re.sub(r"(?<![\d.])1(?=[hkl])", "", "".join(terms)).removeprefix("+"))
    simple = all(re.fullmatch(r"-?(?:[hkl]|[\d.]+)", entry) for entry in entries)
    return "".join(entries) if simple else ", ".join(entries)


def _split(text: str, parts: int) -> Iterator[list[str]]:
    """Every way to read a text without separators as so many single terms."""
    if parts == 0:
        if not text:
            yield []
        return
    for end in range(1, len(text) + 1):
        match = _TERM.fullmatch(text[:end])
        if match and (match[2] or match[3]):
            for rest in _split(text[end:], parts - 1):
                yield [text[:end], *rest]


def _coefficients(entries: list[str]) -> int:
    """How many entries have a number before a letter; plain readings come first."""
    return sum(bool(re.search(r"\d[hkl]", entry)) for entry in entries)


def _from_entries(
    entries: list[str],
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    constants, slopes = np.zeros(3), np.zeros((3, 3))
    for i, entry in enumerate(entries):
        at = 0
        while at < len(entry):
            match = _TERM.match(entry, at)
            if match is None or not (match[2] or match[3]) or (at and not match[1]):
                raise ValueError(f"{entry!r} is no index")
            value = float(Fraction(match[2] or "1")) * (-1 if match[1] == "-" else 1)
            if match[3]:
                slopes[i, _LETTERS.index(match[3])] += value
            else:
                constants[i] += value
            at = match.end()
    free = np.flatnonzero(np.any(slopes != 0, axis=0))
    if len(free) != 2 or np.linalg.matrix_rank(slopes[:, free]) < 2:
        count = {0: "no index is", 1: "one index is", 2: "the same index is"}
        raise ValueError(f"{count.get(len(free), 'all three indices are')} free")
    letters = (_LETTERS[free[0]], _LETTERS[free[1]])
    return constants, slopes[:, free], describe_plane(constants, slopes[:, free], letters)
