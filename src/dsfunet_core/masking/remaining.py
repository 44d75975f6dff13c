"""What masks leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["refuse_empty"]


def refuse_empty(plane: ReciprocalPlane) -> None:
    """Refuse a plane of which masks left nothing.

    Parameters
    ----------
    plane : ReciprocalPlane
        Masked.

    Raises
    ------
    ParameterError
        With what every mask took.
    """
    if plane.valid.any():
        return
    taken = ", ".join(f"{reason} {n:,}" for reason, n in plane.pixels_out().items() if n)
    raise ParameterError(
        f"nothing is left of plane {plane.name} (pixels taken: {taken}).",
        python="Mask less, or take a layer back with unmasked(reason).",
        terminal="Mask less, or take a layer back with --unmask.",
        napari="Mask less, or take a layer back in the list.",
    )
