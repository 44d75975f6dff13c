"""From volume to file: averages that never fit into memory as a whole."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.io.grid import stated_laue_class
from dsfunet_core.io.meerkat import write_meerkat
from dsfunet_core.symmetrize.volumes import Callback, symmetrize_volume

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.symmetrize.report import SymmetryReport

__all__ = ["write_symmetrized"]


def write_symmetrized(
    path: str | os.PathLike[str],
    volume: ReciprocalVolume,
    laue_class: str | None = None,
    *,
    outliers: float | None = None,
    max_memory: float = 1.0,
    overwrite: bool = False,
    callback: Callback | None = None,
) -> SymmetryReport:
    """Average a volume over its Laue class into an HDF5 file.

    Parameters
    ----------
    path : path-like
        File to write, in Meerkat's layout with counts; :func:`dsfunet_core.read` reads it.
        Beside it a scratch file of 12 bytes a voxel is kept meanwhile.
    volume : ReciprocalVolume
        As :func:`dsfunet_core.read` gives it; never read as a whole.
    laue_class, outliers, max_memory, callback
        As in :func:`symmetrize_volume`.
    overwrite : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    SymmetryReport
        R_int, redundancy, coverage.

    Raises
    ------
    ParameterError
        If the file exists, or a parameter is out of range.
    GeometryError
        If the cell contradicts the Laue class, the steps are oblique, or nothing was
        measured.

    Notes
    -----
    The counts written are the sums of the volume's counts over each orbit; of a volume
    without counts, how many equivalents were averaged. Variances are kept where the volume has
    some; the scatter of a few equivalents is none to weight with.
    """
    path = Path(path).expanduser()
    steps = _diagonal_steps(volume)
    if path.exists() and path.stat().st_size and not overwrite:
        raise ParameterError(
            f"path={str(path)!r} exists already; choose another name, or pass overwrite=True."
        )
    if not path.parent.is_dir():
        raise ParameterError(f"path={str(path)!r}: the folder {path.parent} is missing.")
    with tempfile.TemporaryDirectory(prefix=".symmetrize-", dir=path.parent) as folder:
        done = symmetrize_volume(
            volume,
            laue_class,
            outliers=outliers,
            max_memory=max_memory,
            scratch=Path(folder) / "average.h5",
            callback=callback,
        )
        if callback is not None:
            callback(0, 0, f"packing {path.name}")
        average = done.volume
        write_meerkat(
            path,
            average.intensity,
            average.cell,
            np.asarray(average.origin, dtype=float),
            steps,
            counts=average.counts,
            variance=None if volume.variance is None else average.variance,
            space_group_nr=_space_group(done.report.laue_class),
            laue_class=done.report.laue_class,
            provenance=average.provenance,
            overwrite=overwrite,
        )
    return done.report


def _space_group(laue_class: str) -> int:
    """First space group that says this Laue class to readers; 1 where none does."""
    return next((n for n in range(2, 231) if stated_laue_class(n) == laue_class), 1)


def _diagonal_steps(volume: ReciprocalVolume) -> NDArray[np.float64]:
    """Step sizes of a volume whose axes are those of the crystal, shape (3,)."""
    steps = np.asarray(volume.steps, dtype=float)
    sizes = np.diag(steps)
    if not np.allclose(steps, np.diag(sizes), rtol=0, atol=1e-9 * np.abs(steps).max()):
        raise GeometryError(
            f"the steps of volume {volume.name!r} are oblique in hkl, {steps.tolist()}, and "
            "the layout of Meerkat and Yell has no place for such. Use symmetrize_volume and "
            "cut planes out of its result, or reconstruct along h, k and l."
        )
    return sizes.copy()
