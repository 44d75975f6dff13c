"""Compare a measured form factor with what a structure would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.metrics import mean_squared_error
from dsfunet_core.structures.calculate import Amplitude
from dsfunet_core.structures.errors import correlated_covariance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.factorization.result import Factorization
    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.structures.model import DisorderModel

__all__ = ["Comparison", "Target", "compare"]

#: Steps of Gauss–Newton for the Debye–Waller factor, and the change [Å²] that ends them.
STEPS, SMALL = 30, 1e-7
#: Largest Debye–Waller factor [Å²] that is believed, and the smallest (noise).
HIGHEST, LOWEST = 1.0, -0.2


@dataclass(frozen=True, eq=False)
class Target:
    """Measured intensities that a structure is to explain.

    The model is k · exp(−D_w Q²) · |ΔF(Q)|² · S(Q), eqs (1) and (13), with S = 1 for a form
    factor.

    Parameters
    ----------
    plane : ReciprocalPlane
        Cell and grid.
    intensity : ndarray, shape (n_rows, n_columns)
        I_FF, or I_D.
    weight : ndarray, shape (n_rows, n_columns)
        Relative weights; zero where nothing was measured.
    order : ndarray, shape (n_rows, n_columns), optional
        I_SRO, where the intensity is I_D.
    order_basis : ndarray, shape (m, n_rows, n_columns), optional
        Derivatives of I_SRO by its coefficients, where a refinement is to find these anew.
    raw : ndarray, shape (n_rows, n_columns), optional
        What ``intensity`` was smoothed from: it has the noise that uncertainties come
        from.
    """

    plane: ReciprocalPlane
    intensity: NDArray[np.float64]
    weight: NDArray[np.float64]
    order: NDArray[np.float64] | None = None
    order_basis: NDArray[np.float32] | None = None
    raw: NDArray[np.float64] | None = None

    @property
    def scattered(self) -> NDArray[np.float64]:
        """Intensity with all its noise, for uncertainties."""
        return self.intensity if self.raw is None else self.raw

    @classmethod
    def form_factor(
        cls,
        result: Factorization,
        *,
        q_range: tuple[float, float] = (0.0, np.inf),
    ) -> Target:
        """Form factor of a factorization where something was measured.

        Parameters
        ----------
        result : Factorization
            On a plane with a cell. A pixel's weight is the square of I_SRO there, for I_FF
            is the quotient of intensity and I_SRO.
        q_range : tuple of float
            Smallest and largest |Q| [Å⁻¹].
        """
        weight = cls._inside(result, q_range) * np.maximum(result.sro, 0) ** 2
        measured = result.plane.intensity
        if result.background is not None:
            measured = measured - result.background
        known = weight > 0
        raw = result.form_factor.copy()
        raw[known] = measured[known] / result.sro[known]
        return cls(result.plane, result.form_factor, weight, raw=raw)

    @classmethod
    def scattering(
        cls, result: Factorization, *, q_range: tuple[float, float] = (0.0, np.inf)
    ) -> Target:
        """Diffuse scattering itself, with the order that was found.

        Parameters
        ----------
        result : Factorization
            On a plane with a cell. Where the lattice was used, a refinement can find the
            coefficients of the order anew.
        q_range : tuple of float
            Smallest and largest |Q| [Å⁻¹].
        """
        weight = cls._inside(result, q_range)
        if result.weights is not None:
            weight = weight * result.weights
        intensity = np.where(weight > 0, result.plane.intensity, 0.0)
        if result.background is not None:
            intensity = intensity - result.background
        order = np.maximum(result.sro, 0)
        return cls(result.plane, intensity, weight, order, _order_basis(result))

    @staticmethod
    def _inside(result: Factorization, q_range: tuple[float, float]) -> NDArray[np.float64]:
        low, high = q_range
        q = result.plane.q_norm()
        weight = (result.plane.valid & (q >= low) & (q <= high)).astype(float)
        if not weight.any():
            raise ParameterError(
                f"q_range = ({low:g}, {high:g}) Å⁻¹ holds no measured pixel of this plane, "
                f"which goes from {q.min():.2f} to {q.max():.2f} Å⁻¹."
            )
        return weight


@dataclass(frozen=True, eq=False)
class Comparison:
    """How well a structure explains a target.

    Parameters
    ----------
    calculated, difference : ndarray, shape (n_rows, n_columns)
        On the scale of the target; observed minus calculated is NaN where nothing was
        measured.
    scale, debye_waller : float
        k, and D_w [Å²].
    scale_sigma, debye_waller_sigma : float
        Their standard uncertainties; 0 where D_w was held.
    r_factor : float
        Σ|I − I_calc| / Σ|I| over what was measured.
    mse : float
        Mean square difference on the paper's scale, each image linear in [−1, 1].
    cost : float
        Weighted mean square of the difference, over that of the target; what is minimised.
    """

    calculated: NDArray[np.float64]
    difference: NDArray[np.float64]
    scale: float
    debye_waller: float
    scale_sigma: float
    debye_waller_sigma: float
    r_factor: float
    mse: float
    cost: float


def compare(
    target: Target,
    model: DisorderModel,
    *,
    debye_waller: float | None = None,
    radiation: str = "xray",
) -> Comparison:
    """Scale a structure's form factor to a measured one, and say how they differ.

    Parameters
    ----------
    target : Target
        What was measured.
    model : DisorderModel
        The structure.
    debye_waller : float, optional
        D_w [Å²] to hold; refined when left out.
    radiation : {"xray", "neutron", "electron"}
        What scatters.

    Returns
    -------
    Comparison
        Uncertainties count neighbouring pixels as erring together.

    Raises
    ------
    ParameterError
        If the structure does not scatter at all on this plane.
    """
    amplitude = Amplitude(target.plane, radiation=radiation)
    amplitude.require_contrast(model)
    square = np.abs(amplitude(model)) ** 2
    fit = ScaleFit(target, debye_waller)
    scale, damping, _ = fit.solve(square)
    return comparison(target, fit, square, scale, damping)


def _order_basis(result: Factorization) -> NDArray[np.float32] | None:
    """Cosines and sines of the order on the plane, those that the result uses."""
    found, lattice = result.coefficients, result.lattice
    if found is None or lattice is None:
        return None
    rows, columns = np.mgrid[: result.plane.shape[0], : result.plane.shape[1]]
    pixel = np.stack([rows, columns], axis=-1)
    uv = (pixel - lattice.origin) @ np.linalg.inv(lattice.basis).T
    angle = 2 * np.pi * (uv @ found.indices.T)
    waves = [2 * np.cos(angle)]
    if np.any(found.values.imag != 0):
        waves.append(-2 * np.sin(angle))
    return np.moveaxis(np.concatenate(waves, axis=-1), -1, 0).astype(np.float32)


class ScaleFit:
    """Least squares for k and D_w, for one calculated |ΔF|² after the other.

    Parameters
    ----------
    target : Target
        What was measured.
    debye_waller : float, optional
        D_w [Å²] to hold.
    """

    def __init__(self, target: Target, debye_waller: float | None = None) -> None:
        self.live = target.weight > 0
        self.weight = target.weight[self.live].astype(np.float32)
        self.observed = target.intensity[self.live].astype(np.float32)
        self.q2 = (target.plane.q_norm()[self.live] ** 2).astype(np.float32)
        self.order = None if target.order is None else target.order[self.live]
        self.held = debye_waller
        self.total = float((self.weight * self.observed) @ self.observed)
        self.last = debye_waller if debye_waller is not None else 0.0

    def solve(self, square: NDArray[np.floating]) -> tuple[float, float, float]:
        """Scale k, D_w [Å²] and the relative cost for |ΔF|² on the plane.

        Starts from the D_w that was found last.
        """
        model = square[self.live].astype(np.float32)
        if self.order is not None:
            model = model * self.order.astype(np.float32)
        damping = self.last
        scale, cost, slope, curvature = self._at(model, damping)
        if self.held is None:
            for _ in range(STEPS):
                step = float(np.clip(-slope / max(curvature, 1e-30), -0.1, 0.1))
                new = float(np.clip(damping + step, LOWEST, HIGHEST))
                trial = self._at(model, new)
                while trial[1] > cost * (1 + 1e-6) and abs(new - damping) > SMALL:
                    new = (new + damping) / 2
                    trial = self._at(model, new)
                moved, damping = abs(new - damping), new
                scale, cost, slope, curvature = trial
                if moved < SMALL * 100:
                    break
            self.last = damping
        return scale, damping, cost

    def _at(self, model: NDArray, damping: float) -> tuple[float, float, float, float]:
        """Best scale at a D_w, its relative cost, slope and curvature along D_w."""
        damped = model * np.exp(np.float32(-damping) * self.q2)
        weighted = self.weight * damped
        norm = float(weighted @ damped)
        scale = float(weighted @ self.observed) / norm
        rest = self.observed - np.float32(scale) * damped
        # d(k m)/dD = −k q² m, with what k itself can take up removed.
        tilt = self.q2 * damped
        across = float(weighted @ tilt) / norm
        tilt = tilt - np.float32(across) * damped
        cost = float((self.weight * rest) @ rest) / self.total
        slope = 2 * scale * float((self.weight * rest) @ tilt) / self.total
        curvature = 2 * scale**2 * float((self.weight * tilt) @ tilt) / self.total
        return scale, cost, slope, curvature


def comparison(
    target: Target, fit: ScaleFit, square: NDArray, scale: float, damping: float
) -> Comparison:
    """Everything about one structure, once its scale and D_w are known.

    Parameters
    ----------
    target : Target
        What was measured.
    fit : ScaleFit
        That found them.
    square : ndarray, shape (n_rows, n_columns)
        |ΔF|².
    scale, damping : float
        k and D_w [Å²].
    """
    q2 = target.plane.q_norm() ** 2
    unit = square * np.exp(-damping * q2)
    if target.order is not None:
        unit = unit * target.order
    calculated = scale * unit
    live = target.weight > 0
    rest = np.where(live, target.intensity - calculated, 0.0)
    gradients = [unit] if fit.held is not None else [unit, -q2 * calculated]
    sigma = np.sqrt(np.diag(correlated_covariance(np.stack(gradients), rest, target.weight)))
    weight = target.weight
    return Comparison(
        calculated=calculated,
        difference=np.where(live, rest, np.nan),
        scale=scale,
        debye_waller=damping,
        scale_sigma=float(sigma[0]),
        debye_waller_sigma=float(sigma[1]) if len(sigma) > 1 else 0.0,
        r_factor=float(np.abs(rest[live]).sum() / np.abs(target.intensity[live]).sum()),
        mse=mean_squared_error(calculated, target.intensity, live),
        cost=float((weight * rest**2).sum() / (weight * target.intensity**2).sum()),
    )
