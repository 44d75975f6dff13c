"""What a search for the lattice of a plane came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_UNEXPLAINED", "FoundLattice", "in_words"]

#: Largest share of a plane's variance that the right lattice may leave unexplained.
MOST_UNEXPLAINED = 0.02
#: Logarithm of a million.
MANY = 13.8


@dataclass(frozen=True, eq=False)
class FoundLattice:
    """Outcome of a search.

    Parameters
    ----------
    found : bool
        Whether the lattice is certain. If not, ``direct`` is the best guess.
    direct : ndarray, shape (2, 2), optional
        Columns: reduced basis of the direct lattice [cycles a pixel]; None where there
        was no candidate at all.
    sigma : ndarray, shape (2, 2), optional
        Standard uncertainties of ``direct``.
    merit : float
        Logarithm of the odds against the next best lattice.
    unexplained : float
        Share of the plane's variance that both factors leave, see
        `dsfunet_core.metrics.unexplained`.
    reason : str
        One sentence: how it was found, or why not.
    form_factor : ndarray, shape (n_rows, n_columns), optional
        I_FF with the best lattice.
    notes : dict
        Candidates tried, rounds, misfits.
    """

    found: bool
    direct: NDArray[np.float64] | None
    sigma: NDArray[np.float64] | None
    merit: float
    unexplained: float
    reason: str
    form_factor: NDArray[np.float64] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def basis(self) -> NDArray[np.float64] | None:
        """Columns: the two reciprocal-lattice vectors in pixels (row, column)."""
        if self.direct is None:
            return None
        return np.asarray(np.linalg.inv(self.direct).T, dtype=np.float64)


def in_words(found: bool, candidates: int, left: float, merit: float) -> str:
    """Why a lattice counts as found, or does not.

    Parameters
    ----------
    found : bool
        Whether it does.
    candidates : int
        Lattices looked at.
    left : float
        Share of the variance that the best leaves.
    merit : float
        Logarithm of the odds against the next best one.
    """
    tried = "one candidate" if candidates == 1 else f"{candidates} candidates"
    if found:
        odds = f"{np.exp(merit):.0f}" if merit < MANY else "more than a million"
        return (
            f"Of {tried} it alone explains the plane: {left:.2g} of the variance is left in "
            f"squares of 4 × 4 pixels, and the odds against the next best lattice are "
            f"{odds} to 1."
        )
    if left >= MOST_UNEXPLAINED:
        return (
            f"The best of {tried} leaves {left:.1%} of the plane's variance unexplained; a "
            f"lattice must leave less than {MOST_UNEXPLAINED:.0%}."
        )
    return (
        f"None of {tried} stands out: others explain the plane about as well as the best, or "
        "more than noise is left."
    )
