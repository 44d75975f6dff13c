"""One ``write(path, data)`` in front of the writers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    import os

    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["FORMATS", "format_of", "write"]

#: Name of a format → suffixes that stand for it.
FORMATS = {
    "nexus": (".nxs", ".h5", ".hdf5"),
    "npz": (".npz",),
    "tiff": (".tif", ".tiff"),
    "yell": (),
}


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Name of the format to write, by the suffix of the file unless it is given.

    Parameters
    ----------
    path : path-like
        File to write.
    format : str, optional
        One of :data:`FORMATS`.

    Raises
    ------
    ParameterError
        If neither says what to write.
    """
    if format is not None:
        if format not in FORMATS:
            raise ParameterError(f"format={format!r}; allowed are {', '.join(FORMATS)}.")
        return format
    suffix = Path(path).suffix.lower()
    for name, suffixes in FORMATS.items():
        if suffix in suffixes:
            return name
    known = ", ".join(s for suffixes in FORMATS.values() for s in suffixes)
    raise ParameterError(
        f"{path}: the suffix {suffix!r} does not say what to write; use one of {known}, or "
        f"format= one of {', '.join(FORMATS)}."
    )


def write(
    path: str | os.PathLike[str],
    data: ReciprocalPlane | ReciprocalVolume,
    *,
    format: str | None = None,
    for_fft: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a plane or a volume so that :func:`dsfunet_core.read` gives it back.

    Parameters
    ----------
    path : path-like
        File to write. It appears under its name once it is complete.
    data : ReciprocalPlane or ReciprocalVolume
        What to write. Volumes are read a slab at a time, except for ``"npz"``.
    format : {"nexus", "npz", "tiff", "yell"}, optional
        By the suffix when left out: ``.nxs`` and ``.h5`` are NeXus. All keep everything,
        but ``"tiff"`` holds planes only, and of masked pixels just those in a layer;
        ``"yell"`` needs axes along h, k and l, and puts them in this order.
    for_fft : bool
        With ``"yell"``: an even grid with the origin at N/2, and 0 where nothing was
        measured, as Yell's Fourier transform needs.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If the format is not known or cannot hold the data, or the file exists and
        ``overwrite`` is False.
    GeometryError
        If the axes are oblique and the format cannot say so.
    """
    from dsfunet_core.io import nexus_output, numpy, tiff, yell_output

    name = format_of(path, format)
    if for_fft and name != "yell":
        raise ParameterError(
            f'for_fft=True goes with format="yell"; {name} keeps unmeasured voxels as they are.'
        )
    if name == "yell":
        yell_output.write_yell(path, data, for_fft=for_fft, overwrite=overwrite)
    elif name == "nexus":
        nexus_output.write_nexus(path, data, overwrite=overwrite)
    elif name == "tiff":
        tiff.write_tiff(path, data, overwrite=overwrite)
    else:
        numpy.write_npz(path, data, overwrite=overwrite)
