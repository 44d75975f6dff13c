"""Factorization by a trained network: blind, without a lattice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.factorization.result import Factorization
from dsfunet_core.metrics import unexplained

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["expected_errors", "factorize_by_network"]


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
        Without coefficients and uncertainties. ``choices`` tells how much of the plane the
        product leaves unexplained, and how wrong the factors of such planes were in
        validation.
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
    left = unexplained(intensity, product, valid)
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
            "unexplained": left,
            "expected_errors": expected_errors(loaded.card, left, float(valid.mean())),
        },
    )


def expected_errors(card: dict[str, Any], left: float, coverage: float) -> dict[str, Any]:
    """How wrong the factors of planes like this one were on the validation set.

    Parameters
    ----------
    card : dict
        Of the weights. Its ``calibration`` lists, for each factor, classes of planes with
        the median and the 90th percentile of their mean square errors: by what was left
        unexplained for I_SRO, by coverage for I_FF.
    left : float
        Share of the plane's variance that the product leaves unexplained.
    coverage : float
        Fraction of its pixels that were measured.

    Returns
    -------
    dict
        ``sro`` and ``form_factor``, each with ``median`` and ``p90``; empty where the
        weights were never calibrated.
    """
    found = {}
    values = {"sro": left, "form_factor": coverage}
    for factor, classes in card.get("calibration", {}).items():
        # The last class has no upper end.
        chosen = next((c for c in classes if values[factor] <= c["to"]), classes[-1])
        found[factor] = {"median": chosen["median"], "p90": chosen["p90"]}
    return found


def _mean_over_cells(sro: NDArray) -> float:
    """Mean of a periodic image: a smooth window forgets the cells cut by the edges."""
    rows, columns = (np.hanning(n + 2)[1:-1] for n in sro.shape)
    return float(max(rows @ sro @ columns / (rows.sum() * columns.sum()), 1e-12))
