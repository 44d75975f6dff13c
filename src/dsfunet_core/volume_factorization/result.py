"""What the factorization of a volume gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.refine.alpha_table import AlphaByOrbit, aligned, with_uncertainty

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.symmetry import Orbit

__all__ = ["VolumeFactorization"]


@dataclass(frozen=True, eq=False)
class VolumeFactorization(AlphaByOrbit):
    """I(Q) = F(Q)·S(Q) of a volume.

    Parameters
    ----------
    volume : ReciprocalVolume
        What was factorized.
    form_factor : ndarray of float32, shape (n0, n1, n2)
        F ≥ 0 in the unit of the intensity, also where nothing was measured: there it is
        what the support and the smoothness of the measured part make likely.
    orbits : tuple of Orbit
        Symmetry-equivalent vectors that share a parameter, without (0, 0, 0).
    alpha : ndarray, shape (n,)
        Warren–Cowley parameters α_v, one an orbit; α_000 = 1.
    covariance : ndarray, shape (n, n)
        Covariance of ``alpha`` with the form factor marginalised.
    laue_class : str
        Laue class imposed on α.
    choices : dict
        What was chosen on the way: ``support`` [Å] and its scores, ``order``,
        ``weighting``, ``misfit``, ``outliers``, ``coverage``, …
    """

    volume: ReciprocalVolume
    form_factor: NDArray[np.float32]
    orbits: tuple[Orbit, ...]
    alpha: NDArray[np.float64]
    covariance: NDArray[np.float64]
    laue_class: str
    choices: dict[str, Any] = field(default_factory=dict)

    @property
    def vectors(self) -> NDArray[np.int64]:
        """Representative (u, v, w) of each orbit, shape (n, 3)."""
        return np.array([orbit.representative for orbit in self.orbits], dtype=np.int64)

    @property
    def order(self) -> int:
        """Largest component of a vector."""
        return max(int(np.abs(orbit.members).max()) for orbit in self.orbits)

    def alpha_box(self) -> NDArray[np.float64]:
        """α of every vector, shape (2·order + 1,) * 3, α_000 = 1 in the middle.

        Vectors that belong to no refined orbit (corners of the box in a hexagonal class)
        are 0.
        """
        order = self.order
        box = np.zeros((2 * order + 1,) * 3)
        for orbit, alpha in zip(self.orbits, self.alpha, strict=True):
            box[tuple((orbit.members + order).T)] = alpha
        box[order, order, order] = 1.0
        return box

    def sro(self, hkl: ArrayLike) -> NDArray[np.float64]:
        """S = Σ α_v cos(2π v·hkl) anywhere, not cut off at 0.

        Parameters
        ----------
        hkl : array_like, shape (..., 3)
            Points in reciprocal-lattice units.

        Returns
        -------
        ndarray, shape (...)
            With mean 1 over a reciprocal cell.
        """
        value, _ = self._sro(np.asarray(hkl, float), errors=False)
        return value

    def sro_sigma(self, hkl: ArrayLike) -> NDArray[np.float64]:
        """Give the standard uncertainty of :meth:`sro`, shape (..., 3) → (...)."""
        _, variance = self._sro(np.asarray(hkl, float), errors=True)
        return np.sqrt(variance)

    def _sro(
        self, hkl: NDArray[np.float64], *, errors: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        members = np.concatenate([orbit.members for orbit in self.orbits])
        owner = np.repeat(np.arange(len(self.orbits)), [len(o.members) for o in self.orbits])
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        points = hkl.reshape(-1, 3)
        value, variance = np.empty(len(points)), np.zeros(len(points))
        for start in range(0, len(points), 2048):
            part = slice(start, start + 2048)
            cosines = np.cos(2 * np.pi * (points[part] @ members.T))
            design = np.add.reduceat(cosines, starts, axis=1)
            value[part] = 1 + design @ self.alpha
            if errors:
                variance[part] = np.einsum(
                    "pi,ij,pj->p", design, self.covariance, design, optimize=True
                )
        return value.reshape(hkl.shape[:-1]), variance.reshape(hkl.shape[:-1])

    def sro_volume(self) -> NDArray[np.float32]:
        """S on the voxels of the volume, cut off at 0 as in the model, float32."""
        from dsfunet_core.volume_factorization.bases import OrderBasis
        from dsfunet_core.volume_factorization.grid import VolumeGrid

        basis = OrderBasis.build(VolumeGrid.of(self.volume), list(self.orbits))
        return np.maximum(basis.synthesize(self.alpha), 0)

    def product(self) -> NDArray[np.float32]:
        """F·S on the voxels, float32."""
        return self.form_factor * self.sro_volume()

    def residual(self) -> NDArray[np.float32]:
        """I − F·S on the voxels, NaN where nothing was measured or it is masked."""
        parts = self.volume.block((slice(None),) * 3)
        valid, intensity = parts["valid"], parts["intensity"]
        assert valid is not None
        assert intensity is not None
        return np.where(valid, intensity - self.product(), np.nan).astype(np.float32)

    @property
    def r_factor(self) -> float:
        """Σ|I − F·S| / Σ|I| over the measured voxels."""
        residual = self.residual()
        intensity = np.asarray(self.volume.intensity[...], dtype=np.float64)
        valid = np.isfinite(residual)
        return float(
            np.abs(residual[valid]).sum(dtype=np.float64) / np.abs(intensity[valid]).sum()
        )

    def table(self, limit: int | None = None) -> str:
        """Aligned text: vectors, multiplicities, lengths [Å] and α with uncertainties.

        Parameters
        ----------
        limit : int, optional
            Number of vectors, the shortest first; all when left out.
        """
        by_length = np.argsort([orbit.length for orbit in self.orbits], kind="stable")
        chosen = by_length[:limit]
        sigma = self.sigma
        lines = aligned(
            (self.orbits[i], with_uncertainty(self.alpha[i], sigma[i])) for i in chosen
        )
        left = len(self.orbits) - len(chosen)
        if left:
            lines.append(f"… and {left} longer vectors")
        lines.append(
            f"Laue class {self.laue_class}; support {self.choices['support']:.1f} Å; "
            f"{self.choices['coverage']:.0%} of the voxels measured"
        )
        return "\n".join(lines)
