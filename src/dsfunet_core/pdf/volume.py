"""3D-ΔPDF: what diffuse scattering says about pairs of sites, in direct space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.pdf.transform import bytes_needed, cosine_transform, lengths, spline_at
from dsfunet_core.pdf.windows import RadialMean, check_options, window_at

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["DeltaPDF", "delta_pdf"]

Callback = Callable[[int, int, str], None]
#: Voxels read at once.
PIECE = 2**21
_GIB = 2**30


@dataclass(frozen=True, eq=False)
class DeltaPDF:
    """Fourier transform of a volume of diffuse scattering.

    Parameters
    ----------
    values : ndarray, shape (n0, n1, n2)
        P(r) = ∫ w(s) I(s) cos(2π s·r) d³s, s = Q/2π [intensity · Å⁻³], r = 0 in the middle.
    cell : gemmi.UnitCell
        Direct-space cell [Å, °].
    origin : ndarray, shape (3,)
        Fractional coordinates uvw of voxel (0, 0, 0).
    steps : ndarray, shape (3, 3)
        Columns: change of uvw per step along each array axis.
    q_max : float
        Radius of the window [Å⁻¹]: details finer than about π/q_max are not there.
    provenance : dict
        Where it came from, and with which choices it was made.
    """

    values: NDArray[np.floating]
    cell: gemmi.UnitCell
    origin: NDArray[np.float64]
    steps: NDArray[np.float64]
    q_max: float
    provenance: dict[str, Any] = field(default_factory=dict)

    def uvw(self, index: Any) -> NDArray[np.float64]:
        """Fractional coordinates of voxels ``index``, shape (..., 3) → (..., 3)."""
        return self.origin + np.asarray(index, float) @ np.asarray(self.steps).T

    def index(self, uvw: Any) -> NDArray[np.float64]:
        """Voxel coordinates of uvw, fractions allowed, shape (..., 3) → (..., 3)."""
        return (np.asarray(uvw, float) - self.origin) @ np.linalg.inv(self.steps).T

    def distance(self, index: Any) -> NDArray[np.float64]:
        """Distance |r| of voxels ``index`` from the origin [Å], shape (..., 3) → (...)."""
        to_cartesian = np.array(self.cell.orth.mat.tolist())
        return np.linalg.norm(self.uvw(index) @ to_cartesian.T, axis=-1)

    def at(self, uvw: Any) -> NDArray[np.float64]:
        """Values at uvw, interpolated by cubic splines, shape (..., 3) → (...).

        Parameters
        ----------
        uvw : array_like, shape (..., 3)
            Fractional coordinates; NaN comes back for those outside.
        """
        return spline_at(self.values, self.index(uvw))


def delta_pdf(
    volume: ReciprocalVolume,
    *,
    window: str = "gaussian",
    q_max: float | None = None,
    fill: str = "shell",
    extent: float | None = None,
    max_memory: float = 4.0,
    callback: Callback | None = None,
) -> DeltaPDF:
    """3D-ΔPDF of a volume by fast Fourier transform.

    Parameters
    ----------
    volume : ReciprocalVolume
        Diffuse scattering; Bragg peaks masked, as they would add the average structure's
        Patterson function.
    window : {"gaussian", "welch", "hann", "blackman", "none"}
        Weight that falls with |Q|, so that the end of the data makes no ripples.
    q_max : float, optional
        Where the window ends [Å⁻¹]; the largest sphere in the volume when left out.
    fill : {"shell", "zero"}
        What stands where nothing may be used: the mean of the data at the same |Q|, or 0.
    extent : float, optional
        Largest |u|, |v|, |w| of the result; all that the steps allow when left out.
    max_memory : float
        Refuse what takes more [GiB].
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    DeltaPDF
        On a grid about r = 0, on which integer uvw lie if the volume's steps divide the
        reciprocal cell. In single precision.

    Raises
    ------
    ParameterError
        If an option is out of range, or the memory needed exceeds the limit.
    GeometryError
        If Q = 0 is not inside the volume, the volume is flat, or nothing was measured.

    Notes
    -----
    The sum runs over the voxels, P(r) = ΔV* Σ w I cos(2π h·u), with ΔV* the volume of a
    voxel in Å⁻³; steps of the result are 1/(n · step). Peaks have the shape of the window's
    transform: for the Gaussian one exp(−½ (r q_max/3)²), σ = 3/q_max.

    Zero is a bad guess for a masked voxel. The holes that punched Bragg peaks leave lie on
    the reciprocal lattice, and zeros in them subtract a copy of P around every lattice
    vector. The mean at the same |Q| takes the average level out of this; what remains is
    the modulation that the mask hid.

    References
    ----------
    Weber & Simonov (2012), Z. Kristallogr. 227, 238–247.
    """
    check_options(window, fill, q_max, max_memory)
    steps = np.asarray(volume.steps, dtype=float)
    diagonal = np.allclose(steps, np.diag(np.diag(steps)), rtol=0, atol=1e-9)
    full = lengths(volume.shape, np.diag(steps) if diagonal else None)
    needed = bytes_needed(volume.shape, full) + 80 * PIECE
    if needed > max_memory * _GIB:
        raise ParameterError(
            f"the transform of {' × '.join(map(str, volume.shape))} voxels takes "
            f"{needed / _GIB:.1f} GiB, more than max_memory={max_memory:g}. Raise the limit, "
            "or cut the volume down: fewer voxels at large |Q| cost resolution, every second "
            "voxel costs extent."
        )
    radius = _largest_sphere(volume)
    if radius <= 0:
        raise GeometryError(
            f"Q = 0 is not inside volume {volume.name!r}, or the volume is flat; a 3D-ΔPDF "
            "needs data on all sides. For a plane there is plane_patterson."
        )
    chosen = radius if q_max is None else float(q_max)
    data, missing = _prepared(volume, window, chosen, fill, callback)
    direct = np.linalg.inv(steps).T / np.array(full)
    half = [(n - 1) // 2 for n in full]
    if extent is not None:
        if not extent > 0:
            raise ParameterError(f"extent={extent}; more than 0 cells were expected.")
        reach = np.abs(np.linalg.inv(direct)).sum(axis=1) * extent
        half = [min(n, math.ceil(r - 1e-9)) for n, r in zip(half, reach, strict=True)]
    if callback is not None:
        callback(1, 2, "Fourier transform")
    centre = volume.index(np.zeros(3))
    values = cosine_transform(data, centre, full, (half[0], half[1], half[2]))
    values *= abs(np.linalg.det(steps)) / volume.cell.volume
    record = {
        "step": "3D-ΔPDF",
        "window": window,
        "q_max": chosen,
        "fill": fill,
        "filled": missing,
    }
    before = list(volume.provenance.get("processing", []))
    return DeltaPDF(
        values,
        volume.cell,
        -direct @ np.array(half, dtype=float),
        direct,
        chosen,
        {**volume.provenance, "processing": [*before, record]},
    )


def _largest_sphere(volume: ReciprocalVolume) -> float:
    """Radius of the largest sphere about Q = 0 in the box of the voxel centres [Å⁻¹]."""
    per_axis = np.linalg.norm(
        np.linalg.inv(q_matrix(volume.cell) @ np.asarray(volume.steps)), axis=1
    )
    centre = volume.index(np.zeros(3))
    room = np.minimum(centre, np.array(volume.shape) - 1 - centre)
    return float((room / per_axis).min())


def _prepared(
    volume: ReciprocalVolume, name: str, q_max: float, fill: str, callback: Callback | None
) -> tuple[NDArray[np.float32], float]:
    """Intensities times the window, gaps filled, and the share of gaps under the window."""
    data = np.empty(volume.shape, dtype=np.float32)
    to_q = q_matrix(volume.cell)
    n0, n1, n2 = volume.shape
    layers = max(PIECE // (n1 * n2), 1)
    plane = np.moveaxis(np.indices((n1, n2)), 0, -1) @ (to_q @ volume.steps[:, 1:]).T
    corner = to_q @ np.asarray(volume.origin)
    corners = np.array([[a, b, c] for a in (0, n0) for b in (0, n1) for c in (0, n2)])
    mean = RadialMean(float(np.linalg.norm(volume.hkl(corners) @ to_q.T, axis=1).max()))

    def q_norm(first: int, last: int) -> NDArray[np.float64]:
        along = corner + np.arange(first, last)[:, None] * (to_q @ volume.steps[:, 0])
        return np.sqrt(sum((plane[..., a] + along[:, a, None, None]) ** 2 for a in range(3)))

    pieces = [(first, min(first + layers, n0)) for first in range(0, n0, layers)]
    measured = 0
    for number, (first, last) in enumerate(pieces):
        if callback is not None:
            callback(number, 2 * len(pieces), "reading")
        block = volume.block((slice(first, last), slice(None), slice(None)))
        intensity, valid = block["intensity"], block["valid"]
        assert intensity is not None
        assert valid is not None
        data[first:last] = np.where(valid, intensity, np.nan)
        measured += int(valid.sum())
        if fill == "shell":
            mean.add(q_norm(first, last), data[first:last])
    if not measured:
        raise GeometryError(
            f"volume {volume.name!r} has no measured voxel (all NaN or masked), so there is "
            "nothing to transform. Was the right dataset taken?"
        )
    gaps = inside = 0
    for first, last in pieces:
        q = q_norm(first, last)
        part = data[first:last]
        empty = np.isnan(part)
        part[empty] = mean(q[empty]) if fill == "shell" else 0.0
        part *= window_at(name, q / q_max)
        gaps += int((empty & (q <= q_max)).sum())
        inside += int((q <= q_max).sum())
    return data, gaps / max(inside, 1)
