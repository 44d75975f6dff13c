"""What the real Meerkat package makes of frames with a known intensity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import h5py
import numpy as np
import pytest

from dsfunet_core import ReciprocalVolume, read
from dsfunet_core.io.meerkat import with_crystal_axes
from dsfunet_core.lattice import q_matrix

meerkat = pytest.importorskip("meerkat", reason="the package meerkat is not installed")

FRAMES, OSCILLATION = 240, 1.5
NX, NY, PIXEL, DISTANCE = 90, 84, 1.0, 60.0
BEAM = (44.3, 40.8)
AXIS = np.array([0.99998, 0.0055, -0.0032]) / np.linalg.norm([0.99998, 0.0055, -0.0032])
MAXIND, VOXELS = (3.0, 4.0, 5.0), (31, 49, 41)


def rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Right-handed rotation, by Rodrigues."""
    angle = np.deg2rad(degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def cell_vectors(cell: gemmi.UnitCell) -> np.ndarray:
    """a, b, c as rows, in an arbitrary but known orientation; six fixed decimals as XDS."""
    turn = rotation(np.array([0.36, 0.48, 0.8]), 37.0) @ rotation(np.array([0.0, 0, 1]), -71)
    standard = np.array(cell.orth.mat.tolist()).T
    return np.round(standard @ turn.T, 6)


def intensity(hkl: np.ndarray) -> np.ndarray:
    """Blobs that no mirror, permutation or shift of the axes maps onto themselves."""
    blobs = [
        ((1.1, 0.4, -0.8), (0.5, 0.9, 0.8), 900),
        ((-0.7, 1.9, 1.2), (0.8, 0.6, 1.1), 700),
        ((-1.2, -1.4, -1.9), (0.6, 0.9, 0.7), 500),
        ((0.5, -1.8, 2.1), (0.7, 0.7, 1.2), 800),
    ]
    total = np.full(hkl.shape[:-1], 40.0)
    for centre, width, height in blobs:
        total += height * np.exp(-0.5 * (((hkl - centre) / width) ** 2).sum(axis=-1))
    return total


def write_geometry(
    folder: Path, vectors: np.ndarray, cell: gemmi.UnitCell, number: int
) -> None:
    """XDS's file of a simple experiment: λ = 1 Å, beam along z."""
    rows_of_cell = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in vectors)
    (folder / "XPARM.XDS").write_text(
        " XPARM.XDS    VERSION Jan 31, 2020\n"
        f"1 0.0000 {OSCILLATION:.4f} {AXIS[0]:.6f} {AXIS[1]:.6f} {AXIS[2]:.6f}\n"
        "1.000000 0.000000 0.000000 1.000000\n"
        f"{number} {' '.join(f'{x:.4f}' for x in cell.parameters)}\n{rows_of_cell}\n"
        f"1 {NX} {NY} {PIXEL:.6f} {PIXEL:.6f}\n{BEAM[0]:.6f} {BEAM[1]:.6f} {DISTANCE:.6f}\n"
        "1.000000 0.000000 0.000000\n0.000000 1.000000 0.000000\n0.000000 0.000000 1.000000\n"
        f"1 1 {NX} 1 {NY}\n0.00 0.00 0.00 1.00000 0.00000 0.00000 0.00000 1.00000 0.00000\n"
    )


def write_frames(folder: Path, frames: int) -> None:
    """Frames as the experiment of XPARM.XDS would give them."""
    from fabio.cbfimage import CbfImage

    lines = (folder / "XPARM.XDS").read_text().splitlines()[1:]
    numbers = [np.array(line.split(), dtype=float) for line in lines]
    (_, _, oscillation, *axis), (_, *beam) = numbers[:2]
    vectors = np.stack(numbers[3:6])
    (_, nx, ny, pixel, _), (x0, y0, distance) = numbers[6:8]
    columns, rows = np.meshgrid(np.arange(1, nx + 1), np.arange(1, ny + 1))
    millimetres = np.stack(
        [(columns - x0) * pixel, (rows - y0) * pixel, np.full(columns.shape, distance)], -1
    )
    direction = millimetres / np.linalg.norm(millimetres, axis=-1, keepdims=True)
    # Meerkat divides by the solid angle and, in vacuum, a beam polarised along x.
    shading = direction[..., 2] ** 3 * (1 - direction[..., 0] ** 2)
    laboratory = direction * np.linalg.norm(beam) - beam
    turn = np.array(axis) / np.linalg.norm(axis)
    for frame in range(1, frames + 1):
        turned = laboratory @ rotation(turn, -oscillation * (frame - 1)).T
        counts = intensity(turned @ vectors.T) * shading * 1000
        CbfImage(data=counts.astype(np.int32)).write(str(folder / f"frame_{frame:04d}.cbf"))


