"""Which planes of a set tell a network nothing new: distances between them.

Two planes are compared as distributions of scattering: how far must intensity be carried to
turn one into the other (Wasserstein distance, by Sinkhorn's algorithm with the POT library)?
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import DsfunetError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "CUTOFF",
    "REMOVED",
    "derive_cutoff",
    "distribution",
    "nearest_before",
    "unique",
    "wasserstein",
]

#: Squares along each edge into which a plane is gathered before it is compared.
GRID = 32
#: Entropic regularisation, in squared edges of the image.
REGULARISATION = 2e-3
#: The paper removed this fraction of its planes.
REMOVED = 0.054
#: Cutoff [edges of the image] at which that fraction of six pairs of the paper's set falls.
CUTOFF = 0.0020


def _pot() -> Any:
    try:
        import ot
    except ImportError as error:
        raise DsfunetError(
            "distances between planes need the package POT; install it with "
            "pip install 'napari-dsfunet[train]'."
        ) from error
    return ot


def distribution(image: NDArray, grid: int = GRID) -> NDArray[np.float64]:
    """Plane as a distribution of √I over squares.

    Parameters
    ----------
    image : ndarray, shape (n_rows, n_columns)
        Linear intensity; both edges at least ``grid`` pixels.
    grid : int
        Squares along each edge.

    Returns
    -------
    ndarray, shape (grid²,)
        Non-negative, sum 1.
    """
    root = np.sqrt(np.maximum(image, 0)).astype(float)
    if min(root.shape) < grid:
        raise ParameterError(f"a plane of {root.shape} pixels is smaller than grid = {grid}.")
    edges = [np.linspace(0, n, grid + 1).astype(int)[:-1] for n in root.shape]
    gathered = np.add.reduceat(np.add.reduceat(root, edges[0], axis=0), edges[1], axis=1)
    total = gathered.sum()
    if not total > 0:
        return np.full(grid * grid, 1 / grid**2)
    return (gathered / total).reshape(-1)


@cache
def _cost(grid: int) -> NDArray[np.float64]:
    line = (np.arange(grid) + 0.5) / grid
    points = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return ((points[:, None] - points) ** 2).sum(axis=-1)


def _sinkhorn(a: NDArray, b: NDArray) -> float:
    grid = round(len(a) ** 0.5)
    # Empty squares would divide by zero.
    a, b = a + 1e-9, b + 1e-9
    value = _pot().sinkhorn2(
        a / a.sum(), b / b.sum(), _cost(grid), REGULARISATION, numItermax=200, stopThr=1e-6,
        warn=False,
    )  # fmt: skip
    return float(value)


@lru_cache(maxsize=512)
def _self_cost(content: bytes) -> float:
    a = np.frombuffer(content)
    return _sinkhorn(a, a)


def wasserstein(a: NDArray, b: NDArray) -> float:
    """Wasserstein distance of two distributions on the same squares (order 2).

    Parameters
    ----------
    a, b : ndarray, shape (grid²,)
        From `distribution`.

    Returns
    -------
    float
        In edges of the image; regularised, with its bias taken out (Sinkhorn divergence),
        so that it is 0 for equal distributions.
    """
    if a.shape != b.shape:
        raise ParameterError(f"distributions of {a.size} and {b.size} squares differ in grid.")
    divergence = _sinkhorn(a, b) - (_self_cost(a.tobytes()) + _self_cost(b.tobytes())) / 2
    return float(np.sqrt(max(divergence, 0)))


def _projections(a: NDArray, levels: int = 1024) -> NDArray[np.float64]:
    """Quantiles of both projections: their distance is never more than the whole one."""
    grid = round(len(a) ** 0.5)
    image = a.reshape(grid, grid)
    centres, wanted = (np.arange(grid) + 0.5) / grid, (np.arange(levels) + 0.5) / levels
    parts = []
    for axis in (0, 1):
        cumulated = np.cumsum(image.sum(axis=axis))
        parts.append(centres[np.minimum(np.searchsorted(cumulated, wanted), grid - 1)])
    return np.concatenate(parts) / np.sqrt(levels)


def nearest_before(planes: Sequence[NDArray], cutoff: float = np.inf) -> NDArray[np.float64]:
    """Distance of every plane to the nearest of those before it.

    Parameters
    ----------
    planes : sequence of ndarray
        From `distribution`.
    cutoff : float
        Distances above need not be exact; infinite ones stand for "farther".

    Returns
    -------
    ndarray, shape (n,)
        The first is infinite.
    """
    projections = np.array([_projections(p) for p in planes])
    nearest = np.full(len(planes), np.inf)
    for i in range(1, len(planes)):
        least = np.linalg.norm(projections[:i] - projections[i], axis=1)
        for j in np.argsort(least, kind="stable"):
            if least[j] > min(nearest[i], cutoff):
                break
            nearest[i] = min(nearest[i], wasserstein(planes[i], planes[j]))
    return nearest


def derive_cutoff(planes: Sequence[NDArray], removed: float = REMOVED) -> float:
    """Cutoff below which a given fraction of a sample is redundant.

    The paper's supporting text sets the cutoff on its own planes; what is known of it is that
    5.4 % of them fell. The same fraction of a sample drawn alike must fall here.

    Parameters
    ----------
    planes : sequence of ndarray
        From `distribution`: all planes of a pair or more.
    removed : float
        Fraction.

    Returns
    -------
    float
        In edges of the image.
    """
    if len(planes) < 20:
        raise ParameterError(
            f"{len(planes)} planes are too few for a quantile; give 20 or more."
        )
    return float(np.quantile(nearest_before(planes)[1:], removed))


def unique(planes: Sequence[NDArray], cutoff: float) -> NDArray[np.bool_]:
    """Which planes to keep: those farther than the cutoff from every kept one before.

    Parameters
    ----------
    planes : sequence of ndarray
        From `distribution`.
    cutoff : float
        In edges of the image.

    Returns
    -------
    ndarray of bool, shape (n,)
        The first is always kept.
    """
    kept: list[int] = []
    projections = np.array([_projections(p) for p in planes])
    for i, plane in enumerate(planes):
        least = np.linalg.norm(projections[kept] - projections[i], axis=1)
        near = [kept[j] for j in np.argsort(least, kind="stable") if least[j] <= cutoff]
        if all(wasserstein(plane, planes[j]) > cutoff for j in near):
            kept.append(i)
    mask = np.zeros(len(planes), np.bool_)
    mask[kept] = True
    return mask
