"""The checks, one function each: a figure, its limit and a sentence.

The limits were set on simulated planes, clean ones and ones that break an assumption, and
tried on others: ``python -m benchmarks applicability``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.applicability.beyond import NEGLIGIBLE, constant_besides, order_besides
from dsfunet_core.applicability.check import Check
from dsfunet_core.applicability.evidence import neighbour_products

if TYPE_CHECKING:
    from dsfunet_core.applicability.evidence import Evidence
    from dsfunet_core.factorization.result import Factorization

__all__ = [
    "ASSUMPTIONS",
    "lowest_order",
    "mean_order",
    "structured_share",
]

#: Limits; what they limit is told where they are used.
NEIGHBOURS, AT_VECTORS, FORM_FACTOR_AT_VECTORS, NEAR_POINTS = 0.025, 4.0, 1.05, 1.1
OUTLIERS = 0.002
#: Mean of the darkest pixels' residuals [σ].
DARK = 3.5
#: Score of what no product takes up that bears out what the form factor's shape suggests [σ].
HINT = 2.0
#: Largest coordinate of the lattice vectors at which the residual is looked at: all of the
#: order. The shortest alone are where a molecule's form factor reaches too.
REACH = 5.5
#: Fewest reciprocal-lattice points that say anything of them.
FEW_POINTS = 10
FORM_FACTOR_WEIGHT, NEGATIVE, MEAN_OFF, STRUCTURED = 0.004, -0.06, 0.1, 0.006


def neighbouring_residuals(evidence: Evidence) -> Check:
    """Correlation of the residuals of neighbouring pixels."""
    products, pairs = neighbour_products(evidence.z, evidence.used)
    value = products / max(pairs, 1)
    passed = value <= NEIGHBOURS or evidence.structured_share <= NEGLIGIBLE
    return Check(
        "residual",
        value,
        NEIGHBOURS,
        passed,
        f"neighbours correlate by {value:.3f} (limit {NEIGHBOURS})",
        "The residual is independent from pixel to pixel, as noise is."
        if passed
        else _too_small(evidence)
        + "The residual has structure: there is scattering that no product of these two "
        "factors explains, such as displacements, thermal scattering or a second "
        "disordered site.",
    )


def _too_small(evidence: Evidence) -> str:
    """First thing to think of where somebody chose the support himself."""
    choices = evidence.result.choices
    if choices.get("support_chosen_by") != "user":
        return ""
    return (
        f"The support that was given ({choices['support']:.1f} Å) may be too small for the "
        "molecules; have it chosen automatically before you believe anything below. "
    )


def residual_at_lattice_vectors(evidence: Evidence) -> Check:
    """Power of the residual's Fourier transform at lattice vectors over noise."""
    value = evidence.excess_at_lattice_vectors(evidence.z, REACH)
    passed = value <= AT_VECTORS or evidence.structured_share <= NEGLIGIBLE
    return Check(
        "periodicity of the residual",
        value,
        AT_VECTORS,
        passed,
        f"{value:.1f}σ above noise at lattice vectors (limit {AT_VECTORS}σ)",
        "The residual does not repeat from cell to cell: the short-range order is used up."
        if passed
        else "The residual repeats from cell to cell, in another way at different Q: order "
        "that does not multiply one common form factor, as of displacements that follow the "
        "order or of a second disordered site.",
    )


