"""Ellipses of known shape come back, and the order beneath peaks of every cell."""

from __future__ import annotations

import numpy as np
import pytest
from masking_planes import CELLS, HEXAGONAL, TRICLINIC, bragg_peaks, diffuse, flat

from dsfunet_core import ReciprocalPlane, mask_bragg, read, sample
from dsfunet_core.masking.ellipsoids import inside_ellipses, plane_ellipse
from dsfunet_core.masking.noise import NoiseModel
from dsfunet_core.masking.peak_fit import background_columns, cut_windows
from dsfunet_core.masking.peak_refinement import Population, refine_shapes, unit_peaks
from dsfunet_core.masking.remnants import beside_the_order
from dsfunet_core.symmetrize import symmetrize_volume

MEAN = 20.0


def sharp_order(plane: ReciprocalPlane) -> np.ndarray:
    """Maxima at the lattice points, 16 times as high as the mean and as narrow as peaks."""
    hkl = plane.hkl()
    order = np.ones(plane.shape)
    for axis in (0, 1):
        waves = np.exp(2j * np.pi * np.arange(4) * hkl[..., axis, None]).sum(axis=-1)
        order *= np.abs(waves) ** 2 / 4
    product = order * np.exp(-((plane.q_norm() - 2) ** 2))
    return MEAN * product / product.mean()


def long_peaks(plane: ReciprocalPlane, rng: np.random.Generator) -> np.ndarray:
    """Twice as long as wide, all turned alike, 30 to 3000 times the mean, in every cell."""
    index = np.moveaxis(np.mgrid[: plane.shape[0], : plane.shape[1]], 0, -1)
    image = np.zeros(plane.shape)
    turn = np.deg2rad(35)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for point in np.unique(np.rint(plane.hkl()).astype(int).reshape(-1, 3), axis=0):
        apart = (index - plane.pixel(point)) @ axes.T / [1.8, 0.9]
        height = MEAN * 10 ** rng.uniform(1.5, 3.5)
        image += height * np.exp(-(apart**2).sum(axis=-1) / 2)
    return image


def lost(masked: ReciprocalPlane, smooth: np.ndarray, peaks: np.ndarray) -> float:
    free = peaks < 0.1 * np.sqrt(smooth + 1)
    return float((~masked.valid & free).sum() / free.sum())


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_ellipses_come_back_within_their_uncertainties(cell):
    plane = flat(cell, n=161, step=0.04)
    circle = np.linalg.cholesky(plane_ellipse(plane, np.eye(3))).T
    pixel = float(np.sqrt(abs(np.linalg.det(circle))))
    rng = np.random.default_rng(2)
    hkl = np.array([[h, k, 1] for h in (-2, -1, 0, 1, 2) for k in (-2, -1, 0, 1, 2)])
    windows = cut_windows(plane, plane.pixel(hkl), circle, 10 * pixel)
    n = len(hkl)
    truth = np.zeros((n, 6))
    truth[:, 0] = rng.uniform(100, 400, n)
    truth[:, 1:3] = rng.uniform(-0.4, 0.4, (n, 2)) * pixel
    truth[:, 3] = np.log(rng.uniform(0.9, 1.6, n) * pixel)
    truth[:, 4:] = rng.uniform(-0.3, 0.3, (n, 2))
    expected = MEAN + truth[:, :1] * unit_peaks(windows.place, truth)[0]
    counted = windows.without(windows.intensity - rng.poisson(expected))
    start = truth * [0.7, 0, 0, 0, 0, 0]
    start[:, 3] = np.log(1.2 * pixel)
    prior = Population(np.array([0, 0, np.log(1.2 * pixel), 0, 0]),
                       np.array([0.3 * pixel, 0.3 * pixel, 0.3, 0.3, 0.3]))  # fmt: skip
    columns = MEAN * background_columns(windows, np.ones(windows.weight.shape))
    level = np.zeros((n, columns.shape[-1]))
    level[:, 0] = 1

    found = refine_shapes(
        counted, NoiseModel(0, 1), start, columns, level, 0.5, prior, 1e4,
        (pixel, 0.4 * pixel, 3 * pixel),
    )  # fmt: skip

    sigma = np.sqrt(np.einsum("nkk->nk", found.covariance))
    pull = (found.values - truth) / sigma
    # Heights scatter less than they are said to: a Gaussian is taken to be 5 % wrong.
    assert (np.sqrt((pull**2).mean(axis=0)) < 1.5).all()
    assert np.sqrt((pull[:, 1:] ** 2).mean()) > 0.5
    assert sigma[:, 3].max() < 0.1


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_long_peaks_are_masked_by_long_ellipses(cell):
    plane = flat(cell)
    rng = np.random.default_rng(4)
    smooth, peaks = diffuse(plane, MEAN), long_peaks(plane, rng)
    masked = mask_bragg(plane.replace(intensity=rng.poisson(smooth + peaks) + 0.0))
    assert peaks[~masked.valid].sum() > 0.999 * peaks.sum()
    assert lost(masked, smooth, peaks) < 0.02
    # No pixel that is left has as much peak as noise.
    assert (peaks[masked.valid] < np.sqrt(smooth + 1)[masked.valid]).mean() > 0.9995


