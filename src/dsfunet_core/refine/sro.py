"""Refine Warren–Cowley parameters by linear least squares, eq. (3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane_symmetry import column_vectors
from dsfunet_core.refine.least_squares import Solution, solve, whitening
from dsfunet_core.refine.projection import project
from dsfunet_core.refine.result import SroRefinement
from dsfunet_core.refine.unit_cell_map import UnitCellMap
from dsfunet_core.symmetry import Orbit, laue_class_named, shell_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import SroCoefficients
    from dsfunet_core.lattice import PlaneLattice

__all__ = ["SroRefinement", "refine_sro"]

#: Singular values below this fraction of the largest count as zero.
_RANK_TOLERANCE = 1e-8


def refine_sro(
    target: Factorization | UnitCellMap,
    *,
    laue_class: str | None = None,
    shells: int = 5,
    in_plane_only: bool = True,
    bounds: bool = False,
    scale: bool = True,
) -> SroRefinement:
    """Refine k·Σ_v α_v cos(Q·v) with α_000 = 1, eq. (3) of Fuller & Rudden (2024).

    Parameters
    ----------
    target : Factorization or UnitCellMap
        A factorization with Fourier coefficients is fitted through them, with their full
        covariance, in which the form factor is marginalised: the complete treatment. One
        without coefficients is projected first; a map is fitted bin by bin, the paper's
        way (3.2.1).
    laue_class : str, optional
        Laue class that makes vectors equivalent. When left out, the one imposed on the
        map or given by the plane's file, else −1.
    shells : int
        Largest in-plane index of a vector, (u, v, 0) on hk0; with ``in_plane_only=False``
        its largest component.
    in_plane_only : bool
        Leave out vectors with a component along the plane's normal (v_z ≠ 0 on hk0 and
        hk1): no disorder along it. See :func:`~dsfunet_core.plane_symmetry.column_vectors`.
    bounds : bool
        Keep −1 ≤ α ≤ 1. Parameters at a bound are flagged, and the uncertainties are
        those of the others.
    scale : bool
        Refine k of a map; without it, k = 1. Coefficients are scaled to C_00 = 1, which
        determines k by itself.

    Returns
    -------
    SroRefinement
        Parameters, covariance, figures of merit and maps of one cell.

    Raises
    ------
    ParameterError
        If a parameter is outside what is allowed, or the data do not determine the
        parameters; the text names which.
    GeometryError
        If the cell contradicts the Laue class.

    Notes
    -----
    In the fit of coefficients C_u every coefficient counts. Those that no orbit reaches
    are expected to be zero, and those that symmetry makes equal to be equal, so that χ²
    tests the Laue class and the number of shells.
    """
    if isinstance(target, UnitCellMap):
        observed, coefficients = target, None
        name = laue_class or target.laue_class or "-1"
    elif isinstance(target, Factorization):
        name = laue_class or target.plane.laue_class or "-1"
        coefficients = target.coefficients
        observed = project(target, laue_class=name)
    else:
        raise ParameterError(
            f"target is a {type(target).__name__}; give a Factorization or a UnitCellMap."
        )
    name = laue_class_named(name).symbol
    lattice = observed.lattice
    if in_plane_only:
        orbits = column_vectors(shells, name, lattice, observed.cell)
    else:
        orbits = shell_vectors(shells, name, observed.cell)
    classes, matrix = coefficient_matrix(orbits, lattice)
    _check_separable(orbits, matrix, scale or coefficients is not None)
    if coefficients is None:
        solution = _fit_map(observed, classes, matrix, bounds=bounds, scale=scale)
    else:
        solution = _fit_coefficients(coefficients, orbits, classes, matrix, bounds=bounds)
    calculated = _calculated(observed, classes, matrix, solution)
    r, weighted = _r_factors(observed, calculated)
    return SroRefinement(
        orbits=tuple(orbits),
        alpha=solution.alpha,
        covariance=solution.covariance,
        scale=solution.scale,
        scale_sigma=solution.scale_sigma,
        at_bound=solution.at_bound,
        laue_class=name,
        normal=_normal(lattice) if in_plane_only else None,
        basis="map" if coefficients is None else "coefficients",
        chi2=solution.chi2,
        dof=solution.dof,
        r_factor=r,
        weighted_r_factor=weighted,
        observed=observed,
        calculated=calculated,
    )


def coefficient_matrix(
    orbits: list[Orbit], lattice: PlaneLattice
) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """Map from Warren–Cowley parameters to the Fourier coefficients of a plane.

    Parameters
    ----------
    orbits : list of Orbit
        Vectors that share a parameter.
    lattice : PlaneLattice
        The plane.

    Returns
    -------
    classes : ndarray of int, shape (m, 2)
        In-plane indices u that the vectors reach; (0, 0) comes first.
    matrix : ndarray of complex, shape (m, 1 + n)
        C_u/k = Σ_o matrix[u, o]·α_o, the first column being that of α_000 = 1. An entry is
        the sum of exp(2πi·offset·v) over the members v of an orbit with indices u.
    """
    members = np.concatenate([np.zeros((1, 3), np.int64), *[o.members for o in orbits]])
    owner = np.repeat(np.arange(1 + len(orbits)), [1, *[o.multiplicity for o in orbits]])
    indices = lattice.plane_indices(members)
    unique, which = np.unique(indices, axis=0, return_inverse=True)
    origin = int(which.ravel()[0])
    order = np.concatenate([[origin], np.delete(np.arange(len(unique)), origin)])
    matrix = np.zeros((len(unique), 1 + len(orbits)), dtype=np.complex128)
    np.add.at(matrix, (which.ravel(), owner), lattice.phase(members))
    return unique[order], matrix[order]


def _normal(lattice: PlaneLattice) -> tuple[int, int, int]:
    """Direct-space normal of the plane, its last index other than 0 positive."""
    normal = np.cross(lattice.directions[:, 0], lattice.directions[:, 1])
    u, v, w = (int(x) for x in normal * np.sign(normal[np.flatnonzero(normal)[-1]]))
    return u, v, w


def _check_separable(orbits: list[Orbit], matrix: NDArray[np.complex128], scale: bool) -> None:
    """Refuse parameters whose effects on the plane are linearly dependent."""
    columns = matrix if scale else matrix[:, 1:]
    real = np.concatenate([columns.real, columns.imag])
    norms = np.linalg.norm(real, axis=0)
    _, singular, right = np.linalg.svd(real / np.where(norms > 0, norms, 1))
    rank = int((singular > _RANK_TOLERANCE * singular.max(initial=1e-300)).sum())
    null = np.abs(right[rank:])
    if not len(null):
        return
    labels = (["the scale"] if scale else []) + [orbit.label for orbit in orbits]
    involved = [label for label, x in zip(labels, null.max(axis=0), strict=True) if x > 1e-6]
    named = ", ".join(involved[:8]) + (
        f" and {len(involved) - 8} more" if len(involved) > 8 else ""
    )
    raise ParameterError(
        f"one plane cannot tell these vectors apart: {named}. They differ by multiples of "
        "the plane's normal, and it sees only their sum. Use in_plane_only=True, a higher "
        "Laue class if the crystal has it, or more planes."
    )


def bin_waves(observed: UnitCellMap, classes: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Mean of exp(2πi u·x) over the samples of every bin.

    The samples' mean and covariance stand for their distribution:
    ⟨exp(2πi u·x)⟩ ≈ exp(2πi u·x̄ − 2π² uᵀ·cov·u), which takes the attenuation of long
    vectors by the width of the bins into account.

    Parameters
    ----------
    observed : UnitCellMap
        The map; empty bins are evaluated at their centres.
    classes : ndarray of int, shape (m, 2)
        In-plane indices u.

    Returns
    -------
    ndarray of complex, shape (n1 * n2, m)
        One row a bin.
    """
    filled = observed.count > 0
    at = np.where(filled[..., None], observed.coordinates, observed.centres())
    spread = np.where(filled[..., None, None], observed.spread, 0.0)
    u = classes.astype(float)
    angle = 2 * np.pi * (at.reshape(-1, 2) @ u.T)
    widths = np.einsum("bij,mi,mj->bm", spread.reshape(-1, 2, 2), u, u, optimize=True)
    return np.exp(1j * angle - 2 * np.pi**2 * widths)


