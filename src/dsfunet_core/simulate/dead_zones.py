"""Which parts of reciprocal space a rotating-crystal measurement never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Detector", "measured_mask"]


@dataclass(frozen=True)
class Detector:
    """A flat modular pixel detector, perpendicular to the beam.

    Parameters
    ----------
    modules : tuple of int
        Modules along slow (vertical) and fast (horizontal) direction.
    module_pixels : tuple of int
        Pixels of a module, slow and fast.
    gap_pixels : tuple of int
        Pixels between modules, slow and fast.
    pixel_size : float
        Edge of a pixel [mm].
    distance : float
        Crystal to detector [mm].
    beam : tuple of float
        Offset of the direct beam from the detector's centre [mm], slow and fast.
    wavelength : float
        λ [Å].
    beam_stop : float
        Radius of the beam stop's shadow on the detector [mm].
    """

    modules: tuple[int, int] = (8, 3)
    module_pixels: tuple[int, int] = (195, 487)
    gap_pixels: tuple[int, int] = (17, 7)
    pixel_size: float = 0.172
    distance: float = 145.0
    beam: tuple[float, float] = (0.0, 0.0)
    wavelength: float = 0.7
    beam_stop: float = 2.5

    def sees(self, y: NDArray, x: NDArray) -> NDArray[np.bool_]:
        """Whether a point on the detector plane is on a live pixel.

        Parameters
        ----------
        y, x : ndarray
            Position relative to the direct beam [mm], vertical and horizontal.
        """
        live = y**2 + x**2 > self.beam_stop**2
        for position, n, size, gap, offset in zip(
            (y, x), self.modules, self.module_pixels, self.gap_pixels, self.beam, strict=True
        ):
            length = n * size + (n - 1) * gap
            pixel = (position + offset) / self.pixel_size + length / 2
            live &= (pixel >= 0) & (pixel < length) & (pixel % (size + gap) < size)
        return live


def measured_mask(
    q: NDArray,
    detector: Detector,
    *,
    rotation: tuple[float, float] = (0.0, 360.0),
    axis: NDArray,
) -> NDArray[np.bool_]:
    """Mask of scattering vectors that reach a live pixel at some rotation angle.

    The crystal turns about ``axis`` (vertical in the laboratory, perpendicular to the
    beam); a vector Q is recorded where it crosses the Ewald sphere,
    2 k·Q(φ) = −|Q|² with k the incident beam along x.

    Parameters
    ----------
    q : ndarray, shape (..., 3)
        Scattering vectors in the crystal's Cartesian frame [Å⁻¹].
    detector : Detector
        Geometry.
    rotation : tuple of float
        First and last angle of the scan [°].
    axis : ndarray, shape (3,)
        Rotation axis in the crystal's frame; its length does not matter.

    Returns
    -------
    ndarray of bool, shape (...)
        True where Q is measured at least once.

    Raises
    ------
    ParameterError
        If the scan ends before it begins, or the axis has no direction.
    """
    if rotation[1] < rotation[0]:
        raise ParameterError(
            f"rotation = {rotation}: the last angle is below the first; give them in order, "
            "in degrees."
        )
    if not np.any(axis):
        raise ParameterError("axis is the zero vector; give the direction to turn about.")
    z = np.asarray(axis, float) / np.linalg.norm(axis)
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    along_z = q @ z
    radius = np.hypot(q @ x, q @ y)
    azimuth = np.arctan2(q @ y, q @ x)
    k = 2 * np.pi / detector.wavelength
    # Laboratory: beam along +x, Q_x = -|Q|²/2k on the Ewald sphere.
    q_x = -np.einsum("...i,...i->...", q, q) / (2 * k)
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.arccos(q_x / radius)
    seen = np.zeros(radius.shape, bool)
    first, last = np.deg2rad(rotation)
    for sign in (1, -1):
        turn = (sign * angle - azimuth - first) % (2 * np.pi) + first
        q_y = sign * np.sqrt(np.maximum(radius**2 - q_x**2, 0))
        forward = k + q_x
        with np.errstate(divide="ignore", invalid="ignore"):
            vertical = detector.distance * along_z / forward
            horizontal = detector.distance * q_y / forward
        hit = np.isfinite(angle) & (forward > 0) & (turn <= last)
        seen |= hit & detector.sees(
            np.where(hit, vertical, 1e9), np.where(hit, horizontal, 0.0)
        )
    return seen
