"""How large the form factor's real-space support may be, and what is expected inside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dsfunet_core.factorization.problem import Problem, Unknowns, evaluate
from dsfunet_core.factorization.solver import form_factor_step, solve, start
from dsfunet_core.factorization.transforms import FormFactorBasis

__all__ = ["CANDIDATES", "annular_prior", "choose_support", "embed", "held_out_blocks"]

#: Support radii tried, in units of the lattice constant (square root of the cell's area).
CANDIDATES = (0.35, 0.6, 1.0, 1.5, 2.2)
#: Where the search starts: large enough for most, small enough not to follow the lattice.
FIRST = 1
#: The basis reaches beyond the nominal radius; the prior falls off in between.
REACH = 1.2
#: Radius in lattice constants of the first guess, which must not follow the lattice.
SMOOTH = 0.45
#: Largest number of real unknowns of the form factor: the normal matrix is dense.
MAX_UNKNOWNS = 3600
#: A support cut down to that number must still grow by this factor to be tried.
WORTHWHILE = 1.15
#: A support that predicts held-out pixels to this relative mean square needs no better.
GOOD_ENOUGH = 1e-5
#: A larger support must improve the prediction by this factor, or by so many standard
#: deviations of the differences between blocks: where noise is most of what is left, a
#: form factor that lacks room hardly shows in the sum.
IMPROVEMENT, CLEAR = 0.98, 1.0
#: Fraction of the pixels held out, in square blocks of this edge.
HELD_OUT, BLOCK = 0.1, 4


def held_out_blocks(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Random blocks of pixels for cross-validation, 1 where held out, shape ``shape``."""
    blocks = np.random.default_rng(seed).random(
        (math.ceil(shape[0] / BLOCK), math.ceil(shape[1] / BLOCK))
    )
    held = np.kron((blocks < HELD_OUT).astype(float), np.ones((BLOCK, BLOCK)))
    return held[: shape[0], : shape[1]]


def soft_disc(basis: FormFactorBasis, spacing: np.ndarray, radius: Tensor) -> Tensor:
    """Prior variances that fall to nothing around a radius.

    Parameters
    ----------
    basis : FormFactorBasis
        Where the unknowns sit.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    radius : Tensor, shape (batch,)
        Nominal radius in real space.

    Returns
    -------
    Tensor, shape (batch, n_P)
        Sums to 2: |F|² of a random molecule scatters about its envelope by its own size.
    """
    r = basis.radius(spacing)[None] / radius[:, None]
    shape = torch.exp(-((r / 0.75) ** 4)) + 1e-9
    variance = 2 * shape / shape.sum(1, keepdim=True)
    variance[:, 0] = 1
    return variance


def annular_prior(basis: FormFactorBasis, spacing: np.ndarray, coefficients: Tensor) -> Tensor:
    """Prior variances re-estimated from a solution, as a function of |x| alone.

    Empirical Bayes: the mean square of the coefficients in rings one grid step wide,
    smoothed over neighbouring rings.

    Parameters
    ----------
    basis : FormFactorBasis
        Where the unknowns sit.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    coefficients : Tensor, shape (batch, n_P)
        Of the form factor.

    Returns
    -------
    Tensor, shape (batch, n_P)
        Prior variances.
    """
    r = basis.radius(spacing)
    step = float(r[r > 0].min())
    ring = (r / step).long()
    power = coefficients**2
    n = int(ring.max()) + 1
    total = power.new_zeros(len(power), n).index_add(1, ring[1:], power[:, 1:])
    count = power.new_zeros(n).index_add(0, ring[1:], torch.ones_like(r[1:]))
    mean = total / count.clamp(min=1)
    largest = mean.amax(1, keepdim=True)
    mean = torch.where(count > 0, mean, largest)
    log = torch.log(mean + 1e-12 * largest)
    kernel = torch.exp(-0.5 * torch.arange(-3.0, 4.0, device=log.device, dtype=log.dtype) ** 2)
    padded = torch.nn.functional.pad(log[:, None], (3, 3), mode="replicate")
    smooth = torch.nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0]
    variance = torch.exp(smooth)[:, ring] + 1e-9 * largest
    variance[:, 0] = 1
    return variance


