"""NXRefine: transforms of single rotations, merged ones and symmetrised ones.

Arrays have the axes [Ql, Qk, Qh] and are mostly kept in other files of the same folder,
behind external links. A single rotation holds sums ``v`` and weights ``n``; from merging
onwards the arrays are means, and 0 where nothing was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gemmi
import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.grid import unit_cell
from dsfunet_core.io.hdf5 import HDF5Array
from dsfunet_core.io.hdf5_file import children, locate
from dsfunet_core.io.measured import IsZero
from dsfunet_core.io.meerkat import CountRatio
from dsfunet_core.io.nexus import candidates, choose, lay_out, placed_by_axes
from dsfunet_core.io.nxdata import attribute, axis_names
from dsfunet_core.io.place import Unplaced
from dsfunet_core.io.sample import sample_cell, sample_laue_class

if TYPE_CHECKING:
    from pathlib import Path

    from dsfunet_core.io.nxdata import Axis
    from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

__all__ = ["read", "recognises"]

_AXES = {"qh", "qk", "ql"}
#: What CCTW leaves in ``fN_transform.nxs``: sums and weights, without coordinates.
_BARE = ("v", "n")
#: Largest relative difference between a* of the coordinates and of the sample's cell.
TOLERANCE = 1e-3


def recognises(path: Path, dataset: str | None) -> bool:
    """Whether the file, or the group that the user named, has the axes of NXRefine.

    Parameters
    ----------
    path : Path
        The file.
    dataset : str or None
        Path of the group, or of a dataset in it.
    """
    if not h5py.is_hdf5(path):
        return False
    found = _transforms(path)
    if dataset is None:
        return bool(found) or _is_bare(path)
    asked = "/" + dataset.strip("/")
    return asked in found or asked.rpartition("/")[0] in found


def read(
    path: Path, dataset: str | None = None
) -> ReciprocalVolume | ReciprocalPlane | Unplaced:
    """Read a transform of NXRefine.

    Parameters
    ----------
    path : Path
        The file of the scan, or one that its links point to.
    dataset : str, optional
        Path of a transform, as ``"f1/transform"`` or ``"entry/symm_transform"``, or of one
        of its datasets, as ``"entry/symm_transform/filled_data"``. The file's default when
        left out.

    Returns
    -------
    ReciprocalVolume or Unplaced
        Read lazily, in the array's own order of axes. Intensities of a single rotation are
        v/n, with n as counts.

    Raises
    ------
    FileFormatError
        If a linked file is missing or outside the folder, or an array does not fit.
    """
    if dataset is None and _is_bare(path):
        return _read_bare(path)
    group, signal = choose(path, dataset, _transforms(path))
    values = HDF5Array(path, signal)
    if values.ndim != 3 or 0 in values.shape:
        raise FileFormatError(
            f"{signal} in {path} has shape {values.shape}; three axes (l, k, h) were expected, "
            "none of them empty."
        )
    entry = group.rpartition("/")[0]
    axes = lay_out(path, group, signal, values.shape)
    notes: list[str] = []
    cell = sample_cell(path, f"{entry}/sample") or sample_cell(path, "/entry/sample")
    cell = _checked(path, group, axes, cell, notes)
    parts: dict[str, Any] = {
        **_intensities(path, group, values, notes),
        "variance": None,
        "laue_class": sample_laue_class(path, f"{entry}/sample"),
        "name": f"{path.stem} {group.strip('/')}",
        "provenance": {
            "file": str(path.resolve()),
            "dataset": signal,
            "kept in": str(values.path),
            "format": "NXRefine transform",
            "writer": "NXRefine",
            "notes": notes,
        },
    }
    return placed_by_axes(path, parts, axes, cell)


def _transforms(path: Path) -> dict[str, str]:
    return {
        group: signal
        for group, signal in candidates(path).items()
        if {name.lower() for name in axis_names(path, group, signal) or ()} == _AXES
    }


def _is_bare(path: Path) -> bool:
    return set(_BARE) <= set(children(path, "/entry/data")) and not _transforms(path)


def _read_bare(path: Path) -> Unplaced:
    sums, counts = (HDF5Array(path, f"/entry/data/{name}") for name in _BARE)
    _same_shape(path, sums, counts)
    return Unplaced(
        intensity=CountRatio(sums, counts),
        counts=counts,
        axes="lkh",
        lacks=(
            f"{path} holds the sums and weights of one rotation without coordinates. Open the "
            "file of the scan that links to it, or give cell=(…) and limits=(first and last l, "
            "k, h)."
        ),
        name=path.stem,
        provenance={
            "file": str(path.resolve()),
            "dataset": sums.name,
            "format": "NXRefine (CCTW) sums and weights",
            "writer": "CCTW",
        },
    )


def _intensities(path: Path, group: str, values: HDF5Array, notes: list[str]) -> dict[str, Any]:
    """Intensity, counts and mask.

    The weights that stand beside symmetrised data are the reciprocal of a window for the
    Fourier transform, no numbers of observations; only those that link to ``n`` count.
    """
    counts = None
    for name in ("weights", "data_weights"):
        if name in children(path, group):
            _, kept = locate(path, f"{group}/{name}", path.resolve().parent)
            if name == "weights" or kept.rpartition("/")[2] == "n":
                counts = HDF5Array(path, f"{group}/{name}")
    if counts is None:
        notes.append("0 is taken for unmeasured, as NXRefine writes it after merging")
        return {"intensity": values, "counts": None, "mask": IsZero(values)}
    _same_shape(path, values, counts)
    return {"intensity": CountRatio(values, counts), "counts": counts, "mask": None}


def _same_shape(path: Path, sums: HDF5Array, counts: HDF5Array) -> None:
    if sums.shape != counts.shape or sums.ndim != 3:
        raise FileFormatError(
            f"{path}: the sums {sums.name} have shape {sums.shape} and the weights "
            f"{counts.name} {counts.shape}; both must have the same three axes (l, k, h)."
        )


def _checked(
    path: Path,
    group: str,
    axes: list[Axis | None],
    cell: gemmi.UnitCell | None,
    notes: list[str],
) -> gemmi.UnitCell | None:
    """Cell of the sample, or that of the coordinates' ``scaling_factor`` and ``angles``."""
    names = [f"{group}/{a.name}" for a in axes if a is not None]
    scales = {n[-1].lower(): attribute(path, n, "scaling_factor") for n in names}
    lengths: list[Any] = [
        np.ravel(scales[c]) if scales.get(c) is not None else [] for c in "hkl"
    ]
    if not all(len(x) == 1 and np.isfinite(x[0]) and x[0] > 0 for x in lengths):
        return cell
    stars = np.ravel(lengths).astype(float) / (2 * np.pi)
    if cell is not None:
        reciprocal = cell.reciprocal().parameters[:3]
        if np.any(np.abs(stars / reciprocal - 1) > TOLERANCE):
            notes.append(
                f"scaling_factor of the axes gives a*, b*, c* = {stars.tolist()} 1/Å, the "
                f"sample's cell {list(reciprocal)}; the sample's cell is used"
            )
        return cell
    angles = attribute(path, group, "angles")
    if not isinstance(angles, list) or len(angles) != 3:
        return None
    # One angle per array axis, between the other two: γ*, β*, α* for [Ql, Qk, Qh].
    by_letter = dict(zip((n[-1].lower() for n in names), angles, strict=True))
    star = unit_cell([*stars, *(by_letter[c] for c in "hkl")], f"the axes of {group} in {path}")
    notes.append("unit cell from scaling_factor and angles (reciprocal) of the coordinates")
    return star.reciprocal()
