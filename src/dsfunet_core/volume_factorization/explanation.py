"""What was chosen on the way to the factors of a volume, and why, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.explain import Choice

if TYPE_CHECKING:
    from dsfunet_core.volume_factorization.result import VolumeFactorization

__all__ = ["explain_volume", "summarize_volume"]


def summarize_volume(result: VolumeFactorization) -> str:
    """One line: volume, R factor, voxels, and how many α stand out of their uncertainty.

    Parameters
    ----------
    result : VolumeFactorization
        Its volume is read for the R factor.
    """
    used = result.choices["voxels_used"]
    seen = int(np.sum(np.abs(result.alpha) > 3 * result.sigma))
    strongest = int(np.argmax(np.abs(result.alpha) / result.sigma))
    return (
        f"{result.volume.name}: R = {result.r_factor:.4f} over {used:,} voxels "
        f"({used / math.prod(result.volume.shape):.0%} of the volume). {seen} of "
        f"{len(result.alpha)} α are beyond 3σ, the clearest that of "
        f"{result.orbits[strongest].label}."
    )


def explain_volume(result: VolumeFactorization) -> list[Choice]:
    """Everything that was chosen, in the order of the computation.

    Parameters
    ----------
    result : VolumeFactorization
        No voxel is read.
    """
    choices = result.choices
    return [
        _order(result),
        _support(choices),
        _weights(choices),
        _outliers(result),
        _uncertainties(choices),
        _convergence(choices),
    ]


def _order(result: VolumeFactorization) -> Choice:
    return Choice(
        "order",
        str(result.choices["order"]),
        f"Correlations between cells up to {result.choices['order']} apart along each axis "
        f"are refined; Laue class {result.laue_class} leaves {len(result.alpha)} α of "
        f"{sum(orbit.multiplicity for orbit in result.orbits)} vectors.",
    )


def _support(choices: dict[str, Any]) -> Choice:
    value = f"{choices['support']:.1f} Å, {choices['unknowns_form_factor']:,} unknowns"
    scores = choices.get("support_scores")
    if not scores:
        return Choice("support", value, "You gave this radius.")
    listed = "; ".join(f"{float(r):.1f} Å: {100 * s:.2g} %" for r, s in scores.items())
    why = (
        "Radius that holds the autocorrelation of the difference between the two molecules; "
        f"of the radii tried it predicts cubes of voxels that were held out best ({listed})."
    )
    if choices.get("support_capped"):
        why += (
            " A larger one might predict better but has too many unknowns: allow more of them, "
            "or cut the volume to smaller |h|, |k|, |l|."
        )
    return Choice("support", value, why)


def _weights(choices: dict[str, Any]) -> Choice:
    if choices["weighting"] == "variance":
        return Choice("weights", "variances", "The file gives variances; weights are 1/σ².")
    return Choice(
        "weights",
        "counting statistics",
        "The file gives no variances; they are taken proportional to the expected intensity "
        "(and inversely to the number of observations where that is known), and scaled so "
        "that χ² per degree of freedom is 1.",
    )


def _outliers(result: VolumeFactorization) -> Choice:
    outliers = result.choices["outliers"]
    if not result.choices["robust"]:
        return Choice("outliers", "kept", "Voxels far off the model weigh as all others.")
    share = outliers / max(result.choices["voxels_used"] + outliers, 1)
    return Choice(
        "outliers",
        f"{outliers:,} ({share:.2%})",
        "Voxels far off the model, such as remnants of Bragg peaks, were given no weight.",
    )


def _uncertainties(choices: dict[str, Any]) -> Choice:
    from dsfunet_core.volume_factorization.residuals import correlated

    number = correlated(np.array(choices.get("neighbours", np.zeros(3))))
    why = "From the curvature of the fit with the form factor marginalised"
    if number == 1:
        return Choice(
            "uncertainties",
            "from the model",
            f"{why}; residuals of neighbouring voxels are independent, as that requires.",
        )
    return Choice(
        "uncertainties",
        f"widened {math.sqrt(number):.1f} times",
        f"{why}, and widened: residuals of neighbouring voxels are alike, so that "
        f"{number:.0f} of them count as one.",
    )


def _convergence(choices: dict[str, Any]) -> Choice:
    return Choice(
        "cycles",
        str(choices["cycles"]),
        f"Cycles of the final refinement. Mean square residual in units of the weights: "
        f"{choices['misfit']:.3g} (1 where intensities are counts and only noise is left).",
    )
