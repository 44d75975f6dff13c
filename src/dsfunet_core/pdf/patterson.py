"""Patterson maps of planes: the two-dimensional transform of a plane's intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.pdf.transform import cosine_transform, lengths, spline_at
from dsfunet_core.pdf.windows import RadialMean, check_options, window_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dsfunet_core.lattice import PlaneLattice
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["PlanePatterson", "plane_patterson"]


@dataclass(frozen=True, eq=False)
class PlanePatterson:
    """Fourier transform of a plane of diffuse scattering.

    Parameters
    ----------
    values : ndarray, shape (n0, n1)
        P(r) = ∫ w(s) I(s) cos(2π s·r) d²s [intensity · Å⁻²], r = 0 in the middle, s counted
        from the lattice's offset.
    frequencies : ndarray, shape (2, 2)
        Columns: change per array step of the coordinates conjugate to the plane's pixels
        [cycles a pixel].
    to_angstrom : ndarray, shape (2, 2)
        Map from cycles a pixel to x, y [Å] in the plane: x along the plane's row axis,
        y perpendicular to it.
    lattice : PlaneLattice
        Of the plane it comes from.
    q_max : float
        Radius of the window [Å⁻¹].
    name : str
        That of the plane.
    provenance : dict
        Where it came from, and with which choices it was made.
    """

    values: NDArray[np.floating]
    frequencies: NDArray[np.float64]
    to_angstrom: NDArray[np.float64]
    lattice: PlaneLattice
    q_max: float
    name: str = "plane"
    provenance: dict[str, Any] = field(default_factory=dict)

    def index(self, u: Any) -> NDArray[np.float64]:
        """Array coordinates of in-plane lattice indices (u₁, u₂), shape (..., 2).

        On hk1 they are u and v of a lattice vector; elsewhere see
        :meth:`PlaneLattice.plane_indices`.
        """
        cycles = np.asarray(u, float) @ self.lattice.direct_basis.T
        middle = (np.array(self.values.shape) - 1) / 2
        return middle + cycles @ np.linalg.inv(self.frequencies).T

    def xy(self, index: Any) -> NDArray[np.float64]:
        """Place of array coordinates in the plane [Å], shape (..., 2)."""
        middle = (np.array(self.values.shape) - 1) / 2
        steps = self.to_angstrom @ self.frequencies
        return (np.asarray(index, float) - middle) @ steps.T

    def at(self, u: Any) -> NDArray[np.float64]:
        """Values at in-plane lattice indices, fractions allowed, (..., 2) → (...)."""
        return spline_at(self.values, self.index(u))

    def figure(self, *, reach: float | None = None, size: float = 6.0) -> Figure:
        """Picture with true angles, lattice points marked.

        Parameters
        ----------
        reach : float, optional
            Half-width [Å]; six lattice constants when left out.
        size : float
            Width [inches].
        """
        from matplotlib.figure import Figure

        from dsfunet_core.plots import RESIDUAL

        basis = self.xy(self.index(np.eye(2))).T
        constant = math.sqrt(abs(np.linalg.det(basis)))
        reach = 6 * constant if reach is None else reach
        made = Figure(figsize=(size, size * 0.87), layout="constrained")
        axes = made.subplots()
        rows, columns = (np.arange(n + 1) - 0.5 for n in self.values.shape)
        corners = self.xy(np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1))
        away = np.linalg.norm(
            self.xy(np.moveaxis(np.indices(self.values.shape), 0, -1)), axis=-1
        )
        # The middle peak is the sum of all intensity; the scale is that of the neighbours.
        near = (away > 0.5 * constant) & (away < reach)
        top = float(np.percentile(np.abs(self.values[near]), 99.8)) if near.any() else 1.0
        image = axes.pcolormesh(
            corners[..., 0], corners[..., 1], self.values, cmap=RESIDUAL, vmin=-top, vmax=top
        )
        image.set_rasterized(True)
        number = math.ceil(reach / constant * 2)
        points = np.stack(np.meshgrid(*[np.arange(-number, number + 1)] * 2), -1) @ basis.T
        axes.plot(points[..., 0].ravel(), points[..., 1].ravel(), "k.", ms=1.5)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set(xlabel="x (Å)", ylabel="y (Å)", title=f"Patterson map of {self.name}")
        made.colorbar(image, label="P", shrink=0.85)
        return made


def plane_patterson(
    plane: ReciprocalPlane,
    *,
    window: str = "gaussian",
    q_max: float | None = None,
    fill: str = "shell",
) -> PlanePatterson:
    """Transform a plane's intensity: the autocorrelation of what scatters, projected.

    Parameters
    ----------
    plane : ReciprocalPlane
        With a unit cell. Bragg peaks masked.
    window : {"gaussian", "welch", "hann", "blackman", "none"}
        Weight that falls with the distance from the foot of Q = 0 in the plane.
    q_max : float, optional
        Where the window ends [Å⁻¹]; the largest circle in the plane when left out.
    fill : {"shell", "zero"}
        What stands where nothing may be used, as in :func:`delta_pdf`.

    Returns
    -------
    PlanePatterson
        About r = 0.

    Raises
    ------
    ParameterError
        If an option is out of range.
    GeometryError
        If the plane has no cell, is irrational, or the foot of Q = 0 lies outside.

    Notes
    -----
    A plane through Q = 0 transforms to the projection of the 3D-ΔPDF along the plane's
    normal. Off Q = 0 phases are counted from the point that in-plane indices are counted
    from, (0, 0, 1) on hk1, and the real part is kept. Then, with no correlations along the
    normal, peaks lie at the in-plane vectors (u₁, u₂) with heights proportional to α; with
    correlations along it, to the real part of Σ_w α_uvw exp(2πi offset·v). Each peak is
    the autocorrelation of the difference molecule: its width tells how far that reaches.
    """
    check_options(window, fill, q_max, 1.0)
    cell, origin, steps = plane.geometry()
    lattice = plane.lattice
    step_q = q_matrix(cell) @ steps
    # x along the rows' axis, y perpendicular to it, as plane_frame draws planes.
    frame, triangle = np.linalg.qr(step_q)
    frame = frame * np.sign(np.diag(triangle))
    pixel_q = frame.T @ step_q
    foot = -np.linalg.solve(pixel_q, frame.T @ (q_matrix(cell) @ origin))
    room = np.minimum(foot, np.array(plane.shape) - 1 - foot)
    per_axis = np.linalg.norm(np.linalg.inv(pixel_q), axis=1)
    largest = float((room / per_axis).min())
    if largest <= 0:
        raise GeometryError(
            f"the foot of Q = 0 is not inside plane {plane.name!r} (it is at pixel "
            f"{foot.round(1).tolist()}), so its transform would be all ripples. Cut a plane "
            "that surrounds it."
        )
    chosen = largest if q_max is None else float(q_max)
    index = np.moveaxis(np.indices(plane.shape), 0, -1)
    away = np.linalg.norm((index - foot) @ pixel_q.T, axis=-1)
    usable = plane.valid & np.isfinite(plane.intensity)
    if not (usable & (away <= chosen)).any():
        raise ParameterError(
            f"plane {plane.name!r} has no valid pixel within {chosen:g} Å⁻¹; enlarge q_max."
        )
    data = np.where(usable, plane.intensity, np.nan)
    if fill == "shell":
        mean = RadialMean(float(away.max()))
        mean.add(away, data)
        data = np.where(usable, data, mean(away))
    data = np.where(np.isnan(data), 0.0, data) * window_at(window, away / chosen)
    full = lengths(plane.shape, None)
    half = ((full[0] - 1) // 2, (full[1] - 1) // 2)
    values = cosine_transform(data, lattice.origin, full, half)
    values *= abs(np.linalg.det(pixel_q)) / (2 * np.pi) ** 2
    inside = away <= chosen
    record = {
        "step": "Patterson map",
        "window": window,
        "q_max": chosen,
        "fill": fill,
        "filled": float((inside & ~usable).sum() / inside.sum()),
    }
    before = list(plane.provenance.get("processing", []))
    return PlanePatterson(
        values,
        np.diag(1 / np.array(full, dtype=np.float64)),
        np.asarray(2 * np.pi * np.linalg.inv(pixel_q).T, dtype=np.float64),
        lattice,
        chosen,
        plane.name,
        {**plane.provenance, "processing": [*before, record]},
    )