CELLS = {
    "triclinic": (gemmi.UnitCell(4.1, 5.3, 6.2, 78, 97, 112), 1),
    "hexagonal": (gemmi.UnitCell(5.6, 5.6, 4.1, 90, 90, 120), 176),
}


@pytest.fixture(scope="module", params=list(CELLS))
def measured(request: Any, tmp_path_factory: Any) -> tuple[Path, gemmi.UnitCell, str]:
    cell, number = CELLS[request.param]
    folder = tmp_path_factory.mktemp(f"frames-{request.param}")
    write_geometry(folder, cell_vectors(cell), cell, number)
    write_frames(folder, FRAMES)
    return folder, cell, request.param


def reconstruct(folder: Path, name: str, **options: Any) -> Path:
    defaults = {"maxind": MAXIND, "number_of_pixels": VOXELS, "last_image": FRAMES}
    options = defaults | options
    path = folder / name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meerkat.meerkat.air_absorption_coefficient", lambda *_: 0.0)
        meerkat.reconstruct_data(
            filename_template=str(folder / "frame_%04i.cbf"),
            first_image=1,
            polarization_plane_normal=[0, 1, 0],
            path_to_XPARM=str(folder / "XPARM.XDS"),
            output_filename=str(path),
            override=True,
            **options,
        )
    return path


