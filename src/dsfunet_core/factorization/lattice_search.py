"""The lattice of a plane, found blind.

Candidates come from the transforms of I / local mean and of I over a first form factor (a
network's); each is refined together with both factors, and the one that explains the plane
best is kept. Its misfit against that of the next best, of its sublattices and
superlattices is the figure of merit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import CancelledError
from dsfunet_core.factorization.found_lattice import (
    FoundLattice,
    in_words,
)
from dsfunet_core.factorization.lattice_evidence import BETTER, PROMISING, WORSE, Evidence
from dsfunet_core.factorization.lattice_points import (
    SHORTEST,
    extent_of,
    lattices_of_points,
    local_mean,
    points_of,
    reduced,
    same_lattice,
    sublattices,
)
from dsfunet_core.factorization.lattice_scan import second_directions
from dsfunet_core.factorization.lattice_trial import Bench, Trial
from dsfunet_core.factorization.plane_data import PlaneData

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["FoundLattice", "find_lattice", "search_lattice"]

#: Widths of the local means tried where no form factor is given [pixels].
WIDTHS = (6.0, 9.0, 14.0)
#: Unknowns of the form factor: at most, and at least in a piece of the plane.
MOST_UNKNOWNS, PIECE = 7500, 400
#: Highest index of the order.
ORDER = 5
#: Cycles of a trial, and of its continuation if it is the best or nearly so.
CYCLES, MORE_CYCLES, NEARLY = 4, 4, 1.5
#: Candidates tried in a round, rounds, trials at most with one support.
TRIES, ROUNDS, MOST = 2, 4, 8
#: Share of the support in which the form factor is fitted without order, and points of the
#: quotient from which second directions are looked for.
ALONE, FIRST_POINTS = 0.83, 2
#: Density by which sublattices and superlattices may differ.
FAMILY = 3
#: The support is this many times the radius that holds most of a form factor's transform;
#: it grows where that of the best trial asks for more by this factor.
REACH, WORTHWHILE = 1.5, 1.08
#: Radius where nothing was convincing with that: a fit gets stuck less often where the form
#: factor has room. Trials that are repeated with it, and candidates tried for the first time.
FAR_REACH, AGAIN, FRESH = 2.0, 3, 2


def find_lattice(
    plane: ReciprocalPlane,
    *,
    form_factor: NDArray | None = None,
    sro: NDArray | None = None,
    device: str | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FoundLattice:
    """Find the two-dimensional lattice of a plane from its intensity alone.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its geometry, if it has any, is not used.
    form_factor, sro : ndarray, shape (n_rows, n_columns), optional
        Factors as a network sees them: candidates come from there, too.
    device : str, optional
        Torch device; the CPU when left out.
    cancelled : callable, optional
        Asked before every trial.

    Returns
    -------
    FoundLattice
        With ``found`` False where nothing is convincing.

    Raises
    ------
    ParameterError
        If the plane has too few valid pixels, or no intensity.
    CancelledError
        If ``cancelled()`` returned True.
    """
    intensity = np.asarray(plane.intensity, float)
    valid = np.asarray(plane.valid, bool) & np.isfinite(intensity)
    return search_lattice(
        intensity, valid, form_factor=form_factor, sro=sro, device=device, cancelled=cancelled
    )


def search_lattice(
    intensity: NDArray,
    valid: NDArray[np.bool_],
    *,
    form_factor: NDArray | None = None,
    sro: NDArray | None = None,
    device: str | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> FoundLattice:
    """As `find_lattice`, from arrays.

    Parameters
    ----------
    intensity, valid : ndarray, shape (n_rows, n_columns)
        Linear intensity and measured pixels.
    form_factor, sro, device, cancelled
        See `find_lattice`.

    Returns
    -------
    FoundLattice
        Likewise.
    """
    return _Search(intensity, valid, form_factor, sro, device, cancelled).run()


class _Search:
    def __init__(
        self,
        intensity: NDArray,
        valid: NDArray[np.bool_],
        form_factor: NDArray | None,
        sro: NDArray | None,
        device: str | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.intensity = np.where(valid, intensity, 0.0)
        self.valid = valid
        self.shape = (intensity.shape[0], intensity.shape[1])
        self.device, self.cancelled = device, cancelled
        if form_factor is None:
            self.factors = [local_mean(self.intensity, valid, w) for w in WIDTHS]
        else:
            self.factors = [np.asarray(form_factor, float)]
        #: With this one candidates are compared before they are tried.
        self.factor = self.factors[0]
        self.mean = float(intensity[valid].mean())
        self.sro = sro
        self.pool: list[NDArray[np.float64]] = []
        self.settled: list[NDArray[np.float64]] = []
        self.bench = self._bench(REACH * self._extent(self.factors[0]))
        self.evidence = Evidence(self.bench)

    def run(self) -> FoundLattice:
        """Search, and search again with more room where nothing is convincing.

        What was found although noise hides how well it fits must be the best there, too.
        """
        rounds = self._look()
        first, bench, held = self.evidence, self.bench, True
        if (best := first.best) is None:
            return self._verdict(rounds)
        if not first.clear:
            if first.hopeless() or first.ordered(best):
                self._look_again(best)
        elif first.worse < WORSE:
            self._look_again(best)
            again = self.evidence.best
            held = again is None or same_lattice(again.direct, best.direct, 0.02)
            self.bench, self.evidence = bench, first
        return self._verdict(rounds, held)

    def _look(self) -> int:
        """Rounds of candidates and trials; their number."""
        self._propose(self._proposals(self.factors))
        if self.sro is not None:
            ones = np.ones(self.shape)
            points = points_of(np.asarray(self.sro, float), ones > 0, ones)
            self._propose(lattices_of_points(*points, self.shape, 2))
        rounds = 0
        for rounds in range(1, ROUNDS + 1):
            before = self.evidence.best
            for direct in self._ranked()[:TRIES]:
                self._settle(direct)
                if self.evidence.clear:
                    return rounds
                if rounds == 1 and self.evidence.hopeless():
                    break
            if self.evidence.best is None:
                break
            # What a hopeless trial makes of the form factor says little before the scan.
            grown = (rounds > 1 or not self.evidence.hopeless(PROMISING)) and self._grow()
            if self.evidence.clear or (
                rounds > 2 and self.evidence.best is before and not grown
            ):
                break
            if rounds == 1:
                self._scan()
            elif not self.evidence.ordered(self.evidence.best):
                break
            else:
                self._propose(self._beyond(self.evidence.best))
                self._propose(self._proposals([self.evidence.best.form_factor]))
        return rounds

    def _look_again(self, best: Trial) -> None:
        """The best trials and the best of what was not tried, with a larger support."""
        fresh = self._ranked()[:FRESH]
        trials = sorted(self.evidence.trials, key=self.evidence.cost)[:AGAIN]
        extent = max(self._extent(self.factors[0]), self._extent(best.form_factor))
        self._start_over(self._bench(FAR_REACH * extent), trials, fresh)

    def _start_over(
        self, bench: Bench, trials: list[Trial], fresh: list[NDArray[np.float64]]
    ) -> None:
        """Trials gone on with on another bench, and new ones, until one of them is clear."""
        self.bench, self.evidence, self.settled = bench, Evidence(bench), []
        lattices: list[NDArray | Trial] = [*trials, *fresh]
        for lattice in lattices:
            self._settle(lattice)
            if self.evidence.clear:
                break

    def _scan(self) -> None:
        """Candidates from a form factor that was fitted without order.

        Fringes of a large molecule look like order until the form factor has them. What a
        form factor with all of them leaves is the order's.
        """
        self.factor = self.bench.without_order(ALONE)
        points, strength = points_of(self.intensity, self.valid, self.factor)
        self._propose(lattices_of_points(points, strength, self.shape))
        left = self.intensity / self.mean
        for first in points[np.argsort(-strength)[:FIRST_POINTS]]:
            self._propose(second_directions(left, self.valid, self.factor, first))

    def _propose(self, lattices: list[NDArray[np.float64]]) -> None:
        for direct in lattices:
            if not any(same_lattice(direct, other, 0.02) for other in self.pool):
                self.pool.append(reduced(direct))

    def _ranked(self) -> list[NDArray[np.float64]]:
        """Candidates not yet tried, those first that do best with the form factor at hand."""
        fresh = [x for x in self.pool if not self._known(x)]
        misfits = [self.bench.misfit_of_order(self.factor, x, ORDER) for x in fresh]
        return [fresh[k] for k in np.argsort(misfits, kind="stable")]

    def _known(self, direct: NDArray) -> bool:
        return any(same_lattice(direct, other, 0.02) for other in self.settled)

    def _bench(self, radius: float) -> Bench:
        from dsfunet_core.factorization.preparation import build_problem

        origin = np.array([n // 2 for n in self.shape], float)
        data = PlaneData(self.intensity, self.valid, 8 * np.eye(2), origin)
        problem, _ = build_problem([data], ORDER, False, True, np.eye(2), self.device)
        return Bench.of_plane(problem, origin, radius, MOST_UNKNOWNS, PIECE)

    def _grow(self) -> bool:
        """Larger support for the two best trials, if the form factor asks for it."""
        assert self.evidence.best is not None
        radius = REACH * self._extent(self.evidence.best.form_factor)
        if radius < WORTHWHILE * self.bench.radius:
            return False
        bench = self._bench(radius)
        if bench.radius < WORTHWHILE * self.bench.radius:
            return False
        ranked = sorted(self.evidence.trials, key=self.evidence.cost)[:2]
        self._start_over(bench, ranked, [])
        return True

    def _extent(self, factor: NDArray) -> float:
        return extent_of(factor, self.intensity, self.valid)

    def _proposals(self, factors: list[NDArray]) -> list[NDArray[np.float64]]:
        lists = [
            lattices_of_points(*points_of(self.intensity, self.valid, f), self.shape)
            for f in factors
        ]
        # The best of each source first.
        return [row[i] for i in range(4) for row in lists if i < len(row)]

    def _beyond(self, trial: Trial) -> list[NDArray[np.float64]]:
        """Lattices of the strongest waves of a trial and of what it leaves."""
        left = np.where(self.valid, self.intensity / self.mean - trial.product, 0)
        # Only what oscillates counts: the mean is put back for `points_of`.
        points, strength = points_of(left + trial.form_factor, self.valid, trial.form_factor)
        waves = trial.indices @ trial.direct.T
        size = np.abs(trial.values)
        strongest = np.argsort(-size)[:3]
        return lattices_of_points(
            np.concatenate([waves[strongest], points]),
            np.concatenate(
                [size[strongest] / size.max(), strength / max(strength.max(), 1e-300)]
            ),
            self.shape,
        )

    def _try(self, lattice: NDArray | Trial) -> Trial:
        """Both factors with a lattice: from nothing, and from a trial on another bench."""
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("the search for the lattice was cancelled")
        if isinstance(lattice, Trial):
            on = self.bench.try_lattice(
                lattice.direct, ORDER, cycles=CYCLES + MORE_CYCLES, after=lattice
            )
            anew = self._try(lattice.direct)
            return min(on, anew, key=lambda t: t.misfit)
        trial = self.bench.try_lattice(reduced(lattice), ORDER, cycles=CYCLES)
        if self.evidence.best is None or trial.misfit < NEARLY * self.evidence.best.misfit:
            if not trial.converged:
                trial = self.bench.try_lattice(
                    trial.direct, ORDER, cycles=MORE_CYCLES, after=trial
                )
        return trial

    def _settle(self, lattice: NDArray | Trial) -> None:
        """Trial of a lattice, then of its rivals for as long as they explain more."""
        queue: list[NDArray | Trial] = [lattice]
        while queue and len(self.evidence.trials) < MOST:
            lattice = queue.pop(0)
            direct = lattice.direct if isinstance(lattice, Trial) else lattice
            if self._known(direct):
                continue
            trial = self._try(lattice)
            self.settled += [direct, trial.direct]
            self.evidence.trials.append(trial)
            if trial is not self.evidence.best:
                continue
            rivals = self._rivals(trial)
            self.evidence.alternatives = rivals
            need = BETTER * trial.misfit if self.evidence.hopeless() else np.inf
            queue = [
                rival
                for rival, misfit in rivals
                if self.evidence.doubtful(trial, misfit) and misfit < need
            ]

    def _rivals(self, trial: Trial) -> list[tuple[NDArray[np.float64], float]]:
        """Best superlattice, sublattice and other candidate, with this form factor."""
        factor = trial.form_factor
        basis = reduced(trial.direct)
        here = max(self.bench.misfit_of_order(factor, basis, ORDER), 1e-300)
        groups = [
            [basis @ np.linalg.inv(m) for m in sublattices(FAMILY)],
            [basis @ m for m in sublattices(FAMILY)],
            [x for x in self.pool if not same_lattice(x, basis, 0.02)],
        ]
        rivals: list[tuple[NDArray[np.float64], float]] = []
        for group in groups:
            allowed = [x for x in group if self._allowed(x)]
            theirs = [self.bench.misfit_of_order(factor, x, ORDER) for x in allowed]
            if theirs:
                k = int(np.argmin(theirs))
                rivals.append((allowed[k], trial.misfit * theirs[k] / here))
        return rivals

    def _allowed(self, direct: NDArray) -> bool:
        """Whether pixels and edges of the plane can tell such a lattice."""
        cycles = reduced(direct) * np.array(self.shape)[:, None]
        pixels = np.linalg.norm(np.linalg.inv(direct), axis=1)
        return bool(np.linalg.norm(cycles[:, 0]) >= SHORTEST and pixels.min() >= 3)

    def _verdict(self, rounds: int, held: bool = True) -> FoundLattice:
        best = self.evidence.best
        notes: dict[str, float] = {
            "rounds": rounds,
            "candidates": len(self.pool),
            "trials": self.bench.trials,
        }
        if best is None:
            return FoundLattice(
                False, None, None, 0.0, 1.0, "No periodicity stands out.", None, notes
            )
        merit = self.evidence.gap
        found = held and self.evidence.clear
        notes |= {"misfit": best.misfit, "independent": best.independent}
        notes["against_none"] = self.bench.against_none(best)
        notes["noise"], notes["worse"] = best.noise, self.evidence.worse
        notes["peak"], notes["wave"] = self.bench.residual_wave(best)
        basis = reduced(best.direct)
        change = np.rint(np.linalg.solve(best.direct, basis))
        sigma = np.sqrt(best.sigma**2 @ change**2)
        reason = in_words(found, len(self.pool), best.unexplained, merit)
        return FoundLattice(
            found, basis, sigma, merit, best.unexplained, reason, best.form_factor, notes
        )
