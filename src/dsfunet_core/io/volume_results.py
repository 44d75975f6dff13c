"""What tells a file with the factorization of a volume, without importing how it is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from dsfunet_core.io.hdf5_file import children

if TYPE_CHECKING:
    import os

__all__ = ["VOLUME_ORDER", "holds_volume_factorization"]

#: Group with the α of a factorization of a volume.
VOLUME_ORDER = "warren_cowley"


def holds_volume_factorization(path: str | os.PathLike[str]) -> bool:
    """Whether a file is the factorization of a volume.

    Parameters
    ----------
    path : path-like
        Any file; opening one that is not takes no more than this.
    """
    if not h5py.is_hdf5(path):
        return False
    entry = children(Path(path), "/entry")
    return VOLUME_ORDER in entry and "form_factor" in entry
