"""Reciprocal-space planes and volumes, and their geometry.

Everything downstream works on these two containers. Both know the unit cell and
the affine map from array index to *hkl*, so that oblique and triclinic cells
need no special case anywhere: ``hkl = origin + steps @ index``.

Q carries the factor 2π throughout: ``|Q| = 2π/d``, in Å⁻¹.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.errors import GeometryError
from dsfunet_core.lattice import PlaneLattice, plane_lattice, q_matrix
from dsfunet_core.mask_layers import MaskLayers, check_layers
from dsfunet_core.volume_mask_layers import VolumeMaskLayers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.sections import Section

__all__ = ["ReciprocalPlane", "ReciprocalVolume"]


@dataclass(frozen=True, eq=False)
class ReciprocalPlane(MaskLayers):
    """One plane of a diffuse-scattering reconstruction.

    Parameters
    ----------
    intensity : ndarray, shape (n_rows, n_columns)
        Linear intensity, arbitrary units. Values under ``valid == False`` carry
        no meaning and are never used.
    valid : ndarray of bool, shape (n_rows, n_columns)
        True where a pixel was measured and is not masked.
    cell : gemmi.UnitCell, optional
        Direct-space unit cell [Å, °]. None for an image without a lattice.
    origin : ndarray, shape (3,), optional
        *hkl* of the centre of pixel (0, 0).
    steps : ndarray, shape (3, 2), optional
        Change of *hkl* per row (first column) and per array column (second).
    variance : ndarray, shape (n_rows, n_columns), optional
        Variance of ``intensity``, in its units squared.
    counts : ndarray, shape (n_rows, n_columns), optional
        Number of observations merged into a pixel: a relative weight.
    laue_class : str, optional
        Hermann–Mauguin symbol of the Laue class, where the file tells it.
    name : str
        What to call it, ``"hk1"`` for example.
    provenance : dict
        Where it came from: file, format, writer, processing steps.
    masks : dict of str to ndarray of bool, shape (n_rows, n_columns)
        Why measured pixels are not used: one layer a reason, True = out. A pixel may be
        in several. Pixels that are neither valid nor in a layer were never measured.
        :meth:`masked` adds layers and :meth:`unmasked` takes them back.
    """

    intensity: NDArray[np.floating]
    valid: NDArray[np.bool_]
    cell: gemmi.UnitCell | None = None
    origin: NDArray[np.float64] | None = None
    steps: NDArray[np.float64] | None = None
    variance: NDArray[np.floating] | None = None
    counts: NDArray[np.floating] | None = None
    laue_class: str | None = None
    name: str = "plane"
    provenance: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.intensity)
        if len(shape) != 2:
            raise GeometryError(
                f"intensity has shape {shape}; a plane has two axes. Slice a volume "
                'with volume.section("hk1") first.'
            )
        for label in ("valid", "variance", "counts"):
            array = getattr(self, label)
            if array is not None and np.shape(array) != shape:
                raise GeometryError(
                    f"{label} has shape {np.shape(array)}, but intensity has {shape}; "
                    "they must agree pixel by pixel."
                )
        check_layers(self.masks, self.valid, self.name)
        geometry = (self.cell, self.origin, self.steps)
        if any(g is None for g in geometry) and any(g is not None for g in geometry):
            raise GeometryError(
                "cell, origin and steps belong together: give all three, or none of "
                "them for an image without a lattice."
            )
        if self.steps is not None and self.origin is not None:
            if np.shape(self.steps) != (3, 2) or np.shape(self.origin) != (3,):
                raise GeometryError(
                    f"origin has shape {np.shape(self.origin)} and steps "
                    f"{np.shape(self.steps)}; (3,) and (3, 2) were expected."
                )
            if np.linalg.matrix_rank(self.steps) < 2:
                raise GeometryError(
                    "the two steps of the plane are parallel, so its pixels do not "
                    f"span a plane: steps = {np.asarray(self.steps).tolist()}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.intensity.shape

    @property
    def has_geometry(self) -> bool:
        """Whether a cell and the map from pixel to *hkl* are known."""
        return self.cell is not None

    def geometry(self) -> tuple[gemmi.UnitCell, NDArray[np.float64], NDArray[np.float64]]:
        """Cell, *hkl* of pixel (0, 0), shape (3,), and *hkl* steps, shape (3, 2).

        Raises
        ------
        GeometryError
            If the plane has no unit cell.
        """
        if self.cell is None or self.origin is None or self.steps is None:
            raise GeometryError(
                f"plane {self.name!r} has no unit cell, so its pixels have no hkl.",
                python="Give cell, origin and steps (plane.replace(cell=..., ...)).",
                terminal="Give them: dsfunet convert IN placed.nxs --cell … --section … "
                "--limits …",
                napari="Open it with Plugins > Diffuse Scattering > Open file, where cell, "
                "plane and limits can be filled in.",
            )
        return self.cell, np.asarray(self.origin), np.asarray(self.steps)

    def hkl(self, row: Any = None, column: Any = None) -> NDArray[np.float64]:
        """*hkl* of pixels.

        Parameters
        ----------
        row, column : array_like, optional
            Pixel coordinates (fractions allowed); every pixel when left out.

        Returns
        -------
        ndarray, shape (..., 3)
            In reciprocal-lattice units.
        """
        _, origin, steps = self.geometry()
        if row is None or column is None:
            row, column = np.mgrid[: self.shape[0], : self.shape[1]]
        index = np.stack(np.broadcast_arrays(row, column), axis=-1).astype(float)
        return origin + index @ steps.T

    def pixel(self, hkl: Any) -> NDArray[np.float64]:
        """Pixel coordinates (row, column) of *hkl*, projected onto the plane.

        Parameters
        ----------
        hkl : array_like, shape (..., 3)
            Points in reciprocal-lattice units; the projection along Q's normal
            to the plane is returned for points off it.

        Returns
        -------
        ndarray, shape (..., 2)
            Fractional row and column.
        """
        cell, origin, steps = self.geometry()
        to_q = q_matrix(cell)
        solve = np.linalg.pinv(to_q @ steps)
        return (np.asarray(hkl, float) - origin) @ to_q.T @ solve.T

    def q(self) -> NDArray[np.float64]:
        """Scattering vector of every pixel, Cartesian.

        Returns
        -------
        ndarray, shape (n_rows, n_columns, 3)
            Q in Å⁻¹ (2π included), in gemmi's Cartesian frame.
        """
        return self.hkl() @ q_matrix(self.geometry()[0]).T

    def q_norm(self) -> NDArray[np.float64]:
        """Length of the scattering vector of every pixel [Å⁻¹], 2π included."""
        return np.linalg.norm(self.q(), axis=-1)

    @cached_property
    def metric(self) -> NDArray[np.float64]:
        """In-plane metric of one pixel step [Å⁻²], shape (2, 2): dQ² = pᵀ·metric·p."""
        cell, _, steps = self.geometry()
        step_q = q_matrix(cell) @ steps
        return step_q.T @ step_q

    @cached_property
    def lattice(self) -> PlaneLattice:
        """The two-dimensional reciprocal lattice of the plane, in pixels.

        Raises
        ------
        GeometryError
            If the plane is irrational: no two reciprocal-lattice vectors of
            reasonable length lie in it, so the short-range order is not periodic
            on it.
        """
        return plane_lattice(*self.geometry())

    def replace(self, **changes: Any) -> ReciprocalPlane:
        """Copy of the plane with some fields changed."""
        return replace(self, **changes)

    def processed(self, step: str, **choices: Any) -> ReciprocalPlane:
        """Copy whose ``provenance["processing"]`` has one more record.

        Parameters
        ----------
        step : str
            What was done.
        **choices : object
            With which parameters; numbers, strings, lists, dicts.
        """
        steps = [*self.provenance.get("processing", []), {"step": step, **choices}]
        return self.replace(provenance={**self.provenance, "processing": steps})


@dataclass(frozen=True, eq=False)
class ReciprocalVolume(VolumeMaskLayers):
    """A three-dimensional reconstruction, read only where it is looked at.

    Parameters
    ----------
    intensity : array-like, shape (n0, n1, n2)
        Anything with ``shape``, ``dtype`` and NumPy slicing: a dask array, an
        :class:`~dsfunet_core.io.hdf5.HDF5Array` or a NumPy array. NaN marks
        voxels that were never measured.
    cell : gemmi.UnitCell
        Direct-space unit cell [Å, °].
    origin : ndarray, shape (3,)
        *hkl* of the centre of voxel (0, 0, 0).
    steps : ndarray, shape (3, 3)
        Columns: change of *hkl* per step along each array axis.
    counts : array-like, shape (n0, n1, n2), optional
        Number of observations merged into each voxel; 0 = never measured.
    variance : array-like, shape (n0, n1, n2), optional
        Variance of ``intensity``.
    mask : array-like of bool, shape (n0, n1, n2), optional
        True where a voxel must not be used.
    laue_class : str, optional
        Hermann–Mauguin symbol of the Laue class, where the file tells it.
    name : str
        What to call it.
    provenance : dict
        Where it came from: file, format, writer.
    masks : dict of str to array-like of bool, shape (n0, n1, n2)
        Why measured voxels are in ``mask``: one layer a reason, True = out.
    """

    intensity: Any
    cell: gemmi.UnitCell
    origin: NDArray[np.float64]
    steps: NDArray[np.float64]
    counts: Any = None
    variance: Any = None
    mask: Any = None
    laue_class: str | None = None
    name: str = "volume"
    provenance: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = tuple(self.intensity.shape)
        if len(shape) != 3:
            raise GeometryError(
                f"intensity has shape {shape}; a volume has three axes (h, k, l)."
            )
        for label in ("counts", "variance", "mask"):
            array = getattr(self, label)
            if array is not None and tuple(array.shape) != shape:
                raise GeometryError(
                    f"{label} has shape {tuple(array.shape)}, but intensity has {shape}."
                )
        if self.masks and self.mask is None:
            raise GeometryError("the layers in masks say why voxels are out; give mask, too.")
        for label, layer in self.masks.items():
            if tuple(layer.shape) != shape:
                raise GeometryError(
                    f"mask layer {label!r} has shape {tuple(layer.shape)}, but intensity has "
                    f"{shape}."
                )
        if np.shape(self.steps) != (3, 3) or np.shape(self.origin) != (3,):
            raise GeometryError(
                f"origin has shape {np.shape(self.origin)} and steps "
                f"{np.shape(self.steps)}; (3,) and (3, 3) were expected."
            )
        if abs(np.linalg.det(self.steps)) < 1e-15:
            raise GeometryError(
                "the steps of the volume are linearly dependent, so its voxels do not "
                f"span reciprocal space: steps = {np.asarray(self.steps).tolist()}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each array axis."""
        return tuple(self.intensity.shape)

    def hkl(self, index: Any) -> NDArray[np.float64]:
        """*hkl* of voxel coordinates ``index``, shape (..., 3) → (..., 3)."""
        return self.origin + np.asarray(index, float) @ np.asarray(self.steps).T

    def index(self, hkl: Any) -> NDArray[np.float64]:
        """Fractional voxel coordinates of *hkl*, shape (..., 3) → (..., 3)."""
        inverse = np.linalg.inv(self.steps)
        return (np.asarray(hkl, float) - self.origin) @ inverse.T

    def block(self, slices: tuple[slice, slice, slice]) -> dict[str, NDArray | None]:
        """Read one block of the volume into memory.

        Parameters
        ----------
        slices : tuple of slice
            One slice per axis.

        Returns
        -------
        dict
            ``intensity`` (float64), ``valid`` (bool), ``variance``, ``counts``
            (None where the volume has none).
        """
        intensity = np.asarray(self.intensity[slices], dtype=np.float64)
        valid = np.isfinite(intensity)
        parts: dict[str, NDArray | None] = {"intensity": intensity, "valid": valid}
        for label in ("counts", "variance"):
            array = getattr(self, label)
            parts[label] = None if array is None else np.asarray(array[slices], float)
        if parts["counts"] is not None:
            valid &= parts["counts"] > 0
        if self.mask is not None:
            valid &= ~np.asarray(self.mask[slices], dtype=bool)
        return parts

    def replace(self, **changes: Any) -> ReciprocalVolume:
        """Copy of the volume with some fields changed."""
        return replace(self, **changes)

    def section(
        self,
        plane: str | Section,
        *,
        grid: str = "native",
        thickness: float = 0.0,
        size: int = 256,
        q_max: float | None = None,
    ) -> ReciprocalPlane:
        """Cut a plane out of the volume.

        Parameters
        ----------
        plane : str or Section
            ``"hk1"``, ``"h0l"``, ``"hhl"``, ``"2kl"``, ``"hk0.5"``, or a
            :class:`~dsfunet_core.sections.Section`.
        grid : {"native", "cartesian"}
            ``"native"``: the layer of the volume as it is, or for planes that are
            no layer (``"hhl"``) a grid of the volume's own steps.
            ``"cartesian"``: ``size`` × ``size`` pixels, square in Å⁻¹.
        thickness : float
            Full thickness of the slab averaged over, in r.l.u. along the plane's
            own fixed index.
        size : int
            Pixels along each edge of a Cartesian grid.
        q_max : float, optional
            Half-width of a Cartesian grid in Å⁻¹; the largest that the volume
            fills when left out.

        Returns
        -------
        ReciprocalPlane
            With masked voxels kept out of every average.

        Raises
        ------
        GeometryError
            If the plane does not run through the volume.
        """
        from dsfunet_core.sections import cut

        return cut(self, plane, grid=grid, thickness=thickness, size=size, q_max=q_max)
