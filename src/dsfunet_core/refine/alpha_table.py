"""Tables of Warren–Cowley parameters, as text and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import os

    from dsfunet_core.symmetry import Orbit

__all__ = ["aligned", "find_orbit", "with_uncertainty", "write_csv"]


def with_uncertainty(value: float, sigma: float) -> str:
    """Write a value with its standard uncertainty in brackets, by the rule of 19.

    Parameters
    ----------
    value, sigma : float
        Value and standard uncertainty, in the same unit.

    Returns
    -------
    str
        The uncertainty to two digits up to 19 and to one above. Four decimals and no
        bracket where the uncertainty is not known.

    Examples
    --------
    >>> with_uncertainty(0.09842, 0.00124)
    '0.0984(12)'
    >>> with_uncertainty(-0.2516, 0.003)
    '-0.252(3)'
    """
    if not np.isfinite(sigma) or sigma <= 0:
        return f"{value:.4f}"
    decimals = 1 - int(np.floor(np.log10(sigma)))
    if round(sigma * 10**decimals) > 19:
        decimals -= 1
    if decimals <= 0:
        unit = 10**-decimals
        return f"{round(value / unit) * unit:d}({round(sigma / unit) * unit:d})"
    return f"{value:.{decimals}f}({round(sigma * 10**decimals):d})"


def find_orbit(orbits: Sequence[Orbit], vector: tuple[int, int, int]) -> int | None:
    """Which orbit a vector belongs to.

    Parameters
    ----------
    orbits : sequence of Orbit
        Where to look.
    vector : tuple of int
        (u, v, w), any member.

    Returns
    -------
    int or None
        Its number; None where none holds it.
    """
    for number, orbit in enumerate(orbits):
        if np.any(np.all(orbit.members == np.asarray(vector), axis=1)):
            return number
    return None


def aligned(parameters: Iterable[tuple[Orbit, str]]) -> list[str]:
    """Lines of vectors, multiplicities, lengths [Å] and α, below a heading and α_000.

    Parameters
    ----------
    parameters : iterable of (Orbit, str)
        Orbits and their α as text.

    Returns
    -------
    list of str
        Aligned, a minus sign with the blank before a positive value.
    """
    rows = [("v", "m", "|v| (Å)", " α"), ("(0,0,0)", "1", "0.000", " 1 (fixed)")]
    for orbit, alpha in parameters:
        length = "–" if np.isnan(orbit.length) else f"{orbit.length:.3f}"
        alpha = alpha if alpha.startswith("-") else " " + alpha
        rows.append((orbit.label, str(orbit.multiplicity), length, alpha))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return [
        f"{v:<{widths[0]}}  {m:>{widths[1]}}  {length:>{widths[2]}}  {alpha}"
        for v, m, length, alpha in rows
    ]


def write_csv(
    path: str | os.PathLike[str],
    orbits: Sequence[Orbit],
    columns: Mapping[str, Iterable[Any]],
    *,
    overwrite: bool,
) -> Path:
    """Write u, v, w, multiplicity, length [Å] and what else there is, one line an orbit.

    Parameters
    ----------
    path : path-like
        File to write.
    orbits : sequence of Orbit
        Lines.
    columns : mapping of str to iterable
        Heading → values; numbers are written in full.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        If it exists and ``overwrite`` is False.
    """
    from dsfunet_core.io.files import replacing

    with (
        replacing(path, overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["u", "v", "w", "multiplicity", "length", *columns])
        for orbit, *values in zip(orbits, *columns.values(), strict=True):
            start = [*orbit.representative, orbit.multiplicity, repr(float(orbit.length))]
            writer.writerow([*start, *(_exact(value) for value in values)])
    return Path(path).expanduser()


def _exact(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | np.bool_) else repr(float(value))
