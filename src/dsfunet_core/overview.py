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

__all__ = ["Sampled", "describe", "display_range", "sample_blocks"]

#: Volumes up to this many voxels are read as a whole; of larger ones so many blocks of at
#: least so many voxels.
VOXELS, BLOCKS, BLOCK = 1_000_000, 24, 50_000
#: Percentiles of the measured values between which a picture gets its shades: Bragg
#: peaks are brighter than all diffuse scattering, and rare.
LOW, HIGH = 1.0, 99.0


@dataclass(frozen=True)
class Sampled:
    """What parts of a volume say about all of it.

    Parameters
    ----------
    coverage : float
        Fraction of voxels that were measured and are not masked.
    low, high : float
        1st and 99th percentile of the intensities.
    voxels, of : int
        Voxels that were read, and how many there are.
    """

    coverage: float
    low: float
    high: float
    voxels: int
    of: int


def sample_blocks(volume: ReciprocalVolume) -> Sampled:
    """Estimate coverage and range of a volume from some blocks, of a small one from all.

    Parameters
    ----------
    volume : ReciprocalVolume
        Only these blocks of it are read: whole chunks of the file, spread evenly. Of a file
        in thin chunks one layer costs as much as hundreds of them.
    """
    values, measured, total = [], 0, 0
    for slices in _blocks(volume):
        block = volume.block(slices)
        intensity, valid = block["intensity"], block["valid"]
        assert intensity is not None
        assert valid is not None
        # In single precision: shades need no more, and chunks may be large.
        values.append(intensity[valid].astype(np.float32))
        measured, total = measured + int(valid.sum()), total + valid.size
    low, high = display_range(np.concatenate(values))
    return Sampled(measured / total, low, high, total, math.prod(volume.shape))


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
        sampled = sample_blocks(data)
        about["coverage"] = sampled.coverage
        about["coverage_from"] = {"voxels": sampled.voxels, "of": sampled.of}
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


def _blocks(volume: ReciprocalVolume) -> list[tuple[slice, slice, slice]]:
    """Blocks that stand for a volume."""
    shape = np.array(volume.shape)
    if shape.prod() <= VOXELS:
        return [(slice(None), slice(None), slice(None))]
    edges = _block_shape(volume)
    places = -(-shape // edges)
    # Kronecker's sequence fills a box evenly, whatever the number of points; its steps are
    # powers of the root of x⁴ = x + 1.
    steps = 1.2207440846057596 ** -np.arange(1, 4)
    points = (0.5 + np.arange(BLOCKS)[:, None] * steps) % 1.0
    chosen = np.unique((points * places).astype(int), axis=0)
    return [
        (slice(a, a + edges[0]), slice(b, b + edges[1]), slice(c, c + edges[2]))
        for a, b, c in (chosen * edges).tolist()
    ]


def _block_shape(volume: ReciprocalVolume) -> NDArray[np.intp]:
    """Edges of blocks that are quick to read: whole chunks, and not too small."""
    shape = np.array(volume.shape)
    array = volume.intensity
    chunks = getattr(array, "chunks", None) or getattr(volume.counts, "chunks", None)
    if not chunks or not all(isinstance(n, int) for n in chunks):
        chunks = (1, 1, volume.shape[2])  # a row lies in one piece
    edges = np.minimum(chunks, shape)
    while edges.prod() < min(BLOCK, shape.prod()):
        # The edge that is shortest, beside the volume's; whole chunks still.
        grown = int(np.argmin(edges / shape))
        edges[grown] = min(2 * edges[grown], shape[grown])
    return edges
