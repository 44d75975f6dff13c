"""Volumes averaged over their Laue class."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import gemmi
import numpy as np
import pytest
from symmetry_volumes import CELLS, cell_of, gemmi_images, random_volume

import dsfunet_core as ds
from dsfunet_core import ReciprocalVolume
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.io.meerkat import with_crystal_axes, write_meerkat
from dsfunet_core.symmetrize import symmetrize_volume, write_symmetrized
from dsfunet_core.symmetrize.operations import closed_boxes, volume_maps
from dsfunet_core.symmetry import LAUE_CLASSES, laue_rotations

ALL = sorted(LAUE_CLASSES)
REACH = (5, 5, 5)
GRID = np.array(list(product(range(-5, 6), repeat=3)))
GIB = 2**30 / 12


@cache
def grid_images(symbol: str) -> np.ndarray:
    """Equivalents of all voxels, shape (order, 1331, 3)."""
    return gemmi_images(symbol, GRID)


def at(array: np.ndarray, hkl: np.ndarray) -> np.ndarray:
    """Values at integer indices counted from the middle; NaN outside."""
    index = hkl + 5
    inside = np.all((index >= 0) & (index < 11), axis=-1)
    index = np.where(inside[..., None], index, 0)
    return np.where(inside, array[tuple(np.moveaxis(index, -1, 0))], np.nan)


def by_hand(volume: ReciprocalVolume, symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean over distinct equivalents and their number, one voxel after the other."""
    images = grid_images(symbol)
    mean, number = [], []
    for place in range(len(GRID)):
        distinct = np.unique(images[:, place], axis=0)
        values = at(volume.intensity, distinct)
        number.append(np.isfinite(values).sum())
        mean.append(np.nanmean(values) if number[-1] else np.nan)
    return np.reshape(mean, (11,) * 3), np.reshape(number, (11,) * 3)


@pytest.mark.parametrize("symbol", ALL)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_averages_are_means_over_distinct_equivalents(symbol, share, tmp_path):
    volume = random_volume(symbol)
    memory = share * 11**3 / GIB
    scratch = tmp_path / "average.h5" if share < 1 else None
    done = symmetrize_volume(volume, symbol, max_memory=memory * 1.01, scratch=scratch)
    mean, number = by_hand(volume, symbol)
    np.testing.assert_allclose(done.volume.intensity[...], mean, rtol=1e-6)
    np.testing.assert_array_equal(done.volume.counts[...], number)
    assert done.report.permuting == done.report.operations


@pytest.mark.parametrize("symbol", ALL)
@pytest.mark.parametrize("memory", [1.0, 400 / GIB])
def test_averages_are_invariant_under_the_operators_of_gemmi(symbol, memory, tmp_path):
    volume = random_volume(symbol, gaps=0.5)
    done = symmetrize_volume(
        volume, symbol, max_memory=memory, scratch=tmp_path / "average.h5"
    ).volume
    average = done.intensity[...]
    for image in grid_images(symbol):
        other = at(average, image)
        inside = np.all(np.abs(image) <= 5, axis=1)
        np.testing.assert_allclose(other[inside], average.ravel()[inside], rtol=1e-6, atol=1e-6)


def test_classes_that_are_taken_for_each_other_elsewhere_give_different_maps():
    volume = random_volume("6/m")
    maps = {
        s: symmetrize_volume(volume, s).volume.intensity
        for s in ("-1", "112/m", "-3", "-3m1", "-31m", "6/m", "6/mmm")
    }
    for first, second in product(maps, repeat=2):
        if first != second:
            assert not np.allclose(maps[first], maps[second], equal_nan=True)