def embed(coefficients: Tensor, old: FormFactorBasis, new: FormFactorBasis) -> Tensor:
    """Coefficients of one basis expressed in another; points it lacks are dropped."""
    m_old, m_new = len(old.indices), len(new.indices)
    position = {tuple(x): k for k, x in enumerate(new.indices.tolist())}
    pairs = [
        (k, position[tuple(x)])
        for k, x in enumerate(old.indices.tolist())
        if tuple(x) in position
    ]
    source, target = torch.tensor(pairs, device=coefficients.device).T
    result = coefficients.new_zeros(len(coefficients), new.size)
    result[:, target] = coefficients[:, source]
    if not (old.centric or new.centric):
        inner = source > 0
        result[:, m_new - 1 + target[inner]] = coefficients[:, m_old - 1 + source[inner]]
    return result


@dataclass(frozen=True, eq=False)
class SupportChoice:
    """Outcome of the cross-validation.

    Parameters
    ----------
    problem : Problem
        With the basis and the prior of the chosen support, no pixel held out.
    unknowns : Unknowns
        Refined against the pixels not held out.
    factors : Tensor, shape (batch,)
        Chosen radius in lattice constants.
    scores : list of dict
        Factor → relative mean square error of the prediction, one dict a plane.
    capped : bool
        Whether a larger support was left out because of its number of unknowns.
    """

    problem: Problem
    unknowns: Unknowns
    factors: Tensor
    scores: list[dict[float, float]]
    capped: bool


def with_support(
    problem: Problem, spacing: np.ndarray, radius: Tensor, unknowns: Unknowns | None = None
) -> tuple[Problem, Unknowns | None]:
    """The problem with another support, and unknowns carried over to it."""
    old = problem.form_factor_basis
    new = FormFactorBasis.build(
        old.shape, spacing, REACH * float(radius.max()), old.centric, old.origin
    )
    moved = replace(
        problem, form_factor_basis=new, prior_variance=soft_disc(new, spacing, radius)
    )
    if unknowns is not None:
        unknowns = replace(unknowns, form_factor=embed(unknowns.form_factor, old, new))
    return moved, unknowns


def carried_prior(old: Problem, new: Problem) -> Tensor:
    """Prior variances of one problem for the unknowns of another, shape (batch, n_P)."""
    variance = embed(old.prior_variance, old.form_factor_basis, new.form_factor_basis)
    if new.form_factor_basis.centric and not old.form_factor_basis.centric:
        # Cosines about the centre hold what cosines and sines about a corner shared.
        variance[:, 1:] = 2 * variance[:, 1:]
    return variance.clamp(min=1e-9 * float(variance[:, 1:].max()))


def first_guess(problem: Problem, spacing: np.ndarray, lattice_constant: Tensor) -> Unknowns:
    """Starting values from data averaged over a cell (see :func:`solver.start`)."""
    smooth = soft_disc(problem.form_factor_basis, spacing, SMOOTH * lattice_constant)
    return start(problem, smooth)


