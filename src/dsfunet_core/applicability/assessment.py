"""All checks of a factorization, and their verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.applicability import checks, data_checks
from dsfunet_core.applicability.check import Check
from dsfunet_core.applicability.evidence import Evidence

if TYPE_CHECKING:
    from dsfunet_core.factorization.result import Factorization

__all__ = ["Applicability", "assess"]


@dataclass(frozen=True)
class Applicability:
    """What was looked at, and what it says.

    Parameters
    ----------
    checks : tuple of Check
        Those of the assumptions first, then those of the data.
    subject : str
        What was factorized: a plane, or a volume.
    by_network : bool
        Whether a network alone took it apart, whose own errors are no fault of the plane.
    """

    checks: tuple[Check, ...]
    subject: str = "plane"
    by_network: bool = False

    @property
    def concerns(self) -> tuple[Check, ...]:
        """Checks of the assumptions that failed."""
        return tuple(c for c in self.checks if c.assumption and not c.passed)

    @property
    def shortcomings(self) -> tuple[Check, ...]:
        """Checks of the data that failed: the plane tells too little."""
        return tuple(c for c in self.checks if not c.assumption and not c.passed)

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the product."""
        return not self.concerns

    @property
    def verdict(self) -> str:
        """One or two sentences."""
        said = ", ".join(c.what for c in self.concerns)
        if self.concerns and self.by_network:
            text = (
                f"The network's factors do not explain this {self.subject} ({said}): either "
                "they are wrong, or it is no product of a form factor and a short-range order. "
                "With its lattice known, the lattice method tells which."
            )
        elif self.concerns:
            text = (
                f"This {self.subject} is not all product of a form factor and a short-range "
                f"order ({said}). Errors of the factors can be larger than their σ."
            )
        else:
            text = (
                "Nothing speaks against the product of a form factor and a short-range order."
            )
        if self.shortcomings:
            said = ", ".join(c.what for c in self.shortcomings)
            text += f" What the {self.subject} can tell is limited ({said})."
        return text

    def to_dict(self) -> dict[str, Any]:
        """As built-in types, for JSON."""
        return {
            "holds": self.holds,
            "verdict": self.verdict,
            "checks": [
                {
                    "what": c.what,
                    "value": float(c.value),
                    "limit": float(c.limit),
                    "passed": bool(c.passed),
                    "shown": c.shown,
                    "sentence": c.sentence,
                    "assumption": c.assumption,
                }
                for c in self.checks
            ],
        }

    def table(self) -> str:
        """Verdict and one line for every check, as text."""
        lines = [self.verdict]
        for c in self.checks:
            lines.append(f"[{'ok' if c.passed else '!!'}] {c.what}: {c.shown}. {c.sentence}")
        return "\n".join(lines)


def assess(result: Factorization) -> Applicability:
    """Ask whether the assumptions behind a factorization hold on its plane.

    Parameters
    ----------
    result : Factorization
        By any method. Without weights or a lattice (``method="network"``) only the checks
        that need neither are made.

    Returns
    -------
    Applicability
        Every check with its figure, its limit and a sentence.

    Notes
    -----
    With z = (I − I_FF·I_SRO)/σ the checks are: the correlation of z between neighbours; its
    Fourier transform at lattice vectors, where order that does not multiply one common form
    factor remains; the form factor's autocorrelation at lattice vectors, where a support
    that is larger than a cell hides such order; χ² near reciprocal-lattice points (thermal
    scattering); outliers; score tests of order besides the product's own and of a constant,
    with all that the factors can take up projected out; the mean of z where the product is
    darkest; the lowest I_SRO.

    Examples
    --------
    >>> from dsfunet_core import factorize
    >>> from dsfunet_core.applicability import assess
    >>> from dsfunet_core.simulate import samples
    >>> report = assess(factorize(samples.cubic_plane().plane))  # doctest: +SKIP
    >>> print(report.table())  # doctest: +SKIP
    """
    found: list[Check | None] = []
    weighted = result.weights is not None and bool(np.any(result.weights > 0))
    if weighted and result.lattice is not None:
        evidence = Evidence(result)
        found += [check(evidence) for check in checks.ASSUMPTIONS]
        found.append(checks.mean_order(result))
        found += [
            data_checks.contrast(evidence),
            data_checks.unseen_part_of_the_cell(evidence),
            data_checks.signal(evidence),
        ]
    else:
        found += [checks.structured_share(result), checks.mean_order(result)]
    found.append(data_checks.coverage(result))
    return Applicability(
        tuple(c for c in found if c is not None), by_network=result.method == "network"
    )
