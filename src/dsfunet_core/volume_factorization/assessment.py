"""Whether a volume is the product that its factorization takes it for, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.applicability import Applicability, Check
from dsfunet_core.applicability.beyond import NEGLIGIBLE, constant_besides, order_besides
from dsfunet_core.applicability.checks import lowest_order
from dsfunet_core.applicability.data_checks import COVERAGE, contrast_of_order
from dsfunet_core.lattice import next_cell
from dsfunet_core.volume_factorization.evidence import VolumeEvidence

if TYPE_CHECKING:
    from dsfunet_core.volume_factorization.result import VolumeFactorization

__all__ = ["assess_volume"]

#: Limits; what they limit is told where they are used.
POWER, OUTLIERS = 1.02, 0.002


def assess_volume(result: VolumeFactorization) -> Applicability:
    """Ask whether the assumptions behind a factorization hold on its volume.

    Parameters
    ----------
    result : VolumeFactorization
        Its volume is read.

    Returns
    -------
    Applicability
        Every check with its figure, its limit and a sentence.

    Notes
    -----
    With z = (I − F·S)/σ the checks are: the Fourier transform of z at the lattice vectors that
    were refined, and at those one cell longer; score tests of order besides the product's own
    and of a constant, with all that the factors can take up projected out; outliers; the
    lowest S. Structure in z that is less than 1.5·10⁻⁵ of the volume's power is the solver's
    own and no reason for doubt.
    """
    evidence = VolumeEvidence(result)
    negligible = result.choices.get("structured_share", 1.0) < NEGLIGIBLE
    without_noise = max(result.choices.get("neighbours", [0.0])) > 0.05
    own = negligible and without_noise
    beyond = result.choices.get("beyond_the_product", {})
    found = (
        _at_vectors(evidence, own),
        _range(evidence, own),
        order_besides(beyond, "volume"),
        constant_besides(beyond, "Subtract it before."),
        _outliers(result, own),
        lowest_order(*evidence.lowest_order()),
        contrast_of_order(
            float(np.max(np.abs(result.alpha) / result.sigma)), len(result.alpha), "α", "volume"
        ),
        _support(result),
        _coverage(result),
    )
    return Applicability(tuple(c for c in found if c is not None), subject="volume")


def _at_vectors(evidence: VolumeEvidence, own: bool) -> Check:
    value, number = evidence.power_at_vectors(0.5, evidence.result.order + 0.5)
    limit = _above_noise(number)
    passed = value <= limit or own
    return Check(
        "periodicity of the residual",
        value,
        limit,
        passed,
        f"{value:.2f} of the noise at lattice vectors (limit {limit:.2f})",
        "The residual does not repeat from cell to cell: the order is used up."
        if passed
        else "The residual repeats from cell to cell: order that does not multiply one common "
        "form factor, as of displacements or of a second disordered site.",
    )


def _range(evidence: VolumeEvidence, own: bool) -> Check | None:
    order = evidence.result.order
    value, number = evidence.power_at_vectors(order + 0.5, order + 1.5)
    if not number:
        return None
    limit = _above_noise(number)
    passed = value <= limit or own
    return Check(
        "range of the order",
        value,
        limit,
        passed,
        f"{value:.2f} of the noise at vectors one cell longer (limit {limit:.2f})",
        "There are no correlations beyond the vectors that were refined."
        if passed
        else f"There are correlations beyond {order} cells, which the shorter vectors and the "
        f"form factor make up for wrongly: refine order {order + 1} or more.",
    )


def _above_noise(number: int) -> float:
    """Mean power that noise does not reach; of a real residual half the points are free."""
    return POWER + 3 * float(np.sqrt(2 / max(number, 1)))


def _outliers(result: VolumeFactorization, own: bool) -> Check:
    rejected = result.choices["outliers"]
    value = rejected / max(result.choices["voxels_used"] + rejected, 1)
    passed = value <= OUTLIERS or own
    return Check(
        "outliers",
        value,
        OUTLIERS,
        passed,
        f"{value:.2%} of the voxels (limit {OUTLIERS:.1%})",
        "Hardly a voxel is far off the product."
        if passed
        else "Many voxels are far off the product: Bragg peaks, streaks or rings that should "
        "be masked, or scattering that is no product. Look at the residual.",
    )


def _support(result: VolumeFactorization) -> Check:
    support = float(result.choices["support"])
    nearest = next_cell(result.volume.cell)
    sentence = "It is as large as the data ask for, and ends before the next cell."
    if support > nearest:
        sentence = (
            "It reaches past the next cell. If the molecules that differ are longer than that, "
            "all is well; if not, the form factor has taken up what is no product, such as a "
            "second disordered site."
        )
    if result.choices.get("support_capped", False):
        sentence = (
            "A larger one might predict better but has too many unknowns: allow more of them, "
            "or cut the volume to smaller |h|, |k|, |l|."
        )
    return Check(
        "support",
        support,
        nearest,
        support <= nearest and not result.choices.get("support_capped", False),
        f"{support:.1f} Å (next cell {nearest:.1f} Å)",
        sentence,
        assumption=False,
    )


def _coverage(result: VolumeFactorization) -> Check:
    value = float(result.choices["coverage"])
    passed = value >= COVERAGE
    return Check(
        "coverage",
        value,
        COVERAGE,
        passed,
        f"{value:.0%} of the volume (limit {COVERAGE:.0%})",
        "Enough of the volume was measured."
        if passed
        else "Most of the volume was not measured; the form factor is extrapolated there.",
        assumption=False,
    )
