"""Where the voxels of a Yell-family file lie: cell, limits, steps, Laue class.

Meerkat, Meerkat2, Yell, gemmi-disorder and DISCUS name these things alike. Their
arrays are in C order with axes [h, k, l], and ``lower_limits`` is the centre of the
first voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import numbers, text
from dsfunet_core.symmetry import LAUE_CLASSES, laue_class_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Grid", "metric_of", "read_grid", "stated_laue_class", "unit_cell"]

#: Largest difference between the metrics of ``unit_cell`` and ``metric_tensor`` that is
#: put down to rounding, relative to the products of the cell lengths.
METRIC_TOLERANCE = 1e-3

#: Datasets holding the steps of an oblique DISCUS grid, per array axis.
OBLIQUE_STEPS = ("step_sizes_abs", "step_sizes_ord", "step_sizes_top")


@dataclass(frozen=True, eq=False)
class Grid:
    """Affine map of a volume and what else its file says about the crystal.

    Parameters
    ----------
    cell : gemmi.UnitCell
        Direct-space cell [Å, °] that belongs to the indices.
    origin : ndarray, shape (3,)
        *hkl* of voxel (0, 0, 0).
    steps : ndarray, shape (3, 3)
        Columns: *hkl* per voxel along each array axis.
    laue_class : str, optional
        Hermann–Mauguin symbol.
    crystal_cell : tuple of float, optional
        The file's ``unit_cell`` [Å, °], where ``cell`` is not that one because the
        reconstruction was made in other axes.
    notes : tuple of str
        What was decided while reading, for the provenance.
    """

    cell: gemmi.UnitCell
    origin: NDArray[np.float64]
    steps: NDArray[np.float64]
    laue_class: str | None = None
    crystal_cell: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


def read_grid(path: Path, shape: tuple[int, ...], group: str = "") -> Grid | None:
    """Read the geometry datasets of a Yell-family file.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        Voxels along each axis.
    group : str
        Path of the group that holds the geometry, without a trailing slash.

    Returns
    -------
    Grid or None
        None where the file says nothing at all about geometry, as Yell's input.

    Raises
    ------
    FileFormatError
        If some of the geometry is missing or impossible, or the file holds a map of
        direct space.
    """
    notes: list[str] = []
    _require_reciprocal(path, group, notes)
    six = numbers(path, f"{group}/unit_cell", 6)
    metric = numbers(path, f"{group}/metric_tensor", 9)
    limits = numbers(path, f"{group}/lower_limits", 3)
    if limits is None:
        maxind = numbers(path, f"{group}/maxind", 3)
        limits = None if maxind is None else -maxind
    steps = _steps(path, group)
    missing = {
        "unit_cell": six is None and metric is None,
        "lower_limits (before 2017: maxind)": limits is None,
        "step_sizes (before 2017: step_size)": steps is None,
    }
    if all(missing.values()):
        return None
    if limits is None or steps is None or (six is None and metric is None):
        raise FileFormatError(
            f"{path} says only in part where its voxels are: it misses "
            f"{' and '.join(name for name, gone in missing.items() if gone)}. Add these "
            "datasets beside the data (h5py), or write the file again."
        )
    if not np.isfinite(limits).all():
        raise FileFormatError(f"lower_limits in {path} are {limits.tolist()}; not finite.")
    cell, crystal_cell = _choose_cell(path, six, metric, notes)
    return Grid(
        cell=cell,
        origin=limits,
        steps=_mend_single_layers(path, steps, shape, notes),
        laue_class=_laue_class(path, group, crystal_cell is not None, notes),
        crystal_cell=crystal_cell,
        notes=tuple(notes),
    )


def unit_cell(parameters: ArrayLike, where: str) -> gemmi.UnitCell:
    """Build a unit cell from a, b, c [Å], α, β, γ [°], and refuse impossible ones.

    Parameters
    ----------
    parameters : array_like, shape (6,)
        Lengths [Å] and angles [°].
    where : str
        What to call them in an error.

    Raises
    ------
    FileFormatError
        If no cell has these parameters.
    """
    six = [float(x) for x in np.ravel(np.asarray(parameters, dtype=float))]
    possible = len(six) == 6 and all(np.isfinite(six)) and min(six) > 0 and max(six[3:]) < 180
    if possible:
        cosines = np.cos(np.deg2rad(six[3:]))
        possible = 1 - (cosines**2).sum() + 2 * cosines.prod() > 1e-8
    if not possible:
        raise FileFormatError(
            f"{where} is {six}, which is no unit cell: three lengths in Å above 0 and three "
            "angles in degrees that close a cell were expected."
        )
    return gemmi.UnitCell(*six)


def metric_of(cell: gemmi.UnitCell) -> NDArray[np.float64]:
    """Direct-space metric tensor [Å²], shape (3, 3)."""
    return np.array(cell.metric_tensor().as_mat33().tolist())


def stated_laue_class(number: int) -> str | None:
    """Laue class of a file's space group.

    Parameters
    ----------
    number : int
        Number in International Tables; 1 (which programs also write for "unknown") and
        impossible ones give None.
    """
    return laue_class_of(number) if 1 < number <= 230 else None


def _require_reciprocal(path: Path, group: str, notes: list[str]) -> None:
    flag = numbers(path, f"{group}/is_direct", 1)
    if flag is None:
        return
    value = int(flag[0])
    if value not in (0, 1):
        # Meerkat2 writes four bytes from the address of a one-byte bool.
        notes.append(f"is_direct is {value}; only its lowest byte was written on purpose")
    if value & 0xFF:
        raise FileFormatError(
            f"{path} holds a map of direct space (is_direct = {value}), a 3D-ΔPDF for "
            "example. Give the reciprocal-space intensities it was computed from."
        )


def _steps(path: Path, group: str) -> NDArray[np.float64] | None:
    oblique = [numbers(path, f"{group}/{name}", 3) for name in OBLIQUE_STEPS]
    columns = [vector for vector in oblique if vector is not None]
    if len(columns) == 3:
        return np.stack(columns, axis=1)
    for name in ("step_sizes", "step_size"):
        sizes = numbers(path, f"{group}/{name}", 3)
        if sizes is not None:
            steps = np.zeros((3, 3))
            np.fill_diagonal(steps, sizes)
            return steps
    return None


def _mend_single_layers(
    path: Path, steps: NDArray[np.float64], shape: tuple[int, ...], notes: list[str]
) -> NDArray[np.float64]:
    """Give axes of one voxel a step where they have none; refuse that of longer axes."""
    steps = steps.copy()
    good = np.isfinite(steps).all(axis=0) & (steps != 0).any(axis=0)
    for axis in np.flatnonzero(~good & (np.asarray(shape) == 1)):
        normal = np.cross(*steps[:, good].T) if good.sum() == 2 else np.eye(3)[axis]
        steps[:, axis] = np.eye(3)[np.argmax(np.abs(normal))]
        notes.append(f"array axis {axis} has one voxel and no step; taken as {steps[:, axis]}")
    if not np.isfinite(steps).all() or abs(np.linalg.det(steps)) < 1e-15:
        raise FileFormatError(
            f"the steps in {path} do not span reciprocal space for {shape} voxels: "
            f"{steps.tolist()} (columns: hkl per voxel). None may be 0 or infinite."
        )
    return steps


def _choose_cell(
    path: Path,
    six: NDArray[np.float64] | None,
    metric: NDArray[np.float64] | None,
    notes: list[str],
) -> tuple[gemmi.UnitCell, tuple[float, ...] | None]:
    """Cell that belongs to the indices, and the crystal's where that is another.

    Meerkat's metric follows its options (orthonormal basis, unit-cell transform), its
    ``unit_cell`` does not.
    """
    given = None if six is None else unit_cell(six, f"unit_cell in {path}")
    if metric is None:
        assert given is not None
        return given, None
    tensor = metric.reshape(3, 3)
    lengths = np.sqrt(np.maximum(np.diag(tensor), 0))
    if not np.isfinite(tensor).all() or lengths.min() == 0 or np.linalg.det(tensor) <= 0:
        raise FileFormatError(
            f"metric_tensor in {path} is {tensor.tolist()}, which is no metric: it must "
            "hold the products a·a, a·b, … [Å²] of three independent axes."
        )
    scale = np.outer(lengths, lengths)
    if given is not None and np.all(
        np.abs(metric_of(given) - tensor) < METRIC_TOLERANCE * scale
    ):
        return given, None
    cosines = tensor / scale
    angles = np.rad2deg(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))
    cell = unit_cell([*lengths, *angles], f"the cell of metric_tensor in {path}")
    if given is None or six is None:
        return cell, None
    notes.append(
        "metric_tensor and unit_cell differ, so the reconstruction was made in other axes "
        "than the crystal's (orthonormal basis or unit-cell transform); the cell is that of "
        "metric_tensor"
    )
    if np.allclose(tensor, np.eye(3), atol=1e-3):
        notes.append(
            "indices are Q/2π along Meerkat's orthonormal axes, whose signs no file tells; "
            "dsfunet_core.io.meerkat.with_crystal_axes turns them into hkl"
        )
    return cell, tuple(float(x) for x in six)


def _laue_class(path: Path, group: str, other_axes: bool, notes: list[str]) -> str | None:
    number = numbers(path, f"{group}/space_group_nr", 1)
    # The number alone says nothing of the unique axis, or of rhombohedral axes.
    laue_class = text(path, f"{group}/laue_class")
    if laue_class not in LAUE_CLASSES:
        if number is None or not np.isfinite(number[0]):
            return None
        laue_class = stated_laue_class(int(number[0]))
    if laue_class is not None and other_axes:
        notes.append(f"Laue class {laue_class} refers to the crystal's axes; left out")
        return None
    return laue_class
