"""Factorize a volume: checks, data, choices, result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dsfunet_core.errors import CancelledError, ParameterError
from dsfunet_core.factorization.envelope import radial_envelope
from dsfunet_core.lattice import next_cell, q_matrix
from dsfunet_core.volume_factorization.bases import FormFactorBasis, OrderBasis
from dsfunet_core.volume_factorization.normal import normal_at, order_covariance
from dsfunet_core.volume_factorization.planning import DATA_PER_POINT, plan_volume
from dsfunet_core.volume_factorization.problem import Problem
from dsfunet_core.volume_factorization.residuals import neighbours, structured_share
from dsfunet_core.volume_factorization.result import VolumeFactorization
from dsfunet_core.volume_factorization.score_tests import beyond_the_product
from dsfunet_core.volume_factorization.solver import (
    REACH,
    choose_support,
    refine,
    shell_prior,
    start,
    with_support,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.volume_factorization.grid import VolumeGrid

__all__ = ["factorize_volume"]

#: Fewer data than this for each unknown of the order determine nothing.
DATA_PER_UNKNOWN = 4
#: Factor on the prior variances of the form factor's coefficients where they are to say little.
LOOSENED = 30.0


class Cancel(Protocol):
    """Something that says whether to stop, a :class:`threading.Event` for example."""

    def is_set(self) -> bool:
        """Whether to stop."""


def factorize_volume(
    volume: ReciprocalVolume,
    *,
    order: int = 5,
    support: float | str = "auto",
    laue_class: str | None = None,
    robust: bool = True,
    max_unknowns: int = 8000,
    max_cycles: int = 10,
    callback: Callable[[int, int, str], None] | None = None,
    cancel: Cancel | None = None,
) -> VolumeFactorization:
    """Separate a volume into a form factor and Warren–Cowley parameters.

    Parameters
    ----------
    volume : ReciprocalVolume
        Diffuse intensities without background, Bragg peaks masked. Voxels that are masked,
        NaN or without counts have no weight; nothing is interpolated. At most 256³ voxels:
        cut or thin larger volumes with :func:`excerpt`.
    order : int
        Largest |u|, |v|, |w| of a vector; 1 to 8.
    support : float or "auto"
        Radius [Å] inside which the autocorrelation of the form factor lies: the largest
        distance between atoms of the disordered molecules, and a little more. ``"auto"``
        grows it for as long as held-out voxels are predicted better.
    laue_class : str, optional
        Equivalent vectors share one α. That of the volume when left out, ``"-1"`` where the
        volume tells none. F is not symmetrized: average the volume for that.
    robust : bool
        Whether voxels far off the model (Bragg remnants, spikes) are rejected.
    max_unknowns : int
        Largest number of unknowns of the form factor; it bounds memory and time.
    max_cycles : int
        Most cycles of the last refinement.
    callback : callable, optional
        Called with (step, total, message); the total is an estimate.
    cancel : object with ``is_set()``, optional
        Asked between cycles.

    Returns
    -------
    VolumeFactorization
        F on the voxels, α with covariance, and what was chosen on the way.

    Raises
    ------
    GeometryError
        If an array axis is along no lattice direction, the volume is too coarse for the
        order or smaller than a reciprocal cell, or the cell contradicts the Laue class.
    ParameterError
        If a parameter is outside what is allowed, or there are too many or too few voxels.
    CancelledError
        If ``cancel`` was set.

    See Also
    --------
    dsfunet_core.factorize : The same on one plane.
    plan_volume : What will be done, and the memory it needs.

    Notes
    -----
    The model is

        I(Q) = E(|Q|) H(Q) max(S(Q), 0),   S = 1 + Σ α_uvw cos 2π(uh + vk + wl),

    with E the smooth mean intensity and F = E·H, where the Fourier transform of H is real,
    even and confined to the support. Coefficients of H and α are refined together by
    Gauss–Newton on their dense normal matrix. Its elements are differences and sums of
    three trigonometric sums over the voxels, which are products of small matrices along
    the axes; they are exact for any step and any origin.

    Weights are 1/(model + floor) as counting statistics asks for, times the counts merged
    into a voxel, or 1/variance where the volume has variances. These should be expected
    ones: a variance that is the number of counts itself biases the fit at few counts, and
    is better left out. σ(α) comes from the Schur complement with the form factor
    marginalised, scaled by the misfit.

    With noise σ(α) is honest. Without, what is left is the cut of the support, which is
    alike in neighbouring voxels; σ is widened by the voxels that go to one independent
    residual, which is too much at errors of 10⁻⁵ to 10⁻⁴.

    Memory: about 75 bytes a voxel (0.16 GB for 128³, 1.3 GB for 256³), and 16 bytes times
    the square of the number of unknowns (1.2 GB for 8,000 and 665 vectors).
    """
    if max_cycles < 1:
        raise ParameterError(f"max_cycles = {max_cycles}; at least 1 was expected.")
    plan = plan_volume(
        volume, order=order, support=support, laue_class=laue_class, max_unknowns=max_unknowns
    )
    grid, orbits, symbol = plan.grid, plan.orbits, plan.laue_class
    steps = 0

    def tick(message: str) -> None:
        nonlocal steps
        if cancel is not None and cancel.is_set():
            raise CancelledError("the factorization of the volume was cancelled.")
        steps += 1
        if callback is not None:
            callback(steps, max(20, steps + 1), message)

    tick("reading")
    problem = _problem(volume, grid, OrderBasis.build(grid, list(orbits)), robust)
    record: dict[str, Any]
    if isinstance(support, str):
        data = int(problem.valid.sum(dtype=np.float64))
        max_unknowns = max(50, min(max_unknowns, data // DATA_PER_POINT))
        problem, unknowns, record = choose_support(
            problem, volume.cell, max_unknowns=max_unknowns, tick=tick
        )
    else:
        problem = with_support(problem, volume.cell, float(support))
        unknowns = start(problem, volume.cell, volume.cell.volume ** (1 / 3))
        unknowns = refine(problem, unknowns, max_cycles=4, tick=tick).unknowns
        record = {"support": float(support)}
    problem = _with_shell_prior(problem, unknowns.form_factor)
    solution = refine(problem, unknowns, max_cycles=max_cycles, tick=tick)
    tick("uncertainties")
    normal = normal_at(solution)
    covariance = order_covariance(solution, normal.factor)
    if record["support"] > next_cell(volume.cell):
        # Such form factors can stand for order. The prior decides which is which, and what
        # it takes off their few large coefficients would look like another order.
        normal = normal_at(solution, LOOSENED)
    beyond = beyond_the_product(solution, normal)
    del normal
    record |= {
        "order": order,
        "laue_class": symbol,
        "robust": robust,
        "weighting": "variance" if problem.variance is not None else "counting",
        "unknowns_form_factor": problem.form_factor.size,
        "reach": REACH * record["support"],
        "cycles": solution.cycles,
        "misfit": solution.weights.misfit,
        "outliers": solution.weights.outliers,
        "voxels_used": int((solution.weights.values > 0).sum()),
        "coverage": float(problem.valid.mean(dtype=np.float64)),
        "neighbours": [float(x) for x in neighbours(solution)],
        "structured_share": structured_share(solution),
        "beyond_the_product": {name: asdict(score) for name, score in beyond.items()},
    }
    return VolumeFactorization(
        volume=volume,
        form_factor=problem.envelope * np.maximum(solution.fields.h, 0),
        orbits=orbits,
        alpha=solution.unknowns.alpha,
        covariance=covariance,
        laue_class=symbol,
        choices=record,
    )


def _with_shell_prior(problem: Problem, coefficients: NDArray[np.float64]) -> Problem:
    return replace(problem, prior_variance=shell_prior(problem.form_factor, coefficients))


def _problem(
    volume: ReciprocalVolume, grid: VolumeGrid, order: OrderBasis, robust: bool
) -> Problem:
    parts = volume.block((slice(None),) * 3)
    valid, intensity = parts["valid"], parts["intensity"]
    assert valid is not None
    assert intensity is not None
    variance = parts["variance"]
    if variance is not None:
        valid = valid & np.isfinite(variance)
        known = variance[valid & (variance > 0)]
        # A variance of 0 means that nobody knows it, not that the value is exact.
        variance = np.maximum(variance, known.min() if known.size else 0)
        if not known.size:
            raise ParameterError(
                f"volume {volume.name!r} has variances, but none above 0; leave them out "
                "(variance=None) for weights from counting statistics."
            )
    used = int(valid.sum())
    if used < DATA_PER_UNKNOWN * (order.size + 50):
        raise ParameterError(
            f"volume {volume.name!r} has {used:,} measured voxels, too few for {order.size} "
            "parameters α and a form factor. Choose a lower order or a Laue class, or mask "
            "less."
        )
    intensity = np.where(valid, intensity, 0)
    if not intensity.sum() > 0:
        raise ParameterError(
            f"the mean intensity of volume {volume.name!r} is not positive; there is nothing "
            "to factorize. Was more background subtracted than there is?"
        )
    envelope = radial_envelope(intensity, valid, _lengths(volume, grid)).astype(np.float32)
    counts = parts["counts"]
    return Problem(
        intensity=intensity.astype(np.float32),
        valid=valid.astype(np.float32),
        envelope=envelope,
        variance=None if variance is None else _positive(variance, valid),
        observations=None if counts is None else np.where(valid, counts, 1).astype(np.float32),
        form_factor=FormFactorBasis.build(grid, volume.cell, 1.0),
        order=order,
        prior_variance=np.ones(1),
        robust=robust,
    )


def _positive(variance: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(valid, variance, 1).astype(np.float32)


def _lengths(volume: ReciprocalVolume, grid: VolumeGrid) -> NDArray[np.float64]:
    """|Q| of every voxel [Å⁻¹]."""
    to_q = q_matrix(volume.cell) @ grid.directions
    metric = to_q.T @ to_q
    a, b, c = np.ix_(*grid.coordinates)
    square = metric[0, 0] * a**2 + metric[1, 1] * b**2 + metric[2, 2] * c**2
    square = square + 2 * (metric[0, 1] * a * b + metric[0, 2] * a * c + metric[1, 2] * b * c)
    return np.sqrt(np.maximum(square, 0))
