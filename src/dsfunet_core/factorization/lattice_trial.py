"""Is this the lattice? Both factors are fitted with it, and the misfit tells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from dsfunet_core.factorization.lattice_points import local_mean
from dsfunet_core.factorization.lattice_refinement import refine_lattice
from dsfunet_core.factorization.problem import evaluate
from dsfunet_core.factorization.solver import solve, start
from dsfunet_core.factorization.support import soft_disc, with_support
from dsfunet_core.factorization.transforms import SroBasis
from dsfunet_core.metrics import unexplained

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem

__all__ = ["Bench", "Trial"]

#: Radius in lattice constants of the first guess, which must not follow the lattice.
SMOOTH = 0.45
#: Width of the local mean in the weights [pixels], and what is added to it.
LOCAL, FLOOR = 3.0, 0.03
#: Edge of the squares within which residuals may be alike [pixels].
BLOCK = 8
#: Edge of the neighbourhood that a peak is compared with, and what is too near to the
#: lattice to speak against it [cycles across the plane].
NEARBY, APART = 9, 2.0


@dataclass(frozen=True, eq=False)
class Trial:
    """Both factors of a plane with one lattice.

    Parameters
    ----------
    direct : ndarray, shape (2, 2)
        Columns: direct-lattice vectors [cycles a pixel], refined.
    sigma : ndarray, shape (2, 2)
        Their standard uncertainties.
    misfit : float
        ⟨(I − M)² / Ī⟩ over measured pixels, I in units of its mean and Ī its local mean: 1
        over the counts a pixel where only counting noise is left.
    independent : float
        Number of pixels over the number of neighbours whose residuals are alike.
    against_none : float
        Logarithm of the odds against no order at all, the form factor kept.
    unexplained : float
        Share of the variance left, see `dsfunet_core.metrics.unexplained`.
    form_factor, product : ndarray, shape (n_rows, n_columns)
        I_FF and the model.
    indices, values : ndarray, shape (m, 2) and (m,)
        Coefficients of the order.
    """

    direct: NDArray[np.float64]
    sigma: NDArray[np.float64]
    misfit: float
    independent: float
    against_none: float
    unexplained: float
    form_factor: NDArray[np.float64]
    product: NDArray[np.float64]
    indices: NDArray[np.int64]
    values: NDArray[np.complex128]


class Bench:
    """A plane on which lattices are tried, all with the same form factor's support.

    Parameters
    ----------
    problem : Problem
        Data of one plane; its lattice and support are replaced.
    origin : ndarray, shape (2,)
        Pixel the phases are counted from.
    radius : float
        Support of the form factor [cycles a pixel].
    """

    def __init__(self, problem: Problem, origin: NDArray, radius: float) -> None:
        self._origin = torch.as_tensor(origin, dtype=torch.float64)[None].to(problem.intensity)
        self._eye = np.eye(2)
        radii = torch.full((1,), radius, dtype=torch.float64, device=problem.intensity.device)
        self._problem, _ = with_support(problem, self._eye, radii)
        #: Real unknowns of the form factor.
        self.unknowns = self._problem.form_factor_basis.size
        self._radius = radius
        self.intensity = problem.intensity[0].cpu().numpy()
        self.valid = problem.valid[0].cpu().numpy() > 0
        around = local_mean(self.intensity, self.valid, LOCAL)
        # The same weights for every trial, and linear in the data: no bias at few counts.
        self._weight = self.valid / np.sqrt(np.maximum(around, 0) + FLOOR)

    def try_lattice(self, direct: NDArray, order: int, *, cycles: int = 4) -> Trial:
        """Fit both factors, and refine the lattice with them.

        Parameters
        ----------
        direct : ndarray, shape (2, 2)
            Columns: direct-lattice vectors [cycles a pixel].
        order : int
            Largest index of the order's coefficients.
        cycles : int
            Of the refinement with the lattice.

        Returns
        -------
        Trial
            What came out.
        """
        problem = self._problem
        d = torch.as_tensor(np.array(direct))[None].to(problem.intensity)
        basis = self._basis(d, order)
        problem = replace(problem, sro_basis=basis)
        constant = torch.linalg.det(d).abs().sqrt()
        smooth = (SMOOTH * constant).clamp(max=self._radius)
        unknowns = start(problem, soft_disc(problem.form_factor_basis, self._eye, smooth))
        unknowns = solve(problem, unknowns, max_cycles=2).unknowns
        refined = refine_lattice(
            problem, unknowns, d, self._origin, self._eye, max_cycles=cycles
        )
        problem, unknowns = refined.problem, refined.unknowns
        fields = evaluate(problem, unknowns)
        model = fields.model[0].cpu().numpy()
        form_factor = (problem.envelope * fields.h.clamp(min=0))[0].cpu().numpy()
        misfit, independent = self.misfit(model)
        without = self.misfit(form_factor)[0]
        return Trial(
            direct=refined.direct[0],
            sigma=refined.sigma[0],
            misfit=misfit,
            independent=independent,
            against_none=0.5
            * independent
            * float(np.log(max(without / max(misfit, 1e-300), 1))),
            unexplained=unexplained(self.intensity, model, self.valid),
            form_factor=form_factor,
            product=model,
            indices=basis.indices,
            values=problem.sro_basis.complex_values(unknowns.sro)[0].cpu().numpy(),
        )

    def misfit(self, model: NDArray) -> tuple[float, float]:
        """Misfit of a model, and the number of independent pixels (see `Trial`)."""
        residual = self._residual(model)
        n = int(self.valid.sum())
        square = float((residual**2).sum())
        rows, columns = (size // BLOCK * BLOCK for size in residual.shape)
        cut = residual[:rows, :columns].reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        alike = float((cut.sum(axis=(1, 3)) ** 2).sum()) / max(square, 1e-300)
        return square / n, n / float(np.clip(alike, 1, BLOCK**2))

    def noise(self, trial: Trial) -> float:
        """White part of a trial's misfit: what no lattice could explain.

        Noise has the same power everywhere in the residual's transform, what is left of
        the factors has its power near zero and the lattice's points. The median tells.

        Parameters
        ----------
        trial : Trial
            Its residual is looked at.
        """
        power = np.abs(np.fft.fft2(self._residual(trial.product))) ** 2
        n = int(self.valid.sum())
        return float(np.median(power) / np.log(2) / n)

    def _residual(self, product: NDArray) -> NDArray[np.float64]:
        return np.asarray(self._weight * (self.intensity - product))

    def residual_wave(self, trial: Trial) -> tuple[float, float]:
        """Strongest wave of the residual that is not on the lattice.

        A periodicity that the lattice misses leaves a sharp peak in the residual's
        transform; noise and a form factor that is a little wrong do not.

        Parameters
        ----------
        trial : Trial
            Model and lattice.

        Returns
        -------
        height : float
            Power of the peak in units of the median power around it. The highest of white
            noise is about 1.4 ln(number of pixels).
        amplitude : float
            Of the wave, relative to the intensity.
        """
        residual = self._residual(trial.product)
        power = np.abs(np.fft.fft2(residual)) ** 2
        around = ndimage.median_filter(power, size=NEARBY, mode="wrap")
        cycles = np.stack(
            np.meshgrid(*(np.fft.fftfreq(n) for n in residual.shape), indexing="ij")
        )
        index = np.tensordot(np.linalg.inv(trial.direct), cycles, 1)
        off = np.tensordot(trial.direct, index - np.rint(index), 1)
        off *= np.array(residual.shape)[:, None, None]
        height = np.where(np.hypot(*off) > APART, power / np.maximum(around, 1e-300), 0)
        peak = np.unravel_index(height.argmax(), height.shape)
        amplitude = 2 * np.sqrt(power[peak]) / float((self._weight * trial.product).sum())
        return float(height[peak]), float(amplitude)

    def misfit_of_order(self, trial: Trial, direct: NDArray, order: int) -> float:
        """Misfit with another lattice when the form factor stays as a trial left it.

        Parameters
        ----------
        trial : Trial
            Its form factor is used.
        direct : ndarray, shape (2, 2)
            Columns: direct-lattice vectors [cycles a pixel].
        order : int
            Largest index of the order's coefficients, fitted by least squares.

        Returns
        -------
        float
            See `Trial`.
        """
        d = torch.as_tensor(np.array(direct))[None].to(self._problem.intensity)
        basis = self._basis(d, order)
        f = torch.as_tensor(trial.form_factor)[None].to(self._problem.intensity)
        mean = f.mean()
        weights = self._problem.valid / (f + 0.03 * mean)
        matrix = basis.gram(weights * f**2)
        right = basis.analyze(weights * f * (self._problem.intensity - f))
        matrix.diagonal(dim1=1, dim2=2).add_(1e-4 * matrix.diagonal(dim1=1, dim2=2).mean())
        c = torch.linalg.solve(matrix, right[..., None])[..., 0]
        model = f * (1 + basis.synthesize(c)).clamp(min=0)
        return self.misfit(model[0].cpu().numpy())[0]

    def _basis(self, direct: Tensor, order: int) -> SroBasis:
        return SroBasis.build(
            self._problem.form_factor_basis.shape,
            order,
            torch.linalg.inv(direct).mT.contiguous(),
            self._origin,
            False,
            self._eye,
        )