def agreement(volume: ReciprocalVolume, block: dict[str, Any] | None = None) -> float:
    """Correlation of a volume with the intensity it was made from."""
    block = block or volume.block((slice(None),) * 3)
    hkl = volume.hkl(np.moveaxis(np.indices(volume.shape), 0, -1))
    valid = block["valid"]
    assert 0.2 < valid.mean() < 0.98
    return float(np.corrcoef(block["intensity"][valid], intensity(hkl[valid]))[0, 1])


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("in_memory", [False, True])
def test_values_come_back_at_the_right_hkl(
    measured: tuple[Path, gemmi.UnitCell, str], keep: bool, in_memory: bool
) -> None:
    folder, cell, kind = measured
    path = reconstruct(folder, "r.h5", keep_number_of_pixels=keep, all_in_memory=in_memory)

    volume = read(path)

    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == VOXELS
    np.testing.assert_allclose(volume.cell.parameters, cell.parameters, atol=1e-4)
    assert volume.laue_class == (None if kind == "triclinic" else "6/m")
    assert (volume.counts is not None) is keep
    assert volume.provenance["format"] == ("Yell 0.9" if keep else "Yell 1.0")
    assert volume.provenance["writer"] == "Meerkat"
    assert agreement(volume) > 0.99
    plane = volume.section("hk1")
    expected = intensity(plane.hkl())
    assert np.corrcoef(plane.intensity[plane.valid], expected[plane.valid])[0, 1] > 0.99


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_mistaken_axis_would_be_noticed(measured: tuple[Path, gemmi.UnitCell, str]) -> None:
    volume = read(reconstruct(measured[0], "r.h5", all_in_memory=True))
    block = volume.block((slice(None),) * 3)

    for axis in range(3):
        flipped = {k: v if v is None else np.flip(v, axis) for k, v in block.items()}
        shifted = {k: v if v is None else np.roll(v, 4, axis) for k, v in block.items()}
        assert agreement(volume, flipped) < 0.7
        assert agreement(volume, shifted) < 0.97
    inverted = {k: v if v is None else np.flip(v) for k, v in block.items()}
    assert agreement(volume, inverted) < 0.7


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_metric_follows_a_unit_cell_transform(
    measured: tuple[Path, gemmi.UnitCell, str],
) -> None:
    folder, cell, _ = measured
    change = np.array([[0.0, 1, 0], [0, 0, 1], [1, 1, 0]])
    path = reconstruct(
        folder, "t.h5", unit_cell_transform_matrix=change, maxind=(4, 5, 5), all_in_memory=True
    )

    volume = read(path)

    # New indices are change @ hkl, so the same Q must come out of both.
    np.testing.assert_allclose(
        np.linalg.norm(q_matrix(volume.cell) @ change, axis=0),
        np.linalg.norm(q_matrix(cell), axis=0),
        rtol=1e-4,
    )
    np.testing.assert_allclose(volume.provenance["crystal_cell"], cell.parameters, atol=1e-4)
    assert "metric_tensor" in volume.provenance["notes"][0]
    assert volume.laue_class is None
    block = volume.block((slice(None),) * 3)
    new = volume.hkl(np.moveaxis(np.indices(volume.shape), 0, -1))
    expected = intensity(new @ np.linalg.inv(change).T)
    valid = block["valid"]
    assert np.corrcoef(block["intensity"][valid], expected[valid])[0, 1] > 0.99


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_orthonormal_axes_can_be_turned_into_hkl_up_to_signs(
    measured: tuple[Path, gemmi.UnitCell, str],
) -> None:
    folder, cell, _ = measured
    path = reconstruct(
        folder,
        "o.h5",
        reconstruct_in_orthonormal_basis=True,
        maxind=(0.8, 0.8, 0.8),
        all_in_memory=True,
    )

    volume = read(path)
    np.testing.assert_allclose(volume.cell.parameters, (1, 1, 1, 90, 90, 90), atol=1e-4)
    with h5py.File(path) as h5:
        assert not np.allclose(h5["unit_cell"][:3], 1)

    signs = [(i, j, k) for i in (1, -1) for j in (1, -1) for k in (1, -1)]
    turned = {s: with_crystal_axes(volume, signs=s) for s in signs}
    scores = {s: agreement(v) for s, v in turned.items()}
    best = max(scores, key=scores.__getitem__)

    assert scores.pop(best) > 0.99
    assert max(scores.values()) < 0.9
    np.testing.assert_allclose(turned[best].cell.parameters, cell.parameters, atol=1e-4)
    plane = turned[best].section("hk0.5")
    expected = intensity(plane.hkl())
    assert np.corrcoef(plane.intensity[plane.valid], expected[plane.valid])[0, 1] > 0.99


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("name", ["XPARM.XDS", "GXPARM.XDS"])
def test_the_real_orientation_of_the_benchmark_crystal(
    tmp_path: Path, shared_data: Path, name: str
) -> None:
    """Its detector binned 10 × 10, its 513 frames of 0.25° to 86 of 1.5°."""
    lines = (shared_data / "tris-amide-xds" / name).read_text().splitlines()
    start, angle, _, *axis = lines[1].split()
    lines[1] = " ".join([start, angle, "1.5", *axis])
    lines[7] = "1 200 200 1.500000 1.500000"
    x0, y0, distance = (float(x) for x in lines[8].split())
    lines[8] = f"{(x0 + 4.5) / 10:.6f} {(y0 + 4.5) / 10:.6f} {distance:.6f}"
    lines[12] = "1 1 200 1 200"
    (tmp_path / "XPARM.XDS").write_text("\n".join(lines) + "\n")
    write_frames(tmp_path, 86)

    volume = read(reconstruct(tmp_path, "r.h5", last_image=86, all_in_memory=True))

    assert isinstance(volume, ReciprocalVolume)
    six = [float(x) for x in lines[3].split()[1:]]
    np.testing.assert_allclose(volume.cell.parameters, six, atol=2e-3)
    assert agreement(volume) > 0.98
    block = volume.block((slice(None),) * 3)
    for wrong in (np.flip, lambda x, axis: np.roll(x, 4, axis)):
        for along in range(3):
            moved = {k: v if v is None else wrong(v, along) for k, v in block.items()}
            assert agreement(volume, moved) < 0.95
