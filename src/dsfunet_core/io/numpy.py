"""NumPy files: ``.npy`` planes without a lattice, ``.npz`` planes and volumes with one.

An ``.npz`` holds ``intensity`` (or ``data``) and, as far as known, ``valid``,
``variance`` and ``counts`` of the same shape, the mask layers as ``masks``
(number of layers, then as the intensities) with ``mask_names``, ``unit_cell`` (6) [Å, °],
and where the pixels are: ``origin`` (3) and ``steps`` (3, number of axes), or
``lower_limits`` (3) and ``step_sizes`` (3). Pickled objects are never loaded.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.io.grid import unit_cell
from dsfunet_core.io.json_exact import from_json, to_json
from dsfunet_core.io.place import Unplaced
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["read", "recognises", "write_npz"]

#: What is loaded from one file, or written to one, at most [bytes].
MAX_BYTES = 4 * 2**30

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file is ``.npy`` or ``.npz`` by its first bytes.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Not needed to tell.
    """
    del dataset
    with path.open("rb") as file:
        start = file.read(len(_NPY))
    return start == _NPY or start.startswith(_ZIP)


def read(
    path: Path, dataset: str | None = None
) -> ReciprocalPlane | ReciprocalVolume | Unplaced:
    """Read a NumPy file.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str, optional
        Key of the intensities in an ``.npz``; ``intensity`` or ``data`` when left out.

    Returns
    -------
    ReciprocalPlane, ReciprocalVolume or Unplaced
        By the number of axes; a volume without its cell waits for
        :func:`dsfunet_core.io.place.place`.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds objects.
    """
    with path.open("rb") as file:
        single = file.read(len(_NPY)) == _NPY
        if single:
            if dataset is not None:
                raise FileFormatError(
                    f"{path} holds one array without a name, so it has no dataset "
                    f"{dataset!r}; leave dataset out."
                )
            file.seek(0)
            arrays = {"intensity": _load(file, path.stat().st_size, str(path))}
        else:
            arrays = _members(file, path)
    return _assemble(path, arrays, "NumPy .npy" if single else "NumPy .npz", dataset)


