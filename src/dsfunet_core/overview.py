"""What a file or a volume holds, told without reading all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["Sampled", "describe", "display_range", "sample_layers"]

#: Voxels of a volume that are looked at, more or less, and layers at the least.
VOXELS, LAYERS = 4_000_000, 3
#: Percentiles of the measured values between which a picture gets its shades: Bragg
#: peaks are brighter than all diffuse scattering, and rare.
LOW, HIGH = 1.0, 99.0


@dataclass(frozen=True)
class Sampled:
    """What some layers of a volume say about all of it.

    Parameters
    ----------
    coverage : float
        Fraction of voxels that were measured and are not masked.
    low, high : float
        1st and 99th percentile of the intensities.
    layers, of : int
        Layers that were read, and how many there are.
    """

    coverage: float
    low: float
    high: float
    layers: int
    of: int


def sample_layers(volume: ReciprocalVolume) -> Sampled:
    """Estimate coverage and range of a volume from some layers, of a small one from all.

    Parameters
    ----------
    volume : ReciprocalVolume
        Only these layers of it are read: evenly spread along the array axis that is
        quickest to cut.
    """
    axis = _quick_axis(volume)
    n = volume.shape[axis]
    layers = min(n, max(LAYERS, VOXELS * n // math.prod(volume.shape)))
    wanted = np.unique(((np.arange(layers) + 0.5) * n / layers).astype(int))
    values, measured, total = [], 0, 0
    for index in wanted:
        slices = [slice(None)] * 3
        slices[axis] = slice(int(index), int(index) + 1)
        block = volume.block((slices[0], slices[1], slices[2]))
        intensity, valid = block["intensity"], block["valid"]
        assert intensity is not None
        assert valid is not None
        values.append(intensity[valid])
        measured, total = measured + int(valid.sum()), total + valid.size
    low, high = display_range(np.concatenate(values))
    return Sampled(measured / total, low, high, len(wanted), n)


def display_range(values: NDArray, low: float = LOW, high: float = HIGH) -> tuple[float, float]:
    """Lowest and highest value to tell apart in a picture.

    Parameters
    ----------
    values : ndarray
        Measured values, of any shape; NaN are left out.
    low, high : float
        Percentiles.

    Returns
    -------
    tuple of float
        Values at these percentiles, apart from each other even for constant values.
    """
    finite = np.asarray(values)[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    bottom, top = (float(x) for x in np.percentile(finite, [low, high]))
    if top <= bottom:
        bottom, top = float(finite.min()), float(finite.max())
    return (bottom, top) if top > bottom else (bottom, bottom + max(abs(bottom), 1.0) * 1e-3)


def describe(path: str | os.PathLike[str], dataset: str | None = None) -> dict[str, Any]:
    """Summary of a file: what it holds, its geometry, how much was measured.

    Parameters
    ----------
    path : path-like
        Volume, plane, or result of a factorization.
    dataset : str, optional
        As in :func:`dsfunet_core.read`.

    Returns
    -------
    dict
        Plain values, ready for JSON; ``kind`` is "volume", "plane" or "factorization".

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    """
    from dsfunet_core.io import read, results
    from dsfunet_core.io.files import existing_file

    found = existing_file(path)
    if dataset is None and results.recognises(found):
        return _describe_result(found)
    data = read(found, dataset)
    about: dict[str, Any] = {"file": str(found)}
    if isinstance(data, ReciprocalVolume):
        about |= {"kind": "volume", **_shared(data), **_extent(data)}
        sampled = sample_layers(data)
        about["coverage"] = sampled.coverage
        about["coverage_from"] = {"layers": sampled.layers, "of": sampled.of}
        about["intensity_percentiles"] = {"1": sampled.low, "99": sampled.high}
    else:
        about |= {"kind": "plane", **_shared(data), **_plane(data)}
    return about


def _describe_result(path: Path) -> dict[str, Any]:
    from dsfunet_core.io.results import load_fit, load_result

    result, fit = load_result(path), load_fit(path)
    refined = None
    if fit is not None:
        refined = {
            "laue_class": fit.laue_class,
            "parameters": len(fit.alpha),
            "r_factor": fit.r_factor,
        }
    return {
        "file": str(path),
        "kind": "factorization",
        "method": result.method,
        "r_factor": result.r_factor,
        "choices": result.choices,
        "sro_refinement": refined,
        "plane": {**_shared(result.plane), **_plane(result.plane)},
    }


def _shared(data: ReciprocalPlane | ReciprocalVolume) -> dict[str, Any]:
    source = data.provenance
    return {
        "name": data.name,
        "format": source.get("format"),
        "writer": source.get("writer"),
        "dataset": source.get("dataset"),
        "shape": list(data.shape),
        "type": str(data.intensity.dtype),
        "unit_cell": None if data.cell is None else list(data.cell.parameters),
        "laue_class": data.laue_class,
        "mask_layers": list(data.masks),
        "processing": [str(step.get("step")) for step in source.get("processing", [])],
        "has_counts": data.counts is not None,
        "has_variances": data.variance is not None,
        "notes": list(source.get("notes", [])),
    }


def _extent(volume: ReciprocalVolume) -> dict[str, Any]:
    steps = np.asarray(volume.steps, float)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1).T
    hkl = volume.hkl(corners)
    low, high = hkl.min(axis=0), hkl.max(axis=0)
    q_max = np.linalg.norm(hkl @ q_matrix(volume.cell).T, axis=1).max()
    return {
        "limits": {x: [float(a), float(b)] for x, a, b in zip("hkl", low, high, strict=True)},
        "steps": steps.T.tolist(),
        "q_max": float(q_max),
    }


def _plane(plane: ReciprocalPlane) -> dict[str, Any]:
    about: dict[str, Any] = {"coverage": float(plane.valid.mean())}
    low, high = display_range(np.where(plane.valid, plane.intensity, np.nan))
    about["intensity_percentiles"] = {"1": low, "99": high}
    if plane.has_geometry:
        rows, columns = plane.shape
        about["corners"] = plane.hkl(
            [0, 0, rows - 1, rows - 1], [0, columns - 1, 0, columns - 1]
        ).tolist()
        about["q_max"] = float(plane.q_norm().max())
    return about


def _quick_axis(volume: ReciprocalVolume) -> int:
    """Array axis along which a layer costs the least reading."""
    array = volume.intensity
    chunks = getattr(array, "chunks", None) or getattr(volume.counts, "chunks", None)
    if not chunks or not all(isinstance(n, int) for n in chunks):
        return 0
    return int(np.argmin([c / n for c, n in zip(chunks, volume.shape, strict=True)]))
