"""Detectors: what is live, and what throws a shadow on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsfunet_core.errors import ParameterError

__all__ = ["DETECTORS", "HELD_OUT_DETECTORS", "Detector", "plain_name"]


def _modular(
    modules: tuple[int, int], pixels: tuple[int, int], gaps: tuple[int, int], size: float
) -> dict[str, Any]:
    return {
        "modules": modules,
        "module_pixels": pixels,
        "gap_pixels": gaps,
        "pixel_size": size,
    }


def plain_name(name: str) -> str:
    """Name of a detector without spaces and capitals."""
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
        known = {plain_name(key): key for key in DETECTORS}
        key = known.get(plain_name(name))
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
