"""What stood before the detector: beam stop, and gaps between modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.masking.noise import local_median, noise_model
from dsfunet_core.masking.radial import radial_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["mask_beam_stop", "mask_gaps"]

#: Percentile of a ring that stands for dark pixels out of the shadow.
_LIT = 25.0
#: Intensity around a gap, over the mean of the plane, that it must have at least.
_LIT_GAP = 0.5
#: Touching zeros that may be a gap, and the square whose mean tells what they should be.
_LARGE, _AROUND = 5, 9
#: Narrowest gap of zeros in pixels, and counts a pixel below which it must be wider.
_NARROW = 3
_FEW = 2.0
#: Expected counts from which a region without any is no chance: exp(−20) ≈ 2·10⁻⁹.
_IMPROBABLE = 20.0


def mask_beam_stop(
    plane: ReciprocalPlane, radius: float | None = None, *, fraction: float = 0.3
) -> ReciprocalPlane:
    """Mask the shadow of the beam stop.

    Parameters
    ----------
    plane : ReciprocalPlane
        With unit cell.
    radius : float, optional
        Mask |Q| up to this [Å⁻¹], 2π included. When left out, the shadow is looked for: the
        region of dark pixels that holds the smallest |Q|, its holder included.
    fraction : float
        A pixel is in the shadow below this fraction of what is dark at its |Q|.

    Returns
    -------
    ReciprocalPlane
        Copy with these pixels in the mask layer ``"beam stop"``.

    Raises
    ------
    ParameterError
        If the radius is not above 0, or the fraction not between 0 and 1.

    Notes
    -----
    Dark at |Q| is the first quartile of the ring, or, where rings further out are brighter,
    theirs: the shadow covers the inner rings whole. A form factor that vanishes towards
    Q = 0 looks like a shadow, and a narrow holder across bright scattering may be found in
    part: give the radius then, and a polygon for the holder.
    """
    if not 0 < fraction < 1:
        raise ParameterError(f"fraction = {fraction}; between 0 and 1 was expected.")
    if radius is not None:
        if not (np.isfinite(radius) and radius > 0):
            raise ParameterError(f"radius = {radius}; more than 0 Å⁻¹ was expected.")
        shadow = plane.q_norm() <= radius
    else:
        shadow = _shadow(plane, fraction)
    return plane.masked(~shadow, "beam stop").processed(
        "mask_beam_stop", radius=radius, fraction=fraction
    )


def _shadow(plane: ReciprocalPlane, fraction: float) -> NDArray[np.bool_]:
    from scipy.ndimage import (
        binary_closing,
        binary_dilation,
        binary_fill_holes,
        binary_opening,
        label,
    )

    q = plane.q_norm()
    nothing = np.zeros(plane.shape, dtype=bool)
    smooth = local_median(plane.intensity, plane.valid, 1)[0]
    used = plane.valid & np.isfinite(smooth)
    bins = radial_bins(plane, step=4 * float(np.linalg.det(plane.metric) ** 0.25))
    bright = np.full(len(bins.centres), np.nan)
    for number in range(len(bright)):
        ring = smooth[used & (bins.index == number)]
        if ring.size >= 8:
            bright[number] = np.percentile(ring, _LIT)
    # Rings further out, as far again: beyond that they say nothing about the centre.
    level = np.nan_to_num(bright)
    for number in range(len(level)):
        level[number] = level[number : 2 * number + 6].max()
    dark = used & (smooth < fraction * level[bins.index])
    # Thin bridges lead out of the shadow into dark diffuse scattering.
    dark = binary_opening(dark, np.ones((3, 3)))
    labels, _ = label(dark)
    middle = (q <= q[used].min() + 3 * bins.step) & dark if used.any() else nothing
    numbers = np.unique(labels[middle])
    numbers = numbers[numbers > 0]
    if not numbers.size:
        return nothing
    # Peaks shine through a shadow, and its edge is half-lit.
    whole = binary_closing(np.pad(np.isin(labels, numbers), 4), np.ones((7, 7)))[4:-4, 4:-4]
    return binary_dilation(binary_fill_holes(whole), iterations=2)


def mask_gaps(
    plane: ReciprocalPlane, values: tuple[float, ...] = (-1.0, -2.0)
) -> ReciprocalPlane:
    """Mask gaps between detector modules, where a file has numbers there.

    Parameters
    ----------
    plane : ReciprocalPlane
        The plane.
    values : tuple of float
        Numbers that detectors write where they have no pixels.

    Returns
    -------
    ReciprocalPlane
        Copy with pixels of these values in the mask layer ``"gaps"``, and with regions of
        exactly 0, three pixels wide or more, whose surroundings let expect 20 counts or more
        in them.
    """
    from scipy.ndimage import binary_opening, label

    used = plane.valid & np.isfinite(plane.intensity)
    out = used & np.isin(plane.intensity, values)
    noise = noise_model(plane.masked(~out))
    empty = used & (plane.intensity == 0)
    if noise.gain > 0 and empty.any():
        lit = plane.intensity[used & ~out]
        typical = float(np.minimum(lit, np.quantile(lit, 0.95)).mean()) / noise.gain
        # Among few counts zeros touch by chance and run through the whole picture.
        few = typical < _FEW
        side = int(np.ceil(np.sqrt(_IMPROBABLE / max(typical, 0.05)))) if few else _NARROW
        empty = binary_opening(empty, np.ones((side, side)))
        labels, n = label(empty)
        # Away from the regions, so that a wide gap does not vouch for itself.
        large = np.bincount(labels.ravel()) > _LARGE
        large[0] = False
        around = _mean_around(plane.intensity, used & ~out & ~large[labels])
        counts = np.bincount(labels[empty], around[empty] / noise.gain, minlength=n + 1)
        # Scattering that fades to nothing has dark surroundings, a gap has not.
        sizes = np.maximum(np.bincount(labels.ravel()), 1)
        out |= (
            empty
            & (counts > _IMPROBABLE)[labels]
            & (counts > _LIT_GAP * typical * sizes)[labels]
        )
    return plane.masked(~out, "gaps").processed("mask_gaps", values=[float(v) for v in values])


def _mean_around(
    intensity: NDArray[np.floating], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean of the pixels used around every pixel, or of the next that has some around it."""
    from scipy.ndimage import distance_transform_edt, uniform_filter

    number = uniform_filter(used.astype(float), _AROUND, mode="constant")
    total = uniform_filter(np.where(used, intensity, 0.0), _AROUND, mode="constant")
    enough = used & (number > 0.1)
    if not enough.any():
        return np.zeros(used.shape)
    mean = total / np.maximum(number, 1e-9)
    next_one = distance_transform_edt(~enough, return_distances=False, return_indices=True)
    return np.asarray(mean[tuple(next_one)])
