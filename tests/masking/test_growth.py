"""Bragg peaks grown from the data: what is removed, what is lost, what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from masking_planes import CELLS, TRICLINIC, bragg_peaks, diffuse, flat

from dsfunet_core import ReciprocalPlane, mask_bragg

MEAN = 20.0


def counted(
    plane: ReciprocalPlane, seed: int = 0, **options: float
) -> tuple[ReciprocalPlane, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    smooth = diffuse(plane, MEAN)
    peaks = bragg_peaks(plane, rng, MEAN, **options)
    return plane.replace(intensity=rng.poisson(smooth + peaks) + 0.0), smooth, peaks


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_peaks_in_every_cell_are_removed_and_little_else(cell):
    plane, smooth, peaks = counted(flat(cell))

    masked = mask_bragg(plane)

    out = ~masked.valid
    free = peaks < 0.1 * np.sqrt(smooth)
    assert peaks[out].sum() > 0.995 * peaks.sum()
    assert (out & free).sum() < 0.03 * free.sum()
    # What is left is far below the noise of all that is used.
    assert peaks[masked.valid].sum() < 5e-3 * smooth[masked.valid].sum()


def test_scattering_without_peaks_is_left_alone():
    plane = flat(TRICLINIC)
    rng = np.random.default_rng(1)
    masked = mask_bragg(plane.replace(intensity=rng.poisson(diffuse(plane, MEAN)) + 0.0))
    assert (~masked.valid).mean() < 0.005


def test_scale_of_the_intensities_does_not_matter():
    plane, _, _ = counted(flat(TRICLINIC))
    one = mask_bragg(plane)
    for factor in (1e-6, 1e5):
        other = mask_bragg(plane.replace(intensity=factor * plane.intensity))
        assert (one.valid != other.valid).mean() < 1e-3


def test_transposed_and_turned_planes_are_masked_alike():
    plane, _, _ = counted(flat(TRICLINIC))
    turned = ReciprocalPlane(
        plane.intensity.T, plane.valid.T, plane.cell, plane.origin, plane.steps[:, ::-1]
    )
    assert (mask_bragg(turned).valid.T != mask_bragg(plane).valid).mean() < 1e-3


def test_a_peak_off_its_position_takes_the_mask_with_it():
    plane = flat(TRICLINIC, step=0.04)
    row, column = plane.pixel([1, 0, 1]) + [0.8, -0.7]
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    peak = 4000 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2)
    rng = np.random.default_rng(0)
    noisy = plane.replace(intensity=rng.poisson(MEAN + peak) + 0.0)

    out = ~mask_bragg(noisy).valid

    centre = np.argwhere(out).mean(axis=0)
    np.testing.assert_allclose(centre, [row, column], atol=0.3)
    assert peak[out].sum() > 0.995 * peak.sum()


def test_stronger_peaks_are_masked_wider():
    plane = flat(TRICLINIC, step=0.04)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    intensity = np.full(plane.shape, MEAN)
    heights = {(1, 0): 300.0, (-1, 0): 3000.0, (0, 1): 30000.0}
    for hk, height in heights.items():
        row, column = plane.pixel([*hk, 1])
        intensity += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2)

    out = ~mask_bragg(plane.replace(intensity=rng.poisson(intensity) + 0.0)).valid

    areas = []
    for hk in heights:
        row, column = plane.pixel([*hk, 1])
        areas.append(out[np.hypot(y - row, x - column) < 9].sum())
    assert areas == sorted(areas)
    assert areas[0] > 9
    assert areas[2] > 1.3 * areas[0]


def test_positions_that_centring_extinguishes_are_not_grown():
    plane, _, _ = counted(flat(TRICLINIC))
    masked = mask_bragg(plane, centring="C")
    near = np.abs(plane.hkl() - [1, 0, 1]).max(axis=-1) < 0.12
    assert masked.valid[near].all()


def test_known_variances_are_used():
    plane, smooth, peaks = counted(flat(TRICLINIC))
    masked = mask_bragg(plane.replace(variance=np.maximum(plane.intensity, 1)))
    out = ~masked.valid
    assert peaks[out].sum() > 0.995 * peaks.sum()
    free = peaks < 0.1 * np.sqrt(smooth)
    assert (out & free).sum() < 0.04 * free.sum()


def test_satellites_have_a_layer_of_their_own():
    plane = flat(TRICLINIC, step=0.03, n=161)
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    intensity = np.full(plane.shape, MEAN)
    places = [np.add(hkl, s * np.array([0.31, 0.2, 0])) for hkl in [(0, 0, 1), (1, 1, 1)]
              for s in (1, -1)]  # fmt: skip
    for hkl in places:
        row, column = plane.pixel(hkl)
        intensity += 900 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2)
    rng = np.random.default_rng(3)
    noisy = plane.replace(intensity=rng.poisson(intensity) + 0.0)

    masked = mask_bragg(noisy, satellites=[(0.31, 0.2, 0)])

    for hkl in places:
        row, column = np.rint(plane.pixel(hkl)).astype(int)
        assert masked.masks["satellites"][row - 1 : row + 2, column - 1 : column + 2].all()
    assert masked.masks["bragg"].sum() < 10
    assert masked.masks["satellites"].mean() < 0.02
