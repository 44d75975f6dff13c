"""Factorize diffuse scattering into form factor and short-range order.

The library behind the napari plugin and the ``dsfunet`` command. It imports no Qt
and no napari; torch is imported when something is factorized.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: Public name → module that holds it; imported on first use, to keep start-up short.
_PUBLIC = {
    "Factorization": "dsfunet_core.factorization.result",
    "ReciprocalPlane": "dsfunet_core.plane",
    "ReciprocalVolume": "dsfunet_core.plane",
    "Section": "dsfunet_core.sections",
    "SroRefinement": "dsfunet_core.refine.sro",
    "UnitCellMap": "dsfunet_core.refine.projection",
    "factorize": "dsfunet_core.factorization",
    "load_result": "dsfunet_core.io.results",
    "mask_bragg": "dsfunet_core.masking.bragg",
    "place": "dsfunet_core.io",
    "project": "dsfunet_core.refine.projection",
    "read": "dsfunet_core.io",
    "refine_sro": "dsfunet_core.refine.sro",
    "sample": "dsfunet_core.data",
    "save_result": "dsfunet_core.io.results",
    "write": "dsfunet_core.io",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
