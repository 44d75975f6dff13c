"""The setting of a Laue class survives a file; arrays without a measured pixel do not."""

from __future__ import annotations

import numpy as np
import pytest

import dsfunet_core as ds
from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.meerkat import write_meerkat

CELLS = {
    "2/m": (5, 6, 7, 90, 105, 90),
    "112/m": (5, 6, 7, 90, 90, 105),
    "2/m11": (5, 6, 7, 105, 90, 90),
    "-3m:R": (6, 6, 6, 75, 75, 75),
}


@pytest.mark.parametrize("laue_class", CELLS)
def test_the_setting_of_a_laue_class_is_kept(laue_class, tmp_path):
    data = np.random.default_rng(0).random((3, 4, 5))
    path = tmp_path / "set.h5"
    write_meerkat(path, data, CELLS[laue_class], (-1, -1, -1), (1, 1, 1), laue_class=laue_class)
    assert ds.read(path).laue_class == laue_class


def test_npz_without_a_measured_pixel_is_refused(tmp_path):
    path = tmp_path / "nothing.npz"
    np.savez(path, intensity=np.full((4, 5), np.nan))
    with pytest.raises(FileFormatError, match="none of the"):
        ds.read(path)