def _fit_map(
    observed: UnitCellMap,
    classes: NDArray[np.int64],
    matrix: NDArray[np.complex128],
    *,
    bounds: bool,
    scale: bool,
) -> Solution:
    """Weighted least squares over the bins of a map, the paper's way."""
    use = (np.isfinite(observed.values) & (observed.weight > 0)).ravel()
    unknowns = matrix.shape[1] - (not scale)
    if observed.independent <= unknowns:
        raise ParameterError(
            f"the map has {observed.independent:.0f} independent values for {unknowns} "
            "parameters; use fewer shells, more bins, or a plane with more data."
        )
    root = np.sqrt(observed.weight.ravel()[use])
    design = (bin_waves(observed, classes)[use] @ matrix).real * root[:, None]
    # Scatter at the level of rounding is that of data made without noise.
    squares = observed.weight.ravel()[use] * observed.values.ravel()[use] ** 2
    known = observed.scatter > 1e-20 * float(squares.mean())
    noise = np.sqrt(observed.scatter) if known else 1.0
    return solve(
        observed.values.ravel()[use] * root / noise,
        design / noise,
        freedom=observed.independent - unknowns,
        variances_known=known,
        bounds=bounds,
        scale=scale,
    )


def _fit_coefficients(
    coefficients: SroCoefficients,
    orbits: list[Orbit],
    classes: NDArray[np.int64],
    matrix: NDArray[np.complex128],
    *,
    bounds: bool,
) -> Solution:
    """Generalised least squares of C = A·α with the full covariance of C."""
    rows = {tuple(u): i for i, u in enumerate(classes.tolist())}
    wanted = [rows.get(tuple(u), -1) for u in np.asarray(coefficients.indices).tolist()]
    # An extra row of zeros is what the model says of coefficients no orbit reaches.
    model = np.concatenate([matrix, np.zeros((1, matrix.shape[1]))])[wanted]
    model = np.concatenate([model.real, model.imag])
    data = np.concatenate([coefficients.values.real, coefficients.values.imag])
    unseen = np.flatnonzero((np.abs(model[:, 1:]).max(axis=0) == 0) & (matrix[0, 1:] == 0))
    if len(unseen):
        reach = int(np.abs(coefficients.indices).max())
        raise ParameterError(
            f"the factorization has no coefficients for {orbits[unseen[0]].label}"
            f"{' and others' if len(unseen) > 1 else ''}: its in-plane indices end at "
            f"{reach}. Use shells={reach} or fewer, or factorize with a larger order."
        )
    white = whitening(coefficients.covariance, len(data))
    # C_00 = 1 by definition: k·(1 + what other orbits add to it) = 1, exactly.
    constrained = bool(np.any(matrix[0, 1:] != 0))
    return solve(
        white @ data,
        white @ model,
        freedom=len(white) - len(orbits),
        variances_known=coefficients.covariance is not None,
        bounds=bounds,
        scale=constrained,
        exactly=matrix[0].real if constrained else None,
        precision=float(np.median(np.linalg.norm(white, axis=1))),
    )


def _calculated(
    observed: UnitCellMap,
    classes: NDArray[np.int64],
    matrix: NDArray[np.complex128],
    solution: Solution,
) -> UnitCellMap:
    parameters = solution.scale * np.concatenate([[1.0], solution.alpha])
    values = (bin_waves(observed, classes) @ (matrix @ parameters)).real
    return replace(observed, values=values.reshape(observed.bins))


def _r_factors(observed: UnitCellMap, calculated: UnitCellMap) -> tuple[float, float]:
    use = np.isfinite(observed.values) & (observed.weight > 0)
    if not use.any():
        raise GeometryError("the map of one cell is empty; lower the threshold or mask less.")
    o, c, w = observed.values[use], calculated.values[use], observed.weight[use]
    plain = np.abs(o - c).sum() / np.abs(o).sum()
    weighted = np.sqrt((w * (o - c) ** 2).sum() / (w * o**2).sum())
    return float(plain), float(weighted)
