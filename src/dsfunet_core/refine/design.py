"""How Warren–Cowley parameters act on a plane: the linear equations of eq. (3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice
    from dsfunet_core.refine.unit_cell_map import UnitCellMap
    from dsfunet_core.symmetry import Orbit

__all__ = ["bin_waves", "check_separable", "coefficient_matrix", "plane_normal"]

#: Singular values below this fraction of the largest count as zero.
_RANK_TOLERANCE = 1e-8


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


def plane_normal(lattice: PlaneLattice) -> tuple[int, int, int]:
    """Direct-space normal of the plane, its last index other than 0 positive.

    Parameters
    ----------
    lattice : PlaneLattice
        The plane.
    """
    normal = np.cross(lattice.directions[:, 0], lattice.directions[:, 1])
    u, v, w = (int(x) for x in normal * np.sign(normal[np.flatnonzero(normal)[-1]]))
    return u, v, w


def check_separable(orbits: list[Orbit], matrix: NDArray[np.complex128], scale: bool) -> None:
    """Refuse parameters whose effects on the plane are linearly dependent.

    Parameters
    ----------
    orbits : list of Orbit
        Vectors that share a parameter.
    matrix : ndarray of complex, shape (m, 1 + n)
        From :func:`coefficient_matrix`.
    scale : bool
        Whether the scale is refined too.

    Raises
    ------
    ParameterError
        Naming the vectors.
    """
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
        "the plane's normal, and it sees only their sum.",
        python="Use in_plane_only=True, a higher Laue class if the crystal has it, or more "
        "planes.",
        terminal="Choose a higher Laue class with --laue if the crystal has it.",
        napari="Tick 'In-plane vectors only' under Advanced, or choose a higher Laue class if "
        "the crystal has it.",
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
