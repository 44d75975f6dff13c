"""Is this the lattice? Both factors are fitted with it, and the misfit tells."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from dsfunet_core.factorization.form_factor_alone import alone, determined, scatter
from dsfunet_core.factorization.lattice_points import local_mean
from dsfunet_core.factorization.lattice_refinement import RefinedLattice, refine_lattice
from dsfunet_core.factorization.normal_equations import solved
from dsfunet_core.factorization.pieces import cut_up
from dsfunet_core.factorization.priors import SRO_PRIOR_SIGMA
from dsfunet_core.factorization.problem import Unknowns, evaluate
from dsfunet_core.factorization.support import REACH, embed, with_support
from dsfunet_core.factorization.transforms import PADDING, SroBasis
from dsfunet_core.metrics import unexplained

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dsfunet_core.factorization.problem import Problem
    from dsfunet_core.factorization.transforms import FormFactorBasis

__all__ = ["Bench", "Trial"]

#: Radius in lattice constants of the first guess, which must not follow the lattice.
SMOOTH = 0.45
#: Steps in which the support grows from there, and cycles of each.
STAGES, STAGE_CYCLES = 4, 3
#: Share of the scatter about the envelope that is order's where it is to be fitted away.
LITTLE = 0.05
#: The same of a form factor that another trial has found.
CLOSELY = 1e-3
#: Width of the local mean in the weights [pixels], and what is added to it.
LOCAL, FLOOR = 3.0, 0.03
#: Radius of the support without order, in units of that with it.
LARGER = 1.25
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
    noise : float
        White part of the misfit, which no lattice could explain.
    unexplained : float
        Share of the variance left, see `dsfunet_core.metrics.unexplained`.
    form_factor, product : ndarray, shape (n_rows, n_columns)
        I_FF and the model.
    indices, values : ndarray, shape (m, 2) and (m,)
        Coefficients of the order.
    converged : bool
        Whether more cycles would change nothing.
    unknowns, basis : Unknowns, FormFactorBasis
        Of the pieces: where another trial of this lattice may start.
    bench : Bench
        Whose pieces they are.
    """

    direct: NDArray[np.float64]
    sigma: NDArray[np.float64]
    misfit: float
    independent: float
    noise: float
    unexplained: float
    form_factor: NDArray[np.float64]
    product: NDArray[np.float64]
    indices: NDArray[np.int64]
    values: NDArray[np.complex128]
    converged: bool
    unknowns: Unknowns
    basis: FormFactorBasis
    bench: Bench


