"""Whether a mixture can have an order, and by how much to lessen one that it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.monte_carlo import least_alpha
from dsfunet_core.simulate.sro import TOLERANCE, least_sro

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_order"]


def check_order(alpha: NDArray, concentration: float) -> None:
    """Refuse α that no crystal of a composition has, and say how much smaller would do.

    Parameters
    ----------
    alpha : ndarray, shape (2m + 1,) * 3
        α_uvw, centred.
    concentration : float
        m_A.

    Raises
    ------
    ParameterError
        Where a pair of sites would be unlike more often than there are minority sites, or
        I_SRO negative. The factor in its text makes the α realisable.
    """
    lowest, limit = float(alpha.min()), least_alpha(concentration)
    if lowest < limit - 1e-9:
        raise ParameterError(
            f"No crystal has these α: with {concentration:.0%} of A none can be below "
            f"{limit:.3f}, and one is {lowest:.3f}. Mend it: {_down(limit / lowest):.2f} times "
            "these would do, or a share of A nearer 50 %."
        )
    least, hkl = least_sro(alpha)
    if least >= -TOLERANCE:
        return
    where = ", ".join(f"{x:.2f}" for x in hkl)
    factor = _down((1 + TOLERANCE) / (1 - least))
    raise ParameterError(
        f"No crystal has these α: I_SRO would be {least:.2f} at hkl = ({where}), and intensity "
        f"cannot be negative. Mend it: {factor:.2f} times these would do; or let Monte Carlo "
        "find the order of neighbours further off that goes with them."
    )


def _down(factor: float) -> float:
    return float(np.floor(100 * factor) / 100)
