"""Cells and files that the tests of the readers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gemmi
import h5py
import numpy as np
import pytest


@pytest.fixture
def cell() -> gemmi.UnitCell:
    """A triclinic cell, far from every symmetric one."""
    return gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240)


@pytest.fixture
def write_h5(tmp_path: Path) -> Callable[..., Path]:
    """Write an HDF5 file key by key."""

    def write(name: str = "file.h5", **datasets: Any) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as h5:
            for key, value in datasets.items():
                h5[key] = value
        return path

    return write
