"""Bundled Monte Carlo short-range order: thousands of realisable sets, ready to draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.monte_carlo import least_alpha, monte_carlo_order
from dsfunet_core.simulate.sro import REACH, least_sro

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SroTable", "averaged_over_mirrors", "draw_set", "sro_table"]

#: Unit of the stored α.
UNIT = 1e-4
#: Most negative I_SRO, in units of its mean, of a set that enters the table.
LEAST_SRO = -0.1
#: Every tenth set is kept for validation and never drawn for training.
HELD_OUT_EVERY = 10


def averaged_over_mirrors(alpha: NDArray) -> NDArray[np.float64]:
    """Average of α over the mirrors u → −u, v → −v and w → −w.

    A crystal whose neighbours along a, b and c alone matter has them on average; a single
    one differs by its chance.

    Parameters
    ----------
    alpha : ndarray, shape (2m + 1,) * 3
        α_uvw, centred.

    Returns
    -------
    ndarray
        Same shape.
    """
    for axis in range(3):
        alpha = (alpha + np.flip(alpha, axis)) / 2
    return alpha


@dataclass(frozen=True, eq=False)
class SroTable:
    """Sets of Warren–Cowley parameters.

    Parameters
    ----------
    concentration : ndarray, shape (n,)
        m_A of each set.
    targets : ndarray, shape (n, 3)
        α₁₀₀, α₀₁₀, α₀₀₁ asked of the Monte Carlo.
    octants : ndarray of int16, shape (n, 6, 6, 6)
        α_uvw / 10⁻⁴ for 0 ≤ u, v, w ≤ 5, the vectors of eq. (6).
    """

    concentration: NDArray[np.float64]
    targets: NDArray[np.float64]
    octants: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.concentration)

    def indices(self, *, held_out: bool = False) -> NDArray[np.int64]:
        """Which sets are for training, or, held out, for validation."""
        every = np.arange(len(self))
        return every[(every % HELD_OUT_EVERY == HELD_OUT_EVERY - 1) == held_out]

    def alpha(self, index: int) -> NDArray[np.float64]:
        """Box of one set.

        Parameters
        ----------
        index : int
            Which.

        Returns
        -------
        ndarray, shape (11, 11, 11)
            α_uvw, α_000 = 1 in the middle.
        """
        n = np.abs(np.arange(-REACH, REACH + 1))
        return self.octants[index][np.ix_(n, n, n)] * UNIT


@cache
def sro_table() -> SroTable:
    """Table that comes with the package.

    Returns
    -------
    SroTable
        At least 12,000 sets, each realisable: I_SRO ≥ −0.1 everywhere.
    """
    with (
        as_file(files("dsfunet_core") / "data" / "sro-table.npz") as path,
        np.load(path) as file,
    ):
        # Differences along u are small numbers, which the file keeps in less room.
        octants = np.cumsum(file["differences"], axis=1, dtype=np.int16)
        return SroTable(
            file["concentration"].astype(float), file["targets"].astype(float), octants
        )


def draw_set(
    rng: np.random.Generator, *, size: int = 20, samples: int = 24
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Draw a concentration and three targets until a crystal has them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    size, samples : int
        Crystals, see `monte_carlo_order`.

    Returns
    -------
    concentration : float
        m_A, 0.1 to 0.9.
    targets : ndarray, shape (3,)
        α₁₀₀, α₀₁₀, α₀₀₁: from nine tenths of the least that m_A allows up to 0.7.
    alpha : ndarray, shape (11, 11, 11)
        Averaged over mirrors; I_SRO is nowhere below −0.1.
    """
    while True:
        m_a = rng.uniform(0.1, 0.9)
        targets = rng.uniform(max(0.9 * least_alpha(m_a), -0.7), 0.7, size=3)
        try:
            order = monte_carlo_order(targets, m_a, size=size, samples=samples, rng=rng)
        except ParameterError:
            continue
        alpha = averaged_over_mirrors(order.alpha)
        if least_sro(alpha)[0] >= LEAST_SRO:
            return m_a, targets, alpha
