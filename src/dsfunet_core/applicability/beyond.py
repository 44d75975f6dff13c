"""Checks of what no product takes up, from the score tests of a factorization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsfunet_core.applicability.check import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NEGLIGIBLE", "constant_besides", "order_besides"]

#: Below this share of the power a residual's structure is the solver's own.
NEGLIGIBLE = 1.5e-5
#: Largest score that noise gives [σ], and the share of the mean below which a constant is none.
BEYOND, NO_BACKGROUND = 3.5, 1e-3
#: Families of patterns that a second product shows in, and what they are called.
FAMILIES = {
    "order": "another one elsewhere in the {}",
    "second product": "one of a smooth form factor",
    "contrast": "more or less pronounced across the {}",
}


def order_besides(
    scores: Mapping[str, Mapping[str, Any]], subject: str, *, first: str = ""
) -> Check | None:
    """Whether order besides the product's own fits better than none.

    Parameters
    ----------
    scores : mapping of str to mapping
        ``choices["beyond_the_product"]`` of a factorization.
    subject : str
        A plane, or a volume.
    first : str
        What to think of first where it does.
    """
    scores = {name: scores[name] for name in FAMILIES if name in scores}
    if not scores:
        return None
    value = max(s["sigma"] for s in scores.values())
    counted = [s for s in scores.values() if s["share"] > NEGLIGIBLE]
    passed = all(s["sigma"] <= BEYOND for s in counted)
    amount = max(s["share"] for s in scores.values()) ** 0.5
    said = ", ".join(
        f"{FAMILIES[name].format(subject)} {s['sigma']:.1f}σ" for name, s in scores.items()
    )
    return Check(
        "order besides the product",
        value,
        BEYOND,
        passed,
        f"{said} (limit {BEYOND}σ); {amount:.1%} of the intensity (r.m.s.)",
        f"The same order multiplies the form factor everywhere on the {subject}."
        if passed
        else first + "There is order besides the product's: a second disordered site with a "
        "form factor and an order of its own, displacements that follow the order, thermal "
        "scattering, or a background.",
    )


def constant_besides(scores: Mapping[str, Mapping[str, Any]], mend: str) -> Check | None:
    """Whether a constant besides the product fits better than none.

    Parameters
    ----------
    scores : mapping of str to mapping
        ``choices["beyond_the_product"]`` of a factorization.
    mend : str
        What to do about a background.
    """
    score = scores.get("background")
    if score is None:
        return None
    sigma, amount, error = score["sigma"], score["amplitude"], score["amplitude_sigma"]
    passed = abs(sigma) <= BEYOND or abs(amount) <= NO_BACKGROUND
    return Check(
        "background",
        sigma,
        BEYOND,
        passed,
        f"a constant of {100 * amount:+.2f} ± {100 * error:.2f} % of the mean besides the "
        f"product ({sigma:+.1f}σ; limit {BEYOND}σ)",
        "No constant besides the product is asked for."
        if passed
        else "There is intensity that does not follow the order, most likely a background. "
        + mend
        if amount > 0
        else "There is less intensity than the product says where the order is weakest: too "
        "much background was subtracted. Subtract less.",
    )