def form_factor_at_lattice_vectors(evidence: Evidence) -> Check | None:
    """Autocorrelation of the form factor near lattice vectors over that elsewhere."""
    shape = evidence.used.shape
    window = np.hanning(shape[0])[:, None] * np.hanning(shape[1])
    padded = (2 * shape[0], 2 * shape[1])
    patterson = np.abs(np.fft.fft2(evidence.result.form_factor * window, s=padded))
    patterson /= patterson[0, 0]
    space = evidence.real_space(padded)
    support = float(evidence.result.choices.get("support_in_lattice_constants", 0))
    inside = space.radius < support
    lattice_vectors = np.any(np.rint(space.coordinates) != 0, axis=-1)
    near = inside & lattice_vectors & (space.from_lattice_vector < 0.18)
    elsewhere = inside & (space.radius > 0.75) & (space.from_lattice_vector > 0.3)
    if near.sum() < 3 or elsewhere.sum() < 3:
        return None
    weight = float(patterson[near].mean())
    value = weight / max(float(patterson[elsewhere].mean()), 1e-12)
    besides = [s["sigma"] for s in evidence.beyond_the_product.values()]
    # Large units in small cells do it too; then next to nothing is left, and no order besides.
    passed = (
        value <= FORM_FACTOR_AT_VECTORS
        or weight <= FORM_FACTOR_WEIGHT
        or evidence.share <= NEGLIGIBLE
        or max(besides, default=np.inf) <= HINT
    )
    return Check(
        "form factor at lattice vectors",
        value,
        FORM_FACTOR_AT_VECTORS,
        passed,
        f"{value:.2f} of what is beside them (limit {FORM_FACTOR_AT_VECTORS})",
        "The form factor is smooth: its autocorrelation has no peaks at lattice vectors."
        if value <= FORM_FACTOR_AT_VECTORS
        else "The form factor repeats with the lattice a little, as that of a unit larger than "
        "the cell does; no order besides the product's bears out that it makes up for any."
        if passed
        else "The form factor itself repeats with the lattice. That is what it does when it "
        "makes up for order that does not multiply it (a second disordered site, "
        "displacements), or when the disordered unit reaches beyond the next cell.",
    )


def near_lattice_points(evidence: Evidence) -> Check | None:
    """Mean square of the sums of residuals around reciprocal-lattice points."""
    sums = evidence.sums_at_lattice_points
    if len(sums) < FEW_POINTS:
        return None
    value = float((sums**2).mean())
    # χ² of few positions scatters.
    limit = NEAR_POINTS + 4 * float(np.sqrt(2 / len(sums)))
    passed = value <= limit or evidence.share <= NEGLIGIBLE
    return Check(
        "near Bragg positions",
        value,
        limit,
        passed,
        f"residuals around a position sum to {value:.2f} of their variance (limit {limit:.2f})",
        "The product holds near Bragg positions as well as elsewhere."
        if passed
        else "The product fails near Bragg positions: thermal diffuse scattering, the feet "
        "of Bragg peaks, or order over more cells than were refined. Mask a larger radius "
        "around them, or raise the order.",
    )


def outliers(evidence: Evidence) -> Check:
    """Share of the measured pixels that the fit rejected."""
    valid = evidence.result.plane.valid
    rejected = valid & ~evidence.used
    value = float(rejected.sum() / max(valid.sum(), 1))
    near = evidence.near_lattice_points
    at, off = (rejected & near).sum(), (rejected & ~near).sum()
    share_at = at / max((valid & near).sum(), 1)
    share_off = off / max((valid & ~near).sum(), 1)
    clustered = bool(share_at > OUTLIERS and share_at > 3 * share_off)
    passed = value <= OUTLIERS and not clustered
    if passed:
        sentence = "Hardly a pixel is far off the product."
    elif clustered:
        sentence = (
            f"Pixels far off the product cluster at Bragg positions ({share_at:.1%} of the "
            "pixels there): remnants of Bragg peaks or thermal scattering. Mask them."
        )
    else:
        sentence = (
            "Many pixels are far off the product: spots, streaks or rings that should be "
            "masked, or scattering that is no product. Look at the residual."
        )
    return Check(
        "outliers",
        value,
        OUTLIERS,
        passed,
        f"{value:.2%} of the pixels (limit {OUTLIERS:.1%})",
        sentence,
    )


def one_order(evidence: Evidence) -> Check | None:
    """Whether order besides the product's own fits better than none."""
    return order_besides(evidence.beyond_the_product, "plane", first=_too_small(evidence))