@pytest.mark.parametrize("symbol", ALL)
@pytest.mark.parametrize("shape", [(11, 11, 11), (12, 12, 12), (9, 13, 10), (1, 6, 7)])
def test_boxes_fill_the_array_once_and_are_closed(symbol, shape):
    steps, origin = np.eye(3) * 0.5, -0.5 * (np.array(shape) // 2)
    volume = ReciprocalVolume(np.zeros(shape), cell_of(symbol), origin, steps)
    operations = volume_maps(volume, symbol)
    assert operations.permuting
    filled = np.zeros(shape, dtype=int)
    for boxes in closed_boxes(operations, shape, 450):
        for low, size, table in zip(boxes.low, boxes.shape, boxes.table, strict=True):
            filled[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] += 1
            voxels = np.indices(size).reshape(3, -1).T + low
            for matrix, shift, target in zip(
                operations.matrices, operations.shifts, table, strict=True
            ):
                image = voxels @ matrix.T + shift
                inside = np.all((image >= 0) & (image < shape), axis=1)
                where = image[inside] - boxes.low[target]
                assert np.all((where >= 0) & (where < boxes.shape[target]))
    np.testing.assert_array_equal(filled, 1)


def test_counts_weigh_the_mean_and_are_added_up():
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, size=(11,) * 3)
    volume = random_volume("2/m", gaps=0, counts=counts)
    done = symmetrize_volume(volume, "2/m").volume
    expected, total = np.zeros((11,) * 3), np.zeros((11,) * 3)
    for w in np.array([[1, 1, 1], [-1, -1, -1], [-1, 1, -1], [1, -1, 1]]):
        flips = tuple(slice(None, None, int(s)) for s in w)
        expected += (volume.intensity * counts)[flips]
        total += counts[flips]
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(done.intensity, expected / total, rtol=1e-6)
    # On the axis and in the mirror plane the four images are two voxels, each there twice.
    np.testing.assert_array_equal(done.counts[0, 0, 0], total[0, 0, 0])
    np.testing.assert_array_equal(done.counts[0, 5, 0], total[0, 5, 0] / 2)
    np.testing.assert_array_equal(done.counts[5, 5, 5], counts[5, 5, 5])


def test_variances_weigh_the_mean_and_shrink_as_they_should():
    rng = np.random.default_rng(5)
    variance = rng.uniform(0.5, 4, size=(11,) * 3)
    intensity = 100 + rng.normal(size=variance.shape) * np.sqrt(variance)
    base = random_volume("mmm", gaps=0)
    volume = replace(base, intensity=intensity, variance=variance)
    done = symmetrize_volume(volume, "mmm").volume
    flips = [tuple(slice(None, None, s) for s in w) for w in product((1, -1), repeat=3)]
    precision = sum(1 / variance[f] for f in flips)
    mean = sum((intensity / variance)[f] for f in flips) / precision
    general = np.ix_([0, 1, 8], [0, 4, 9], [0, 3, 10])
    np.testing.assert_allclose(done.intensity[general], mean[general], rtol=1e-6)
    np.testing.assert_allclose(done.variance[general], 1 / precision[general], rtol=1e-5)


def test_without_variances_errors_come_from_the_scatter_and_are_right():
    rng = np.random.default_rng(8)
    base = random_volume("m-3m", reach=(12, 12, 12))
    noisy = replace(base, intensity=50 + rng.normal(scale=3.0, size=base.shape))
    done = symmetrize_volume(noisy, "m-3m").volume
    general = done.counts[...] == 48
    off = (done.intensity[general] - 50) / np.sqrt(done.variance[general])
    assert np.std(off) == pytest.approx(1.0, abs=0.06)
    assert np.mean(done.variance[general]) == pytest.approx(9 / 48, rel=0.03)


def test_outliers_are_rejected_and_good_values_kept():
    base = random_volume("6/mmm", reach=(10, 10, 4), gaps=0)
    h, k, l = np.moveaxis(base.hkl(np.moveaxis(np.indices(base.shape), 0, -1)), -1, 0)  # noqa: E741
    true = 100 * np.exp(-(h**2 + k**2 + h * k + l**2) / 20)
    rng = np.random.default_rng(2)
    spoiled = true + rng.normal(scale=1.0, size=true.shape)
    bad = rng.random(true.shape) < 0.01
    spoiled[bad] += 1000
    volume = replace(base, intensity=spoiled)
    plain = symmetrize_volume(volume, "6/mmm")
    robust = symmetrize_volume(volume, "6/mmm", outliers=6)
    general = plain.volume.counts[...] == 24
    assert np.abs(plain.volume.intensity - true)[general].max() > 30
    assert np.abs(robust.volume.intensity - true)[general].max() < 1.5
    assert 0.008 < robust.report.rejected < 0.02
    assert robust.report.r_int < plain.report.r_int


def test_few_counts_are_no_outliers_where_variances_tell_so():
    rng = np.random.default_rng(11)
    base = random_volume("m-3m", reach=(9, 9, 9), gaps=0)
    counts = rng.poisson(0.3, size=base.shape).astype(float)
    known = replace(base, intensity=counts, variance=np.maximum(counts, 0.3))
    report = symmetrize_volume(known, "m-3m", outliers=5).report
    assert report.rejected < 1e-3
    bad = counts.copy()
    bad[2, 3, 4] = 60
    spoiled = replace(known, intensity=bad, variance=np.maximum(counts, 0.3))
    assert symmetrize_volume(spoiled, "m-3m", outliers=5).volume.intensity[2, 3, 4] < 1


