"""Volumes masked slab by slab, from file to file."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

import dsfunet_core as ds
from dsfunet_core import ReciprocalVolume
from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.masking import mask_volume

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)
SHAPE = (46, 41, 37)
STEP, RADIUS, RING = 0.12, 0.12, 2.0
#: Voxel that a zinger hit.
HOT = (20, 11, 30)


def q_of(volume: ReciprocalVolume) -> np.ndarray:
    index = np.moveaxis(np.indices(volume.shape), 0, -1)
    return volume.hkl(index) @ q_matrix(volume.cell).T


@pytest.fixture(scope="module")
def volume():
    """Counts with Bragg peaks, a powder shell, a gap of zeros, a zinger, a corner unseen."""
    rng = np.random.default_rng(4)
    origin = -STEP * (np.array(SHAPE) - 1) / 2 + [0.01, 0.02, -0.03]
    bare = ReciprocalVolume(np.ones(SHAPE), CELL, origin, STEP * np.eye(3), name="triclinic")
    q = q_of(bare)
    length = np.linalg.norm(q, axis=-1)
    expected = 60 + 10 * np.cos(q @ [1.1, 0.7, 0.4]) + 40 * (np.abs(length - RING) < 0.2)
    values = rng.poisson(expected).astype(float)
    values[near_lattice_points(bare)] += 4000
    values[:, 5:10] = 0
    values[HOT] = 3000
    mask = np.zeros(SHAPE, bool)
    mask[:6, :, :6] = True
    return bare.replace(intensity=values, mask=mask)


def near_lattice_points(volume: ReciprocalVolume) -> np.ndarray:
    index = np.moveaxis(np.indices(volume.shape), 0, -1)
    hkl = volume.hkl(index)
    # In an oblique cell the nearest point need not be the rounded one.
    shifts = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), axis=-1).reshape(-1, 3)
    apart = (hkl - np.rint(hkl))[..., None, :] - shifts
    distance = np.linalg.norm(apart @ q_matrix(volume.cell).T, axis=-1)
    return distance.min(axis=-1) < RADIUS


EVERYTHING = {
    "gaps": True,
    "bragg": RADIUS,
    "hot_pixels": True,
    "rings": [(RING, 0.22)],
    "beam_stop": 0.3,
}


@pytest.fixture(scope="module")
def masked(volume, tmp_path_factory):
    path = tmp_path_factory.mktemp("masked") / "masked.nxs"
    return mask_volume(path, volume, **EVERYTHING), path


def test_layers_hold_what_was_put_in(volume, masked):
    done, _ = masked
    layers = {name: np.asarray(layer[...]) for name, layer in done.masks.items()}
    seen = ~np.asarray(volume.mask)
    np.testing.assert_array_equal(layers["bragg"], near_lattice_points(volume) & seen)
    length = np.linalg.norm(q_of(volume), axis=-1)
    np.testing.assert_array_equal(
        layers["powder rings"], (np.abs(length - RING) <= 0.22) & seen
    )
    np.testing.assert_array_equal(layers["beam stop"], (length <= 0.3) & seen)
    assert layers["gaps"][:, 5:10][seen[:, 5:10]].mean() > 0.99
    assert not layers["gaps"][:, 12:].any()
    assert layers["hot pixels"][HOT]
    assert layers["hot pixels"].sum() < 20
    held = np.any(list(layers.values()), axis=0)
    np.testing.assert_array_equal(np.asarray(done.mask[...]), held | ~seen)


def test_intensities_are_not_touched(volume, masked):
    done, _ = masked
    np.testing.assert_array_equal(np.asarray(done.intensity[...]), volume.intensity)
    assert done.cell.parameters == pytest.approx(volume.cell.parameters)
    steps = [record["step"] for record in done.provenance["processing"]]
    assert steps == [
        "mask_gaps",
        "mask_beam_stop",
        "mask_bragg",
        "mask_hot_pixels",
        "mask_rings",
    ]


def test_the_memory_there_is_changes_nothing(volume, masked, tmp_path):
    whole, _ = masked
    voxels = SHAPE[1] * SHAPE[2]
    # Room for a few layers and their margins at a time.
    thin = mask_volume(
        tmp_path / "thin.nxs", volume, **EVERYTHING, max_memory=24 * voxels * 24 / 2**30
    )
    assert list(thin.masks) == list(whole.masks)
    for name, layer in whole.masks.items():
        np.testing.assert_array_equal(np.asarray(thin.masks[name][...]), layer[...], name)
    np.testing.assert_array_equal(np.asarray(thin.mask[...]), whole.mask[...])


def test_layers_come_back_from_the_file_and_can_be_taken_back(volume, masked):
    _, path = masked
    again = ds.read(path)
    out = again.voxels_out()
    assert list(out)[1:] == ["gaps", "beam stop", "bragg", "hot pixels", "powder rings"]
    assert out["never measured"] == int(np.asarray(volume.mask).sum())
    back = again.unmasked("bragg")
    others = [np.asarray(layer[...]) for name, layer in again.masks.items() if name != "bragg"]
    expected = np.any(others, axis=0) | np.asarray(volume.mask)
    np.testing.assert_array_equal(np.asarray(back.mask[...]), expected)
    with pytest.raises(ParameterError, match="no mask layer"):
        again.unmasked("ghosts")


def test_a_plane_of_it_knows_why(masked):
    done, _ = masked
    middle = done.hkl(np.array([22, 0, 0]))[0]
    plane = done.section(f"{middle:.6g}kl")
    assert {"bragg", "gaps"} <= set(plane.masks)
    assert not plane.valid[plane.masks["gaps"]].any()


def test_a_sharp_layer_of_diffuse_scattering_is_not_hot(tmp_path):
    volume = ds.read(ds.sample("tris-amide-hk1"))
    values = np.array(volume.intensity[...])
    spot = (150, 190, 2)
    values[spot] = 500 * np.nanmedian(values[values > 0])
    done = mask_volume(tmp_path / "m.nxs", volume.replace(intensity=values), hot_pixels=True)
    hot = np.asarray(done.masks["hot pixels"][...])
    assert hot[spot]
    # Six in a plane are found as such, too; a layer holds 60,000 measured voxels.
    assert hot.sum() < 200


def test_more_can_be_masked_later(volume, masked, tmp_path):
    done, path = masked
    more = mask_volume(tmp_path / "more.nxs", ds.read(path), rings=[(1.2, 0.05)])
    assert list(more.masks) == list(done.masks)
    rings = np.asarray(more.masks["powder rings"][...])
    length = np.linalg.norm(q_of(volume), axis=-1)
    assert rings[np.abs(length - 1.2) < 0.04][100:].any()
    assert (rings | ~np.asarray(done.masks["powder rings"][...])).all()


def test_nothing_is_replaced_or_half_written(volume, tmp_path):
    path = tmp_path / "there.nxs"
    path.write_text("mine")
    with pytest.raises(ParameterError, match="exists"):
        mask_volume(path, volume, bragg=0.1)
    assert path.read_text() == "mine"
    with pytest.raises(ParameterError, match="nothing to mask"):
        mask_volume(tmp_path / "new.nxs", volume)
    with pytest.raises(ParameterError, match="planes only"):
        mask_volume(tmp_path / "new.nxs", volume, bragg="auto")
    with pytest.raises(ParameterError, match="NeXus"):
        mask_volume(tmp_path / "new.npz", volume, bragg=0.1)
    with pytest.raises(ParameterError, match="max_memory"):
        mask_volume(tmp_path / "new.nxs", volume, hot_pixels=True, max_memory=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there.nxs"]
