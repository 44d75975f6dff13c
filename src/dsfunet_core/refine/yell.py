"""Short-range-order parameters in the notation of the program Yell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.symmetry import Orbit

__all__ = ["correlations"]

#: Our symbols in Yell's spelling; None for settings that Yell does not have.
_SYMBOLS = {
    "2/m": "2/m:b",
    "112/m": "2/m",
    "2/m11": None,
    "-3": "-3:H",
    "-3m1": "-3m:H",
    "-31m": None,
}


def correlations(
    orbits: Sequence[Orbit],
    alpha: NDArray,
    laue_class: str,
    *,
    variant: str = "Site",
    concentration: float = 0.5,
) -> str:
    """``Correlations [ … ]`` of a Yell model for one site with two occupants.

    Parameters
    ----------
    orbits : sequence of Orbit
        Refined vectors.
    alpha : ndarray, shape (n,)
        α_v, one an orbit.
    laue_class : str
        Laue class the multiplicities refer to.
    variant : str
        Name of the Variant of two chemical units A and B in Yell's UnitCell.
    concentration : float
        m_A, the probability of A (the first unit of the Variant).

    Returns
    -------
    str
        One group a vector, (0,0,0) included. By eq. (4) the joint probability of A and A
        at a distance v is m_A² + m_A·m_B·α_v; the other three follow from it in Yell.

    Raises
    ------
    ParameterError
        If the concentration is not between 0 and 1, or the name not one for Yell.
    """
    if not 0 < concentration < 1:
        raise ParameterError(
            f"concentration={concentration!r} must lie between 0 and 1: the fraction of "
            "sites that hold A."
        )
    if not variant.isidentifier() or not variant.isascii():
        raise ParameterError(
            f"variant={variant!r} cannot name a Variant in Yell; use letters, digits and "
            "underscores."
        )
    symbol = _SYMBOLS.get(laue_class, laue_class)
    note = f"LaueSymmetry {symbol}" if symbol else f"{laue_class}, which Yell does not have"
    lines = [f"# Multiplicities are those of {note}.", "Correlations ["]
    vectors = [((0, 0, 0), 1, 1.0)] + [
        (orbit.representative, orbit.multiplicity, float(a))
        for orbit, a in zip(orbits, alpha, strict=True)
    ]
    for vector, multiplicity, a in vectors:
        joint = concentration**2 + concentration * (1 - concentration) * a
        lines += [
            "  [({},{},{})".format(*vector),
            f"   Multiplicity {multiplicity}",
            f"   SubstitutionalCorrelation({variant},{variant},{joint:.7f}) # alpha {a:.5f}",
            "  ]",
        ]
    return "\n".join([*lines, "]", ""])
