"""What was chosen on the way to a result, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.mask_layers import NEVER_MEASURED

if TYPE_CHECKING:
    from dsfunet_core.factorization.result import Factorization

__all__ = ["Choice", "explain_choices", "summarize"]


@dataclass(frozen=True)
class Choice:
    """One thing that was chosen.

    Parameters
    ----------
    what : str
        Its name.
    value : str
        What was chosen, with its unit.
    why : str
        The reason, as a sentence.
    """

    what: str
    value: str
    why: str


def summarize(result: Factorization) -> str:
    """One line: plane, method, R factor, pixels used.

    Parameters
    ----------
    result : Factorization
        What to sum up.
    """
    used = int(result.plane.valid.sum())
    return (
        f"{result.plane.name}, method {result.method}: R = {result.r_factor:.4f} over "
        f"{used:,} pixels ({result.plane.valid.mean():.0%} of the plane)."
    )


def explain_choices(result: Factorization) -> list[Choice]:
    """Everything that was chosen, in the order of the computation.

    Parameters
    ----------
    result : Factorization
        Its ``choices`` may lack entries: what is not there is left out.

    Returns
    -------
    list of Choice
        Ready to be shown.
    """
    explained = [
        _mask(result),
        _lattice(result),
        _weights(result.choices),
        _filling(result.choices),
        _support(result.choices),
        _order(result),
        _inversion(result.choices),
        _weighting(result.choices),
        _outliers(result),
        _background(result),
        _uncertainties(result.choices),
        _convergence(result.choices),
    ]
    return [choice for choice in explained if choice is not None]


def _mask(result: Factorization) -> Choice:
    valid = result.plane.valid
    why = "Pixels that were never measured carry no weight; nothing is interpolated there."
    out = {reason: n for reason, n in result.plane.pixels_out().items() if n}
    out.pop(NEVER_MEASURED, None)
    if out:
        listed = ", ".join(f"{reason} {n:,}" for reason, n in out.items())
        why += f" Masked besides, because they are no diffuse scattering: {listed}."
    return Choice("pixels", f"{int(valid.sum()):,} of {valid.size:,}", why)


def _weights(choices: dict[str, Any]) -> Choice | None:
    """Which network, and how wrong it is on planes it never saw."""
    if "weights" not in choices:
        return None
    figures = choices.get("weights_card", {}).get("figures", {})
    why = (
        "A trained network separated the factors without the lattice; what is fitted to its "
        "order carries no share of its errors in σ."
    )
    if "sro" in figures and "form_factor" in figures:
        why += (
            " On simulated planes it never saw its mean square errors are "
            f"{figures['sro']:.3f} for I_SRO and {figures['form_factor']:.3f} for I_FF, images "
            "scaled to [−1, 1]."
        )
    expected = choices.get("expected_errors", {})
    if {"sro", "form_factor"} <= set(expected):
        sro, form_factor = expected["sro"], expected["form_factor"]
        why += (
            f" The product leaves {choices['unexplained']:.2%} of this plane's variance "
            f"unexplained: of simulated planes like it, half had errors of I_SRO below "
            f"{sro['median']:.1g} and 90 % below {sro['p90']:.1g}; with as much measured, "
            f"{form_factor['median']:.1g} and {form_factor['p90']:.1g} for I_FF."
        )
    checksum = str(choices.get("weights_sha256", ""))[:12]
    return Choice("weights", f"{choices['weights']} (SHA-256 {checksum}…)", why)


def _found(result: Factorization) -> str:
    """A lattice that was found: its reciprocal vectors, and the angle between them."""
    assert result.lattice is not None
    first, second = result.lattice.basis.T
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    angle = float(np.degrees(np.arccos(first @ second / np.prod(lengths))))
    vectors = " and ".join(
        "({:.2f}, {:.2f})".format(*(np.round(v, 2) + 0.0)) for v in (first, second)
    )
    return (
        f"found blind: reciprocal vectors {vectors} pixels along rows and columns, "
        f"{lengths[0]:.2f} and {lengths[1]:.2f} long, {angle:.1f}° apart"
    )


def _lattice(result: Factorization) -> Choice | None:
    """Where the lattice came from, and how far it was moved."""
    choices = result.choices
    source = choices.get("lattice_from")
    if source is None:
        return None
    why = choices.get("why", "The lattice is known: the plane comes with a cell.")
    if source == "none":
        return Choice("lattice", "not found", why)
    if source == "search":
        return Choice("lattice", _found(result), f"{why} {choices['lattice_reason']}")
    if "basis_shift" not in choices:
        return Choice("lattice", "given", why)
    moved = float(np.abs(choices["basis_shift"]).max())
    sigma = float(np.max(choices["basis_sigma"]))
    why += f" Refined, its vectors moved by up to {moved:.3f}(±{sigma:.3f}) pixels"
    origin = choices.get("origin_shift")
    if origin is None:
        why += "; the data do not tell where its origin is."
    else:
        sigmas = choices["origin_sigma"]
        listed = " and ".join(f"{d:.3f}(±{s:.3f})" for d, s in zip(origin, sigmas, strict=True))
        why += f", and its origin by {listed} along rows and columns."
    return Choice("lattice", "given, refined", why)


def _filling(choices: dict[str, Any]) -> Choice | None:
    """Who had a say in the dead zones of a hybrid's form factor."""
    if "network_weights" not in choices:
        return None
    checksum = str(choices.get("network_weights_sha256", ""))[:12]
    return Choice(
        "dead zones",
        f"with network {choices['network_weights']} (SHA-256 {checksum}…)",
        "Far from what was measured the form factor is the solver's extrapolation with a fifth "
        "of the network's; I_SRO and everything measured are the solver's alone.",
    )