class Bench:
    """A plane on which lattices are tried, all with the same form factor's support.

    Parameters
    ----------
    problem : Problem
        Data of one plane; its lattice and support are replaced.
    origin : ndarray, shape (2,)
        Pixel the phases are counted from.
    number : int
        Pieces along each edge that the plane is cut into.
    radius : float
        Support of the form factor [cycles a pixel].
    """

    def __init__(self, problem: Problem, origin: NDArray, number: int, radius: float) -> None:
        self._origin = torch.as_tensor(origin, dtype=torch.float64)[None].to(problem.intensity)
        self._eye = np.eye(2)
        self._plane = problem
        self._pieces = cut_up(problem, self._origin, number)
        self._problem = self._supported(radius)
        #: Real unknowns of the form factor.
        self.unknowns = number**2 * self._problem.form_factor_basis.size
        self.radius = radius
        # What is not the form factor's must be as much in all pieces.
        self._scatter = scatter(problem)
        self._without: tuple[float, float] | None = None
        #: Trials so far.
        self.trials = 0
        self.intensity = problem.intensity[0].cpu().numpy()
        self.valid = problem.valid[0].cpu().numpy() > 0
        #: Measured pixels.
        self.measured = int(self.valid.sum())
        around = local_mean(self.intensity, self.valid, LOCAL)
        # The same weights for every trial, and linear in the data: no bias at few counts.
        self._weight = self.valid / np.sqrt(np.maximum(around, 0) + FLOOR)

    @staticmethod
    def of_plane(
        problem: Problem, origin: NDArray, radius: float, unknowns: int, piece: int
    ) -> Bench:
        """Bench with as many pieces as leave each enough unknowns.

        Parameters
        ----------
        problem, origin, radius
            See `Bench`; the radius is less where there would be too many unknowns.
        unknowns : int
            Most unknowns of the form factor.
        piece : int
            Fewest of a piece, where there is more than one.
        """
        rows, columns = problem.intensity.shape[1:]
        expected = math.pi * (REACH * PADDING * radius) ** 2 * rows * columns
        radius *= min(1.0, math.sqrt(unknowns / expected))
        number = max(1, math.floor(math.sqrt(min(expected, unknowns) / piece)))
        return Bench(problem, origin, number, radius)

    def _supported(self, radius: float) -> Problem:
        pieces = self._pieces.problem
        radii = torch.full((len(pieces.valid),), radius, dtype=torch.float64)
        return with_support(pieces, self._eye, radii.to(pieces.intensity))[0]

    def try_lattice(
        self, direct: NDArray, order: int, *, cycles: int, after: Trial | None = None
    ) -> Trial:
        """Fit both factors, and refine the lattice with them.

        Parameters
        ----------
        direct : ndarray, shape (2, 2)
            Columns: direct-lattice vectors [cycles a pixel].
        order : int
            Largest index of the order's coefficients.
        cycles : int
            Of the refinement, at most.
        after : Trial, optional
            Of this lattice, on this bench or another: where to start.

        Returns
        -------
        Trial
            What came out.
        """
        self.trials += 1
        basis = self._basis(np.asarray(direct), order, self._pieces.origin)
        if after is None:
            smooth = min(SMOOTH * math.sqrt(abs(np.linalg.det(direct))), self.radius)
            problem = replace(self._supported(smooth), sro_basis=basis)
            unknowns = self._first(problem)
            # Where the first form factors are too small, nothing is an outlier yet.
            problem = replace(problem, robust=False)
            for radius in np.geomspace(smooth, self.radius, STAGES + 1)[1:]:
                wider = replace(self._supported(radius), robust=False)
                problem, unknowns = _widened(problem, unknowns, wider)
                refined = self._refined(problem, unknowns, direct, STAGE_CYCLES)
                problem, unknowns, direct = refined.problem, refined.unknowns, refined.direct
            problem = replace(problem, robust=True)
        else:
            problem = replace(self._problem, sro_basis=basis)
            unknowns = self._continued(problem, after)
        refined = self._refined(problem, unknowns, direct, cycles)
        problem, unknowns = refined.problem, refined.unknowns
        fields = evaluate(problem, unknowns)
        model = self._pieces.joined(fields.model).cpu().numpy()
        joined = self._pieces.joined(fields.h.clamp(min=0), 1.0)
        form_factor = (self._plane.envelope[0] * joined).cpu().numpy()
        misfit, independent = self.misfit(model)
        return Trial(
            direct=refined.direct,
            sigma=refined.sigma,
            misfit=misfit,
            independent=independent,
            noise=self._noise(model),
            unexplained=unexplained(self.intensity, model, self.valid),
            form_factor=form_factor,
            product=model,
            indices=basis.indices,
            values=problem.sro_basis.complex_values(unknowns.sro)[0].cpu().numpy(),
            converged=refined.converged,
            unknowns=unknowns,
            basis=problem.form_factor_basis,
            bench=self,
        )

    def _refined(
        self, problem: Problem, unknowns: Unknowns, direct: NDArray, cycles: int
    ) -> RefinedLattice:
        origin = self._pieces.origin
        return refine_lattice(problem, unknowns, direct, origin, self._eye, max_cycles=cycles)

    def without_order(self, share: float) -> NDArray[np.float64]:
        """Form factor that explains as much as it can alone, shape of the plane.

        Parameters
        ----------
        share : float
            Of the support's radius that it has at its disposal.
        """
        problem = self._supported(share * self.radius)
        h = alone(problem, LITTLE * self._scatter)
        joined = self._pieces.joined(problem.form_factor_basis.synthesize(h), 1.0)
        return (self._plane.envelope[0] * joined.clamp(min=0.02)).cpu().numpy()

    def against_none(self, trial: Trial) -> float:
        """Logarithm of the odds of a trial against no order at all.

        Without order the form factor has a larger support than in the trial: whatever a
        somewhat larger molecule would explain is no proof of order.

        Parameters
        ----------
        trial : Trial
            On this bench.
        """
        if self._without is None:
            larger, own = (self._supported(share * self.radius) for share in (LARGER, 1.0))
            little = LITTLE * self._scatter
            more = determined(larger, little) - determined(own, little)
            self._without = self.misfit(self.without_order(LARGER))[0], more
        misfit, more = self._without
        # What the additional unknowns gain by following noise says nothing against order.
        misfit += more * trial.noise / self.measured
        ratio = misfit / max(trial.misfit, 1e-300)
        return 0.5 * trial.independent * math.log(max(ratio, 1e-300))

    def _first(self, problem: Problem) -> Unknowns:
        """Form factors too smooth to follow the lattice, and the best order for them."""
        envelope, basis = problem.envelope, problem.form_factor_basis
        # The lattice is the noise of this first fit: its relative size is about one.
        h = alone(problem, self._scatter)
        n = problem.valid.sum()
        f = envelope * basis.synthesize(h).clamp(min=0.02)
        weights = problem.valid / f
        noise = (weights * (problem.intensity - f) ** 2).sum() / n
        matrix = problem.sro_basis.gram(weights * f**2).sum(0, keepdim=True)
        matrix.diagonal(dim1=1, dim2=2).add_(noise / SRO_PRIOR_SIGMA**2)
        right = problem.sro_basis.analyze(weights * f * (problem.intensity - f)).sum(0)
        c = solved(matrix, right[None])
        return Unknowns(h, c.expand(len(h), -1), h[:, :0])

    def _continued(self, problem: Problem, after: Trial) -> Unknowns:
        """A trial's unknowns in the bases of this bench; pieces may be cut otherwise."""
        basis = problem.form_factor_basis
        if after.bench is self:
            own = embed(after.unknowns.form_factor, after.basis, basis)
        else:
            own = self._as_on_plane(after.form_factor)
        known = dict(zip(map(tuple, after.indices.tolist()), after.values, strict=True))
        wanted = map(tuple, problem.sro_basis.indices.tolist())
        values = np.array([known.get(u, 0.0) for u in wanted], complex)
        order = torch.as_tensor(np.concatenate([values.real, values.imag])).to(own)
        return Unknowns(own, order.expand(len(own), -1), own[:, :0])

    def _as_on_plane(self, form_factor: NDArray) -> Tensor:
        """Coefficients of the pieces' form factors, for one of the whole plane."""
        image = torch.as_tensor(form_factor)[None].to(self._plane.intensity)
        plane = replace(self._plane, intensity=image)
        pieces = cut_up(plane, self._origin, self._pieces.number).problem
        problem = replace(self._problem, intensity=pieces.intensity)
        return alone(problem, CLOSELY * scatter(plane))

    def misfit(self, model: NDArray) -> tuple[float, float]:
        """Misfit of a model, and the number of independent pixels (see `Trial`)."""
        residual = self._residual(model)
        n = self.measured
        square = float((residual**2).sum())
        rows, columns = (size // BLOCK * BLOCK for size in residual.shape)
        cut = residual[:rows, :columns].reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        alike = float((cut.sum(axis=(1, 3)) ** 2).sum()) / max(square, 1e-300)
        return square / n, n / float(np.clip(alike, 1, BLOCK**2))

    def _noise(self, product: NDArray) -> float:
        """White part of a model's misfit.

        Noise has the same power everywhere in the residual's transform, what is left of
        the factors has its power near zero and the lattice's points. The median tells.
        """
        power = np.abs(np.fft.fft2(self._residual(product))) ** 2
        n = self.measured
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

    def misfit_of_order(self, form_factor: NDArray, direct: NDArray, order: int) -> float:
        """Misfit with a lattice when the form factor is given.

        Parameters
        ----------
        form_factor : ndarray, shape (n_rows, n_columns)
            On any scale.
        direct : ndarray, shape (2, 2)
            Columns: direct-lattice vectors [cycles a pixel].
        order : int
            Largest index of the order's coefficients, fitted by least squares.

        Returns
        -------
        float
            See `Trial`.
        """
        basis = self._basis(direct, order, self._origin)
        intensity = self._plane.intensity
        scale = self.intensity[self.valid].sum() / max(form_factor[self.valid].sum(), 1e-300)
        f = torch.as_tensor(np.maximum(form_factor, 0) * scale)[None].to(intensity)
        weights = self._plane.valid / (f + 0.03 * f.mean())
        matrix = basis.gram(weights * f**2)
        right = basis.analyze(weights * f * (intensity - f))
        matrix.diagonal(dim1=1, dim2=2).add_(1e-4 * matrix.diagonal(dim1=1, dim2=2).mean())
        c = torch.linalg.solve(matrix, right[..., None])[..., 0]
        model = f * (1 + basis.synthesize(c)).clamp(min=0)
        return self.misfit(model[0].cpu().numpy())[0]

    def _basis(self, direct: NDArray, order: int, origin: Tensor) -> SroBasis:
        """Basis of the order, on the plane or on its pieces, whichever the origin is of."""
        whole = len(origin) == 1
        shape = (self._plane if whole else self._pieces.problem).form_factor_basis.shape
        reciprocal = torch.as_tensor(np.linalg.inv(direct).T.copy()).to(origin)
        lattices = reciprocal.expand(len(origin), -1, -1)
        return SroBasis.build(shape, order, lattices, origin, False, self._eye, resolved=True)


def _widened(problem: Problem, unknowns: Unknowns, wider: Problem) -> tuple[Problem, Unknowns]:
    """The same order and form factors, on the support of another problem."""
    own = embed(unknowns.form_factor, problem.form_factor_basis, wider.form_factor_basis)
    wider = replace(wider, sro_basis=problem.sro_basis)
    return wider, Unknowns(own, unknowns.sro, own[:, :0])
