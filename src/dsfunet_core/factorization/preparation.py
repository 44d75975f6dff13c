"""Tensors for the solver from the arrays of some planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization.envelope import radial_envelope
from dsfunet_core.factorization.problem import Problem
from dsfunet_core.factorization.transforms import FormFactorBasis, SroBasis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.plane_data import PlaneData

__all__ = ["build_problem"]

#: Places told apart along each edge of a reciprocal cell, and the fraction of the cells in
#: which one must have been measured to count as seen.
CELL_BINS, HARDLY = 20, 0.05
#: Range of the intensities, relative to the largest, that is none.
NO_CONTRAST = 1e-6
#: Degree of the background polynomial along each axis, in total.
BACKGROUND_DEGREE = 3


def build_problem(
    planes: list[PlaneData],
    order: int,
    background: bool,
    robust: bool,
    spacing: NDArray,
    device: str | None,
) -> tuple[Problem, NDArray]:
    """Tensors from arrays, with the mean intensity of every plane scaled to 1.

    Parameters
    ----------
    planes : list of PlaneData
        The batch.
    order : int
        Largest in-plane index of the short-range order.
    background : bool
        Whether to refine a smooth additive background.
    robust : bool
        Whether to reject outliers.
    spacing : ndarray, shape (2, 2)
        Cycles per pixel → real space.
    device : str or None
        A torch device; the CPU when None.

    Returns
    -------
    problem : Problem
        Without a support yet.
    scale : ndarray, shape (n,)
        Mean intensity of each plane.

    Raises
    ------
    ParameterError
        If a plane has too few valid pixels, or too little intensity.
    """
    shape = planes[0].intensity.shape
    needed = (2 * order + 1) ** 2 * 4
    for i, p in enumerate(planes):
        n = int(p.valid.sum())
        if n < needed:
            raise ParameterError(
                f"plane {i} has {n} valid pixels; at least {needed} are needed for order = "
                f"{order}. Use a larger plane, mask less, or lower order."
            )
        if not np.any(p.intensity[p.valid] > 0):
            raise ParameterError(
                f"plane {i} has no positive intensity in its valid pixels, so there is no "
                "diffuse scattering to factorize. Check the plane and the mask."
            )
        if np.ptp(p.intensity[p.valid]) <= NO_CONTRAST * np.abs(p.intensity[p.valid]).max():
            raise ParameterError(
                f"plane {i} has the same intensity in every valid pixel, so there is nothing "
                "to factorize. Check that this is the array with the intensities."
            )
    scale = np.array([p.intensity[p.valid].mean() for p in planes])
    if np.any(scale <= 0):
        raise ParameterError(
            f"the mean intensity of plane {int(np.argmin(scale))} is {scale.min():.3g}; it "
            "must be positive. Too much background may have been subtracted."
        )

    def tensor(arrays: list[Any]) -> torch.Tensor:
        stacked = np.stack([np.asarray(a, dtype=np.float64) for a in arrays])
        return torch.as_tensor(stacked, device=device)

    def q_norm(p: PlaneData) -> NDArray:
        if p.q_norm is not None:
            return p.q_norm
        rows, columns = np.indices(shape)
        return np.hypot(rows - p.origin[0], columns - p.origin[1])

    intensity = [
        np.where(p.valid, p.intensity, 0) / s for p, s in zip(planes, scale, strict=True)
    ]
    origin = tensor([p.origin for p in planes])
    centric = all(p.inversion is True for p in planes)
    real = all(p.real_coefficients for p in planes) or centric
    has_variance = all(p.variance is not None for p in planes)
    has_observations = all(p.observations is not None for p in planes)
    observations = None
    if has_observations and not has_variance:
        observations = tensor([_relative(p.observations, p.valid) for p in planes])
    return (
        Problem(
            intensity=tensor(intensity),
            valid=tensor([p.valid for p in planes]),
            envelope=tensor(
                [
                    radial_envelope(y, p.valid, q_norm(p))
                    for y, p in zip(intensity, planes, strict=True)
                ]
            ),
            form_factor_basis=FormFactorBasis.build(shape, spacing, 0.0, centric, origin),
            sro_basis=SroBasis.build(
                shape, order, tensor([p.basis for p in planes]), origin, real, spacing
            ),
            prior_variance=torch.empty(0),
            unseen=tensor([_unseen(p) for p in planes]),
            variance=(
                tensor([p.variance / s**2 for p, s in zip(planes, scale, strict=True)])
                if has_variance
                else None
            ),
            observations=observations,
            background_basis=_polynomials(shape, device) if background else None,
            robust=robust,
        ),
        scale,
    )


def _unseen(plane: PlaneData) -> NDArray[np.bool_]:
    """Pixels whose place in the reciprocal cell was hardly measured in any cell."""
    rows, columns = np.indices(plane.valid.shape)
    pixels = np.stack([rows.ravel() - plane.origin[0], columns.ravel() - plane.origin[1]])
    place = (np.linalg.solve(plane.basis, pixels) + 0.5 / CELL_BINS) % 1
    row, column = np.minimum((place * CELL_BINS).astype(int), CELL_BINS - 1)
    bins = row * CELL_BINS + column
    total = np.bincount(bins, minlength=CELL_BINS**2)
    seen = np.bincount(bins, plane.valid.ravel(), minlength=CELL_BINS**2)
    return (seen < HARDLY * total)[bins].reshape(plane.valid.shape)


def _relative(observations: Any, valid: NDArray[np.bool_]) -> NDArray:
    """Observations a pixel, in units of their mean over the valid ones."""
    return np.where(valid, observations, 0) / np.mean(observations[valid])


def _polynomials(shape: tuple[int, int], device: str | None) -> torch.Tensor:
    """Legendre polynomials over the plane up to a total degree, (k, H, W)."""
    axes = [np.linspace(-1, 1, n) for n in shape]
    vander = [np.polynomial.legendre.legvander(x, BACKGROUND_DEGREE) for x in axes]
    terms = [
        np.outer(vander[0][:, i], vander[1][:, j])
        for i in range(BACKGROUND_DEGREE + 1)
        for j in range(BACKGROUND_DEGREE + 1 - i)
    ]
    return torch.as_tensor(np.stack(terms), device=device)
