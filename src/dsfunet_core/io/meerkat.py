"""Meerkat reconstructions that keep sums and counts, and a writer for Meerkat's layouts.

What Meerkat 0.4 writes by default (one ``data`` array) is read by
:mod:`dsfunet_core.io.yell`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gemmi
import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError, GeometryError, ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.io.grid import metric_of, read_grid, stated_laue_class, unit_cell
from dsfunet_core.io.hdf5 import HDF5Array, LazyArray
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.io.json_exact import to_json
from dsfunet_core.io.yell import provenance_of
from dsfunet_core.plane import ReciprocalVolume
from dsfunet_core.symmetry import laue_class_named

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike, NDArray

__all__ = ["CountRatio", "read", "recognises", "with_crystal_axes", "write_meerkat"]

_SUMS, _COUNTS = "rebinned_data", "number_of_pixels_rebinned"


class CountRatio(LazyArray):
    """Sum of intensities over number of observations, formed where it is sliced.

    Parameters
    ----------
    sums : array-like
        Summed intensities.
    counts : array-like
        Number of observations, of the same shape. Where 0, the ratio is NaN.
    """

    def __init__(self, sums: Any, counts: Any) -> None:
        super().__init__(sums.shape, np.float64)
        self.sums, self.counts = sums, counts

    def __repr__(self) -> str:
        return f"CountRatio({self.sums!r}, {self.counts!r})"

    def __getitem__(self, key: Any) -> NDArray[np.float64]:
        counts = np.asarray(self.counts[key], dtype=np.float64)
        sums = np.asarray(self.sums[key], dtype=np.float64)
        return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file has sums and counts, and the user named no other dataset.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path of the dataset that the user named.
    """
    asked = dataset is None or dataset.strip("/") == _SUMS
    return asked and h5py.is_hdf5(path) and _SUMS in children(path)


def read(path: Path, dataset: str | None = None) -> ReciprocalVolume:
    """Read a Meerkat file with sums and counts ("Yell 0.9", or before 2017).

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        ``rebinned_data`` or nothing.

    Returns
    -------
    ReciprocalVolume
        Intensity is the lazy ratio of the two arrays, ``counts`` the number of
        observations; voxels without any are NaN.

    Raises
    ------
    FileFormatError
        If an array or the geometry is missing, or the shapes differ.
    """
    if _COUNTS not in children(path):
        raise FileFormatError(
            f"{path} has {_SUMS} without {_COUNTS}, so its sums cannot be turned into "
            "intensities. Reconstruct again with keep_number_of_pixels=True."
        )
    sums, counts = HDF5Array(path, _SUMS), HDF5Array(path, _COUNTS)
    if sums.shape != counts.shape or sums.ndim != 3 or 0 in sums.shape:
        raise FileFormatError(
            f"in {path} {_SUMS} has shape {sums.shape} and {_COUNTS} {counts.shape}; both "
            "must have the same three axes (h, k, l), none of them empty."
        )
    grid = read_grid(path, sums.shape)
    if grid is None:
        raise FileFormatError(
            f"{path} has no unit_cell, lower_limits (maxind) and step_sizes (step_size), so "
            "nothing says where its voxels are. Was the reconstruction interrupted?"
        )
    return ReciprocalVolume(
        intensity=CountRatio(sums, counts),
        counts=counts,
        variance=_variance(path, sums.shape),
        cell=grid.cell,
        origin=grid.origin,
        steps=grid.steps,
        laue_class=grid.laue_class,
        name=path.stem,
        provenance=provenance_of(path, sums.name, grid),
    )


def _variance(path: Path, shape: tuple[int, ...]) -> HDF5Array | None:
    """Variances of the ratios, in files of ours."""
    if "variance" not in children(path):
        return None
    variance = HDF5Array(path, "variance")
    if variance.shape != shape:
        raise FileFormatError(
            f"variance in {path} has shape {variance.shape}, but {_SUMS} has {shape}; the file "
            "is damaged: write it again."
        )
    return variance


def with_crystal_axes(
    volume: ReciprocalVolume,
    cell: gemmi.UnitCell | None = None,
    *,
    signs: tuple[int, int, int] = (1, 1, 1),
) -> ReciprocalVolume:
    """Index a reconstruction made in Meerkat's orthonormal basis by the crystal's *hkl*.

    Meerkat takes the orthonormal axes from a QR decomposition: x along ±a, y in the
    plane of a and b, z along ±c*. The signs depend on how the crystal was mounted and
    the file does not record them. Diffuse scattering being centrosymmetric, four of the
    eight choices are different; the right one puts the Bragg peaks on integers.

    Parameters
    ----------
    volume : ReciprocalVolume
        As read, with the 1 Å cube as its cell.
    cell : gemmi.UnitCell, optional
        The crystal's cell [Å, °]; the file's ``unit_cell`` when left out.
    signs : tuple of int
        +1 or −1 per orthonormal axis.

    Returns
    -------
    ReciprocalVolume
        The same voxels with the crystal's cell and oblique steps.

    Raises
    ------
    GeometryError
        If the volume is not in an orthonormal basis, or no cell is known.
    ParameterError
        If a sign is neither 1 nor −1.
    """
    if sorted(np.abs(signs).tolist()) != [1, 1, 1]:
        raise ParameterError(f"signs={signs}; give +1 or -1 for each of the three axes.")
    if not np.allclose(metric_of(volume.cell), np.eye(3), atol=1e-3):
        raise GeometryError(
            f"volume {volume.name!r} is not in an orthonormal basis (its cell is "
            f"{volume.cell.parameters}); it is indexed by hkl already."
        )
    if cell is None:
        if "crystal_cell" not in volume.provenance:
            raise GeometryError("the file names no crystal cell; give cell=gemmi.UnitCell(…).")
        cell = gemmi.UnitCell(*volume.provenance["crystal_cell"])
    # Rows of the Cholesky factor: a, b, c in the frame of x ∥ a, z ∥ c*.
    to_hkl = np.linalg.cholesky(metric_of(cell)) * np.asarray(signs, dtype=float)
    return ReciprocalVolume(
        intensity=volume.intensity,
        cell=cell,
        origin=to_hkl @ volume.origin,
        steps=to_hkl @ volume.steps,
        counts=volume.counts,
        variance=volume.variance,
        mask=volume.mask,
        masks=volume.masks,
        name=volume.name,
        provenance={**volume.provenance, "orthonormal_signs": [int(s) for s in signs]},
    )


