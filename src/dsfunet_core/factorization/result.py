"""What a factorization returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["Factorization", "SroCoefficients"]

#: Points whose uncertainty is worked out at a time.
_ROWS = 8192


@dataclass(frozen=True, eq=False)
class SroCoefficients:
    """Fourier coefficients of the short-range order on one plane.

    ``S(p) = 1 + Σ_u 2 [x_u cos(2π r_u·p) − y_u sin(2π r_u·p)]`` over a half set of
    in-plane indices u = (u₁, u₂), with C_u = x_u + i·y_u and C_−u its conjugate.
    C_u is the sum of α_v·exp(2πi·offset·v) over the vectors v whose in-plane indices
    are u; with no correlation along the plane's normal it is α_v itself.

    Parameters
    ----------
    indices : ndarray of int, shape (m, 2)
        Half set of in-plane indices, (0, 0) left out (C₀₀ = 1 fixes the scale).
    values : ndarray of complex, shape (m,)
        C_u.
    covariance : ndarray, shape (2m, 2m), optional
        Covariance of (x₁ … x_m, y₁ … y_m), with the form factor marginalised.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.complex128]
    covariance: NDArray[np.float64] | None = None

    @property
    def sigma(self) -> NDArray[np.complex128] | None:
        """Standard uncertainties of the real and imaginary parts, shape (m,)."""
        if self.covariance is None:
            return None
        sigma = np.sqrt(np.diag(self.covariance))
        m = len(self.indices)
        return sigma[:m] + 1j * sigma[m:]

    def evaluate(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Short-range order at in-plane reciprocal coordinates.

        Parameters
        ----------
        uv : ndarray, shape (..., 2)
            Coordinates in units of the in-plane reciprocal-lattice vectors.

        Returns
        -------
        ndarray, shape (...)
            I_SRO, with mean 1 over a cell.
        """
        angle = 2 * np.pi * (np.asarray(uv, float) @ self.indices.T)
        return 1 + 2 * (np.cos(angle) @ self.values.real - np.sin(angle) @ self.values.imag)

    def slopes_at(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives ∂I_SRO/∂(u, v) of the series.

        Parameters
        ----------
        uv : ndarray, shape (..., 2)
            Coordinates in units of the in-plane reciprocal-lattice vectors.

        Returns
        -------
        ndarray, shape (..., 2)
            For a cell each.
        """
        angle = 2 * np.pi * (np.asarray(uv, float) @ self.indices.T)
        turning = 4 * np.pi * self.indices
        real, imaginary = self.values.real[:, None], self.values.imag[:, None]
        return np.asarray(
            -np.sin(angle) @ (real * turning) - np.cos(angle) @ (imaginary * turning)
        )

    def sigma_at(self, uv: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Standard uncertainty of I_SRO, propagated from the covariance.

        Parameters
        ----------
        uv : ndarray, shape (..., 2)
            Coordinates in units of the in-plane reciprocal-lattice vectors.

        Returns
        -------
        ndarray, shape (...), or None
            None where there is no covariance.
        """
        if self.covariance is None:
            return None
        uv = np.asarray(uv, float)
        flat = uv.reshape(-1, 2)
        variance = np.empty(len(flat))
        for start in range(0, len(flat), _ROWS):
            angle = 2 * np.pi * (flat[start : start + _ROWS] @ self.indices.T)
            terms = 2 * np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
            variance[start : start + _ROWS] = np.sum(terms @ self.covariance * terms, axis=1)
        return np.sqrt(np.maximum(variance, 0)).reshape(uv.shape[:-1])


@dataclass(frozen=True, eq=False)
class Factorization:
    """A plane taken apart: I_D = I_FF · I_SRO, eq. (5) of Fuller & Rudden (2024).

    Parameters
    ----------
    plane : ReciprocalPlane
        What was factorized, with the mask that was used.
    method : str
        ``"lattice"``, ``"network"``, ``"hybrid"``, or a baseline's name.
    form_factor : ndarray, shape (n_rows, n_columns)
        I_FF, in the units of the plane's intensity. Finite everywhere; outside
        ``plane.valid`` it is what the model expects there.
    sro : ndarray, shape (n_rows, n_columns)
        I_SRO, with mean 1 over a reciprocal unit cell.
    background : ndarray, shape (n_rows, n_columns), optional
        Smooth additive background, where one was refined.
    weights : ndarray, shape (n_rows, n_columns), optional
        Weights of the last least-squares cycle (1/variance up to scale), 0 for
        pixels that were masked or rejected as outliers.
    coefficients : SroCoefficients, optional
        Coefficients of the short-range order, where the lattice was used.
    lattice : PlaneLattice, optional
        Reciprocal lattice of the plane, where it was known.
    choices : dict
        What was chosen on the way and why: support, weighting, outliers, …
    form_factor_sigma : ndarray, shape (n_rows, n_columns), optional
        Standard uncertainty of I_FF with the order marginalised: noise where something
        was measured, the scatter of form factors about their envelope far from there.
    """

    plane: ReciprocalPlane
    method: str
    form_factor: NDArray[np.float64]
    sro: NDArray[np.float64]
    background: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    coefficients: SroCoefficients | None = None
    lattice: PlaneLattice | None = None
    choices: dict[str, Any] = field(default_factory=dict)
    form_factor_sigma: NDArray[np.float64] | None = None

    @cached_property
    def sro_sigma(self) -> NDArray[np.float64] | None:
        """Standard uncertainty of I_SRO on the pixels; None without a covariance.

        That of the lattice is in it where the lattice was refined or found.
        """
        if self.coefficients is None or self.lattice is None:
            return None
        rows, columns = np.indices(self.sro.shape)
        pixels = np.stack([rows, columns], axis=-1) - self.lattice.origin
        to_cells = np.linalg.inv(self.lattice.basis)
        uv = pixels @ to_cells.T
        sigma = self.coefficients.sigma_at(uv)
        covariance = self.choices.get("lattice_covariance")
        if sigma is None or covariance is None:
            return sigma
        slopes = self.coefficients.slopes_at(uv)
        # (u, v) = Dᵀ (p − o): ∂S/∂D_ji = ∂S/∂u_i · (p_j − o_j), ∂S/∂o = −D ∂S/∂u.
        by_basis = (pixels[..., :, None] * slopes[..., None, :]).reshape(*uv.shape[:-1], 4)
        variance = np.einsum("...i,ij,...j->...", by_basis, np.array(covariance), by_basis)
        origin = self.choices.get("origin_sigma")
        if origin is not None:
            variance = variance + ((slopes @ to_cells) ** 2) @ np.square(origin)
        return np.asarray(np.sqrt(sigma**2 + np.maximum(variance, 0)))

    @property
    def product(self) -> NDArray[np.float64]:
        """I_FF · I_SRO plus the background: what the model says the plane is."""
        model = self.form_factor * self.sro
        return model if self.background is None else model + self.background

    @property
    def residual(self) -> NDArray[np.float64]:
        """Observed minus product; NaN where nothing was measured."""
        return np.where(self.plane.valid, self.plane.intensity - self.product, np.nan)

    @property
    def r_factor(self) -> float:
        """Σ|I − product| / Σ|I| over the valid pixels."""
        valid = self.plane.valid
        return float(
            np.abs(self.residual[valid]).sum() / np.abs(self.plane.intensity[valid]).sum()
        )

    @property
    def reduced_chi2(self) -> float | None:
        """Weighted Σ(I − product)² per degree of freedom; 1 where weights are 1/σ².

        None where the plane brought no variances: the weights are then relative
        and the value would be 1 by construction.
        """
        return self.choices.get("reduced_chi2")
