"""Averages over voxels in which masked ones take no part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["average", "interpolate"]

#: Share of a pixel's interpolation weight that must come from voxels that may be used.
MIN_WEIGHT = 0.5
#: Voxels along an edge of the blocks that an oblique plane is read in.
BLOCK = 48


def average(block: dict[str, NDArray[Any] | None]) -> dict[str, NDArray[Any] | None]:
    """Average the layers of a block.

    Parameters
    ----------
    block : dict
        ``intensity`` and ``valid``, shape (m, n_rows, n_columns), ``variance`` and
        ``counts`` (or None), as from :meth:`ReciprocalVolume.block`.

    Returns
    -------
    dict
        The same names, shape (n_rows, n_columns): the mean weighted by counts, else by
        inverse variances, else equal; its variance; the sum of the counts. Where
        nothing may be used, intensity and variance are NaN and counts 0.
    """
    valid, counts, variance = block["valid"], block["counts"], block["variance"]
    assert valid is not None
    intensity = _clean(block["intensity"], valid)
    counts = None if counts is None else _clean(counts, valid)
    variance = None if variance is None else _clean(variance, valid)
    if len(valid) == 1:
        weights = valid.astype(np.float64)
    else:
        weights = _weights(valid, counts, variance)
    total = weights.sum(axis=0)
    return {
        "intensity": _divide((weights * intensity).sum(axis=0), total),
        "valid": total > 0,
        "variance": None
        if variance is None
        else _divide((weights**2 * variance).sum(axis=0), total**2),
        "counts": None if counts is None else counts.sum(axis=0),
    }


def interpolate(
    volume: ReciprocalVolume,
    origin: NDArray[np.float64],
    steps: NDArray[np.float64],
    shape: tuple[int, int],
    offsets: NDArray[np.float64],
) -> dict[str, NDArray[Any] | None]:
    """Fill a plane's pixels from the voxels around them, block by block.

    Parameters
    ----------
    volume : ReciprocalVolume
        Where the values come from.
    origin : ndarray, shape (3,)
        *hkl* of pixel (0, 0).
    steps : ndarray, shape (3, 2)
        *hkl* per row and per column.
    shape : tuple of int
        Rows and columns.
    offsets : ndarray, shape (m, 3)
        *hkl* offsets of the sheets that are averaged.

    Returns
    -------
    dict
        ``intensity``, ``valid``, ``variance`` and ``counts`` as :func:`average`. A pixel
        larger than a voxel is the mean over a grid of points in it, one a voxel.
    """
    start = volume.index(origin)
    index_steps = np.linalg.solve(volume.steps, steps)
    shifts = np.linalg.solve(volume.steps, offsets.T).T
    inner = _points_in_pixel(index_steps)
    parts: dict[str, NDArray[Any] | None] = {
        "intensity": np.full(shape, np.nan),
        "valid": np.zeros(shape, dtype=bool),
        "variance": None if volume.variance is None else np.full(shape, np.nan),
        "counts": None if volume.counts is None else np.zeros(shape),
    }
    for tile in _tiles(shape, index_steps):
        pixels = np.moveaxis(np.mgrid[tile], 0, -1).reshape(-1, 1, 2)
        points = start + (pixels + inner) @ index_steps.T
        filled = _fill(volume, points, shifts)
        if filled is None:
            continue
        for name, values in filled.items():
            target = parts[name]
            if target is not None:
                target[tile] = values.reshape(target[tile].shape)
    return parts


def _fill(
    volume: ReciprocalVolume, points: NDArray[np.floating], shifts: NDArray[np.floating]
) -> dict[str, NDArray[Any]] | None:
    """Values at points (n_pixels, n_inner, 3) given in voxels; None outside the volume."""
    sheets = [_snap(points + shift) for shift in shifts]
    low = np.floor(np.min([p.min(axis=(0, 1)) for p in sheets], axis=0)).astype(int)
    high = np.ceil(np.max([p.max(axis=(0, 1)) for p in sheets], axis=0)).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, np.asarray(volume.shape) - 1)
    if np.any(high < low):
        return None
    first, second, third = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    block = volume.block((first, second, third))
    valid = np.asarray(block["valid"]).ravel()
    intensity = _clean(block["intensity"], block["valid"]).ravel()
    counts, variance = (
        None if block[name] is None else _clean(block[name], block["valid"]).ravel()
        for name in ("counts", "variance")
    )
    per_voxel = valid.astype(np.float64) if counts is None else counts
    box = tuple(int(n) for n in high - low + 1)
    kernels, shares = [], []
    for sheet in sheets:
        kernel = _trilinear(sheet - low, box)
        enough = kernel @ valid.astype(np.float64) >= MIN_WEIGHT - 1e-9
        kernel = _scaled(kernel.multiply(per_voxel).tocsr(), enough)
        shares.append(kernel.sum(axis=1))
        kernels.append(_scaled(kernel, _divide(1.0, shares[-1], 0.0)))
    seen = np.stack(shares)
    sheet_variance = None
    if variance is not None:
        sheet_variance = np.stack([kernel.power(2) @ variance for kernel in kernels])
    weights = _weights(seen > 0, None if counts is None else seen, sheet_variance)
    total = weights.sum(axis=0)
    # Sheets share voxels, so their kernels are added before variances are taken.
    combined = sum(
        (_scaled(k, _divide(w, total, 0.0)) for k, w in zip(kernels, weights, strict=True)),
        start=kernels[0] * 0.0,
    )
    filled = {
        "intensity": np.where(total > 0, combined @ intensity, np.nan),
        "valid": total > 0,
    }
    if variance is not None:
        filled["variance"] = np.where(total > 0, combined.power(2) @ variance, np.nan)
    if counts is not None:
        filled["counts"] = seen.sum(axis=0)
    return filled


def _weights(
    valid: NDArray[np.bool_],
    counts: NDArray[np.float64] | None,
    variance: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Weights of layers, shape (m, …): counts, else 1/variance, else 1; 0 if not valid."""
    if counts is not None:
        return np.where(valid, counts, 0.0)
    equal = valid.astype(np.float64)
    if variance is None:
        return equal
    usable = ~valid | (np.isfinite(variance) & (variance > 0))
    # A variance of 0 would take all the weight, and leaving the voxel out would bias.
    inverse = np.divide(equal, variance, out=np.zeros_like(equal), where=valid & usable)
    return np.where(usable.all(axis=0), inverse, equal)


