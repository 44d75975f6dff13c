"""Compiled loops over orbits of voxels. They release the interpreter, for threads to share."""

from __future__ import annotations

import math

import numpy as np

from dsfunet_core.compiled import compiled, median_of_first

__all__ = ["average_orbits", "interpolate_images", "merge_images"]

#: Entries of the sums that the loops return: Σ|I − ⟨I⟩|, the same times √(n/(n−1)), Σ|I| of
#: orbits seen twice or more, orbits seen, observations, observations rejected, voxels with
#: data before and after.
N_SUMS = 8


@compiled
def _merge(x, c, v, n, counted, known, cut_off, work, result, sums):  # type: ignore[no-untyped-def]
    """Mean, counts and variance of n equivalents into ``result``; adds to ``sums``.

    Rejected values are removed from the arrays.
    """
    seen = n
    if cut_off > 0 and n >= 3 and (known or n >= 4):
        for i in range(n):
            work[i] = x[i]
        middle = median_of_first(work, n)
        for i in range(n):
            work[i] = abs(x[i] - middle)
        scale = 1.4826 * median_of_first(work, n)
        kept = 0
        for i in range(n):
            allowed = scale
            if known and v[i] > allowed * allowed:
                # Counting statistics alone may scatter so far.
                allowed = math.sqrt(v[i])
            if allowed == 0 or abs(x[i] - middle) <= cut_off * allowed:
                x[kept], c[kept], v[kept] = x[i], c[i], v[i]
                kept += 1
        n = kept
    total, mean, spread = 0.0, 0.0, 0.0
    usable = known
    for i in range(n):
        usable = usable and v[i] > 0 and v[i] < np.inf
    observations = 0.0
    for i in range(n):
        weight = 1.0
        if counted:
            weight = c[i]
        elif usable:
            weight = 1.0 / v[i]
        work[i] = weight
        total += weight
        mean += weight * x[i]
        observations += c[i]
    mean /= total
    deviation, size = 0.0, 0.0
    for i in range(n):
        off = x[i] - mean
        deviation += abs(off)
        size += abs(x[i])
        if known:
            spread += work[i] * work[i] * v[i]
        else:
            spread += work[i] * off * off
    if known:
        variance = spread / (total * total)
    else:
        variance = spread / ((n - 1) * total) if n > 1 else np.nan
    result[0], result[1], result[2] = mean, observations, variance
    if n > 1:
        sums[0] += deviation
        sums[1] += deviation * math.sqrt(n / (n - 1))
        sums[2] += size
    sums[3] += 1
    sums[4] += seen
    sums[5] += seen - n


@compiled
def average_orbits(  # type: ignore[no-untyped-def]
    box, first, last, low, shape, starts, table, matrices, shifts,
    value, counts, variance, counted, known, cut_off,
):  # fmt: skip
    """Average the orbits whose first member lies in rows ``first`` to ``last`` of a box.

    The arrays are those of all boxes one after the other, and are overwritten: an orbit is
    the business of its first member alone, so that threads never meet.
    """
    n_ops = len(matrices)
    sums = np.zeros(N_SUMS)
    members, base = np.empty(n_ops, np.int64), np.empty((n_ops, 3), np.int64)
    x, c, v, work = np.empty(n_ops), np.empty(n_ops), np.empty(n_ops), np.empty(n_ops)
    result = np.empty(3)
    n1, n2 = shape[box, 1], shape[box, 2]
    for row in range(first, last):
        i0, i1 = low[box, 0] + row // n1, low[box, 1] + row % n1
        for o in range(n_ops):
            for a in range(3):
                base[o, a] = (
                    matrices[o, a, 0] * i0
                    + matrices[o, a, 1] * i1
                    + matrices[o, a, 2] * low[box, 2]
                    + shifts[o, a]
                )
        here = starts[box] + row * n2
        for step in range(n2):
            itself = here + step
            n, fixed = 0, 0
            leads = True
            for o in range(n_ops):
                b = table[box, o]
                j0 = base[o, 0] + matrices[o, 0, 2] * step - low[b, 0]
                j1 = base[o, 1] + matrices[o, 1, 2] * step - low[b, 1]
                j2 = base[o, 2] + matrices[o, 2, 2] * step - low[b, 2]
                if j0 < 0 or j1 < 0 or j2 < 0:
                    continue
                if j0 >= shape[b, 0] or j1 >= shape[b, 1] or j2 >= shape[b, 2]:
                    continue
                image = starts[b] + (j0 * shape[b, 1] + j1) * shape[b, 2] + j2
                if image < itself:
                    leads = False
                    break
                members[n] = image
                n += 1
                fixed += image == itself
            if not leads:
                continue
            if fixed > 1:
                # On a symmetry element every member comes up equally often: keep it once.
                distinct = 0
                for m in range(n):
                    new = True
                    for k in range(distinct):
                        if members[k] == members[m]:
                            new = False
                            break
                    if new:
                        members[distinct] = members[m]
                        distinct += 1
                n = distinct
            seen = 0
            for m in range(n):
                image = members[m]
                if not math.isnan(value[image]):
                    x[seen], c[seen], v[seen] = value[image], 1.0, 0.0
                    if counted:
                        c[seen] = counts[image]
                    if known:
                        v[seen] = variance[image]
                    seen += 1
            sums[6] += seen
            if seen:
                _merge(x, c, v, seen, counted, known, cut_off, work, result, sums)
                sums[7] += n
            else:
                result[0], result[1], result[2] = np.nan, 0.0, np.nan
            for m in range(n):
                value[members[m]] = result[0]
                counts[members[m]] = result[1]
                variance[members[m]] = result[2]
    return sums


