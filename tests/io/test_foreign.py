"""Files that other people's programs wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, read

KNOWN = {
    "densityviewer-tiny.h5",
    "meerkat2-average-test.h5",
    "meerkat2-average-visual-test.h5",
    "yell-123.h5",
}


def test_every_file_is_known_here(foreign: Path) -> None:
    assert {path.name for path in foreign.iterdir() if path.suffix == ".h5"} == KNOWN


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_file_is_read(foreign: Path, name: str) -> None:
    data = read(foreign / name)
    if isinstance(data, ReciprocalVolume):
        assert data.section("hk0").shape == data.shape[:2]
        assert data.section("hhl").valid.any() or name == "meerkat2-average-test.h5"


def test_meerkat_before_2017(foreign: Path) -> None:
    volume = read(foreign / "densityviewer-tiny.h5")
    assert isinstance(volume, ReciprocalVolume)
    np.testing.assert_array_equal(volume.hkl((0, 0, 0)), [-5, -5, -5])
    np.testing.assert_array_equal(volume.hkl((10, 10, 10)), [5, 5, 5])
    assert volume.counts is not None
    assert volume.provenance["writer"] == "Meerkat before 2017"


def test_meerkat2_average(foreign: Path) -> None:
    volume = read(foreign / "meerkat2-average-test.h5")
    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == (10, 11, 12)
    assert volume.cell.parameters == (5.6802, 5.6832, 5.6843, 60.021, 59.989, 59.934)
    np.testing.assert_allclose(volume.hkl((9, 10, 11)), [1, 2, 3], atol=1e-7)
    assert "256" in volume.provenance["notes"][0]


def test_real_coverage(foreign: Path) -> None:
    volume = read(foreign / "meerkat2-average-visual-test.h5")
    assert isinstance(volume, ReciprocalVolume)
    np.testing.assert_allclose(np.diag(volume.steps), 0.08, rtol=1e-15)
    plane = volume.section("hk0")
    assert plane.shape == (101, 101)
    assert 0 < plane.valid.mean() < 0.9
    np.testing.assert_allclose(plane.hkl(50, 50), 0, atol=1e-12)
    assert np.isfinite(plane.intensity[plane.valid]).all()


def test_input_of_yell(foreign: Path) -> None:
    plane = read(foreign / "yell-123.h5")
    assert isinstance(plane, ReciprocalPlane)
    np.testing.assert_array_equal(plane.intensity, [[1], [2], [3]])
    assert not plane.has_geometry
