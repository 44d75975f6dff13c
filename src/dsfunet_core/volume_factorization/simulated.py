"""Simulated volumes whose form factor and order are known, with gaps as real ones have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalVolume
from dsfunet_core.simulate.form_factors import AffineGrid

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.simulate.molecules import Molecule

__all__ = ["SimulatedVolume", "measured_voxels", "simulate_volume"]


@dataclass(frozen=True, eq=False)
class SimulatedVolume:
    """A volume and what it was made from.

    Parameters
    ----------
    volume : ReciprocalVolume
        Intensity, NaN where nothing was measured.
    form_factor, sro : ndarray of float32, shape (n0, n1, n2)
        True factors, everywhere; the intensity's scale is in the form factor.
    alpha : ndarray, shape (2·order + 1,) * 3
        True α_uvw, α_000 in the middle.
    """

    volume: ReciprocalVolume
    form_factor: NDArray[np.float32]
    sro: NDArray[np.float32]
    alpha: NDArray[np.float64]


def simulate_volume(
    mol_a: Molecule,
    mol_b: Molecule,
    alpha: NDArray[np.float64],
    cell: gemmi.UnitCell,
    *,
    size: int = 64,
    step: float = 0.1,
    missing: float = 0.3,
    counts: float = 0.0,
    radiation: str = "xray",
    rng: np.random.Generator,
) -> SimulatedVolume:
    """Diffuse scattering |F_A − F_B|² · Σ α_v cos(Q·v) on a cube of voxels about Q = 0.

    Parameters
    ----------
    mol_a, mol_b : Molecule
        On the same site [Å].
    alpha : ndarray, shape (2·order + 1,) * 3
        α_uvw with α_000 = 1 in the middle.
    cell : gemmi.UnitCell
        Direct cell.
    size : int
        Voxels along each edge.
    step : float
        Step of h, k and l.
    missing : float
        Fraction of the voxels never measured, see :func:`measured_voxels`.
    counts : float
        Mean number of counts a measured voxel; 0 for no noise.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    SimulatedVolume
        With mean intensity ``counts``, or 1 without noise. Where the series of α is
        negative, S and the intensity are 0.

    Raises
    ------
    ParameterError
        If the box of α has not its odd shape.
    """
    reach = (len(alpha) - 1) // 2
    if alpha.shape != (2 * reach + 1,) * 3:
        raise ParameterError(
            f"alpha has shape {alpha.shape}; a cube of odd edge was expected, with α_000 in "
            "its middle."
        )
    index = step * (np.arange(size) - (size - 1) / 2)
    to_q = q_matrix(cell)
    form_factor = np.empty((size,) * 3, np.float32)
    parts = [(1.0, mol_a), (-1.0, mol_b)]
    for layer, h in enumerate(index):
        origin = to_q @ np.array([h, index[0], index[0]])
        grid = AffineGrid(origin, to_q[:, 1:] * step, (size, size), np.complex64)
        form_factor[layer] = np.abs(grid.form_factor(parts, radiation)) ** 2
    wave = np.exp(2j * np.pi * np.outer(index, np.arange(-reach, reach + 1)))
    rows = np.tensordot(wave, alpha, (1, 0))
    rows = np.einsum("kv,hvw->hkw", wave, rows, optimize=True)
    sro = np.maximum(np.einsum("lw,hkw->hkl", wave, rows, optimize=True).real, 0)
    sro = sro.astype(np.float32)
    hkl = np.stack(np.meshgrid(index, index, index, indexing="ij"), -1).astype(np.float32)
    seen = measured_voxels(hkl @ to_q.T.astype(np.float32), missing, rng)
    form_factor *= (counts or 1.0) / float((form_factor * sro)[seen].mean())
    intensity = form_factor * sro
    if counts:
        intensity = rng.poisson(intensity).astype(np.float32)
    intensity[~seen] = np.nan
    volume = ReciprocalVolume(
        intensity, cell, np.full(3, index[0]), np.eye(3) * step, name="simulated"
    )
    return SimulatedVolume(volume, form_factor, sro, alpha)


def measured_voxels(
    q: NDArray[np.floating], missing: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Voxels that a real experiment measures.

    Parameters
    ----------
    q : ndarray, shape (n0, n1, n2, 3)
        Scattering vectors [Å⁻¹].
    missing : float
        Fraction to leave out, 0 to 0.9.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of bool, shape (n0, n1, n2)
        False behind the beam stop, in powder rings, in the gap of a detector turned about
        an axis (a cone), near a plane, and in a double cone about the axis, as wide as is
        needed for the fraction.

    Raises
    ------
    ParameterError
        If the fraction is out of range.
    """
    if not 0 <= missing <= 0.9:
        raise ParameterError(f"missing = {missing}; a fraction from 0 to 0.9 was expected.")
    if missing == 0:
        return np.ones(q.shape[:3], bool)
    length = np.linalg.norm(q, axis=-1)
    # What the box holds in every direction.
    largest = float(min(length[0].min(), length[:, 0].min(), length[:, :, 0].min()))
    axis, normal = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    cosine = np.abs(q @ axis) / np.maximum(length, 1e-9)
    seen = length > 0.06 * largest
    for radius in largest * np.array([0.42, 0.67, 0.93]):
        seen &= np.abs(length - radius) > 0.011 * largest
    seen &= np.abs(cosine - 0.35) > 0.02
    seen &= np.abs(q @ normal - 0.3 * largest) > 0.02 * largest
    # The cone takes what is still to be taken.
    keep = (1 - missing) * seen.size / max(int(seen.sum()), 1)
    if keep < 1:
        seen &= cosine <= np.quantile(cosine[seen], keep)
    return seen
