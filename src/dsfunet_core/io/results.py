"""Factorizations as NeXus files: they open in silx, NeXpy and h5web.

Under ``/entry`` stand the NXdata groups ``plane``, ``form_factor``, ``sro``,
``product``, ``residual`` and, where there are such, ``background``, ``weights``,
``form_factor_sigma``, ``sro_sigma``, ``coefficients`` and ``sro_refinement``; ``sample``
holds the unit cell and ``geometry`` the map from pixel to *hkl*, ``plane/masks`` the mask
layers. ``product``, ``residual`` and ``sro_sigma`` are there to be looked at, as is
``applicability``; everything else comes back exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gemmi
import h5py
import numpy as np

import dsfunet_core
from dsfunet_core.applicability import assess
from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.factorization.result import Factorization, SroCoefficients
from dsfunet_core.io.files import existing_file, replacing
from dsfunet_core.io.hdf5 import HDF5Array, text
from dsfunet_core.io.hdf5_file import children, open_hdf5
from dsfunet_core.io.json_exact import from_json, to_json
from dsfunet_core.io.volume_results import holds_volume_factorization
from dsfunet_core.lattice import PlaneLattice
from dsfunet_core.plane import ReciprocalPlane

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from dsfunet_core.refine.sro import SroRefinement

__all__ = ["add_fit", "load_fit", "load_result", "recognises", "save_result"]

#: Raised when a file written by the new version cannot be read by the old one.
FORMAT_VERSION = 1

_CREATOR = "dsfunet_core"
_IMAGES = ("form_factor", "sro", "background", "weights", "form_factor_sigma", "sro_sigma",
           "product", "residual")  # fmt: skip


def recognises(path: Path) -> bool:
    """Whether a file is a result of ours.

    Parameters
    ----------
    path : Path
        The file.
    """
    if not h5py.is_hdf5(path):
        return False
    with open_hdf5(path) as h5:
        return h5.attrs.get("creator") == _CREATOR


def save_result(
    path: str | os.PathLike[str],
    result: Factorization,
    fit: SroRefinement | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a factorization, and a refinement of its short-range order, as NeXus.

    Parameters
    ----------
    path : path-like
        File to write, ``.nxs`` or ``.h5``.
    result : Factorization
        What to write, with the plane it was made from.
    fit : SroRefinement, optional
        Warren–Cowley parameters refined to it.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If the file exists and ``overwrite`` is False, or something in ``choices`` or
        ``provenance`` cannot be stored. Nothing is written then.
    """
    with replacing(path, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as h5:
        h5.attrs.update(NX_class="NXroot", default="entry", creator=_CREATOR)
        h5.attrs["creator_version"] = dsfunet_core.__version__
        entry = _group(h5, "entry", "NXentry", default="form_factor")
        entry["format_version"] = FORMAT_VERSION
        entry["title"] = f"{result.plane.name}, factorized by {result.method}"
        entry["program_name"] = _CREATOR
        entry["program_name"].attrs["version"] = dsfunet_core.__version__
        entry["method"] = result.method
        entry["choices"] = to_json(result.choices)
        # For readers of other people's; ours asks anew.
        entry["applicability"] = to_json(assess(result).to_dict())
        _write_plane(entry, result.plane)
        for name in _IMAGES:
            array = getattr(result, name)
            if array is not None:
                _image(entry, name, array)
        if result.coefficients is not None:
            _write_coefficients(entry, result.coefficients)
        if result.lattice is not None:
            lattice = _group(entry, "lattice", "NXcollection")
            for name in ("basis", "origin", "directions", "offset"):
                lattice[name] = getattr(result.lattice, name)
        if fit is not None:
            _write_fit(entry, fit)


def load_result(path: str | os.PathLike[str]) -> Factorization:
    """Read a factorization that :func:`save_result` wrote.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Factorization
        Equal to what was saved, array by array.

    Raises
    ------
    FileFormatError
        If the file is no result of ours, is damaged, or was written by a newer version.
    """
    found = _ours(path)
    plane = _read_plane(found)
    form_factor, sro = (_required(found, f"/entry/{n}/{n}") for n in ("form_factor", "sro"))
    background, weights, sigma = (
        _optional(found, f"/entry/{n}/{n}")
        for n in ("background", "weights", "form_factor_sigma")
    )
    for name, array in (("form_factor", form_factor), ("sro", sro)):
        if array.shape != plane.shape:
            raise FileFormatError(
                f"{name} in {found} has shape {array.shape}, but the plane has {plane.shape}; "
                "the file is damaged."
            )
    return Factorization(
        plane=plane,
        method=_text(found, "/entry/method"),
        form_factor=form_factor,
        sro=sro,
        background=background,
        weights=weights,
        coefficients=_read_coefficients(found),
        lattice=_read_lattice(found),
        choices=from_json(_text(found, "/entry/choices")),
        form_factor_sigma=sigma,
    )


def add_fit(
    path: str | os.PathLike[str], fit: SroRefinement, *, overwrite: bool = False
) -> None:
    """Add a refinement of the short-range order to a file with its factorization.

    Parameters
    ----------
    path : path-like
        File that :func:`save_result` wrote; it is replaced as a whole, or not at all.
    fit : SroRefinement
        What to add.
    overwrite : bool
        Whether a refinement that is there may be replaced.

    Raises
    ------
    ParameterError
        If the file has a refinement already and ``overwrite`` is False.
    """
    found = _ours(path)
    if "sro_refinement" in children(found, "/entry") and not overwrite:
        raise ParameterError(
            f"{found} holds a refinement already; pass overwrite=True to replace it."
        )
    with (
        replacing(found, overwrite=True) as temporary,
        open_hdf5(found) as old,
        h5py.File(temporary, "w") as new,
    ):
        new.attrs.update(old.attrs)
        old.copy("entry", new)
        entry = new["entry"]
        if "sro_refinement" in entry:
            del entry["sro_refinement"]
        _write_fit(entry, fit)


def load_fit(path: str | os.PathLike[str]) -> SroRefinement | None:
    """Read the refinement stored beside a factorization.

    Parameters
    ----------
    path : path-like
        File that :func:`save_result` wrote.

    Returns
    -------
    SroRefinement or None
        None where the file holds none.
    """
    found = _ours(path)
    if "sro_refinement" not in children(found, "/entry"):
        return None
    from dsfunet_core.refine.sro import SroRefinement

    return SroRefinement.from_dict(from_json(_text(found, "/entry/sro_refinement/json")))


def _write_plane(entry: h5py.Group, plane: ReciprocalPlane) -> None:
    group = _group(entry, "plane", "NXdata", signal="intensity")
    for name in ("intensity", "valid", "variance", "counts"):
        if getattr(plane, name) is not None:
            _dataset(group, name, getattr(plane, name))
    axes = _axes(plane)
    for name, (values, unit) in axes.items():
        group[name] = values
        group[name].attrs["units"] = unit
    group.attrs["axes"] = list(axes)
    group["name"] = plane.name
    group["provenance"] = to_json(plane.provenance)
    if plane.masks:
        # HDF5 lists members by name; the order of the layers is kept beside them.
        group["mask_names"] = to_json(list(plane.masks))
        layers = _group(group, "masks", "NXcollection")
        for name, layer in plane.masks.items():
            _dataset(layers, name, layer)
    if plane.laue_class is not None:
        group["laue_class"] = plane.laue_class
    if plane.has_geometry:
        cell, _, _ = plane.geometry()
        sample = _group(entry, "sample", "NXsample")
        sample["unit_cell"] = np.array(cell.parameters)
        sample["unit_cell"].attrs["units"] = "angstrom, degree"
        geometry = _group(entry, "geometry", "NXcollection")
        geometry["origin"], geometry["steps"] = plane.origin, plane.steps


def _read_plane(path: Path) -> ReciprocalPlane:
    group = "/entry/plane"
    known = "unit_cell" in children(path, "/entry/sample")
    names = children(path, group)
    return ReciprocalPlane(
        intensity=_required(path, f"{group}/intensity"),
        valid=_required(path, f"{group}/valid").astype(bool),
        variance=_optional(path, f"{group}/variance"),
        counts=_optional(path, f"{group}/counts"),
        cell=gemmi.UnitCell(*_required(path, "/entry/sample/unit_cell")) if known else None,
        origin=_optional(path, "/entry/geometry/origin"),
        steps=_optional(path, "/entry/geometry/steps"),
        laue_class=_text(path, f"{group}/laue_class") if "laue_class" in names else None,
        name=_text(path, f"{group}/name"),
        provenance=from_json(_text(path, f"{group}/provenance")),
        masks=_read_masks(path) if "mask_names" in names else {},
    )


def _read_masks(path: Path) -> dict[str, NDArray[np.bool_]]:
    names = from_json(_text(path, "/entry/plane/mask_names"))
    return {name: _required(path, f"/entry/plane/masks/{name}").astype(bool) for name in names}


def _axes(plane: ReciprocalPlane) -> dict[str, tuple[NDArray[np.float64], str]]:
    """Coordinates along rows and columns: h, k or l where one index tells them."""
    if plane.has_geometry:
        _, origin, steps = plane.geometry()
        single = [np.flatnonzero(column) for column in steps.T]
        if all(len(index) == 1 for index in single) and single[0][0] != single[1][0]:
            return {
                "hkl"[i[0]]: (origin[i[0]] + steps[i[0], axis] * np.arange(n), "r.l.u.")
                for axis, (i, n) in enumerate(zip(single, plane.shape, strict=True))
            }
    rows, columns = plane.shape
    return {
        "row": (np.arange(rows, dtype=float), "pixel"),
        "column": (np.arange(columns, dtype=float), "pixel"),
    }


def _image(entry: h5py.Group, name: str, array: NDArray[np.floating]) -> None:
    """NXdata group with the axes of the plane, as hard links."""
    group = _group(entry, name, "NXdata", signal=name)
    _dataset(group, name, array)
    group.attrs["axes"] = entry["plane"].attrs["axes"]
    for axis in group.attrs["axes"]:
        group[axis] = entry["plane"][axis]


def _write_coefficients(entry: h5py.Group, coefficients: SroCoefficients) -> None:
    group = _group(entry, "coefficients", "NXdata", signal="real")
    group.attrs["auxiliary_signals"] = ["imaginary"]
    group["indices"] = coefficients.indices
    for name, part in (
        ("real", coefficients.values.real),
        ("imaginary", coefficients.values.imag),
    ):
        group[name] = part
    if coefficients.covariance is not None:
        group["covariance"] = coefficients.covariance
        sigma = coefficients.sigma
        assert sigma is not None
        group["real_errors"], group["imaginary_errors"] = sigma.real, sigma.imag


def _read_coefficients(path: Path) -> SroCoefficients | None:
    if "coefficients" not in children(path, "/entry"):
        return None
    group = "/entry/coefficients"
    values = np.empty(HDF5Array(path, f"{group}/real").shape, dtype=np.complex128)
    values.real, values.imag = (_required(path, f"{group}/{p}") for p in ("real", "imaginary"))
    return SroCoefficients(
        indices=_required(path, f"{group}/indices"),
        values=values,
        covariance=_optional(path, f"{group}/covariance"),
    )


def _read_lattice(path: Path) -> PlaneLattice | None:
    if "lattice" not in children(path, "/entry"):
        return None
    names = ("basis", "origin", "directions", "offset")
    return PlaneLattice(**{name: _required(path, f"/entry/lattice/{name}") for name in names})


def _write_fit(entry: h5py.Group, fit: SroRefinement) -> None:
    """Table of the vectors, α and σ for every reader, and all of it as JSON for ours."""
    group = _group(entry, "sro_refinement", "NXdata", signal="alpha")
    vectors = [orbit.representative for orbit in fit.orbits]
    group["v"] = np.array(vectors, dtype=np.int64).reshape(-1, 3)
    group["multiplicity"] = np.array([orbit.multiplicity for orbit in fit.orbits], dtype=int)
    group["length"] = np.array([orbit.length for orbit in fit.orbits], dtype=float)
    group["length"].attrs["units"] = "angstrom"
    group["alpha"], group["alpha_errors"] = fit.alpha, fit.sigma
    group["at_bound"] = fit.at_bound
    group["covariance"] = fit.covariance
    group["table"] = fit.table()
    group["json"] = to_json(fit.to_dict())


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    group.attrs.update(attributes)
    return group


def _dataset(group: h5py.Group, name: str, array: NDArray[Any]) -> None:
    group.create_dataset(name, data=array, compression="gzip", shuffle=True)


def _ours(path: str | os.PathLike[str]) -> Path:
    found = existing_file(path)
    if holds_volume_factorization(found):
        raise FileFormatError(
            f"{found} is the factorization of a whole volume: its α are refined already, and "
            "read with dsfunet_core.volume_factorization.read_volume_factorization."
        )
    if not recognises(found):
        raise FileFormatError(
            f"{found} is no result of a factorization.",
            python="Planes and volumes are read with dsfunet_core.read, and taken apart with "
            "dsfunet_core.factorize.",
            terminal="If it is a plane or a volume, take it apart first: dsfunet factorize "
            f"{found} -o result.h5",
            napari="If it is a plane or a volume, take it apart with Factorize first.",
        )
    version = int(_required(found, "/entry/format_version"))
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{found} has format version {version}; this dsfunet reads up to "
            f"{FORMAT_VERSION}. Install the newer version it was written with."
        )
    return found


def _required(path: Path, name: str) -> NDArray[Any]:
    return HDF5Array(path, name)[...]


def _optional(path: Path, name: str) -> NDArray[Any] | None:
    group, _, leaf = name.rpartition("/")
    return _required(path, name) if leaf in children(path, group) else None


def _text(path: Path, name: str) -> str:
    value = text(path, name)
    if value is None:
        raise FileFormatError(f"{path} has no text {name}; the file is damaged.")
    return value
