"""Tables of Warren–Cowley parameters, as text and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from dsfunet_core.symmetry import Orbit

__all__ = ["AlphaByOrbit", "aligned", "find_orbit", "with_uncertainty"]

#: Orbits that an error message names.
_NAMED = 12


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


def find_orbit(orbits: Sequence[Orbit], vector: tuple[int, int, int]) -> int:
    """Which orbit a vector belongs to.

    Parameters
    ----------
    orbits : sequence of Orbit
        Where to look.
    vector : tuple of int
        (u, v, w), any member.

    Returns
    -------
    int
        Its number.

    Raises
    ------
    ParameterError
        If none holds it.
    """
    for number, orbit in enumerate(orbits):
        if np.any(np.all(orbit.members == np.asarray(vector), axis=1)):
            return number
    some = ", ".join(orbit.label for orbit in orbits[:_NAMED])
    more = f" and {len(orbits) - _NAMED} more" if len(orbits) > _NAMED else ""
    raise ParameterError(
        f"vector {tuple(vector)} was not refined; refined were the orbits of {some}{more}."
    )


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


class AlphaByOrbit:
    """What every set of refined Warren–Cowley parameters can do, one α an orbit."""

    if TYPE_CHECKING:

        @property
        def orbits(self) -> Sequence[Orbit]:
            """Symmetry-equivalent vectors that share a parameter."""

        @property
        def alpha(self) -> NDArray[np.float64]:
            """α_v, shape (n,)."""

        @property
        def covariance(self) -> NDArray[np.float64]:
            """Covariance of ``alpha``, shape (n, n)."""

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Standard uncertainties of ``alpha``, shape (n,), from the covariance as it is."""
        return np.sqrt(np.diag(self.covariance))

    def __getitem__(self, vector: tuple[int, int, int]) -> float:
        """Give α of a vector, whichever member of its orbit; 1 for (0, 0, 0).

        Parameters
        ----------
        vector : tuple of int
            (u, v, w).

        Raises
        ------
        ParameterError
            If it was not refined.
        """
        return float(self.alpha[find_orbit(self.orbits, vector)]) if any(vector) else 1.0

    def sigma_of(self, vector: tuple[int, int, int]) -> float:
        """Give σ(α) as ``self[vector]`` gives α; 0 for (0, 0, 0)."""
        return float(self.sigma[find_orbit(self.orbits, vector)]) if any(vector) else 0.0

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the parameters as a table of comma-separated values.

        Parameters
        ----------
        path : path-like
            File to write: u, v, w, multiplicity, length [Å], α, σ, and for a plane whether
            at a bound and whether fixed; numbers in full.
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

        columns = self._columns()
        with (
            replacing(path, overwrite=overwrite) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["u", "v", "w", "multiplicity", "length", *columns])
            for orbit, *values in zip(self.orbits, *columns.values(), strict=True):
                start = [*orbit.representative, orbit.multiplicity, repr(float(orbit.length))]
                writer.writerow([*start, *(_exact(value) for value in values)])
        return Path(path).expanduser()

    def _columns(self) -> dict[str, Iterable[Any]]:
        """Columns of :meth:`to_csv`, heading → one value an orbit."""
        return {"alpha": self.alpha, "sigma": self.sigma}


def _exact(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | np.bool_) else repr(float(value))