def choose_support(
    problem: Problem,
    spacing: np.ndarray,
    lattice_constant: Tensor,
    *,
    tick: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SupportChoice:
    """Grow the support for as long as it predicts held-out pixels better.

    Parameters
    ----------
    problem : Problem
        With any support; only its data are used.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    lattice_constant : Tensor, shape (batch,)
        Square root of the direct cell's area in the plane, in real-space units.
    tick, cancelled : callable, optional
        Progress and cancellation, as in :func:`solver.solve`.

    Returns
    -------
    SupportChoice
        One support a plane.
    """
    blocks = torch.as_tensor(held_out_blocks(problem.form_factor_basis.shape))
    held = blocks.to(problem.intensity)[None].expand_as(problem.intensity)
    test = problem.valid * held / problem.envelope
    n_test = (problem.valid * held).sum((1, 2)).clamp(min=1)

    def missed(problem: Problem, unknowns: Unknowns) -> Tensor:
        """Share of every block in the relative mean square error, (batch, blocks)."""
        error = problem.intensity - evaluate(problem, unknowns).model
        scale = n_test * problem.mean_intensity()
        return _block_sums(test * error**2) / scale[:, None]

    def refine(problem: Problem, unknowns: Unknowns, cycles: int) -> Unknowns:
        training = problem.without(held)
        return solve(
            training, unknowns, max_cycles=cycles, tick=tick, cancelled=cancelled
        ).unknowns

    chosen = torch.full_like(lattice_constant, CANDIDATES[FIRST])
    problem, _ = with_support(problem, spacing, chosen * lattice_constant)
    unknowns = first_guess(problem.without(held), spacing, lattice_constant)
    unknowns = refine(problem, unknowns, 4)
    best = missed(problem, unknowns)
    scores = [{CANDIDATES[FIRST]: float(s)} for s in best.sum(1)]
    growing = best.sum(1) > GOOD_ENOUGH
    capped = False

    def attempt(factor: float, who: Tensor, need: float) -> Tensor:
        """Try a factor on the planes ``who``; keep it where it predicts better."""
        nonlocal problem, unknowns, best, chosen, capped
        trial_factor = torch.where(who, factor, chosen)
        trial, moved = with_support(problem, spacing, trial_factor * lattice_constant, unknowns)
        if trial.form_factor_basis.size > MAX_UNKNOWNS:
            # Their number grows with the square of the radius: take the largest affordable.
            capped = True
            factor *= math.sqrt(MAX_UNKNOWNS / trial.form_factor_basis.size)
            who = who & (chosen < factor / WORTHWHILE)
            if not bool(who.any()):
                return who
            trial_factor = torch.where(who, factor, chosen)
            trial, moved = with_support(
                problem, spacing, trial_factor * lattice_constant, unknowns
            )
        assert moved is not None
        moved = form_factor_step(trial.without(held), moved)
        new = missed(trial, moved)
        if not bool((who & _better(new, best, need)).any()):
            for plane in torch.nonzero(who).ravel().tolist():
                scores[plane][factor] = float(new[plane].sum())
            return torch.zeros_like(who)
        # What the order at hand leaves outside the molecule is expected there from now on: a
        # wide disc that expects as much everywhere lets the form factor follow the lattice.
        expected = annular_prior(trial.form_factor_basis, spacing, moved.form_factor)
        trial = replace(trial, prior_variance=expected)
        moved = refine(trial, moved, 2)
        new = missed(trial, moved)
        for plane in torch.nonzero(who).ravel().tolist():
            scores[plane][factor] = float(new[plane].sum())
        better = who & _better(new, best, need)
        # Planes that do not take the new support go back to theirs.
        chosen = torch.where(better, trial_factor, chosen)
        best = torch.where(better[:, None], new, best)
        keep = better[:, None]
        old_unknowns = replace(
            unknowns,
            form_factor=embed(
                unknowns.form_factor, problem.form_factor_basis, trial.form_factor_basis
            ),
        )
        mixed = Unknowns(
            torch.where(keep, moved.form_factor, old_unknowns.form_factor),
            torch.where(keep, moved.sro, old_unknowns.sro),
            torch.where(keep, moved.background, old_unknowns.background),
        )
        before = problem
        problem, carried = with_support(trial, spacing, chosen * lattice_constant, mixed)
        assert carried is not None
        unknowns = carried
        variance = torch.where(
            keep, carried_prior(trial, problem), carried_prior(before, problem)
        )
        problem = replace(problem, prior_variance=variance)
        return better

    for factor in CANDIDATES[FIRST + 1 :]:
        if capped or not bool(growing.any()):
            break
        growing = attempt(factor, growing, IMPROVEMENT) & (best.sum(1) > GOOD_ENOUGH)
    small = chosen == CANDIDATES[FIRST]
    if bool(small.any()):
        attempt(CANDIDATES[FIRST - 1], small, 1.0)
    return SupportChoice(problem, unknowns, chosen, scores, capped)


def _better(new: Tensor, old: Tensor, need: float) -> Tensor:
    """Whether the held-out blocks are predicted better: by a factor, or clearly."""
    gain = old - new
    doubt = (gain - gain.mean(1, keepdim=True)).square().sum(1).sqrt()
    clear = (new.sum(1) < need * old.sum(1)) | (gain.sum(1) > CLEAR * doubt)
    return clear & (gain.sum(1) > 0)


def _block_sums(field: Tensor) -> Tensor:
    """Sums over the blocks that are held out together, (batch, H, W) → (batch, blocks)."""
    rows, columns = ((-n) % BLOCK for n in field.shape[1:])
    padded = torch.nn.functional.pad(field, (0, columns, 0, rows))
    return (torch.nn.functional.avg_pool2d(padded[:, None], BLOCK) * BLOCK**2).flatten(1)