def _trilinear(points: NDArray[np.float64], box: tuple[int, ...]) -> csr_array:
    """Kernel (pixels, voxels of the box); what falls outside the box is left out."""
    from scipy.sparse import csr_array

    n_pixels, n_inner, _ = points.shape
    base = np.floor(points).astype(np.int64)
    fraction = points - base
    rows, columns, values = [], [], []
    pixel = np.broadcast_to(np.arange(n_pixels)[:, None], (n_pixels, n_inner))
    for corner in np.ndindex(2, 2, 2):
        voxel = base + corner
        weight = np.where(np.asarray(corner) == 1, fraction, 1 - fraction).prod(axis=-1)
        inside = (weight > 0) & np.all((voxel >= 0) & (voxel < box), axis=-1)
        rows.append(pixel[inside])
        columns.append(np.ravel_multi_index(tuple(voxel[inside].T), box))
        values.append(weight[inside] / n_inner)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(entries, shape=(n_pixels, int(np.prod(box))))


def _scaled(kernel: csr_array, factors: NDArray[Any]) -> csr_array:
    """Rows of a kernel times factors."""
    return kernel.multiply(np.asarray(factors, dtype=np.float64)[:, None]).tocsr()


def _points_in_pixel(index_steps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Offsets (n, 2) in pixels of the points a pixel is averaged over: one a voxel."""
    finest = np.maximum(1, np.rint(np.abs(index_steps).max(axis=0))).astype(int)
    rows, columns = ((np.arange(n) + 0.5) / n - 0.5 for n in finest)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def _tiles(
    shape: tuple[int, int], index_steps: NDArray[np.floating]
) -> Iterator[tuple[slice, slice]]:
    """Cut a plane into tiles that span about ``BLOCK`` voxels."""
    edge = int(np.clip(BLOCK / np.abs(index_steps).sum(axis=1).max(), 8, 256))
    for row in range(0, shape[0], edge):
        for column in range(0, shape[1], edge):
            yield (
                slice(row, min(row + edge, shape[0])),
                slice(column, min(column + edge, shape[1])),
            )


def _snap(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo rounding errors, so that points meant to be on voxels are."""
    nearest = np.rint(points)
    return np.where(np.abs(points - nearest) < 1e-6, nearest, points)


def _clean(values: NDArray[Any] | None, valid: NDArray[Any] | None) -> NDArray[np.float64]:
    """Zero where not valid, whatever stands there: NaN times 0 is still NaN."""
    assert values is not None
    assert valid is not None
    return np.where(valid, values, 0.0)


def _divide(
    top: Any, bottom: NDArray[np.float64], empty: float = np.nan
) -> NDArray[np.float64]:
    out = np.full(np.shape(bottom), empty)
    return np.divide(top, bottom, out=out, where=bottom > 0)
