"""Mantid's MDHistoWorkspace, as SaveMD writes it.

The array is stored backwards, (n2, n1, n0); D0, D1, D2 are bin edges, and the mask is 1
where a bin is bad. Mantid's UB has no 2π: Q = 2π·UB·hkl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gemmi
import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.grid import unit_cell
from dsfunet_core.io.hdf5 import HDF5Array, numbers
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.io.nexus import placed_by_axes
from dsfunet_core.io.nxdata import Axis, attribute, axis, axis_names
from dsfunet_core.io.sample import sample_cell

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dsfunet_core.io.place import Unplaced
    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["read", "recognises"]

_ROOT = "/MDHistoWorkspace"
_DATA = f"{_ROOT}/data"
#: Names of the axes keep three digits of the projection; the log keeps all.
TOLERANCE = 2e-3


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file holds an MDHistoWorkspace, or events that are not binned yet.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path that the user named.
    """
    if not h5py.is_hdf5(path):
        return False
    if dataset is not None:
        return f"/{dataset.strip('/')}" in (_ROOT, _DATA, f"{_DATA}/signal")
    return bool({"MDHistoWorkspace", "MDEventWorkspace"} & set(children(path)))


def read(
    path: Path, dataset: str | None = None
) -> ReciprocalVolume | ReciprocalPlane | Unplaced:
    """Read an MDHistoWorkspace.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        ``MDHistoWorkspace/data/signal`` or nothing.

    Returns
    -------
    ReciprocalVolume or Unplaced
        Read lazily, with ``errors_squared`` as variance.

    Raises
    ------
    FileFormatError
        If it has other than three axes, or axes in the frame of the laboratory.
    """
    del dataset
    if "MDHistoWorkspace" not in children(path):
        raise FileFormatError(
            f"{path} holds events (MDEventWorkspace), not a histogram. Bin them in Mantid with "
            "MDNorm or BinMD, and save with SaveMD."
        )
    signal = HDF5Array(path, f"{_DATA}/signal")
    if signal.ndim != 3 or 0 in signal.shape:
        raise FileFormatError(
            f"{signal.name} in {path} has shape {signal.shape}; three axes of momentum were "
            "expected. Integrate the others, energy for example, in Mantid (IntegrateMDHisto"
            "Workspace, then drop the axis with SliceMDHisto)."
        )
    names = axis_names(path, _DATA, signal.name) or ["D2", "D1", "D0"]
    if sorted(names) != ["D0", "D1", "D2"]:
        raise FileFormatError(
            f"{signal.name} in {path} names the axes {', '.join(names)}; D0, D1 and D2 were "
            "expected."
        )
    cell, ub = _lattice(path)
    axes = [
        axis(path, f"{_DATA}/{n}", size) for n, size in zip(names, signal.shape, strict=True)
    ]
    parts: dict[str, Any] = {
        "intensity": signal,
        "counts": None,
        "variance": _same(path, "errors_squared", signal.shape),
        "mask": _same(path, "mask", signal.shape),
        "laue_class": None,
        "name": path.stem,
        "provenance": {
            "file": str(path.resolve()),
            "dataset": signal.name,
            "format": "Mantid MDHisto",
            "writer": "Mantid",
        },
    }
    return placed_by_axes(path, parts, _in_hkl(path, axes, ub), cell)


def _experiment(path: Path) -> str:
    found = [n for n in children(path, _ROOT) if n.startswith("experiment")]
    with_sample = [n for n in found if "sample" in children(path, f"{_ROOT}/{n}")]
    return f"{_ROOT}/{(with_sample or found or ['experiment0'])[0]}"


def _lattice(path: Path) -> tuple[gemmi.UnitCell | None, NDArray[np.float64] | None]:
    """Unit cell [Å, °] and UB [1/Å]."""
    group = f"{_experiment(path)}/sample/oriented_lattice"
    ub = numbers(path, f"{group}/orientation_matrix", 9)
    cell = sample_cell(path, group)
    if ub is None:
        return cell, None
    ub = ub.reshape(3, 3)
    if not np.isfinite(ub).all() or abs(np.linalg.det(ub)) < 1e-12:
        raise FileFormatError(
            f"the orientation matrix in {path} is {ub.tolist()}, which is singular. Set the UB "
            "again in Mantid (SetUB) and save."
        )
    if cell is None:
        metric = np.linalg.inv(ub.T @ ub)
        lengths = np.sqrt(np.diag(metric))
        cosines = metric / np.outer(lengths, lengths)
        angles = np.rad2deg(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))
        cell = unit_cell([*lengths, *angles], f"the cell of the orientation matrix in {path}")
    return cell, ub


def _in_hkl(path: Path, axes: list[Axis], ub: NDArray[np.float64] | None) -> list[Axis | None]:
    """Axes with *hkl* per unit, exact where the file keeps the projection."""
    frames = {str(attribute(path, f"{_DATA}/{a.name}", "frame") or "HKL") for a in axes}
    if frames == {"QLab"}:
        raise FileFormatError(
            f"the axes of {path} are in the frame of the laboratory (QLab), where a crystal "
            "that turns has no hkl. Bin in HKL, or in QSample."
        )
    if frames == {"QSample"}:
        if ub is None:
            raise FileFormatError(
                f"the axes of {path} are Q of the sample, and there is no UB to turn it into "
                "hkl. Set the UB in Mantid (SetUB) and save again."
            )
        per_q: NDArray[np.float64] = np.asarray(np.linalg.inv(2 * np.pi * ub), dtype=float)
        return [Axis(a.name, per_q[:, int(a.name[1])], a.first, a.step) for a in axes]
    projection = numbers(path, f"{_experiment(path)}/logs/W_MATRIX/value", 9)
    if projection is None:
        return list(axes)
    columns = projection.reshape(3, 3).T
    return [_exact(a, columns) for a in axes]


def _exact(found: Axis, columns: NDArray[np.float64]) -> Axis:
    """Axis with the logged projection that its name is a rounding of."""
    if found.direction is None:
        return found
    fits = [c for c in columns if np.abs(c - found.direction).max() < TOLERANCE]
    return Axis(found.name, fits[0], found.first, found.step) if fits else found


def _same(path: Path, name: str, shape: tuple[int, ...]) -> HDF5Array | None:
    if name not in children(path, _DATA):
        return None
    array = HDF5Array(path, f"{_DATA}/{name}")
    if array.shape != shape:
        raise FileFormatError(
            f"{array.name} in {path} has shape {array.shape}, but the signal has {shape}."
        )
    return array