def write_meerkat(
    path: str | os.PathLike[str],
    data: Any,
    cell: gemmi.UnitCell | ArrayLike,
    lower_limits: ArrayLike,
    step_sizes: ArrayLike,
    *,
    counts: Any = None,
    variance: Any = None,
    space_group_nr: int = 1,
    laue_class: str | None = None,
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a volume as Meerkat 0.4 would.

    Parameters
    ----------
    path : path-like
        File to write.
    data : array-like, shape (n_h, n_k, n_l)
        Intensities; NaN = unmeasured. Read a slab of the first axis at a time.
    cell : gemmi.UnitCell or array_like, shape (6,)
        Direct-space cell [Å, °].
    lower_limits : array_like, shape (3,)
        *hkl* of voxel (0, 0, 0).
    step_sizes : array_like, shape (3,)
        *hkl* per voxel along each axis.
    counts : array-like, shape (n_h, n_k, n_l), optional
        Number of observations. With it the two-array layout ("Yell 0.9") is written,
        whose sums are ``data`` times ``counts``.
    variance : array-like, shape (n_h, n_k, n_l), optional
        Variances of ``data``, with ``counts`` only; Meerkat itself has none.
    space_group_nr : int
        Number of the space group; 1 if unknown.
    laue_class : str, optional
        Its setting too, which the number does not tell: 112/m, -3m:R.
    provenance : dict, optional
        Where the data came from and what was done to them; kept where only we look for it.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If shapes do not fit, a step is 0, or the file exists.
    """
    if not isinstance(cell, gemmi.UnitCell):
        cell = unit_cell(cell, "cell")
    shape = tuple(np.shape(data))
    limits, steps = (np.asarray(x, dtype=np.float64) for x in (lower_limits, step_sizes))
    if variance is not None and (counts is None or tuple(np.shape(variance)) != shape):
        raise ParameterError(
            f"variance has shape {np.shape(variance)} for data of shape {shape}; it goes with "
            "counts, and needs the shape of the data."
        )
    if len(shape) != 3 or (counts is not None and tuple(np.shape(counts)) != shape):
        raise ParameterError(
            f"data has shape {shape} and counts {np.shape(counts)}; three axes (h, k, l) were "
            "expected, the same for both."
        )
    if (
        limits.shape != (3,)
        or steps.shape != (3,)
        or not np.all(np.isfinite(steps) & (steps != 0))
    ):
        raise ParameterError(
            f"lower_limits={limits.tolist()}, step_sizes={steps.tolist()}; three numbers "
            "each were expected, and no step may be 0."
        )
    if space_group_nr != 1 and stated_laue_class(space_group_nr) is None:
        raise ParameterError(f"space_group_nr={space_group_nr}; 1 to 230 was expected.")
    if laue_class is not None:
        laue_class = laue_class_named(laue_class).symbol
    record = None if provenance is None else to_json(provenance)
    with replacing(path, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as h5:
        if record is not None:
            h5["provenance"] = record
        if counts is None:
            _fill(h5, "data", "f4", shape, lambda i: data[i])
        else:
            _fill(h5, _SUMS, "f4", shape, lambda i: _sums(data[i], counts[i]))
            _fill(h5, _COUNTS, "i8", shape, lambda i: counts[i])
        if variance is not None:
            _fill(h5, "variance", "f4", shape, lambda i: variance[i])
        h5["format"] = "Yell 1.0" if counts is None else "Yell 0.9"
        h5["is_direct"] = False
        h5["space_group_nr"] = np.array([space_group_nr], dtype=np.float64)
        if laue_class is not None:
            h5["laue_class"] = laue_class
        h5["unit_cell"] = np.array(cell.parameters, dtype=np.float64)
        h5["metric_tensor"] = metric_of(cell)
        h5["lower_limits"] = limits
        h5["step_sizes"] = steps


def _sums(intensity: ArrayLike, counts: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(counts, dtype=np.float64)
    return np.where(counts > 0, np.asarray(intensity, dtype=np.float64), 0.0) * counts


def _fill(h5: h5py.File, name: str, dtype: str, shape: tuple[int, ...], slab: Any) -> None:
    """Write an array in slabs as deep as its chunks, so that each is packed once."""
    chunks = tuple(min(n, most) for n, most in zip(shape, (32, 32, 8), strict=True))
    dataset = h5.create_dataset(
        name, shape, dtype, chunks=chunks, compression="gzip", shuffle=True
    )
    for start in range(0, shape[0], chunks[0]):
        part = slice(start, start + chunks[0])
        dataset[part] = slab(part)