@compiled
def interpolate_images(  # type: ignore[no-untyped-def]
    corner, size, matrix, shift, low, value, counts, variance, counted, known,
    least, out_value, out_counts, out_variance,
):  # fmt: skip
    """Trilinear values at the images of a tile of voxels.

    ``value``, ``counts`` and ``variance`` (3D) begin at voxel ``low``. NaN where voxels that
    may be used carry less than ``least`` of the weight.
    """
    n0, n1, n2 = value.shape
    f, b = np.empty(3), np.empty(3, np.int64)
    at = 0
    for i0 in range(size[0]):
        for i1 in range(size[1]):
            for i2 in range(size[2]):
                for a in range(3):
                    y = (
                        matrix[a, 0] * (corner[0] + i0)
                        + matrix[a, 1] * (corner[1] + i1)
                        + matrix[a, 2] * (corner[2] + i2)
                        + shift[a]
                    )
                    near = round(y)
                    if abs(y - near) < 1e-6:
                        y = near
                    floor = math.floor(y)
                    b[a] = int(floor) - low[a]
                    f[a] = y - floor
                share, total, mean, spread, observations = 0.0, 0.0, 0.0, 0.0, 0.0
                for d0 in range(2):
                    w0 = f[0] if d0 else 1 - f[0]
                    j0 = b[0] + d0
                    if w0 == 0 or j0 < 0 or j0 >= n0:
                        continue
                    for d1 in range(2):
                        w1 = w0 * (f[1] if d1 else 1 - f[1])
                        j1 = b[1] + d1
                        if w1 == 0 or j1 < 0 or j1 >= n1:
                            continue
                        for d2 in range(2):
                            w = w1 * (f[2] if d2 else 1 - f[2])
                            j2 = b[2] + d2
                            if w == 0 or j2 < 0 or j2 >= n2:
                                continue
                            x = value[j0, j1, j2]
                            if math.isnan(x):
                                continue
                            share += w
                            if counted:
                                w *= counts[j0, j1, j2]
                                observations += w
                            total += w
                            mean += w * x
                            if known:
                                spread += w * w * variance[j0, j1, j2]
                if share >= least - 1e-9 and total > 0:
                    out_value[at] = mean / total
                    out_counts[at] = observations
                    out_variance[at] = spread / (total * total)
                else:
                    out_value[at] = np.nan
                at += 1


@compiled
def merge_images(  # type: ignore[no-untyped-def]
    first, last, corner, size, matrices, shifts, values, counts, variances,
    counted, known, cut_off, out_value, out_counts, out_variance,
):  # fmt: skip
    """Merge the images (n, m) of voxels ``first`` to ``last`` of a tile into one value each."""
    n_ops = len(values)
    sums = np.zeros(N_SUMS)
    x, c, v, work = np.empty(n_ops), np.empty(n_ops), np.empty(n_ops), np.empty(n_ops)
    places, result = np.empty((n_ops, 3)), np.empty(3)
    for at in range(first, last):
        i2 = corner[2] + at % size[2]
        i1 = corner[1] + (at // size[2]) % size[1]
        i0 = corner[0] + at // (size[2] * size[1])
        seen, n = 0, 0
        for o in range(n_ops):
            for a in range(3):
                places[n, a] = (
                    matrices[o, a, 0] * i0
                    + matrices[o, a, 1] * i1
                    + matrices[o, a, 2] * i2
                    + shifts[o, a]
                )
            new = True
            for m in range(n):
                apart = 0.0
                for a in range(3):
                    apart = max(apart, abs(places[m, a] - places[n, a]))
                if apart < 1e-3:
                    new = False
                    break
            if not new:
                continue
            n += 1
            if not math.isnan(values[o, at]):
                x[seen], c[seen], v[seen] = values[o, at], 1.0, variances[o, at]
                if counted:
                    c[seen] = counts[o, at]
                seen += 1
        if not math.isnan(values[0, at]):
            sums[6] += 1
        if seen:
            _merge(x, c, v, seen, counted, known, cut_off, work, result, sums)
            sums[7] += 1
            out_value[at], out_counts[at], out_variance[at] = result[0], result[1], result[2]
        else:
            out_value[at], out_counts[at], out_variance[at] = np.nan, 0.0, np.nan
    return sums
