"""How sure a search for the lattice may be of its best trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.factorization.found_lattice import MOST_UNEXPLAINED
from dsfunet_core.factorization.lattice_points import holds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.lattice_trial import Bench, Trial

__all__ = ["BETTER", "PROMISING", "WORSE", "Evidence"]

#: A lattice is certain from this logarithm of the odds against the next best (chance alone
#: makes differences of ten: the spread of χ² with 120 coefficients), and from this one, a
#: coefficient, against no order at all.
CERTAIN, ORDERED = 30.0, 2.0
#: A rival that was only compared with the form factor held gets a trial of its own, unless
#: the logarithm of the odds against it is this large.
BEYOND_DOUBT = 300.0
#: Where a trial leaves more than the right lattice may, only rivals that leave less than
#: this share of it.
BETTER = 0.9
#: By how much every other lattice's misfit, less the noise, must exceed the best one's; and
#: by how much where the residual still has a wave that is not on the lattice.
WORSE, MUCH_WORSE = 3.0, 10.0
#: Largest misfit beyond the noise and as much again.
MOST_EXCESS = 6e-4
#: So many times this may be left where the support is merely too small.
PROMISING = 3.0
#: Where the noise is known no better than this, as a fraction of it, the odds alone decide.
UNSURE = 0.05
#: Such a wave stands out of what is around it in the residual's transform by this factor
#: (periods that were missed leave several hundreds), and has this relative amplitude.
PEAK, FAINT = 100.0, 0.004
#: Lattices have points in common that agree within this, as a fraction of a vector.
ALIKE = 0.02
#: Where nothing but noise is left, no wave may stand out by this (white noise: 16).
WHITE = 30.0


class Evidence:
    """Trials on one bench, and what they say about the best of them.

    Parameters
    ----------
    bench : Bench
        Where the trials were made.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        #: Trials so far, and the best one's rivals with their misfits, its form factor held.
        self.trials: list[Trial] = []
        self.alternatives: list[tuple[NDArray[np.float64], float]] = []

    @property
    def best(self) -> Trial | None:
        """Trial that explains most, for what its order has unknowns."""
        return min(self.trials, key=self.cost, default=None)

    def cost(self, trial: Trial) -> float:
        """Misfit that a trial would have on new data: of p unknowns each fits noise.

        Mallows' C_p: 2p/n of the noise come on top. The form factors of all trials on one
        bench have the same unknowns.
        """
        return trial.misfit + 4 * len(trial.values) * trial.noise / self.bench.measured

    def hopeless(self, margin: float = 1.0) -> bool:
        """Whether the best trial leaves more than the right lattice could."""
        best = self.best
        return best is not None and not (
            self._down_to_noise(best) or best.misfit < margin * MOST_EXCESS + 2 * best.noise
        )

    def doubtful(self, trial: Trial, misfit: float) -> bool:
        """Whether a rival could do better with a form factor of its own."""
        odds = 0.5 * trial.independent * np.log(max(misfit, 1e-300) / max(trial.misfit, 1e-300))
        excess = max(trial.misfit - trial.noise, 1e-12)
        outstanding = misfit - trial.noise > MUCH_WORSE * excess
        return bool(odds < BEYOND_DOUBT or not outstanding)

    @property
    def others(self) -> float:
        """Smallest misfit of any other lattice, on the scale of `cost`.

        Finer ones that have all the best one's points are no others: they can but explain
        as much, and the best was chosen before them.
        """
        if (best := self.best) is None:
            return 0.0
        more = self.cost(best) - best.misfit
        known = [(t.direct, self.cost(t)) for t in self.trials]
        known += [(direct, misfit + more) for direct, misfit in self.alternatives]
        return min((cost for x, cost in known if not holds(x, best.direct, ALIKE)), default=0.0)

    @property
    def gap(self) -> float:
        """Logarithm of the odds of the best against everything else that was tried."""
        if (best := self.best) is None:
            return 0.0
        ratio = self.others / max(self.cost(best), 1e-300)
        return 0.5 * best.independent * float(np.log(max(ratio, 1.0)))

    @property
    def worse(self) -> float:
        """How many times larger the others' misfit is, less the noise."""
        if (best := self.best) is None:
            return 0.0
        return (self.others - best.noise) / max(self.cost(best) - best.noise, 1e-12)

    def _down_to_noise(self, trial: Trial) -> bool:
        """Whether a trial leaves nothing but noise."""
        return trial.misfit - trial.noise < UNSURE * trial.noise

    @property
    def clear(self) -> bool:
        """Whether the best trial is the lattice, beyond doubt."""
        best = self.best
        return (
            best is not None
            and best.unexplained < MOST_UNEXPLAINED
            and best.misfit < MOST_EXCESS + 2 * best.noise
            and (
                (self._down_to_noise(best) and self._quiet(best, WHITE))
                or self.worse > (WORSE if self._quiet(best, PEAK) else MUCH_WORSE)
            )
            and self.gap > CERTAIN
            and self.ordered(best)
        )

    def ordered(self, trial: Trial) -> bool:
        """Whether a form factor alone, with a larger support, is no explanation."""
        return self.bench.against_none(trial) > ORDERED * 2 * len(trial.values)

    def _quiet(self, trial: Trial, peak: float) -> bool:
        """Whether no wave that the lattice misses is left."""
        height, amplitude = self.bench.residual_wave(trial)
        return height < peak or amplitude < FAINT
