"""What the dock for artefacts asks for, free of Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.symmetry import LAUE_CLASSES
from napari_dsfunet.forms import Form, _entry, _numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["PAINTED", "POLYGONS", "ByHand", "MaskForm", "runs", "unrolled"]

#: Names of the mask layers of what is marked by hand.
PAINTED, POLYGONS = "painted", "polygons"


@dataclass(frozen=True)
class ByHand:
    """What a user marked on a plane.

    Parameters
    ----------
    painted : ndarray of bool, shape (n_rows, n_columns), optional
        True where a pixel is out.
    polygons : sequence of list
        Corners (row, column) of each polygon [pixels].
    """

    painted: NDArray[np.bool_] | None = None
    polygons: Sequence[list[list[float]]] = field(default_factory=tuple)


@dataclass(frozen=True)
class MaskForm(Form):
    """What is no diffuse scattering, and what becomes of it."""

    bragg: str = _entry(
        "",
        "Bragg peaks",
        "Grown from the data peak by peak, or spheres of one radius in reciprocal space.",
        choices={
            "": "leave",
            "auto": "mask, grown from the data",
            "radius": "mask, of one radius",
        },
    )
    radius: float = _entry(
        0.06,
        "Radius",
        "Of the sphere around every reciprocal-lattice point, 2π included.",
        low=0.001,
        high=5.0,
        step=0.01,
        decimals=3,
        unit=" Å⁻¹",
    )
    hot_pixels: bool = _entry(False, "Hot pixels", "Single pixels far above their neighbours.")
    stray_peaks: bool = _entry(False, "Stray peaks", "Peaks that are off the lattice.")
    rings: bool = _entry(False, "Powder rings", "Rings of constant |Q|, such as ice.")
    beam_stop: bool = _entry(False, "Beam stop", "The dark region around Q = 0 and its holder.")
    gaps: bool = _entry(
        False, "Detector gaps", "Gaps that the file holds as numbers, such as 0 or −1."
    )
    background: str = _entry(
        "",
        "Background",
        "Taken off after masking. Negative values stay negative: cutting them at 0 would "
        "bias every mean.",
        choices={
            "": "leave",
            "radial": "take off, a function of |Q|",
            "constant": "take off, constant",
        },
    )
    laue_class: str = _entry(
        "",
        "Average over",
        "Laue class whose operations in the plane are averaged over; equivalents fill what "
        "was masked or never measured.",
        choices={"": "nothing", **{symbol: f"Laue class {symbol}" for symbol in LAUE_CLASSES}},
    )
    centring: str = _entry(
        "P",
        "Centring",
        "Points that the centring extinguishes are left alone.",
        choices={symbol: symbol for symbol in ("P", "A", "B", "C", "I", "F", "R_obv")},
        advanced=True,
    )
    space_group: str = _entry(
        "",
        "Space group",
        "Points that its glide planes and screw axes extinguish are left alone.",
        placeholder="P 21/c",
        advanced=True,
    )
    satellite: str = _entry(
        "",
        "Satellites at ±q",
        "Modulation vector; G ± q is masked, too.",
        placeholder="0 0.5 0",
        advanced=True,
    )
    fill: bool = _entry(
        False,
        "Fill Bragg peaks",
        "With what is around them and matching noise. Masking is better for a fit.",
        advanced=True,
    )

    def steps(self) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """Calls of :mod:`dsfunet_core.masking`: name, arguments after the plane, options."""
        found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        if self.gaps:
            found.append(("mask_gaps", (), {}))
        if self.beam_stop:
            found.append(("mask_beam_stop", (), {}))
        if self.bragg:
            options: dict[str, Any] = {}
            if self.centring != "P":
                options["centring"] = self.centring
            if self.space_group.strip():
                options["space_group"] = self.space_group.strip()
            if self.satellite.strip():
                options["satellites"] = [_numbers("satellite", self.satellite, (3,))]
            size = "auto" if self.bragg == "auto" else self.radius
            found.append(("mask_bragg", (size,), options))
        for name in ("stray_peaks", "hot_pixels", "rings"):
            if getattr(self, name):
                found.append((f"mask_{name}", (), {}))
        return found

    def mask(self, plane: ReciprocalPlane, by_hand: ByHand) -> ReciprocalPlane:
        """Plane with everything masked that was asked for.

        Parameters
        ----------
        plane : ReciprocalPlane
            The plane.
        by_hand : ByHand
            What was marked on it.
        """
        from dsfunet_core import masking

        if by_hand.painted is not None and by_hand.painted.any():
            plane = plane.masked(~by_hand.painted, PAINTED)
        if by_hand.polygons:
            plane = masking.mask_polygons(plane, by_hand.polygons, reason=POLYGONS)
        for name, arguments, options in self.steps():
            plane = getattr(masking, name)(plane, *arguments, **options)
        return plane

    def finish(
        self, plane: ReciprocalPlane, back: Sequence[str]
    ) -> tuple[ReciprocalPlane, list[str]]:
        """Take back, fill, take the background off, average.

        Parameters
        ----------
        plane : ReciprocalPlane
            From :meth:`mask`.
        back : sequence of str
            Mask layers to take back.

        Returns
        -------
        plane : ReciprocalPlane
            Ready to be factorized.
        words : list of str
            What came of it, a sentence each.
        """
        from dsfunet_core import masking
        from dsfunet_core.symmetrize import symmetrize_plane

        words = []
        for reason in back:
            plane = plane.unmasked(reason)
        masking.refuse_empty(plane)
        if self.fill and "bragg" in plane.masks:
            plane = masking.fill(plane, "bragg")
        if self.background:
            taken = getattr(masking, f"subtract_{self.background}")(plane)
            plane, level = taken.after, float(np.nanmean(taken.background))
            negative = int((plane.intensity[plane.valid] < 0).sum())
            words.append(
                f"Background taken off: {level:.4g} on average; {negative:,} pixels are "
                "negative now, which is right."
            )
        if self.laue_class:
            averaged = symmetrize_plane(plane, self.laue_class)
            plane = averaged.plane
            words.append(str(averaged.report))
        return plane, words

    def script(self, by_hand: ByHand, back: Sequence[str]) -> tuple[str, ...]:
        """``plane`` from ``plane``.

        Parameters
        ----------
        by_hand : ByHand
            Written out in the script.
        back : sequence of str
            Mask layers that are taken back.
        """
        lines = ["from dsfunet_core import masking"]
        if by_hand.painted is not None and by_hand.painted.any():
            lines += [
                "import numpy as np",
                "painted = np.zeros(plane.shape, bool)",
                f"for row, first, last in {runs(by_hand.painted)!r}:",
                "    painted[row, first:last] = True",
                f"plane = plane.masked(~painted, {PAINTED!r})",
            ]
        if by_hand.polygons:
            corners = [[[round(x, 3) for x in c] for c in p] for p in by_hand.polygons]
            lines.append(
                f"plane = masking.mask_polygons(plane, {corners!r}, reason={POLYGONS!r})"
            )
        for name, arguments, options in self.steps():
            given = [repr(a) for a in arguments] + [f"{k}={v!r}" for k, v in options.items()]
            lines.append(f"plane = masking.{name}({', '.join(['plane', *given])})")
        lines += [f"plane = plane.unmasked({reason!r})" for reason in back]
        if self.fill and self.bragg and "bragg" not in back:
            lines.append('plane = masking.fill(plane, "bragg")')
        if self.background:
            lines.append(f"plane = masking.subtract_{self.background}(plane).after")
        if self.laue_class:
            lines += [
                "from dsfunet_core.symmetrize import symmetrize_plane",
                f"plane = symmetrize_plane(plane, {self.laue_class!r}).plane",
            ]
        return tuple(lines)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Painted pixels as stretches of rows: row, first column, column after the last.

    Parameters
    ----------
    mask : ndarray of bool, shape (n_rows, n_columns)
        True where it is painted.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    first, last = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [(int(r), int(a), int(b)) for (r, a), (_, b) in zip(first, last, strict=True)]


def unrolled(stretches: Sequence[Sequence[int]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask that :func:`runs` came from.

    Parameters
    ----------
    stretches : sequence of (row, first, last)
        From :func:`runs`.
    shape : tuple of int
        Rows and columns.
    """
    mask = np.zeros(shape, bool)
    for row, first, last in stretches:
        mask[row, first:last] = True
    return mask
