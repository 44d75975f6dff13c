"""What the plane could tell: order, coverage, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.applicability.check import Check

if TYPE_CHECKING:
    from dsfunet_core.applicability.evidence import Evidence
    from dsfunet_core.factorization.result import Factorization

__all__ = ["contrast", "coverage", "signal", "unseen_part_of_the_cell"]

#: Limits; what they limit is told where they are used.
CONTRAST, COVERAGE, UNSEEN, SIGNAL = 3.0, 0.25, 0.05, 1.0
#: At most so many bins along each axis of the cell, in which measured pixels are looked for.
BINS = 16


def contrast(evidence: Evidence) -> Check | None:
    """Whether there is short-range order at all."""
    coefficients = evidence.result.coefficients
    sigma = None if coefficients is None else coefficients.sigma
    if coefficients is None or sigma is None:
        return None
    strength = float(np.sqrt(2 * np.sum(np.abs(coefficients.values) ** 2)))
    parts = [coefficients.values.real / np.where(sigma.real > 0, sigma.real, np.inf)]
    if np.any(sigma.imag > 0):
        parts.append(coefficients.values.imag / np.where(sigma.imag > 0, sigma.imag, np.inf))
    value = float(np.max(np.abs(np.concatenate(parts))))
    shown = f"±{strength:.2f} about 1; strongest coefficient"
    return contrast_of_order(value, sum(len(p) for p in parts), "coefficient", "plane", shown)


def contrast_of_order(
    value: float, number: int, what: str, subject: str, shown: str | None = None
) -> Check:
    """Whether there is order at all.

    Parameters
    ----------
    value : float
        Largest parameter of the order over its standard uncertainty.
    number : int
        Parameters of which it is the largest.
    what, subject : str
        What they are called, and what was factorized.
    shown : str, optional
        Said before the figure.
    """
    # The largest of many: 3σ is what one of them is allowed by chance alone.
    limit = max(CONTRAST, float(np.sqrt(2 * np.log(number))) + 1.5)
    passed = value >= limit
    return Check(
        "contrast of the order",
        value,
        limit,
        passed,
        f"{shown or f'strongest {what}'} {value:.0f}σ (limit {limit:.1f}σ)",
        "There is short-range order, well above its errors."
        if passed
        else f"No {what} stands out of its errors: the arrangement is random as far as this "
        f"{subject} can tell, and the form factor is the diffuse scattering itself.",
        assumption=False,
    )


def unseen_part_of_the_cell(evidence: Evidence) -> Check:
    """Share of the reciprocal cell that was measured nowhere on the plane."""
    # No more bins than the pixels of one cell fill, on a grid that fits the lattice too.
    pixels = np.linalg.norm(evidence.lattice.basis, axis=0)
    n = np.clip(0.7 * pixels, 2, BINS).astype(int)
    folded = evidence.coordinates[evidence.used] % 1.0
    bins = np.minimum((folded * n).astype(int), n - 1)
    seen = np.zeros(tuple(n), bool)
    seen[bins[:, 0], bins[:, 1]] = True
    value = float(1 - seen.mean())
    passed = value <= UNSEEN
    return Check(
        "cell never seen",
        value,
        UNSEEN,
        passed,
        f"{value:.0%} of the reciprocal cell (limit {UNSEEN:.0%})",
        "Every part of the reciprocal cell was measured somewhere on the plane."
        if passed
        else "A part of the reciprocal cell was masked in every cell alike; the order there "
        "is a guess of the cosine series.",
        assumption=False,
    )


def signal(evidence: Evidence) -> Check:
    """Median over the pixels used of (product/σ)²: as good as so many counts."""
    ratio = (evidence.model * evidence.root_weights)[evidence.used]
    value = float(np.median(ratio**2))
    passed = value >= SIGNAL
    return Check(
        "counts",
        value,
        SIGNAL,
        passed,
        f"a pixel is worth {value:.2g} counts (limit {SIGNAL:g})",
        "There is signal enough in single pixels."
        if passed
        else "Single pixels hold less than a count's worth of signal; average equivalent "
        "pixels, or measure longer.",
        assumption=False,
    )


def coverage(result: Factorization) -> Check:
    """Share of the plane that was measured."""
    value = float(result.plane.valid.mean())
    passed = value >= COVERAGE
    return Check(
        "coverage",
        value,
        COVERAGE,
        passed,
        f"{value:.0%} of the plane (limit {COVERAGE:.0%})",
        "Enough of the plane was measured."
        if passed
        else "Most of the plane was not measured; the form factor is extrapolated there.",
        assumption=False,
    )
