"""Random measurements: detector, distance, mounting, scan, shadows, powder rings."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.dead_zones import (
    ALUMINIUM_RINGS,
    ICE_RINGS,
    measured_mask,
    powder_rings,
)
from dsfunet_core.simulate.detectors import DETECTORS, HELD_OUT_DETECTORS, Detector, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["random_measurement"]

_RINGS = {"none": (), "ice": ICE_RINGS, "aluminium": ALUMINIUM_RINGS}
#: A coverage so near the wanted one is near enough.
_NEAR = 0.04


@cache
def _bare(name: str) -> Detector:
    return Detector.named(name)


def _pool(held_out: bool, detectors: Sequence[str] | None) -> list[str]:
    """Names to draw from; none that belongs to the other side."""
    allowed = [name for name in DETECTORS if (name in HELD_OUT_DETECTORS) == held_out]
    if detectors is None:
        return allowed
    known = {plain_name(name): name for name in allowed}
    for name in detectors:
        if plain_name(name) not in known:
            raise ParameterError(
                f"detector {name!r} is not among those for "
                f"{'validation' if held_out else 'training'}; choose from: "
                f"{', '.join(allowed)}; or change held_out."
            )
    if not detectors:
        raise ParameterError("detectors is empty; name one at least, or leave it out.")
    return [known[plain_name(name)] for name in detectors]


def _draw(
    rng: np.random.Generator, names: list[str], axis: list[float] | None
) -> tuple[dict[str, Any], Detector]:
    name = names[int(rng.integers(len(names)))]
    detector = _bare(name)
    height, width = (n * detector.pixel_size / 2 for n in detector.pixels)
    half = detector.radius or min(height, width)
    wavelength = float(rng.uniform(0.3, 0.75))
    # How far out in Q the nearest edge of the detector reaches decides the distance.
    reach = rng.uniform(3.0, 11.0)
    scattering = 2 * np.arcsin(min(reach * wavelength / (4 * np.pi), 0.7))
    geometry: dict[str, Any] = {
        "wavelength": wavelength,
        "distance": float(max(half / np.tan(scattering), 30.0)),
        "beam": (
            float(rng.uniform(-0.7, 0.7) * height),
            float(rng.uniform(-0.5, 0.5) * width),
        ),
        "beam_stop": float(rng.uniform(0.01, 0.04) * half),
        "arm_width": float(rng.uniform(0.005, 0.03) * half) if rng.random() < 0.6 else 0.0,
        "arm_direction": 90.0 * int(rng.integers(4)),
        "shadows": (),
    }
    if rng.random() < 0.2:
        edge = (float(rng.uniform(0, 360)), float(rng.uniform(0.4, 1.2) * half))
        geometry["shadows"] = (edge,)
    # A quarter are full turns.
    scan = 360.0 if rng.random() < 0.25 else float(rng.uniform(120, 360))
    start = float(rng.uniform(0, 360))
    mounted = rng.normal(size=3).tolist() if axis is None else axis
    rings = rng.random()
    drawn = {
        "detector": name,
        **geometry,
        "rotation": (start, start + scan),
        "axis": mounted,
        "rings": "ice" if rings < 0.06 else "aluminium" if rings < 0.1 else "none",
        "ring_width": 0.05,
    }
    return drawn, replace(detector, **geometry)


def _mask(q: NDArray, drawn: dict[str, Any], detector: Detector) -> NDArray[np.bool_]:
    mask = measured_mask(q, detector, rotation=drawn["rotation"], axis=drawn["axis"])
    if drawn["rings"] != "none":
        q_norm = np.sqrt(np.einsum("...i,...i", q, q))
        mask &= powder_rings(q_norm, _RINGS[drawn["rings"]], drawn["ring_width"])
    return mask


def random_measurement(
    rng: np.random.Generator,
    q: NDArray,
    *,
    coverage: tuple[float, float] = (0.40, 0.97),
    detectors: Sequence[str] | None = None,
    axis: ArrayLike | None = None,
    held_out: bool = False,
    tries: int = 40,
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Dead zones of a random measurement: detector, distance, mounting, scan, shadows.

    A coverage is drawn first and measurements until one comes near it, so that well and
    badly measured planes are equally frequent.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    q : ndarray, shape (n_rows, n_columns, 3)
        Scattering vectors of a plane [Å⁻¹].
    coverage : tuple of float
        Least and most of the plane that is measured.
    detectors : sequence of str, optional
        Names to draw from, of those that ``held_out`` allows; without it all of them.
    axis : array_like, shape (3,), optional
        Rotation axis in the crystal's frame; without it any direction is as likely.
    held_out : bool
        Draw from the detectors kept for validation instead of the others.
    tries : int
        Measurements drawn at most; then the nearest within ``coverage`` counts. A small
        piece of a plane may be out of reach of any, and gets the nearest of all.

    Returns
    -------
    mask : ndarray of bool, shape (n_rows, n_columns)
        True where measured.
    description : dict
        What was drawn: the name of the detector; wavelength [Å], distance, beam, beam_stop,
        arm_width [mm], arm_direction [°] and shadows as of `Detector`; rotation [°] and
        axis as of `measured_mask`; rings ("none", "ice" or "aluminium") and ring_width
        [Å⁻¹] as of `powder_rings`.

    Raises
    ------
    ParameterError
        If ``coverage``, ``detectors``, ``axis``, ``tries`` or the shape of ``q`` cannot be.
    """
    low, high = coverage
    if not 0 <= low < high <= 1:
        raise ParameterError(
            f"coverage = {coverage}: two fractions, the lower first, expected."
        )
    if np.ndim(q) != 3 or not np.size(q):
        raise ParameterError(
            f"q of shape {np.shape(q)}: the vectors of a plane, (rows, columns, 3), were "
            "expected."
        )
    if tries < 1:
        raise ParameterError(f"tries = {tries}: at least one measurement must be drawn.")
    names = _pool(held_out, detectors)
    mounted = None if axis is None else np.asarray(axis, float).tolist()
    wanted = rng.uniform(low, high)
    # A coarse look at the plane, some 32 × 32 pixels, tells most draws apart.
    rows, columns = (max(n // 32, 1) for n in q.shape[:2])
    coarse = np.ascontiguousarray(q[rows // 2 :: rows, columns // 2 :: columns])
    found: list[tuple[float, dict[str, Any], Detector]] = []
    for _ in range(tries):
        drawn, detector = _draw(rng, names, mounted)
        share = float(_mask(coarse, drawn, detector).mean())
        miss = abs(share - wanted)
        if miss < _NEAR:
            mask = _mask(q, drawn, detector)
            if low <= mask.mean() <= high:
                return mask, drawn
        outside = max(low - share, share - high, 0.0)
        found.append((miss + (1 + outside if outside else 0), drawn, detector))
    found.sort(key=lambda one: one[0])
    masks = []
    for _, drawn, detector in found[:4]:
        masks.append(_mask(q, drawn, detector))
        if low <= masks[-1].mean() <= high:
            return masks[-1], drawn
    return masks[0], found[0][1]
