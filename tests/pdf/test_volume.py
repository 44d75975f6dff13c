"""3D-ΔPDFs: known order comes back, in a triclinic cell."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import h5py
import numpy as np
import pytest

import dsfunet_core as ds
from dsfunet_core import ReciprocalVolume
from dsfunet_core.errors import FileFormatError, GeometryError, ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.pdf import delta_pdf, read_pdf, write_pdf

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)
ALPHA = {
    (1, 0, 0): -0.20,
    (0, 1, 0): 0.15,
    (1, 1, 0): 0.08,
    (0, 0, 1): -0.10,
    (1, -1, 2): 0.05,
}


def grid(shape=(41, 41, 41), step=(0.1, 0.1, 0.1), centre=None, steps=None, cell=CELL):
    steps = np.diag(step) if steps is None else steps
    centre = (np.array(shape) - 1) / 2 if centre is None else np.array(centre)
    return ReciprocalVolume(np.zeros(shape), cell, -steps @ centre, steps)


def hkl_of(volume):
    return volume.hkl(np.moveaxis(np.indices(volume.shape), 0, -1))


def disordered(volume, form=None):
    """I = f(Q) Σ α_v cos(2π h·v), with α_000 = 1."""
    hkl = hkl_of(volume)
    intensity = np.ones(volume.shape)
    for v, alpha in ALPHA.items():
        intensity += 2 * alpha * np.cos(2 * np.pi * (hkl @ np.array(v)))
    if form is not None:
        intensity = intensity * form(np.linalg.norm(hkl @ q_matrix(volume.cell).T, axis=-1))
    return replace(volume, intensity=intensity)


@pytest.mark.parametrize("window", ["none", "gaussian", "welch", "hann", "blackman"])
def test_warren_cowley_parameters_come_back_as_peaks_at_lattice_vectors(window):
    # Eight periods along each axis, from −4 to 3.9, as many programs lay their grids.
    volume = grid(shape=(80, 80, 80), centre=(40, 40, 40))
    volume = disordered(volume, form=lambda q: np.exp(-0.02 * q**2))
    pdf = delta_pdf(volume, window=window)
    middle = pdf.at([0, 0, 0])
    tolerance = 0.004
    for v, alpha in ALPHA.items():
        assert pdf.at(v) / middle == pytest.approx(alpha, abs=tolerance)
        assert pdf.at(np.negative(v)) == pytest.approx(pdf.at(v))
        # The grid holds the vector itself, and the peak is there and nowhere beside.
        index = pdf.index(v)
        np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
        place = tuple(np.rint(index).astype(int))
        around = tuple(slice(i - 1, i + 2) for i in place)
        block = np.abs(pdf.values[around])
        assert np.unravel_index(block.argmax(), block.shape) == (1, 1, 1)
    for v in ([2, 0, 0], [1, 0, 1], [0, 1, -1]):
        assert abs(pdf.at(v) / middle) < tolerance


@pytest.mark.parametrize("centre", [(20, 20, 20), (19.5, 20, 20.5), (18, 22, 20.25)])
def test_a_gaussian_transforms_to_the_gaussian_of_reciprocal_width(centre):
    volume = grid(shape=(41, 41, 41), step=(0.2, 0.25, 0.3), centre=centre)
    sigma = 1.1  # Å⁻¹ in Q
    q = np.linalg.norm(hkl_of(volume) @ q_matrix(CELL).T, axis=-1)
    volume = replace(volume, intensity=np.exp(-(q**2) / (2 * sigma**2)))
    pdf = delta_pdf(volume, window="none")
    # ∫ exp(−Q²/2σ²) cos(Q·r) d³Q/(2π)³ = (σ²/2π)^(3/2) exp(−σ²r²/2)
    index = np.moveaxis(np.indices(pdf.values.shape), 0, -1)
    expected = (sigma**2 / (2 * np.pi)) ** 1.5 * np.exp(
        -0.5 * (sigma * pdf.distance(index)) ** 2
    )
    np.testing.assert_allclose(pdf.values, expected, atol=1e-3 * expected.max())


def test_oblique_steps_give_the_same_function():
    steps = np.array([[0.2, 0.02, 0.0], [0.03, 0.22, -0.04], [-0.01, 0.05, 0.25]])
    volume = grid(shape=(40, 41, 40), steps=steps)
    q = np.linalg.norm(hkl_of(volume) @ q_matrix(CELL).T, axis=-1)
    pdf = delta_pdf(replace(volume, intensity=np.exp(-(q**2) / 2)), window="none")
    uvw = np.array([[0.2, 0.1, -0.1], [0.0, 0.0, 0.2], [0.1, -0.2, 0.0]])
    r = np.linalg.norm(uvw @ np.array(CELL.orth.mat.tolist()).T, axis=1)
    expected = (1 / (2 * np.pi)) ** 1.5 * np.exp(-0.5 * r**2)
    np.testing.assert_allclose(pdf.at(uvw), expected, rtol=0.02)


def test_the_window_sets_the_width_of_the_peaks():
    volume = replace(grid(), intensity=np.ones((41, 41, 41)))
    pdf = delta_pdf(volume, window="gaussian", q_max=1.0)
    u = 0.35
    r = u * CELL.a
    # The Gaussian ends at 3σ, which leaves its transform a little wider.
    assert pdf.at([u, 0, 0]) / pdf.at([0, 0, 0]) == pytest.approx(
        np.exp(-0.5 * (r / 3) ** 2), abs=0.02
    )


def test_filling_with_the_mean_keeps_punched_peaks_from_faking_order():
    volume = grid(shape=(61, 61, 61), step=(0.1, 0.1, 0.1))
    hkl = hkl_of(volume)
    q = np.linalg.norm(hkl @ q_matrix(CELL).T, axis=-1)
    bragg = np.abs(hkl - np.rint(hkl)).max(axis=-1) < 0.15
    # Diffuse scattering without any order: nothing belongs at lattice vectors.
    volume = replace(volume, intensity=np.exp(-0.05 * q**2), mask=bragg)
    filled = delta_pdf(volume)
    zeroed = delta_pdf(volume, fill="zero")
    peaks = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]])
    assert np.all(zeroed.at(peaks) / zeroed.at([0, 0, 0]) < -0.015)
    assert np.abs(filled.at(peaks) / filled.at([0, 0, 0])).max() < 1e-3
    (step,) = filled.provenance["processing"]
    assert step["filled"] == pytest.approx(0.027, abs=0.003)


def test_extent_keeps_the_middle():
    volume = disordered(grid())
    whole, part = delta_pdf(volume), delta_pdf(volume, extent=2)
    assert part.values.size < whole.values.size / 4
    np.testing.assert_allclose(part.uvw([0, 0, 0]), [-2, -2, -2], atol=1e-9)
    points = np.array([[1, 0, 0], [-1, -1, 0], [1, -1, 2]])
    np.testing.assert_allclose(part.at(points), whole.at(points), rtol=1e-5)


def test_files_come_back(tmp_path):
    pdf = delta_pdf(disordered(grid()), extent=2)
    write_pdf(tmp_path / "pdf.h5", pdf)
    again = read_pdf(tmp_path / "pdf.h5")
    np.testing.assert_array_equal(again.values, pdf.values)
    np.testing.assert_allclose(again.uvw([3, 4, 5]), pdf.uvw([3, 4, 5]), atol=1e-12)
    assert again.cell.parameters == pdf.cell.parameters
    assert again.q_max == pdf.q_max
    assert again.provenance == pdf.provenance
    with h5py.File(tmp_path / "pdf.h5") as h5:
        assert h5["is_direct"][()]
    with pytest.raises(FileFormatError, match="map of direct space"):
        ds.read(tmp_path / "pdf.h5")
    with h5py.File(tmp_path / "pdf.h5", "r+") as h5:
        h5["is_direct"][()] = False
    with pytest.raises(FileFormatError, match="delta_pdf"):
        read_pdf(tmp_path / "pdf.h5")


def test_files_with_oblique_steps_come_back(tmp_path):
    steps = np.array([[0.2, 0.02, 0.0], [0.03, 0.22, -0.04], [-0.01, 0.05, 0.25]])
    volume = grid(shape=(12, 13, 14), steps=steps)
    pdf = delta_pdf(replace(volume, intensity=np.ones(volume.shape)))
    write_pdf(tmp_path / "pdf.h5", pdf)
    np.testing.assert_allclose(read_pdf(tmp_path / "pdf.h5").steps, pdf.steps)


def test_what_cannot_be_done_is_refused_with_a_reason(tmp_path):
    volume = disordered(grid())
    with pytest.raises(ParameterError, match="takes .* GiB, more than max_memory=0.01"):
        delta_pdf(volume, max_memory=0.01)
    with pytest.raises(ParameterError, match="window='box'"):
        delta_pdf(volume, window="box")
    with pytest.raises(ParameterError, match="fill='mean'"):
        delta_pdf(volume, fill="mean")
    with pytest.raises(ParameterError, match="q_max=-1"):
        delta_pdf(volume, q_max=-1)
    with pytest.raises(ParameterError, match="extent=0"):
        delta_pdf(volume, extent=0)
    with pytest.raises(GeometryError, match="Q = 0 is not inside"):
        delta_pdf(grid(centre=(-3, 20, 20)))
    with pytest.raises(GeometryError, match="flat"):
        delta_pdf(grid(shape=(41, 41, 1)))
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FileFormatError, match="no HDF5 file"):
        read_pdf(tmp_path / "text.h5")
