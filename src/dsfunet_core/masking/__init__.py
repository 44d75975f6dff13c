"""Pixels that are no diffuse scattering, and must not be used; background."""

from __future__ import annotations

from dsfunet_core.masking.background import (
    Subtracted,
    subtract_constant,
    subtract_measured,
    subtract_radial,
)
from dsfunet_core.masking.bragg import mask_bragg
from dsfunet_core.masking.filling import fill
from dsfunet_core.masking.outliers import mask_hot_pixels, mask_stray_peaks
from dsfunet_core.masking.regions import (
    mask_labels,
    mask_polygons,
    mask_unseen,
    read_polygons,
)
from dsfunet_core.masking.remaining import refuse_empty
from dsfunet_core.masking.rings import Ring, find_rings, mask_rings
from dsfunet_core.masking.shadows import mask_beam_stop, mask_gaps
from dsfunet_core.masking.volumes import mask_volume

__all__ = [
    "Ring",
    "Subtracted",
    "fill",
    "find_rings",
    "mask_beam_stop",
    "mask_bragg",
    "mask_gaps",
    "mask_hot_pixels",
    "mask_labels",
    "mask_polygons",
    "mask_rings",
    "mask_stray_peaks",
    "mask_unseen",
    "mask_volume",
    "read_polygons",
    "refuse_empty",
    "subtract_constant",
    "subtract_measured",
    "subtract_radial",
]