def test_masked_voxels_do_not_contribute_and_are_filled():
    base = random_volume("4/m", gaps=0)
    mask = np.zeros(base.shape, dtype=bool)
    mask[2, 3, 4] = True
    spoiled = base.intensity.copy()
    spoiled[2, 3, 4] = 1e9
    done = symmetrize_volume(replace(base, intensity=spoiled, mask=mask), "4/m").volume
    # (h, k, l) → (−k, h, l), counted from the middle: seven others stand for it.
    others = []
    for w in laue_rotations("4/m")[1:]:
        others.append(base.intensity[tuple(np.array([-3, -2, -1]) @ w + 5)])
    assert done.intensity[2, 3, 4] == pytest.approx(np.mean(others), rel=1e-6)
    assert done.counts[2, 3, 4] == 7
    assert done.mask is None


def test_r_int_is_that_of_the_definition():
    volume = random_volume("2/m", gaps=0)
    report = symmetrize_volume(volume, "2/m").report
    top, meas, size, orbits, seen = 0.0, 0.0, 0.0, 0, 0
    known = set()
    for place in grid_images("2/m").transpose(1, 0, 2):
        distinct = np.unique(place, axis=0)
        key = distinct.tobytes()
        if key in known:
            continue
        known.add(key)
        values = at(volume.intensity, distinct)
        orbits, seen = orbits + 1, seen + len(values)
        if len(values) > 1:
            off = np.abs(values - values.mean()).sum()
            top, size = top + off, size + values.sum()
            meas += off * np.sqrt(len(values) / (len(values) - 1))
    assert report.r_int == pytest.approx(top / size, rel=1e-5)
    assert report.r_meas == pytest.approx(meas / size, rel=1e-5)
    assert report.redundancy == pytest.approx(seen / orbits)


def smooth(hkl: np.ndarray, cell: gemmi.UnitCell, symbol: str) -> np.ndarray:
    """A slowly varying function that has the symmetry of a Laue class and no more."""
    total = np.zeros(hkl.shape[:-1])
    for w in laue_rotations(symbol):
        image = hkl @ w
        total += np.cos(2 * np.pi * (image @ np.array([0.031, 0.083, 0.057])))
    return 50 + total


@pytest.mark.parametrize("symbol", ["-1", "2/m", "-3", "6/m", "m-3"])
def test_oblique_steps_and_odd_offsets_are_interpolated(symbol):
    cell = cell_of(symbol)
    steps = np.array([[0.2, 0.02, 0.0], [0.03, 0.22, -0.04], [-0.01, 0.05, 0.15]])
    origin = -steps @ np.array([12.3, 11.6, 12.2])
    hkl = origin + np.moveaxis(np.indices((25,) * 3), 0, -1) @ steps.T
    true = smooth(hkl, cell, symbol)
    intensity = true.copy()
    rng = np.random.default_rng(6)
    gone = rng.random(true.shape) < 0.1
    intensity[gone] = np.nan
    volume = ReciprocalVolume(intensity, cell, origin, steps)
    done = symmetrize_volume(volume, symbol)
    assert done.report.permuting < done.report.operations
    # All that is left is the error of linear interpolation, f''/8 · step² at the most.
    assert np.nanmax(np.abs(done.volume.intensity - true)) < 0.6
    assert np.nanmean(np.abs(done.volume.intensity - true)) < 0.05
    assert done.report.r_int < 0.003
    assert done.report.coverage_after > done.report.coverage_before


def test_half_voxel_offsets_keep_what_symmetry_they_can():
    steps = np.eye(3) * 0.5
    origin = np.full(3, -2.75)  # Q = 0 between voxels: inversion still permutes them
    rng = np.random.default_rng(4)
    volume = ReciprocalVolume(rng.random((12,) * 3), CELLS["nothing"], origin, steps)
    done = symmetrize_volume(volume, "-1")
    assert done.report.permuting == 2
    average = done.volume.intensity
    np.testing.assert_allclose(average, average[::-1, ::-1, ::-1], rtol=1e-6)


def test_interpolated_averages_are_invariant_where_voxels_meet_voxels():
    steps = np.diag([0.5, 0.25, 0.5])  # a fourfold axis along c, but k is stepped finer
    origin = -steps @ np.array([6, 12, 4.0])
    rng = np.random.default_rng(9)
    volume = ReciprocalVolume(
        rng.random((13, 25, 9)), gemmi.UnitCell(5, 5, 7, 90, 90, 90), origin, steps
    )
    done = symmetrize_volume(volume, "4/m")
    assert done.report.permuting == 4
    coarse = done.volume.intensity[:, ::2]
    np.testing.assert_allclose(coarse, np.rot90(coarse), rtol=1e-6)