def _support(choices: dict[str, Any]) -> Choice | None:
    if "support" not in choices:
        return None
    value = f"{choices['support']:.1f} Å"
    relative = choices.get("support_in_lattice_constants")
    if choices.get("lattice_from") == "search":
        # Without a cell there is no scale.
        value = f"{relative:.2f} lattice constants"
    elif relative is not None:
        value += f" ({relative:.2f} lattice constants)"
    if choices.get("support_chosen_by") == "user":
        return Choice("support", value, "You gave this radius.")
    scores = choices.get("support_scores") or {}
    why = (
        "Radius that holds the autocorrelation of the difference between the two molecules. "
        "It was chosen by cross-validation: pixels were held out, and of the radii tried this "
        "one predicts them best"
    )
    if scores:
        listed = "; ".join(f"{float(k):.2f}: {100 * v:.2g} %" for k, v in scores.items())
        why += f" (error by radius in lattice constants: {listed})"
    why += "."
    if choices.get("support_capped"):
        why += (
            " A larger radius would have had too many unknowns to try; set it yourself if the "
            "molecule is larger than that."
        )
    return Choice("support", value, why)


def _order(result: Factorization) -> Choice | None:
    order = result.choices.get("order")
    if order is None:
        return None
    why = f"Correlations between cells up to {order} apart along each axis are refined."
    unknowns = result.choices.get("unknowns")
    if unknowns:
        why += (
            f" That makes {unknowns[1]:,} unknowns for the short-range order beside "
            f"{unknowns[0]:,} for the form factor."
        )
    return Choice("order", str(order), why)


def _inversion(choices: dict[str, Any]) -> Choice | None:
    centric = choices.get("inversion_centre")
    if centric is None:
        return None
    if centric:
        return Choice(
            "inversion centre",
            "yes",
            "The plane is symmetric about its origin: by Friedel's law if it runs through "
            "Q = 0, otherwise because opposite pixels agree within the noise.",
        )
    return Choice(
        "inversion centre",
        "no",
        "Opposite pixels of the plane differ by more than the noise, or too few of them "
        "were measured to tell.",
    )


def _weighting(choices: dict[str, Any]) -> Choice | None:
    weighting = choices.get("weighting")
    if weighting is None:
        return None
    why = {
        "file variances": "The file gives variances, so weights are 1/σ².",
        "counting statistics": (
            "The file gives no variances; they are taken proportional to the expected "
            "intensity (and inversely to the number of observations where that is known), "
            "and scaled so that χ² per degree of freedom is 1."
        ),
    }
    return Choice("weights", str(weighting), why.get(weighting, ""))


def _outliers(result: Factorization) -> Choice | None:
    outliers = result.choices.get("outliers")
    if outliers is None:
        return None
    share = outliers / max(int(result.plane.valid.sum()), 1)
    why = "Pixels far off the model, such as remnants of Bragg peaks, were given no weight."
    if share > 0.01:
        why += (
            " That is more than one in a hundred: look at the residual for Bragg peaks "
            "and mask them."
        )
    return Choice("outliers", f"{outliers:,} ({share:.2%})", why)


def _background(result: Factorization) -> Choice | None:
    if result.background is None:
        return Choice("background", "none", "All scattering is taken to be diffuse.")
    share = np.sum(result.background[result.plane.valid]) / np.sum(
        result.plane.intensity[result.plane.valid]
    )
    return Choice(
        "background",
        f"{share:.1%} of the intensity",
        "A smooth additive background was refined beside the two factors.",
    )


def _uncertainties(choices: dict[str, Any]) -> Choice | None:
    why = {
        "model": (
            "From the curvature of the fit with the form factor marginalised; residuals of "
            "neighbouring pixels are independent of each other, as that requires."
        ),
        "blocks": (
            "From the scatter of blocks of pixels: residuals are correlated between "
            "neighbours, so the curvature of the fit alone would be too optimistic."
        ),
    }
    kind = choices.get("covariance")
    return Choice("uncertainties", kind, why[kind]) if kind in why else None


def _convergence(choices: dict[str, Any]) -> Choice | None:
    cycles = choices.get("cycles")
    if cycles is None:
        return None
    chi2 = choices.get("reduced_chi2")
    why = "Cycles of the final refinement."
    if chi2 is not None:
        why += f" χ² per degree of freedom is {chi2:.2f} (1 where only noise is left)."
    return Choice("cycles", str(cycles), why)
