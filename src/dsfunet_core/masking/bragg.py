"""Bragg peaks are no diffuse scattering: mask an ellipsoid around each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.masking.ellipsoids import ellipsoid, inside_ellipses, inside_ellipsoids
from dsfunet_core.masking.growth import grown_peaks
from dsfunet_core.masking.positions import bragg_positions

if TYPE_CHECKING:
    import gemmi
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["mask_bragg"]

#: Distance from the plane to which lattice points are looked for when they are grown: peaks
#: are hardly wider [Å⁻¹].
OFF_PLANE = 0.1
#: Peaks so many pixels outside the picture reach into it.
OUTSIDE = 10


def mask_bragg(
    plane: ReciprocalPlane,
    radius: Any = "auto",
    *,
    centring: str = "P",
    space_group: str | None = None,
    satellites: Sequence[Any] = (),
    satellite_order: int = 1,
    shape: Any = 1.0,
) -> ReciprocalPlane:
    """Mask every reciprocal-lattice point on or near the plane.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell and geometry.
    radius : float, array_like of shape (3,) or (3, 3), or "auto"
        Radius of a sphere around every point [Å⁻¹], 2π included; three semi-axes of an
        ellipsoid [Å⁻¹] along x ∥ a, y, z ∥ c*; or its tensor [Å²], see
        :func:`~dsfunet_core.masking.ellipsoids.ellipsoid`. A point off the plane cuts it
        in a smaller ellipse, or not at all. ``"auto"`` grows every peak from the data, see
        :func:`~dsfunet_core.masking.growth.grown_peaks`.
    centring : {"P", "A", "B", "C", "I", "F", "R_obv"}
        Lattice centring: systematically absent points are left alone. ``"R_obv"`` is
        the obverse setting on hexagonal axes, −h + k + l = 3n.
    space_group : str, optional
        Hermann–Mauguin symbol, whose glide planes and screw axes extinguish points too.
        Disorder can bring such points back: leave it out unless they are dark.
    satellites : sequence of array_like, shape (3,)
        Modulation vectors q [r.l.u.]; positions G ± m·q are masked too.
    satellite_order : int
        Largest m.
    shape : float, array_like of shape (3,) or (3, 3)
        With ``"auto"``: relative semi-axes of the ellipsoids that are grown.

    Returns
    -------
    ReciprocalPlane
        Copy with these pixels in the mask layers ``"bragg"`` and ``"satellites"``.

    Raises
    ------
    GeometryError
        If the plane has no unit cell.
    ParameterError
        If the radius is not above 0 or leaves nothing between the points, or the centring or
        the space group is not known.
    """
    grow = isinstance(radius, str)
    if grow and radius != "auto":
        raise ParameterError(
            f'radius={radius!r}; more than 0 Å⁻¹ was expected, or "auto" to grow the peaks '
            "from the data."
        )
    tensor = ellipsoid(shape if grow else radius)
    cell, _, _ = plane.geometry()
    # An ellipsoid reaches as far as its longest semi-axis.
    step = float(np.sqrt(plane.metric.max()))
    reach = (
        max(OFF_PLANE, OUTSIDE * step)
        if grow
        else float(1 / np.sqrt(np.linalg.eigvalsh(tensor).min()))
    )
    if not grow:
        _refuse_all(cell, tensor, centring != "P" or space_group is not None)
    hkl, order = bragg_positions(
        plane,
        reach,
        centring=centring,
        space_group=space_group,
        satellites=satellites,
        satellite_order=satellite_order,
    )
    record: dict[str, Any] = {
        "radius": float(radius) if np.ndim(radius) == 0 and not grow else radius,
        "centring": centring,
    }
    if space_group is not None:
        record["space_group"] = space_group
    if len(satellites):
        record["satellites"] = [[float(x) for x in q] for q in satellites]
        record["satellite_order"] = satellite_order
    if grow:
        centres = plane.pixel(hkl)
        off = np.linalg.norm((hkl - plane.hkl(*centres.T)) @ q_matrix(cell).T, axis=1)
        inside = ((centres > -OUTSIDE) & (centres < np.add(plane.shape, OUTSIDE))).all(axis=1)
        centres, order = (array[inside & (off <= OFF_PLANE)] for array in (centres, order))
        peaks = grown_peaks(plane, centres, tensor)
        found = peaks.radius > 0
        record["radius"] = float(np.median(peaks.radius[found])) if found.any() else 0.0
        record |= {"size": "auto", "peaks": int(found.sum())}
    elif np.ndim(radius):
        record["radius"] = float(np.linalg.det(tensor) ** (-1 / 6))
        record["tensor"] = tensor.tolist()
    for name, wanted in (("bragg", order == 0), ("satellites", order > 0)):
        if name == "satellites" and not len(satellites):
            continue
        if grow:
            here = wanted & found
            out = inside_ellipses(plane.shape, peaks.centres[here], peaks.forms[here])
        else:
            out = inside_ellipsoids(plane, hkl[wanted], tensor)
        plane = plane.masked(~out, name)
    return plane.processed("mask_bragg", **record)


def _refuse_all(cell: gemmi.UnitCell, tensor: NDArray[np.float64], sparse: bool) -> None:
    """Refuse ellipsoids so large that they leave nothing of reciprocal space.

    No place is further from a lattice point than half of the cell's longest diagonal; where
    points are absent, than all of it.
    """
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    diagonal = float(np.linalg.norm(signs @ q_matrix(cell).T, axis=1).max())
    farthest = diagonal if sparse else diagonal / 2
    smallest = float(1 / np.sqrt(np.linalg.eigvalsh(tensor).max()))
    if smallest > farthest:
        raise ParameterError(
            f"a Bragg radius of {smallest:g} Å⁻¹ leaves nothing: no place of this crystal's "
            f"reciprocal space is further than {farthest:.3g} Å⁻¹ from a lattice point. Peaks "
            "are usually masked within 0.03 to 0.1 Å⁻¹."
        )
