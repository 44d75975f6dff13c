"""Samples under File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.types import LayerData

__all__ = ["tris_amide"]


def tris_amide() -> list[LayerData]:
    """Five hk layers around l = 1 of a tricarboxamide, simulated with noise and gaps."""
    from dsfunet_core import read, sample
    from napari_dsfunet.layers import object_layers
    from napari_dsfunet.reader import follow_current

    follow_current()
    return object_layers(
        read(sample("tris-amide-hk1")), 'dsfunet_core.sample("tris-amide-hk1")'
    )
