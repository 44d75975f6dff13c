"""3D-ΔPDFs in files: Yell's layout with ``is_direct`` set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.files import existing_file, replacing
from dsfunet_core.io.grid import OBLIQUE_STEPS, metric_of, unit_cell
from dsfunet_core.io.hdf5 import HDF5Array, numbers, text
from dsfunet_core.io.hdf5_file import children
from dsfunet_core.io.json_exact import from_json, to_json
from dsfunet_core.pdf.volume import DeltaPDF

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["read_pdf", "write_pdf"]

_RECORD, _Q_MAX = "dsfunet_provenance", "dsfunet_q_max"


def write_pdf(path: str | os.PathLike[str], pdf: DeltaPDF, *, overwrite: bool = False) -> None:
    """Write a 3D-ΔPDF in Yell's layout, with ``is_direct`` true.

    Parameters
    ----------
    path : path-like
        HDF5 file to write. ``lower_limits`` and ``step_sizes`` are fractional coordinates;
        oblique steps go into DISCUS's three datasets beside them.
    pdf : DeltaPDF
        What to write.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ParameterError
        If the file exists, or its folder is missing.
    """
    with replacing(path, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as h5:
        chunks = tuple(min(n, 32) for n in pdf.values.shape)
        h5.create_dataset(
            "data", data=pdf.values, dtype="f4", chunks=chunks, compression="gzip", shuffle=True
        )
        h5["format"] = "Yell 1.0"
        h5["is_direct"] = True
        h5["lower_limits"] = np.asarray(pdf.origin, dtype=np.float64)
        steps = np.asarray(pdf.steps, dtype=np.float64)
        h5["step_sizes"] = np.diag(steps)
        if np.abs(steps - np.diag(np.diag(steps))).max() > 1e-9 * np.abs(steps).max():
            for name, column in zip(OBLIQUE_STEPS, steps.T, strict=True):
                h5[name] = column
        h5["unit_cell"] = np.array(pdf.cell.parameters, dtype=np.float64)
        h5["metric_tensor"] = metric_of(pdf.cell)
        h5[_Q_MAX] = float(pdf.q_max)
        h5[_RECORD] = to_json(pdf.provenance)


def read_pdf(path: str | os.PathLike[str]) -> DeltaPDF:
    """Read a map of direct space in Yell's layout.

    Parameters
    ----------
    path : path-like
        Written by :func:`write_pdf` or by Yell.

    Returns
    -------
    DeltaPDF
        Read as a whole. Its ``q_max`` is NaN where the file does not tell it.

    Raises
    ------
    FileFormatError
        If the file is not there, is no map of direct space, or lacks its geometry.
    """
    found = existing_file(path)
    if not h5py.is_hdf5(found) or "data" not in children(found):
        raise FileFormatError(
            f"{found} is no HDF5 file with a dataset 'data'; a 3D-ΔPDF in the layout of Yell "
            "was expected, as dsfunet pdf writes it."
        )
    flag = numbers(found, "/is_direct", 1)
    if flag is None or not int(flag[0]) & 0xFF:
        raise FileFormatError(
            f"{found} does not say is_direct, so it holds intensities in reciprocal space; "
            "read it with dsfunet_core.read, and transform it with delta_pdf."
        )
    cell, origin = numbers(found, "/unit_cell", 6), numbers(found, "/lower_limits", 3)
    steps, data = _steps(found), HDF5Array(found, "data")
    if cell is None or origin is None or steps is None or data.ndim != 3:
        raise FileFormatError(
            f"{found} holds an array of shape {data.shape}; three axes were expected, with "
            "unit_cell, lower_limits and step_sizes beside them."
        )
    record = text(found, f"/{_RECORD}")
    q_max = numbers(found, f"/{_Q_MAX}", 1)
    return DeltaPDF(
        values=data[...],
        cell=unit_cell(cell, f"unit_cell in {found}"),
        origin=origin,
        steps=steps,
        q_max=float("nan") if q_max is None else float(q_max[0]),
        provenance={"file": str(Path(found).resolve())}
        if record is None
        else from_json(record),
    )


def _steps(path: Path) -> NDArray[np.float64] | None:
    columns = [numbers(path, f"/{name}", 3) for name in OBLIQUE_STEPS]
    oblique = [column for column in columns if column is not None]
    if len(oblique) == 3:
        return np.stack(oblique, axis=1)
    sizes = numbers(path, "/step_sizes", 3)
    return None if sizes is None else np.diag(sizes)