def write_npz(
    path: str | os.PathLike[str],
    data: ReciprocalPlane | ReciprocalVolume,
    *,
    overwrite: bool = False,
) -> None:
    """Write a plane or a volume so that :func:`dsfunet_core.read` gives it back.

    Parameters
    ----------
    path : path-like
        File to write.
    data : ReciprocalPlane or ReciprocalVolume
        What to write; a volume is read into memory.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If the file exists and ``overwrite`` is False, or a volume is too large to be held
        in memory.
    """
    parts = (data.intensity, data.variance, data.counts)
    total = sum(math.prod(p.shape) * p.dtype.itemsize for p in parts if p is not None)
    if total > MAX_BYTES:
        raise ParameterError(
            f"{data.name!r} takes {total / 2**30:.1f} GiB in memory, and .npz files are read "
            f"as a whole, {MAX_BYTES / 2**30:.0f} GiB at most: write .nxs, which is written "
            "and read a slab at a time."
        )
    arrays: dict[str, Any] = {
        "intensity": np.asarray(data.intensity),
        "name": np.array(data.name),
        "provenance": np.array(to_json(data.provenance)),
    }
    if data.masks:
        arrays["masks"] = np.stack([np.asarray(v, dtype=bool) for v in data.masks.values()])
        arrays["mask_names"] = np.array(list(data.masks))
    if isinstance(data, ReciprocalPlane):
        arrays["valid"] = data.valid
    elif data.mask is not None:
        arrays["valid"] = ~np.asarray(data.mask, dtype=bool)
    optional = {"variance": data.variance, "counts": data.counts, "origin": data.origin}
    optional |= {"steps": data.steps, "laue_class": data.laue_class}
    arrays |= {key: np.asarray(value) for key, value in optional.items() if value is not None}
    if data.cell is not None:
        arrays["unit_cell"] = np.array(data.cell.parameters)
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _members(file: IO[bytes], path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = {}
            total = sum(entry.file_size for entry in archive.infolist())
            if total > MAX_BYTES:
                raise _too_large(str(path), total)
            for entry in archive.infolist():
                if entry.filename.endswith(".npy"):
                    with archive.open(entry) as member:
                        label = f"{entry.filename} in {path}"
                        key = entry.filename.removesuffix(".npy")
                        arrays[key] = _load(member, entry.file_size, label)
            return arrays
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise FileFormatError(
            f"{path} is no readable .npz archive ({error}); it may be truncated: copy it "
            "again, or save it again with np.savez."
        ) from error


def _load(file: IO[bytes], size: int, label: str) -> NDArray[Any]:
    """Load one array after checking that its header promises no more than is there."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise FileFormatError(f"{label} is in .npy version {version}; 1.0 or 2.0 is read.")
    except (ValueError, EOFError, OSError) as error:
        raise FileFormatError(f"{label} has a damaged header: {error}") from error
    if dtype.hasobject:
        raise FileFormatError(
            f"{label} holds pickled Python objects, which can run code when loaded and are "
            "never read. Save plain numbers: np.save(file, array.astype(float))."
        )
    count = math.prod(shape)
    if count * dtype.itemsize > size:
        raise FileFormatError(
            f"{label} claims the shape {shape} ({count * dtype.itemsize} bytes), but "
            f"{size} bytes at most are there to be read; it is truncated or "
            "damaged: copy it again."
        )
    if count * dtype.itemsize > MAX_BYTES:
        raise _too_large(label, count * dtype.itemsize)
    raw = file.read(count * dtype.itemsize)
    if len(raw) < count * dtype.itemsize:
        raise FileFormatError(f"{label} ends before its array does; copy the file again.")
    array = np.frombuffer(bytearray(raw), dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _too_large(label: str, size: int) -> FileFormatError:
    return FileFormatError(
        f"{label} takes {size / 2**30:.1f} GiB in memory, and NumPy files are read as a whole, "
        f"{MAX_BYTES / 2**30:.0f} GiB at most. Save the volume in HDF5 (h5py), of which only "
        "what is looked at is read; dataset, cell, axes and limits then say where it lies."
    )


def _assemble(
    path: Path, arrays: dict[str, NDArray[Any]], kind: str, dataset: str | None
) -> ReciprocalPlane | ReciprocalVolume | Unplaced:
    keys = (dataset,) if dataset is not None else ("intensity", "data")
    key = next((k for k in keys if k in arrays), None)
    if key is None:
        raise FileFormatError(
            f"{path} has no array {' or '.join(map(repr, keys))}, only "
            f"{', '.join(sorted(arrays)) or 'none'}. Name the intensities with dataset=…"
        )
    intensity = arrays[key]
    if (
        intensity.ndim not in (2, 3)
        or 0 in intensity.shape
        or intensity.dtype.kind not in "biuf"
    ):
        raise FileFormatError(
            f"{key} in {path} has shape {intensity.shape} and type {intensity.dtype}; real "
            "numbers on two axes (a plane) or three (a volume) were expected."
        )
    intensity = _native(intensity)
    shared: dict[str, Any] = {
        "intensity": intensity if intensity.dtype.kind == "f" else intensity.astype(np.float64),
        **{
            label: _matching(path, arrays, label, intensity.shape)
            for label in ("variance", "counts")
        },
        **_geometry(path, arrays, intensity.ndim),
        "laue_class": str(arrays["laue_class"]) if "laue_class" in arrays else None,
        "name": str(arrays.get("name", path.stem)),
        "provenance": _provenance(path, arrays, kind, key),
    }
    valid = _matching(path, arrays, "valid", intensity.shape)
    if intensity.ndim == 2:
        finite = np.isfinite(shared["intensity"])
        if valid is None and not finite.any():
            raise FileFormatError(
                f"none of the {intensity.shape} pixels in {path} was measured (all NaN), "
                "so there is nothing to work with. Was the right array taken?"
            )
        return ReciprocalPlane(
            valid=finite if valid is None else valid.astype(bool) & finite,
            masks=_masks(path, arrays, intensity.shape),
            **shared,
        )
    usable = np.isfinite(shared["intensity"])
    if valid is not None:
        usable &= valid.astype(bool)
    if not usable.any():
        raise FileFormatError(
            f"none of the {intensity.shape} voxels in {path} was measured (all NaN or masked), "
            "so there is nothing to work with. Was the right array taken?"
        )
    mask = None if valid is None else ~valid.astype(bool)
    if shared["cell"] is not None:
        masks = _masks(path, arrays, intensity.shape)
        return ReciprocalVolume(mask=mask, masks=masks if mask is not None else {}, **shared)
    lacks = (
        f"{path} holds a volume of shape {intensity.shape} without saying where its voxels "
        'are. Give cell=(a, b, c, α, β, γ), axes="hkl" and limits=(first and last h, k, l), or '
        "save it with np.savez(file, intensity=…, unit_cell=…, lower_limits=(h, k, l), "
        "step_sizes=(…))."
    )
    bare = {k: v for k, v in shared.items() if k not in ("cell", "origin", "steps")}
    return Unplaced(mask=mask, lacks=lacks, **bare)


def _geometry(path: Path, arrays: dict[str, NDArray[Any]], ndim: int) -> dict[str, Any]:
    sizes = {"unit_cell": 6, "lower_limits": 3, "step_sizes": 3, "origin": 3, "steps": 3 * ndim}
    found = {key: _vector(path, arrays, key, size) for key, size in sizes.items()}
    known = {key: value for key, value in found.items() if value is not None}
    if not known:
        return {"cell": None, "origin": None, "steps": None}
    if {"unit_cell", "origin", "steps"} <= known.keys():
        origin, steps = known["origin"], known["steps"].reshape(3, ndim)
    elif {"unit_cell", "lower_limits", "step_sizes"} <= known.keys():
        origin, steps = known["lower_limits"], np.diag(known["step_sizes"])
        steps = steps[:, known["step_sizes"] != 0] if ndim == 2 else steps
    else:
        raise FileFormatError(
            f"{path} says only in part where its pixels are ({', '.join(known)}). Save "
            "unit_cell with either lower_limits and step_sizes, or origin and steps."
        )
    if steps.shape != (3, ndim) or np.linalg.matrix_rank(steps) < ndim:
        raise FileFormatError(
            f"the steps in {path} are {steps.tolist()}; {ndim} independent directions were "
            "expected. For a plane exactly one of the three step_sizes is 0."
        )
    cell = unit_cell(known["unit_cell"], f"unit_cell in {path}")
    return {"cell": cell, "origin": origin, "steps": steps}


def _vector(
    path: Path, arrays: dict[str, NDArray[Any]], key: str, size: int
) -> NDArray[np.float64] | None:
    if key not in arrays:
        return None
    values = arrays[key]
    if values.size != size or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise FileFormatError(
            f"{key} in {path} is {values.tolist() if values.size < 20 else values.shape}; "
            f"{size} finite numbers were expected."
        )
    return values.astype(np.float64).reshape(size)


def _matching(
    path: Path, arrays: dict[str, NDArray[Any]], key: str, shape: tuple[int, ...]
) -> NDArray[Any] | None:
    if key not in arrays:
        return None
    if arrays[key].shape != shape or arrays[key].dtype.kind not in "biuf":
        raise FileFormatError(
            f"{key} in {path} has shape {arrays[key].shape} and type {arrays[key].dtype}; "
            f"real numbers of shape {shape}, as the intensities, were expected."
        )
    return _native(arrays[key])


def _masks(
    path: Path, arrays: dict[str, NDArray[Any]], shape: tuple[int, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Mask layers by name, in the order they were made."""
    if "masks" not in arrays or "mask_names" not in arrays:
        return {}
    layers, names = arrays["masks"], arrays["mask_names"]
    if layers.shape != (names.size, *shape) or layers.dtype.kind not in "biu":
        raise FileFormatError(
            f"masks in {path} has shape {layers.shape} and type {layers.dtype} for "
            f"{names.size} mask_names; True or False of shape {(names.size, *shape)} was "
            "expected."
        )
    return {str(n): layer.astype(bool) for n, layer in zip(names.ravel(), layers, strict=True)}


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _provenance(
    path: Path, arrays: dict[str, NDArray[Any]], kind: str, key: str
) -> dict[str, Any]:
    if "provenance" in arrays:
        stored = from_json(str(arrays["provenance"]))
        if isinstance(stored, dict):
            return stored
    provenance: dict[str, Any] = {"file": str(path.resolve()), "format": kind}
    return provenance if kind.endswith(".npy") else {**provenance, "dataset": key}