def test_maxima_as_narrow_as_peaks_stay_where_peaks_go():
    plane = flat(TRICLINIC)
    rng = np.random.default_rng(5)
    smooth = sharp_order(plane)
    peaks = bragg_peaks(plane, rng, MEAN)

    alone = mask_bragg(plane.replace(intensity=rng.poisson(smooth) + 0.0))
    both = mask_bragg(plane.replace(intensity=rng.poisson(smooth + peaks) + 0.0))

    assert alone.valid.all()
    assert peaks[~both.valid].sum() > 0.995 * peaks.sum()
    assert lost(both, smooth, peaks) < 0.03


def test_tails_of_peaks_outside_the_picture_are_masked():
    plane = flat(TRICLINIC)
    rng = np.random.default_rng(6)
    smooth = diffuse(plane, MEAN)
    peaks = bragg_peaks(plane, rng, MEAN)
    # The first row of what was measured lies three pixels beside a row of peaks.
    first = int(np.floor(plane.pixel([0, -2, 1])[0])) + 3
    measured = np.zeros(plane.shape, dtype=bool)
    measured[first:] = True
    noisy = plane.replace(intensity=rng.poisson(smooth + peaks) + 0.0, valid=measured)

    masked = mask_bragg(noisy)

    edge = masked.valid.copy()
    edge[first + 4 :] = False
    assert peaks[measured & ~masked.valid].sum() > 0.995 * peaks[measured].sum()
    assert peaks[edge].sum() < 0.02 * smooth[edge].sum()


@pytest.mark.parametrize("cell", [TRICLINIC, HEXAGONAL], ids=["triclinic", "hexagonal"])
def test_weak_remnants_of_every_cell_are_found_together(cell):
    plane = flat(cell)
    rng = np.random.default_rng(7)
    smooth = diffuse(plane, MEAN)
    index = np.moveaxis(np.mgrid[: plane.shape[0], : plane.shape[1]], 0, -1)
    peaks = np.zeros(plane.shape)
    for point in np.unique(np.rint(plane.hkl()).astype(int).reshape(-1, 3), axis=0):
        apart = index - plane.pixel(point)
        peaks += MEAN * np.exp(-(apart**2).sum(axis=-1) / 2 / 1.1**2)

    masked = mask_bragg(plane.replace(intensity=rng.poisson(smooth + peaks) + 0.0))
    without = mask_bragg(plane.replace(intensity=rng.poisson(smooth) + 0.0))

    assert without.valid.all()
    assert peaks[~masked.valid].sum() > 0.93 * peaks.sum()
    assert lost(masked, smooth, peaks) < 0.05


def test_heights_proportional_to_the_scattering_are_no_remnants():
    rng = np.random.default_rng(8)
    factor = rng.exponential(MEAN, 150)
    sigma = np.full(150, 2.0)
    noise = rng.normal(0, 2, 150)
    assert not beside_the_order(0.8 * factor + noise, sigma, factor, MEAN)
    assert not beside_the_order(noise, sigma, factor, MEAN)
    assert beside_the_order(0.8 * factor + 0.5 * MEAN + noise, sigma, factor, MEAN)


def test_ellipses_around_and_beside_the_picture():
    form = np.array([[1 / 9.0, 0], [0, 1 / 4.0]])
    inside = inside_ellipses(
        (20, 20), np.array([[10.0, 10], [-2, 5], [-9, 5]]), np.stack([form] * 3)
    )
    expected = np.zeros((20, 20), dtype=bool)
    y, x = np.mgrid[:20, :20]
    for row, column in ((10, 10), (-2, 5)):
        expected |= ((y - row) / 3) ** 2 + ((x - column) / 2) ** 2 <= 1
    np.testing.assert_array_equal(inside, expected)
    assert inside[0, 5]


@pytest.mark.slow
def test_what_is_left_biases_the_order_by_less_than_its_uncertainty():
    from dsfunet_core import factorize, refine_sro

    plane = flat(TRICLINIC, n=161)
    rng = np.random.default_rng(9)
    smooth = diffuse(plane, MEAN)
    seen, extra = rng.poisson(smooth), rng.poisson(bragg_peaks(plane, rng, MEAN))
    masked = mask_bragg(plane.replace(intensity=seen + extra + 0.0))
    clean = masked.replace(intensity=seen + 0.0)

    one, other = (refine_sro(factorize(p)) for p in (masked, clean))

    assert np.sqrt(np.mean(((one.alpha - other.alpha) / one.sigma) ** 2)) < 0.5


def test_an_average_with_next_to_no_noise_keeps_its_maxima():
    """Of hundreds of maxima one stands eight times above its surroundings."""
    volume = symmetrize_volume(read(sample("tris-amide-hk1")), "6/m").volume
    plane = volume.section("hk1")
    assert not (plane.valid & ~mask_bragg(plane).valid).any()