def background(evidence: Evidence) -> Check | None:
    """Whether a constant besides the product fits better than none."""
    return constant_besides(
        evidence.beyond_the_product, "Subtract it, or let a smooth one be refined too."
    )


def darkest_pixels(evidence: Evidence) -> Check:
    """Mean residual where the product is darkest."""
    model, used = evidence.model, evidence.used
    dark = used & (model <= np.quantile(model[used], 0.1))
    value = float(evidence.z[dark].sum() / np.sqrt(max(dark.sum(), 1)))
    amount = float(evidence.residual[dark].mean()) / evidence.mean_intensity
    passed = value <= DARK or amount <= 1e-4
    return Check(
        "darkest pixels",
        value,
        DARK,
        passed,
        f"{value:+.1f}σ above the product (limit {DARK}σ)",
        "Where the product says next to nothing, next to nothing was measured."
        if passed
        else f"Where the product says next to nothing there is intensity ({amount:.2%} of the "
        "mean): a background, or something else that scatters.",
    )


def negative_order(evidence: Evidence) -> Check:
    """Lowest value of the short-range order, which is a square and not below 0."""
    sro = evidence.result.sro
    where = np.unravel_index(np.argmin(sro), sro.shape)
    sigmas = evidence.result.sro_sigma
    return lowest_order(float(sro[where]), 0.0 if sigmas is None else float(sigmas[where]))


def lowest_order(value: float, sigma: float) -> Check:
    """Whether an order that goes below zero may do so.

    Parameters
    ----------
    value, sigma : float
        Lowest short-range order, and its standard uncertainty.
    """
    limit = NEGATIVE - 3 * sigma
    passed = value >= limit
    return Check(
        "lowest short-range order",
        value,
        limit,
        passed,
        f"{value:.3f} (limit {limit:.3f})",
        "It is nowhere below 0 by more than its error, as must be."
        if passed
        else "It goes below 0, which no arrangement of sites gives: too much was subtracted, "
        "a range of the order that is too short, a part of the cell that was masked in every "
        "cell alike, or scattering that is no product.",
    )


def structured_share(result: Factorization) -> Check:
    """Share of the plane's variance that a product without weights leaves in structure.

    Products of neighbouring pixels do not contain noise, which is independent between them.
    """
    plane = result.plane
    seen = plane.valid
    varying = np.where(seen, plane.intensity - plane.intensity[seen].mean(), 0.0)
    left, _ = neighbour_products(np.where(seen, result.residual, 0.0), seen)
    whole, _ = neighbour_products(varying, seen)
    value = left / whole if whole > 0 else 0.0
    passed = value <= STRUCTURED
    return Check(
        "residual",
        value,
        STRUCTURED,
        passed,
        f"{value:.2%} of the variance is left in structure (limit {STRUCTURED:.1%})",
        "The network's product leaves little more than noise."
        if passed
        else "The network's product leaves structure: its own errors, artefacts, or scattering "
        "that is no product.",
    )


def mean_order(result: Factorization) -> Check:
    """Mean of the short-range order over the measured pixels."""
    value = float(result.sro[result.plane.valid].mean())
    fixed = result.coefficients is not None
    passed = abs(value - 1) <= MEAN_OFF or fixed
    return Check(
        "mean of the order",
        value,
        1 + MEAN_OFF,
        passed,
        f"{value:.3f} over the measured pixels"
        + ("" if fixed else f" (limits {1 - MEAN_OFF} and {1 + MEAN_OFF})"),
        "Over a whole reciprocal cell it is 1 by construction, which fixes the scale between "
        "the factors; what was measured may weigh its parts unevenly."
        if fixed
        else "It is 1, as must be."
        if passed
        else "It must be 1; scale the factors, or do not trust their separation.",
    )


#: What is looked at where the lattice and the weights are known.
ASSUMPTIONS = (
    neighbouring_residuals,
    residual_at_lattice_vectors,
    form_factor_at_lattice_vectors,
    near_lattice_points,
    outliers,
    one_order,
    background,
    darkest_pixels,
    negative_order,
)
