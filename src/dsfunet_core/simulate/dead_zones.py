"""Which parts of reciprocal space a rotating-crystal measurement never sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ALUMINIUM_RINGS",
    "DETECTORS",
    "HELD_OUT_DETECTORS",
    "ICE_RINGS",
    "Detector",
    "measured_mask",
    "powder_rings",
    "random_measurement",
]


def _modular(
    modules: tuple[int, int], pixels: tuple[int, int], gaps: tuple[int, int], size: float
) -> dict[str, Any]:
    return {
        "modules": modules,
        "module_pixels": pixels,
        "gap_pixels": gaps,
        "pixel_size": size,
    }


def _plain(name: str) -> str:
    return "".join(name.split()).lower()


def _pilatus(slow: int, fast: int) -> dict[str, Any]:
    return _modular((slow, fast), (195, 487), (17, 7), 0.172)


def _eiger(slow: int, fast: int) -> dict[str, Any]:
    return _modular((slow, fast), (514, 1030), (37, 10), 0.075)


def _eiger2(slow: int, fast: int) -> dict[str, Any]:
    return _modular((slow, fast), (512, 1028), (38, 12), 0.075)


#: Geometry of detectors: modules, pixels of a module, gaps [pixels], pixel [mm].
DETECTORS: dict[str, dict[str, Any]] = {
    "PILATUS 300K": _pilatus(3, 1),
    "PILATUS 1M": _pilatus(5, 2),
    "PILATUS 2M": _pilatus(8, 3),
    "PILATUS 6M": _pilatus(12, 5),
    "EIGER 1M": _eiger(2, 1),
    "EIGER 4M": _eiger(4, 2),
    "EIGER 9M": _eiger(6, 3),
    "EIGER 16M": _eiger(8, 4),
    "EIGER2 1M": _eiger2(2, 1),
    "EIGER2 4M": _eiger2(4, 2),
    "EIGER2 9M": _eiger2(6, 3),
    "EIGER2 16M": _eiger2(8, 4),
    "MAR345": {**_modular((1, 1), (2300, 2300), (0, 0), 0.15), "radius": 172.5},
}
#: Drawn for validation planes only.
HELD_OUT_DETECTORS = ("PILATUS 1M", "EIGER2 1M", "EIGER2 4M", "EIGER2 9M", "EIGER2 16M")
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
_RINGS = {"none": (), "ice": ICE_RINGS, "aluminium": ALUMINIUM_RINGS}
#: A coverage so near the wanted one is near enough.
_NEAR = 0.04


@dataclass(frozen=True)
class Detector:
    """A flat pixel detector, perpendicular to the beam; PILATUS 2M when left out.

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
    radius : float, optional
        Of a round image plate [mm]; what lies beyond is dead.
    distance : float
        Crystal to detector [mm].
    beam : tuple of float
        Offset of the direct beam from the detector's centre [mm], slow and fast.
    wavelength : float
        λ [Å].
    beam_stop : float
        Radius of the beam stop's shadow on the detector [mm].
    arm_width : float
        Width of the shadow of the beam stop's holder [mm], a straight strip from the
        beam to the edge; 0 for none.
    arm_direction : float
        Where the holder points [°], from horizontal (0) to up (90).
    shadows : tuple of (float, float)
        Straight-edged shadows (a nozzle, a cone): direction [°] and distance of the edge
        from the beam [mm]; what lies beyond is dead. A negative distance shades the beam.

    Raises
    ------
    ParameterError
        If a size, distance or wavelength cannot be.
    """

    modules: tuple[int, int] = (8, 3)
    module_pixels: tuple[int, int] = (195, 487)
    gap_pixels: tuple[int, int] = (17, 7)
    pixel_size: float = 0.172
    radius: float | None = None
    distance: float = 145.0
    beam: tuple[float, float] = (0.0, 0.0)
    wavelength: float = 0.7
    beam_stop: float = 2.5
    arm_width: float = 0.0
    arm_direction: float = 270.0
    shadows: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("pixel_size", "distance", "wavelength", "radius"):
            value = getattr(self, name)
            if not (value is None and name == "radius") and not 0 < value < np.inf:
                raise ParameterError(f"{name} = {value}: give a positive number.")
        for name in ("beam_stop", "arm_width"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ParameterError(
                    f"{name} = {getattr(self, name)}: it cannot be negative; 0 is none."
                )
        for name, least in (("modules", 1), ("module_pixels", 1), ("gap_pixels", 0)):
            value = getattr(self, name)
            if np.shape(value) != (2,) or not np.all(np.asarray(value) >= least):
                raise ParameterError(
                    f"{name} = {value}: two whole numbers of at least {least} were expected, "
                    "slow (vertical) first."
                )
        if np.shape(self.beam) != (2,) or not np.all(np.isfinite(self.beam)):
            raise ParameterError(
                f"beam = {self.beam}: two offsets in mm were expected, slow (vertical) first."
            )
        if not np.isfinite(self.arm_direction):
            raise ParameterError(f"arm_direction = {self.arm_direction}: give degrees.")
        for shadow in self.shadows:
            if np.shape(shadow) != (2,) or not np.all(np.isfinite(shadow)):
                raise ParameterError(
                    f"shadow {shadow}: a pair was expected, direction in degrees and distance "
                    "of the edge from the beam in mm, as in shadows=((90, 60),)."
                )

    @classmethod
    def named(cls, name: str, **geometry: Any) -> Detector:
        """Detector by its name.

        Parameters
        ----------
        name : str
            One of `DETECTORS`; capitals and spaces do not matter.
        **geometry
            Distance, beam and so on.

        Returns
        -------
        Detector
            With the sizes of the table.

        Raises
        ------
        ParameterError
            If the name is not known.
        """
        known = {_plain(key): key for key in DETECTORS}
        key = known.get(_plain(name))
        if key is None:
            raise ParameterError(
                f"detector {name!r} is not known; choose one of: {', '.join(DETECTORS)}; or "
                "give modules, module_pixels, gap_pixels and pixel_size."
            )
        return cls(**{**DETECTORS[key], **geometry})

    @property
    def pixels(self) -> tuple[int, int]:
        """Pixels along slow and fast, gaps counted in."""
        slow, fast = (
            n * size + (n - 1) * gap
            for n, size, gap in zip(
                self.modules, self.module_pixels, self.gap_pixels, strict=True
            )
        )
        return slow, fast


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


@cache
def _bare(name: str) -> Detector:
    return Detector.named(name)


def _pool(held_out: bool, detectors: Sequence[str] | None) -> list[str]:
    """Names to draw from; none that belongs to the other side."""
    allowed = [name for name in DETECTORS if (name in HELD_OUT_DETECTORS) == held_out]
    if detectors is None:
        return allowed
    known = {_plain(name): name for name in allowed}
    for name in detectors:
        if _plain(name) not in known:
            raise ParameterError(
                f"detector {name!r} is not among those for "
                f"{'validation' if held_out else 'training'}; choose from: "
                f"{', '.join(allowed)}; or change held_out."
            )
    if not detectors:
        raise ParameterError("detectors is empty; name one at least, or leave it out.")
    return [known[_plain(name)] for name in detectors]


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
