"""Refine Warren–Cowley parameters by linear least squares, eq. (3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane_symmetry import column_vectors
from dsfunet_core.refine.alpha_table import find_orbit
from dsfunet_core.refine.design import (
    bin_waves,
    check_separable,
    coefficient_matrix,
    plane_normal,
)
from dsfunet_core.refine.least_squares import Solution, solve, whitening
from dsfunet_core.refine.projection import project
from dsfunet_core.refine.result import SroRefinement
from dsfunet_core.refine.unit_cell_map import UnitCellMap
from dsfunet_core.symmetry import laue_class_named, shell_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["SroProblem", "SroRefinement", "refine_sro"]


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
    problem = SroProblem(
        target, laue_class=laue_class, shells=shells, in_plane_only=in_plane_only, scale=scale
    )
    return problem.refine(bounds=bounds)


class SroProblem:
    """Warren–Cowley parameters of one plane, ready to be refined again and again.

    Everything that does not depend on α is computed once; for sliders and tables.

    Parameters
    ----------
    target : Factorization or UnitCellMap
        See :func:`refine_sro`.
    laue_class, shells, in_plane_only, scale : optional
        See :func:`refine_sro`.
    threshold : float
        Pixels whose form factor is below this fraction of its maximum are left out of the
        observed map.

    Raises
    ------
    ParameterError, GeometryError
        As :func:`refine_sro`.
    """

    def __init__(
        self,
        target: Factorization | UnitCellMap,
        *,
        laue_class: str | None = None,
        shells: int = 5,
        in_plane_only: bool = True,
        scale: bool = True,
        threshold: float = 0.05,
    ) -> None:
        if isinstance(target, UnitCellMap):
            self.observed, self.coefficients = target, None
            name = laue_class or target.laue_class or "-1"
        elif isinstance(target, Factorization):
            name = laue_class or target.plane.laue_class or "-1"
            self.coefficients = target.coefficients
            self.observed = project(target, laue_class=name, threshold=threshold)
        else:
            raise ParameterError(
                f"target is a {type(target).__name__}; give a Factorization or a UnitCellMap."
            )
        self.laue_class = name = laue_class_named(name).symbol
        lattice = self.observed.lattice
        if in_plane_only:
            self.orbits = column_vectors(shells, name, lattice, self.observed.cell)
        else:
            self.orbits = shell_vectors(shells, name, self.observed.cell)
        self.normal = plane_normal(lattice) if in_plane_only else None
        self._scale = scale
        self._classes, self._matrix = coefficient_matrix(self.orbits, lattice)
        check_separable(self.orbits, self._matrix, scale or self.coefficients is not None)
        self._waves = (bin_waves(self.observed, self._classes) @ self._matrix).real

    def index(self, vector: tuple[int, int, int]) -> int:
        """Which orbit a vector belongs to.

        Parameters
        ----------
        vector : tuple of int
            (u, v, w).

        Raises
        ------
        ParameterError
            If no orbit holds it.
        """
        return find_orbit(self.orbits, vector)

    def calculated(self, alpha: NDArray[np.float64], scale: float = 1.0) -> NDArray[np.float64]:
        """k·Σ α_v cos(Q·v) in the bins of the observed map.

        Parameters
        ----------
        alpha : ndarray, shape (n,)
            One an orbit.
        scale : float
            k.

        Returns
        -------
        ndarray, shape (n1, n2)
            Not NaN anywhere: empty bins are evaluated at their centres.
        """
        values = self._waves @ np.concatenate([[scale], scale * np.asarray(alpha, float)])
        return values.reshape(self.observed.bins)

    def refine(
        self,
        *,
        fixed: Mapping[tuple[int, int, int], float] | None = None,
        bounds: bool | NDArray[np.float64] = False,
    ) -> SroRefinement:
        """Refine all α but those that are fixed.

        Parameters
        ----------
        fixed : mapping of vector to float, optional
            (u, v, w) → α that is held, for the whole orbit of the vector.
        bounds : bool or ndarray, shape (n, 2)
            Lowest and highest allowed α of each orbit; True for −1 and 1.

        Returns
        -------
        SroRefinement
            Fixed parameters have no uncertainty.

        Raises
        ------
        ParameterError
            If the data do not determine the parameters, or a bound lies below its fellow.
        """
        n = len(self.orbits)
        limits = None
        if not isinstance(bounds, bool):
            limits = np.asarray(bounds, float)
            if limits.shape != (n, 2):
                raise ParameterError(
                    f"bounds has shape {limits.shape}; a lower and a higher value for each of "
                    f"the {n} orbits was expected."
                )
            for orbit, (low, high) in zip(self.orbits, limits, strict=True):
                if not low < high:
                    raise ParameterError(
                        f"the bounds of α{orbit.label} are {low:g} and {high:g}; the lower one "
                        "must be below the higher one."
                    )
        elif bounds:
            limits = np.tile([-1.0, 1.0], (n, 1))
        held = {self.index(vector): float(value) for vector, value in (fixed or {}).items()}
        solution = self._solve(limits, held)
        calculated = replace(
            self.observed, values=self.calculated(solution.alpha, solution.scale)
        )
        r, weighted = _r_factors(self.observed, calculated)
        return SroRefinement(
            orbits=tuple(self.orbits),
            alpha=solution.alpha,
            covariance=solution.covariance,
            scale=solution.scale,
            scale_sigma=solution.scale_sigma,
            at_bound=solution.at_bound,
            fixed=np.isin(np.arange(n), list(held)),
            laue_class=self.laue_class,
            normal=self.normal,
            basis="map" if self.coefficients is None else "coefficients",
            chi2=solution.chi2,
            dof=solution.dof,
            r_factor=r,
            weighted_r_factor=weighted,
            observed=self.observed,
            calculated=calculated,
        )

    def _solve(self, bounds: NDArray[np.float64] | None, fixed: dict[int, float]) -> Solution:
        unknowns = len(self.orbits) - len(fixed)
        if self.coefficients is None:
            data, design, options = self._map_equations
            if self.observed.independent <= unknowns + self._scale:
                raise ParameterError(
                    f"the map has {self.observed.independent:.0f} independent values for "
                    f"{unknowns + self._scale} parameters; use fewer shells, more bins, or a "
                    "plane with more data."
                )
            freedom = self.observed.independent - unknowns - self._scale
        else:
            data, design, options = self._coefficient_equations
            freedom = len(data) - unknowns
        return solve(data, design, freedom=freedom, bounds=bounds, fixed=fixed, **options)

    @cached_property
    def _map_equations(self) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any]]:
        """Weighted bins of a map, the paper's way."""
        observed = self.observed
        use = (np.isfinite(observed.values) & (observed.weight > 0)).ravel()
        weight, values = observed.weight.ravel()[use], observed.values.ravel()[use]
        root = np.sqrt(weight)
        # Scatter at the level of rounding is that of data made without noise.
        known = bool(observed.scatter > 1e-20 * float((weight * values**2).mean()))
        noise = np.sqrt(observed.scatter) if known else 1.0
        design = self._waves[use] * root[:, None] / noise
        return (
            values * root / noise,
            design,
            {"variances_known": known, "scale": self._scale},
        )

    @cached_property
    def _coefficient_equations(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any]]:
        """Generalised least squares of C = A·α with the full covariance of C."""
        coefficients, matrix = self.coefficients, self._matrix
        assert coefficients is not None
        rows = {tuple(u): i for i, u in enumerate(self._classes.tolist())}
        wanted = [rows.get(tuple(u), -1) for u in np.asarray(coefficients.indices).tolist()]
        # An extra row of zeros is what the model says of coefficients no orbit reaches.
        model = np.concatenate([matrix, np.zeros((1, matrix.shape[1]))])[wanted]
        model = np.concatenate([model.real, model.imag])
        data = np.concatenate([coefficients.values.real, coefficients.values.imag])
        unseen = np.flatnonzero((np.abs(model[:, 1:]).max(axis=0) == 0) & (matrix[0, 1:] == 0))
        if len(unseen):
            reach = int(np.abs(coefficients.indices).max())
            raise ParameterError(
                f"the factorization has no coefficients for {self.orbits[unseen[0]].label}"
                f"{' and others' if len(unseen) > 1 else ''}: its in-plane indices end at "
                f"{reach}.",
                python=f"Use shells={reach} or fewer, or factorize with a larger order.",
                terminal=f"Use --shells {reach} or fewer, or factorize with a larger --order.",
                napari=f"Turn Shells down to {reach}, or factorize with a larger Order.",
            )
        white = whitening(coefficients.covariance, len(data))
        # C_00 = 1 by definition: k·(1 + what other orbits add to it) = 1, exactly.
        constrained = bool(np.any(matrix[0, 1:] != 0))
        return (
            white @ data,
            white @ model,
            {
                "variances_known": coefficients.covariance is not None,
                "scale": constrained,
                "exactly": matrix[0].real if constrained else None,
                "precision": float(np.median(np.linalg.norm(white, axis=1))),
            },
        )


def _r_factors(observed: UnitCellMap, calculated: UnitCellMap) -> tuple[float, float]:
    use = np.isfinite(observed.values) & (observed.weight > 0)
    if not use.any():
        raise GeometryError("the map of one cell is empty; lower the threshold or mask less.")
    o, c, w = observed.values[use], calculated.values[use], observed.weight[use]
    plain = np.abs(o - c).sum() / np.abs(o).sum()
    weighted = np.sqrt((w * (o - c) ** 2).sum() / (w * o**2).sum())
    return float(plain), float(weighted)
