"""Pixels that are no diffuse scattering, and must not be used."""

from __future__ import annotations

from dsfunet_core.masking.bragg import mask_bragg

__all__ = ["mask_bragg"]
