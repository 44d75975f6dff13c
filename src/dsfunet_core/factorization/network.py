"""Factorization by a trained network: blind, without a lattice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.factorization.result import Factorization

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["factorize_by_network"]


def factorize_by_network(
    plane: ReciprocalPlane,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    callback: Callable[[int, int, str], None] | None = None,
) -> Factorization:
    """Factorize a plane with a network, as Fuller & Rudden (2024) do.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its lattice, if known, is not used.
    weights : str or path-like, optional
        Name or file, see `dsfunet_core.network.weights.find`.
    device : str, optional
        Torch device; the CPU when left out.
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    Factorization
        Without coefficients and uncertainties: a network does not know how sure it is.
    """
    from dsfunet_core.network import weights as stored
    from dsfunet_core.network.inference import factorize_images

    if callback is not None:
        callback(0, 2, "loading the weights")
    loaded = stored.load(weights, device=device or "cpu")
    if callback is not None:
        callback(1, 2, "running the network")
    valid = plane.valid & np.isfinite(plane.intensity)
    ((form_factor, sro),) = factorize_images(
        loaded.network, [plane.intensity], [valid], device=device or "cpu"
    )
    order = sro.astype(float) / _mean_over_cells(sro)
    product = form_factor * order
    intensity = np.where(valid, plane.intensity, 0)
    # The scale that leaves the least squares of the measured pixels.
    scale = (intensity * product)[valid].sum() / (product[valid] ** 2).sum()
    return Factorization(
        plane=plane,
        method="network",
        form_factor=form_factor * scale,
        sro=order,
        lattice=plane.lattice if plane.has_geometry else None,
        choices={
            "weights": loaded.name,
            "weights_sha256": loaded.checksum,
            "weights_card": loaded.card,
        },
    )


def _mean_over_cells(sro: NDArray) -> float:
    """Mean of a periodic image: a smooth window forgets the cells cut by the edges."""
    rows, columns = (np.hanning(n + 2)[1:-1] for n in sro.shape)
    return float(max(rows @ sro @ columns / (rows.sum() * columns.sum()), 1e-12))
