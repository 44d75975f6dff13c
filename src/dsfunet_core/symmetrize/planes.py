"""Averages of planes over the operations that keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.symmetrize.arrays import Voxels
from dsfunet_core.symmetrize.averaging import average_boxes, average_tile
from dsfunet_core.symmetrize.operations import BoxSet, plane_maps
from dsfunet_core.symmetrize.report import SymmetryReport
from dsfunet_core.symmetrize.volumes import check_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["SymmetrizedPlane", "symmetrize_plane"]


@dataclass(frozen=True, eq=False)
class SymmetrizedPlane:
    """A plane averaged over its equivalents.

    Parameters
    ----------
    plane : ReciprocalPlane
        The average, its counts and its variances.
    report : SymmetryReport
        R_int, redundancy, coverage.
    """

    plane: ReciprocalPlane
    report: SymmetryReport


def symmetrize_plane(
    plane: ReciprocalPlane, laue_class: str | None = None, *, outliers: float | None = None
) -> SymmetrizedPlane:
    """Average a plane over the operations of a Laue class that map it onto itself.

    Parameters
    ----------
    plane : ReciprocalPlane
        With a unit cell. What is not valid does not contribute, and is filled wherever an
        equivalent is; filled pixels leave their mask layers.
    laue_class : str, optional
        Hermann–Mauguin symbol; that of the plane when left out.
    outliers : float, optional
        As in :func:`symmetrize_volume`.

    Returns
    -------
    SymmetrizedPlane
        In double precision, on the grid that the plane has.

    Raises
    ------
    ParameterError
        If no Laue class is known, or the cut-off is below 1.
    GeometryError
        If the plane has no cell, or the cell contradicts the Laue class.

    Notes
    -----
    A plane through Q = 0 keeps every operation that leaves its normal [uvw] or turns it
    round; one at another level loses those that turn it round, inversion among them: they
    lead to the plane at the opposite level. hk1 keeps 6 of the 12 operations of 6/m. To use
    all of them, average the volume and cut the plane afterwards.
    """
    cell, _, _ = plane.geometry()
    symbol = check_choice(laue_class, plane.laue_class, outliers, cell)
    operations = plane_maps(plane, symbol)
    data = plane_voxels(plane)
    shape = (*plane.shape, 1)
    counted, known = plane.counts is not None, plane.variance is not None
    if operations.permuting:
        table = np.zeros((1, len(operations)), dtype=np.int64)
        boxes = BoxSet(np.zeros((1, 3), np.int64), np.array([shape]), table)
        sums = average_boxes(boxes, operations, data, counted, known, outliers or 0.0)
        part = data.reshaped(0, plane.shape)
    else:
        source = PlaneSource(data.reshaped(0, shape), counted, known)
        part, sums = average_tile(
            source, operations, (0, 0, 0), shape, outliers or 0.0, np.float64
        )
        part = {label: values.reshape(plane.shape) for label, values in part.items()}
    report = SymmetryReport.from_sums(symbol, operations.exact, sums, data.counts.size)
    valid = np.isfinite(part["intensity"])
    done = plane.replace(
        **part,
        valid=valid,
        masks={name: layer & ~valid for name, layer in plane.masks.items()},
        laue_class=symbol,
    )
    return SymmetrizedPlane(
        done.processed("symmetrize", outliers=outliers, **report.as_dict()), report
    )


def plane_voxels(plane: ReciprocalPlane) -> Voxels:
    """A plane's pixels as the compiled loops take them."""
    usable = (plane.valid & np.isfinite(plane.intensity)).ravel()

    def flat(values: NDArray[np.floating] | None, elsewhere: float) -> NDArray[np.float64]:
        if values is None:
            return np.zeros(usable.size)
        return np.where(usable, np.asarray(values, dtype=float).ravel(), elsewhere)

    if plane.counts is not None:
        usable &= np.asarray(plane.counts).ravel() > 0
    return Voxels(flat(plane.intensity, np.nan), flat(plane.counts, 0), flat(plane.variance, 0))


@dataclass(frozen=True, eq=False)
class PlaneSource:
    """A plane as the only layer of a volume that is in memory."""

    whole: dict[str, NDArray[np.floating]]
    counted: bool
    known: bool

    def box(
        self, low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.floating]]]:
        """All of it, whatever corners are asked for."""
        return np.zeros(3, np.int64), self.whole
