"""Which parts of reciprocal space a rotating-crystal measurement never sees."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dsfunet_core.simulate.detectors import Detector

__all__ = ["ALUMINIUM_RINGS", "ICE_RINGS", "measured_mask", "powder_rings"]

#: |Q| [Å⁻¹] of the strongest powder rings of hexagonal ice.
ICE_RINGS = tuple(
    2 * np.pi / d for d in (3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.72)
)
# h² + k² + l² of a face-centred lattice: h, k, l all even or all odd.
_FACE_CENTRED = {
    h * h + k * k + m * m
    for parity in (0, 1)
    for h, k, m in product(range(parity, 8, 2), repeat=3)
}
#: |Q| [Å⁻¹] of the powder rings of aluminium (a = 4.0495 Å) up to 12 Å⁻¹.
ALUMINIUM_RINGS = tuple(
    2 * np.pi * n2**0.5 / 4.0495 for n2 in sorted(_FACE_CENTRED) if 0 < n2 < 60
)


@cache
def _kernel() -> Any:
    import numba

    @numba.njit(cache=True, nogil=True, error_model="numpy")
    def mask(  # type: ignore[no-untyped-def]
        q, frame, k, distance, pixel, half, period, size, offset, radius2, stop2,
        arm, shadows, turn, seen,
    ):  # fmt: skip
        for i in range(len(q)):
            x = q[i, 0] * frame[0, 0] + q[i, 1] * frame[0, 1] + q[i, 2] * frame[0, 2]
            y = q[i, 0] * frame[1, 0] + q[i, 1] * frame[1, 1] + q[i, 2] * frame[1, 2]
            z = q[i, 0] * frame[2, 0] + q[i, 1] * frame[2, 1] + q[i, 2] * frame[2, 2]
            r2 = x * x + y * y
            # Laboratory: beam along +x, Q_x = -|Q|²/2k on the Ewald sphere.
            q_x = -(r2 + z * z) / (2 * k)
            forward = k + q_x
            if not (q_x * q_x <= r2 and forward > 0):  # also where Q is not a number
                continue
            across = np.sqrt(r2 - q_x * q_x)
            vertical = distance * z / forward
            for sign in (1, -1):
                q_y = sign * across
                if turn[0] < 2 * np.pi and r2 > 0:
                    # Angle from the crystal's azimuth to the laboratory's, past the first.
                    cosine = (q_x * x + q_y * y) / r2
                    sine = (q_y * x - q_x * y) / r2
                    c = cosine * turn[1] + sine * turn[2]
                    s = sine * turn[1] - cosine * turn[2]
                    if turn[0] <= np.pi:
                        if s < 0 or c < turn[3]:
                            continue
                    elif s < 0 and c > turn[3]:
                        continue
                horizontal = distance * q_y / forward
                row = (vertical + offset[0]) / pixel + half[0]
                column = (horizontal + offset[1]) / pixel + half[1]
                if row < 0 or column < 0 or row >= 2 * half[0] or column >= 2 * half[1]:
                    continue
                if row % period[0] >= size[0] or column % period[1] >= size[1]:
                    continue
                if radius2 > 0 and (
                    (vertical + offset[0]) ** 2 + (horizontal + offset[1]) ** 2 > radius2
                ):
                    continue
                if vertical * vertical + horizontal * horizontal <= stop2:
                    continue
                if arm[0] > 0:
                    along = horizontal * arm[1] + vertical * arm[2]
                    beside = vertical * arm[1] - horizontal * arm[2]
                    if along > 0 and abs(beside) < arm[0] / 2:
                        continue
                dark = False
                for j in range(len(shadows)):
                    if horizontal * shadows[j, 1] + vertical * shadows[j, 2] > shadows[j, 0]:
                        dark = True
                if not dark:
                    seen[i] = True
                    break

    return mask


def _cross(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Cross product of two vectors; `numpy.cross` takes ten times as long for so few."""
    a, b, c = first.tolist()
    d, e, f = second.tolist()
    return np.array([b * f - c * e, c * d - a * f, a * e - b * d])


