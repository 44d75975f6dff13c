"""Short-range order by division: the methods the factorizations are measured against.

Schmidt & Neder (2017), Acta Cryst. A73, 231, divide the intensity by a form factor that
is known or guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.refine.projection import project
from dsfunet_core.simulate.form_factors import atomic_form_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["divide_by_average", "divide_by_contrast"]


def divide_by_contrast(
    plane: ReciprocalPlane, contrast: ArrayLike, *, threshold: float = 0.05
) -> Factorization:
    """Divide by the known contrast of the two molecules, the modulus of F_A − F_B squared.

    Parameters
    ----------
    plane : ReciprocalPlane
        With its lattice known.
    contrast : array_like, shape (n_rows, n_columns)
        Squared modulus of F_A − F_B, the I_FF of eq. (1), in any unit; finite and not
        negative.
    threshold : float
        Where the contrast is below this fraction of its maximum, the quotient says
        nothing, and I_SRO is filled from the other cells.

    Returns
    -------
    Factorization
        Method ``"division"``; the contrast is scaled so that I_SRO has mean 1 over a
        reciprocal unit cell.

    Raises
    ------
    ParameterError
        If ``contrast`` does not fit the plane.
    GeometryError
        If the plane has no lattice.

    References
    ----------
    .. [1] E. Schmidt & R. B. Neder (2017). Acta Cryst. A73, 231-237.
    """
    array = np.asarray(contrast, dtype=np.float64)
    if array.shape != plane.shape:
        raise ParameterError(
            f"contrast has shape {array.shape}, but the plane has {plane.shape}; calculate "
            "it on the plane's own pixels (plane.q())."
        )
    if not np.isfinite(array).all() or array.min() < 0 or array.max() == 0:
        raise ParameterError(
            "contrast must be finite, nowhere negative and somewhere positive: it is the "
            f"square of a modulus; its range is {array.min():.4g} to {array.max():.4g}."
        )
    return _divided(plane, array, "division", threshold)


def divide_by_average(
    plane: ReciprocalPlane, composition: Mapping[str, float], *, threshold: float = 0.05
) -> Factorization:
    """Divide by the squared average atomic form factor, which needs no structure.

    Parameters
    ----------
    plane : ReciprocalPlane
        With its lattice known.
    composition : mapping of str to float
        Element symbol → number of atoms, ``{"C": 21, "H": 33, "N": 3, "O": 3}``.
    threshold : float
        Where the average is below this fraction of its maximum, the quotient says
        nothing, and I_SRO is filled from the other cells.

    Returns
    -------
    Factorization
        Method ``"average-form-factor"``; scaled so that I_SRO has mean 1 over a
        reciprocal unit cell.

    Raises
    ------
    ParameterError
        If ``composition`` is empty, or names what is no element.
    GeometryError
        If the plane has no lattice.

    References
    ----------
    .. [1] E. Schmidt & R. B. Neder (2017). Acta Cryst. A73, 231-237.
    """
    total = sum(composition.values())
    if not composition or min(composition.values()) < 0 or total <= 0:
        raise ParameterError(
            f"composition={dict(composition)!r} must give numbers of atoms, not negative "
            'and not all zero, such as {"C": 21, "H": 33, "N": 3, "O": 3}.'
        )
    q_norm = plane.q_norm()
    average = np.zeros(plane.shape)
    for element, number in composition.items():
        average += number / total * atomic_form_factor(element, q_norm)
    return _divided(plane, average**2, "average-form-factor", threshold)


def _divided(
    plane: ReciprocalPlane, shape: NDArray[np.float64], method: str, threshold: float
) -> Factorization:
    """Factorization whose form factor is ``shape``, up to scale."""
    weights = None
    if plane.variance is not None:
        variance = np.asarray(plane.variance, dtype=np.float64)
        usable = plane.valid & np.isfinite(variance) & (variance > 0)
        weights = np.divide(1.0, variance, out=np.zeros(plane.shape), where=usable)
    unscaled = Factorization(
        plane=plane,
        method=method,
        form_factor=shape,
        sro=np.ones(plane.shape),
        weights=weights,
        lattice=plane.lattice,
    )
    cell = project(unscaled, threshold=threshold)
    scale = cell.mean()
    if scale <= 0:
        raise ParameterError(
            f"the mean of intensity / form factor is {scale:.4g}, not positive, on plane "
            f"{plane.name!r}; check background and mask."
        )
    form_factor = scale * shape
    # Where the quotient is missing, its value at the same place of the other cells.
    inverse = np.linalg.inv(cell.lattice.basis)
    pixels = np.moveaxis(np.indices(plane.shape), 0, -1) - cell.lattice.origin
    u = (pixels @ inverse.T) % 1
    index = np.minimum((u * cell.bins).astype(int), np.array(cell.bins) - 1)
    sro = np.nan_to_num(cell.values / scale, nan=1.0)[index[..., 0], index[..., 1]]
    seen = plane.valid & (shape > 0) & (shape >= threshold * shape[plane.valid].max())
    np.divide(plane.intensity, form_factor, out=sro, where=seen)
    return Factorization(
        plane=plane,
        method=method,
        form_factor=form_factor,
        sro=sro,
        weights=weights,
        lattice=cell.lattice,
        choices={"threshold": threshold, "scale": scale},
    )
