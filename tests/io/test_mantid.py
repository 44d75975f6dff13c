"""Mantid's MDHistoWorkspace, key by key as SaveMD writes it, in a triclinic cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from known_function import CELL, check, coordinates, intensity

from dsfunet_core import ReciprocalVolume, read
from dsfunet_core.errors import FileFormatError
from dsfunet_core.lattice import q_matrix

#: Columns: hkl of the three projections, and how SaveMD names them.
PROJECTION = np.array([[1, 1, 0], [1, -1, 0], [0, 0, 1.0]])
NAMES = ("[H,H,0]", "[H,-H,0]", "[0,0,L]")
CENTRES = [coordinates(0) / 1.5, coordinates(1) / 1.7, coordinates(2)]


def turned_ub() -> np.ndarray:
    """UB [1/Å], without 2π, of a crystal in a general orientation."""
    u, _ = np.linalg.qr(np.array([[0.3, 0.7, -0.2], [0.9, -0.1, 0.4], [0.2, 0.5, 0.8]]))
    return u @ q_matrix(CELL) / (2 * np.pi)


def save_md(path: Path, projection: np.ndarray = PROJECTION, names: Any = NAMES, **keys: Any):
    """Write what SaveMD does; values go in as (n0, n1, n2) and are stored backwards."""
    grid = np.stack(np.meshgrid(*CENTRES, indexing="ij"), axis=-1)
    values = intensity(grid @ projection.T)
    mask = np.zeros(values.shape, np.int8)
    mask[1, 2, 3] = 1
    values[1, 2, 3], values[4, 5, 6] = 1e6, np.nan
    with h5py.File(path, "w") as h5:
        top = h5.create_group("MDHistoWorkspace")
        top.attrs.update(NX_class="NXentry", SaveMDVersion=2)
        data = top.create_group("data")
        data.attrs["NX_class"] = "NXdata"
        data["signal"] = values.transpose()
        data["signal"].attrs.update(signal=1, axes=np.bytes_("D2:D1:D0"))
        data["errors_squared"] = values.transpose() / 10
        data["num_events"] = np.ones(values.shape[::-1])
        data["mask"] = mask.transpose()
        for i, centres in enumerate(CENTRES):
            half = (centres[1] - centres[0]) / 2
            data[f"D{i}"] = np.append(centres - half, centres[-1] + half)
            frame = keys.get("frame", "HKL")
            data[f"D{i}"].attrs.update(long_name=names[i], frame=frame, units="r.l.u.")
        lattice = top.create_group("experiment0/sample/oriented_lattice")
        if keys.get("cell", True):
            parameters = ("a", "b", "c", "alpha", "beta", "gamma")
            for key, value in zip(parameters, CELL.parameters, strict=True):
                lattice[f"unit_cell_{key}"] = [value]
        if keys.get("ub", True):
            lattice["orientation_matrix"] = turned_ub()
        if "log" in keys:
            top["experiment0/logs/W_MATRIX/value"] = keys["log"].ravel()
    return path


def check_volume(path: Path) -> ReciprocalVolume:
    volume = read(path)
    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == tuple(len(c) for c in CENTRES)[::-1]
    check(volume)
    block = volume.block((slice(None),) * 3)
    assert np.argwhere(~block["valid"]).tolist() == [[3, 2, 1], [6, 5, 4]]
    np.testing.assert_allclose(
        block["variance"][block["valid"]], block["intensity"][block["valid"]] / 10
    )
    return volume


def test_oblique_projection_in_a_turned_crystal(tmp_path: Path) -> None:
    volume = check_volume(save_md(tmp_path / "m.nxs"))
    assert volume.provenance["format"] == "Mantid MDHisto"
    cut = volume.section("hhl")
    assert cut.valid.any()


def test_the_cell_of_ub_alone(tmp_path: Path) -> None:
    """UB has no 2π: with it the cell would be 6.28 times too small."""
    check_volume(save_md(tmp_path / "m.nxs", cell=False))


def test_the_cell_alone(tmp_path: Path) -> None:
    check_volume(save_md(tmp_path / "m.nxs", ub=False))


def test_names_keep_three_digits_and_the_log_all(tmp_path: Path) -> None:
    projection = np.array([[1, 1 / 3, 0], [-2 / 3, 1, 0], [0, 0, 1]])
    names = ("[H,-0.667H,0]", "[0.333H,H,0]", "[0,0,L]")
    path = save_md(tmp_path / "m.nxs", projection, names, log=projection)
    check_volume(path)
    with h5py.File(path, "r+") as h5:
        del h5["MDHistoWorkspace/experiment0/logs"]
    with pytest.raises(AssertionError):
        check(read(path), rtol=1e-6)


def test_q_of_the_sample_becomes_hkl(tmp_path: Path) -> None:
    """Q carries 2π, UB does not: Q = 2π·UB·hkl."""
    per_q = np.linalg.inv(2 * np.pi * turned_ub())
    names = ("Q_sample_x", "Q_sample_y", "Q_sample_z")
    check_volume(save_md(tmp_path / "m.nxs", per_q, names, frame="QSample"))
    with pytest.raises(FileFormatError, match="no UB"):
        read(save_md(tmp_path / "n.nxs", per_q, names, frame="QSample", ub=False))


def test_without_lattice_it_waits_for_a_cell(tmp_path: Path) -> None:
    path = save_md(
        tmp_path / "m.nxs", np.eye(3), ("[H,0,0]", "[0,K,0]", "[0,0,L]"), cell=False, ub=False
    )
    with pytest.raises(FileFormatError, match="no unit cell"):
        read(path)
    check(read(path, cell=CELL))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data/signal": np.ones((3, 4, 5, 6))}, r"drop the axis|three axes of momentum"),
        ({"data/signal": np.ones((12, 10))}, "three axes of momentum"),
        ({"data/mask": np.zeros((2, 2, 2), np.int8)}, "but the signal has"),
        ({"data/D0": np.linspace(0, 1, 4)}, "bin centres"),
        ({"data/D0": None}, "has no /MDHistoWorkspace/data/D0"),
        ({"data/signal": None}, "has no /MDHistoWorkspace/data/signal"),
        (
            {"experiment0/sample/oriented_lattice/orientation_matrix": np.ones((3, 3))},
            "singular",
        ),
        ({"experiment0/sample/oriented_lattice/unit_cell_a": [0.0]}, "no unit cell"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = save_md(tmp_path / "m.nxs")
    with h5py.File(path, "r+") as h5:
        for key, value in change.items():
            del h5[f"MDHistoWorkspace/{key}"]
            if value is not None:
                h5[f"MDHistoWorkspace/{key}"] = value
    with pytest.raises(FileFormatError, match=message):
        read(path)


def test_laboratory_frame_and_events_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="laboratory"):
        read(save_md(tmp_path / "m.nxs", frame="QLab"))
    with h5py.File(tmp_path / "e.nxs", "w") as h5:
        h5.create_group("MDEventWorkspace")
    with pytest.raises(FileFormatError, match="MDNorm or BinMD"):
        read(tmp_path / "e.nxs")
