"""nxs-analysis-tools opens what we write, and we read what it writes, where it is installed."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from dsfunet_core import ReciprocalVolume, read, write

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)


@pytest.mark.filterwarnings("ignore")
def test_there_and_back(tmp_path: Path) -> None:
    tools = pytest.importorskip("nxs_analysis_tools")
    values = np.random.default_rng(0).random((5, 7, 9))
    steps = np.diag([0.2, 0.25, 0.5])
    volume = ReciprocalVolume(values, CELL, np.array([-0.4, -0.5, -2.0]), steps)
    write(tmp_path / "ours.nxs", volume)

    opened = tools.load_data(str(tmp_path / "ours.nxs"), print_tree=False)

    np.testing.assert_array_equal(opened.nxsignal.nxdata, values)
    assert [axis.nxname for axis in opened.nxaxes] == list("hkl")
    for axis, coordinates in enumerate(opened.nxaxes):
        expected = volume.origin[axis] + steps[axis, axis] * np.arange(values.shape[axis])
        np.testing.assert_allclose(coordinates.nxdata, expected)

    opened.save(str(tmp_path / "theirs.nxs"))
    again = read(tmp_path / "theirs.nxs", cell=CELL)
    np.testing.assert_array_equal(again.intensity[...], values)
    np.testing.assert_allclose(again.hkl([4, 1, 2]), volume.hkl([4, 1, 2]))
