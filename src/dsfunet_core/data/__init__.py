"""Sample data that comes with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dsfunet_core.errors import ParameterError

__all__ = ["SAMPLES", "sample"]

#: Name → file.
SAMPLES = {"tris-amide-hk1": "tris-amide-hk1.h5"}


def sample(name: str = "tris-amide-hk1") -> Path:
    """Path of a bundled sample.

    Parameters
    ----------
    name : str
        ``"tris-amide-hk1"``: five hk layers around l = 1 of
        tris-tert-butyl-1,3,5-benzene tricarboxamide in Meerkat's layout with pixel
        counts, simulated from the published structure and short-range order with
        counting noise, detector gaps and a Debye–Waller factor.

    Returns
    -------
    pathlib.Path
        Readable with :func:`dsfunet_core.read`.

    Raises
    ------
    ParameterError
        If there is no such sample.
    """
    if name not in SAMPLES:
        raise ParameterError(f"no sample {name!r}; there are: {', '.join(SAMPLES)}.")
    return Path(str(files("dsfunet_core.data") / SAMPLES[name]))