def measured_mask(
    q: NDArray,
    detector: Detector,
    *,
    rotation: tuple[float, float] = (0.0, 360.0),
    axis: ArrayLike,
) -> NDArray[np.bool_]:
    """Mask of scattering vectors that reach a live pixel at some rotation angle.

    The crystal turns about ``axis`` (vertical in the laboratory, perpendicular to the
    beam); a vector Q is recorded where it crosses the Ewald sphere,
    2 k·Q(φ) = −|Q|² with k the incident beam along x.

    Parameters
    ----------
    q : ndarray, shape (..., 3)
        Scattering vectors in the crystal's Cartesian frame [Å⁻¹]: of a plane or a volume.
    detector : Detector
        Geometry.
    rotation : tuple of float
        First and last angle of the scan [°]. At 0 the beam runs along the cross product of
        ``axis`` and the Cartesian axis it leans to least (a convention; a full turn does
        not ask for it).
    axis : array_like, shape (3,)
        Rotation axis in the crystal's frame; its length does not matter.

    Returns
    -------
    ndarray of bool, shape (...)
        True where Q is measured at least once.

    Raises
    ------
    ParameterError
        If the scan ends before it begins, the axis has no direction, or ``q`` does not
        hold vectors.
    """
    if np.ndim(q) < 1 or np.shape(q)[-1] != 3:
        raise ParameterError(
            f"q of shape {np.shape(q)}: its last dimension must hold the three components of "
            "a vector; ReciprocalPlane.q() gives them."
        )
    if not np.all(np.isfinite(rotation)):
        raise ParameterError(f"rotation = {rotation}: two angles in degrees were expected.")
    if rotation[1] < rotation[0]:
        raise ParameterError(
            f"rotation = {rotation}: the last angle is below the first; give them in order, "
            "in degrees."
        )
    axis = np.asarray(axis, float)
    if axis.shape != (3,) or not np.any(axis) or not np.all(np.isfinite(axis)):
        raise ParameterError(
            "axis needs three numbers, not all zero: the direction to turn about."
        )
    z = axis / np.linalg.norm(axis)
    x = _cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    first, span = np.deg2rad(rotation[0]), np.deg2rad(rotation[1] - rotation[0])
    if span > 2 * np.pi - 1e-9:  # start + 360 − start may fall short by a rounding
        span = 2 * np.pi
    arm = np.deg2rad(detector.arm_direction)
    edges = np.array([(d, np.deg2rad(t)) for t, d in detector.shadows], float).reshape(-1, 2)
    flat = np.ascontiguousarray(q, float).reshape(-1, 3)
    seen = np.zeros(len(flat), np.bool_)
    sizes = np.array(detector.module_pixels, float)
    _kernel()(
        flat,
        np.array([x, _cross(z, x), z]),
        2 * np.pi / detector.wavelength,
        detector.distance,
        detector.pixel_size,
        np.array(detector.pixels) / 2,
        sizes + detector.gap_pixels,
        sizes,
        np.array(detector.beam, float),
        0.0 if detector.radius is None else detector.radius**2,
        detector.beam_stop**2,
        np.array([detector.arm_width, np.cos(arm), np.sin(arm)]),
        np.stack([edges[:, 0], np.cos(edges[:, 1]), np.sin(edges[:, 1])], axis=1),
        np.array([span, np.cos(first), np.sin(first), np.cos(span)]),
        seen,
    )
    return seen.reshape(np.shape(q)[:-1])


def powder_rings(
    q_norm: NDArray, rings: ArrayLike = ICE_RINGS, width: float = 0.05
) -> NDArray[np.bool_]:
    """Mask that cuts powder rings out.

    Parameters
    ----------
    q_norm : ndarray
        |Q| [Å⁻¹].
    rings : array_like, shape (n,)
        |Q| of the rings [Å⁻¹]: `ICE_RINGS`, `ALUMINIUM_RINGS`, or 2π/d of your own.
    width : float
        Full width that is cut [Å⁻¹].

    Returns
    -------
    ndarray of bool, shape of ``q_norm``
        False on a ring.

    Raises
    ------
    ParameterError
        If the width is not positive.
    """
    if not width > 0:
        raise ParameterError(f"width = {width}: give a positive width in Å⁻¹.")
    keep = np.ones(np.shape(q_norm), np.bool_)
    for ring in np.atleast_1d(np.asarray(rings, float)):
        keep &= np.abs(q_norm - ring) > width / 2
    return keep