def test_orthonormal_volumes_are_symmetrized_along_the_crystal_axes():
    crystal = CELLS["a = b, α = β = 90°, γ = 120°"]
    cube = gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    plain = ReciprocalVolume(
        np.zeros((41, 41, 21)), cube, np.array([-0.4, -0.4, -0.2]), np.eye(3) * 0.02
    )
    volume = with_crystal_axes(plain, crystal)
    hkl = volume.hkl(np.moveaxis(np.indices(volume.shape), 0, -1))
    true = smooth(hkl, crystal, "6/m")
    volume = replace(volume, intensity=true)
    done = symmetrize_volume(volume, "6/m")
    assert done.report.permuting == 4  # 2/m of the array's own
    off = np.abs(done.volume.intensity - true)
    # At the rim of the volume an image may lack up to half of its neighbours.
    assert off.max() < 0.1
    assert off.mean() < 3e-3


def test_files_come_back_with_counts_and_laue_class(tmp_path):
    source = tmp_path / "source.h5"
    base = random_volume("6/m", reach=(20, 20, 6))
    write_meerkat(source, base.intensity, base.cell, base.origin, np.diag(base.steps))
    volume = ds.read(source)
    report = write_symmetrized(tmp_path / "out.h5", volume, "6/m", max_memory=6000 / GIB)
    again = ds.read(tmp_path / "out.h5")
    whole = symmetrize_volume(volume, "6/m")
    assert again.laue_class == "6/m"
    assert again.provenance["processing"][-1]["step"] == "symmetrize"
    assert again.provenance["processing"][-1]["r_int"] == pytest.approx(report.r_int)
    np.testing.assert_allclose(again.intensity[...], whole.volume.intensity, rtol=3e-7)
    np.testing.assert_array_equal(again.counts[...], whole.volume.counts)
    np.testing.assert_allclose(again.hkl([1, 2, 3]), volume.hkl([1, 2, 3]))
    assert report.r_int == pytest.approx(whole.report.r_int)
    assert report.redundancy == pytest.approx(whole.report.redundancy)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.h5", "source.h5"]
    with pytest.raises(ParameterError, match="exists already"):
        write_symmetrized(tmp_path / "out.h5", volume, "6/m")


def test_what_cannot_be_done_is_refused_with_a_reason(tmp_path):
    volume = random_volume("-1")
    with pytest.raises(ParameterError, match="do not tell their Laue class"):
        symmetrize_volume(volume)
    with pytest.raises(GeometryError, match="asks for"):
        symmetrize_volume(volume, "6/m")
    with pytest.raises(ParameterError, match="outliers=0.5"):
        symmetrize_volume(volume, "-1", outliers=0.5)
    with pytest.raises(ParameterError, match="more than max_memory"):
        symmetrize_volume(volume, "-1", max_memory=1e-6)
    with pytest.raises(ParameterError, match="more than 0 GiB"):
        symmetrize_volume(volume, "-1", max_memory=0)
    oblique = replace(volume, steps=volume.steps + 0.01)
    with pytest.raises(GeometryError, match="oblique"):
        write_symmetrized(tmp_path / "out.h5", oblique, "-1")


def test_variances_come_back_where_the_volume_has_some(tmp_path):
    rng = np.random.default_rng(4)
    volume = random_volume("-1", seed=4)
    known = rng.gamma(3.0, 2.0, volume.shape)
    volume = volume.replace(variance=known, counts=rng.integers(1, 5, volume.shape))
    average = symmetrize_volume(volume, "-1").volume
    write_symmetrized(tmp_path / "out.h5", volume, "-1")
    back = ds.read(tmp_path / "out.h5")
    there = np.isfinite(np.asarray(average.intensity))
    np.testing.assert_allclose(
        np.asarray(back.variance)[there], np.asarray(average.variance)[there], rtol=1e-6
    )
    # Both of a Friedel pair measured: weights n, so that the variance is that of the mean.
    measured = np.isfinite(volume.intensity)
    n, m = volume.counts, volume.counts[::-1, ::-1, ::-1]
    both = measured & measured[::-1, ::-1, ::-1]
    both[tuple(k // 2 for k in volume.shape)] = False
    assert both.sum() > 100
    expected = (n**2 * known + m**2 * known[::-1, ::-1, ::-1]) / (n + m) ** 2
    np.testing.assert_allclose(np.asarray(back.variance)[both], expected[both], rtol=1e-5)
    write_symmetrized(tmp_path / "bare.h5", volume.replace(variance=None), "-1")
    assert ds.read(tmp_path / "bare.h5").variance is None
