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
#: A shadow's core: how far its disc may miss the centre, its least radius, both in pixels, and
#: how much narrower parts may be that belong to it.
_SLACK, _SMALLEST, _NARROWER = 2.0, 3.0, 0.6
#: Where the light beside a dark region is compared with that farther off [pixels], how many
#: pixels there must be, how far off other dark ones, and how bright it must be beside it.
_BESIDE, _FARTHER, _EDGE, _MARGIN, _ABRUPT = (1.5, 3.5), (3.5, 8.5), 12, 2.5, 0.55
#: Intensity around a gap, over the mean of the plane, that it must have at least.
LIT_GAP = 0.5
#: Width of the rim of a gap, and of the square in which its mean tells what should be inside
#: [pixels].
RIM, AROUND = 2, 9
#: Narrowest gap of zeros in pixels, and counts a pixel below which it must be wider.
NARROW = 3
FEW = 2.0
#: Expected counts from which a region without any is no chance: exp(−20) ≈ 2·10⁻⁹.
IMPROBABLE = 20.0


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
    theirs: the shadow covers the inner rings whole. Diffuse scattering has dark regions,
    too, but fades into them; a shadow is taken for one only if two or three pixels beside it
    there is more than half of the light that there is farther off. Where dark scattering
    surrounds the beam stop, or a narrow holder crosses bright scattering, it is found in part
    or not at all: give the radius then, and a polygon for the holder.
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
    whole = binary_fill_holes(whole)
    centre = np.unravel_index(np.where(used, q, np.inf).argmin(), q.shape)
    core = _core(whole, (int(centre[0]), int(centre[1])))
    if not (core.any() and _ends_abruptly(plane.intensity, used, core, whole)):
        return nothing
    shadow = core
    parts, n = label(whole & ~core)
    for number in range(1, n + 1):
        if _ends_abruptly(plane.intensity, used, parts == number, whole):
            shadow = shadow | (parts == number)
    return binary_dilation(shadow, iterations=2)


def _core(dark: NDArray[np.bool_], centre: tuple[int, int]) -> NDArray[np.bool_]:
    """Dark region around a pixel without what leads out of it.

    Its width is that of the largest disc of dark pixels over the centre; parts much
    narrower are left out.
    """
    from scipy.ndimage import distance_transform_edt, label

    inside = distance_transform_edt(np.pad(dark, 1, mode="edge"))[1:-1, 1:-1]
    rows, columns = np.indices(dark.shape)
    away = np.hypot(rows - centre[0], columns - centre[1])
    over = dark & (away <= inside + _SLACK)
    radius = float(inside[over].max()) if over.any() else 0.0
    if radius < _SMALLEST:
        return np.zeros_like(dark)
    wide = inside > _NARROWER * radius
    labels, _ = label(distance_transform_edt(~wide) <= _NARROWER * radius)
    numbers = np.unique(labels[over & (inside == radius)])
    return np.asarray(np.isin(labels, numbers[numbers > 0]) & dark)


def _ends_abruptly(
    intensity: NDArray[np.floating],
    used: NDArray[np.bool_],
    region: NDArray[np.bool_],
    dark: NDArray[np.bool_],
) -> bool:
    """Whether it is light right beside a dark region, as beside a shadow.

    Diffuse scattering fades towards its minima: next to them it is still darker than
    farther off. Where the region goes over into other dark pixels it is not looked at.
    """
    from scipy.ndimage import distance_transform_edt

    away, nearest = distance_transform_edt(~region, return_indices=True)
    rest = dark & ~region
    free = np.ones(region.shape, dtype=bool)
    if rest.any():
        free = (distance_transform_edt(~rest) > _MARGIN)[tuple(nearest)]
    seen = used & ~dark & free
    beside = seen & (away > _BESIDE[0]) & (away <= _BESIDE[1])
    farther = seen & (away > _FARTHER[0]) & (away <= _FARTHER[1])
    if beside.sum() < _EDGE or farther.sum() < _EDGE:
        return False
    # A peak is no measure of the light.
    most = np.quantile(intensity[beside | farther], 0.95)
    values = np.minimum(intensity, most)
    return bool(values[beside].mean() >= _ABRUPT * values[farther].mean() > 0)


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
    from scipy.ndimage import binary_dilation, binary_opening, label

    used = plane.valid & np.isfinite(plane.intensity)
    out = used & np.isin(plane.intensity, values)
    noise = noise_model(plane.masked(~out))
    empty = used & (plane.intensity == 0)
    if noise.gain > 0 and empty.any():
        lit = plane.intensity[used & ~out]
        typical = float(np.minimum(lit, np.quantile(lit, 0.95)).mean()) / noise.gain
        # Among few counts zeros touch by chance and run through the whole picture.
        few = typical < FEW
        side = int(np.ceil(np.sqrt(IMPROBABLE / max(typical, 0.05)))) if few else NARROW
        empty = binary_opening(empty, np.ones((side, side)))
        labels, n = label(empty)
        # Right beside the regions: around a gap it is light up to its edge, while diffuse
        # scattering fades towards its minima.
        beside = binary_dilation(empty, iterations=RIM) & ~empty
        around = _mean_around(plane.intensity, used & ~out & beside)
        counts = np.bincount(labels[empty], around[empty] / noise.gain, minlength=n + 1)
        # Scattering that fades to nothing has dark surroundings, a gap has not.
        sizes = np.maximum(np.bincount(labels.ravel()), 1)
        out |= (
            empty & (counts > IMPROBABLE)[labels] & (counts > LIT_GAP * typical * sizes)[labels]
        )
    return plane.masked(~out, "gaps").processed("mask_gaps", values=[float(v) for v in values])


def _mean_around(
    intensity: NDArray[np.floating], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean of the pixels used around every pixel, or of the next that has some around it."""
    from scipy.ndimage import distance_transform_edt, uniform_filter

    number = uniform_filter(used.astype(float), AROUND, mode="constant")
    total = uniform_filter(np.where(used, intensity, 0.0), AROUND, mode="constant")
    enough = used & (number > 0.1)
    if not enough.any():
        return np.zeros(used.shape)
    mean = total / np.maximum(number, 1e-9)
    next_one = distance_transform_edt(~enough, return_distances=False, return_indices=True)
    return np.asarray(mean[tuple(next_one)])
