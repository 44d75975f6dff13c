"""Volumes and viewers for the plugin's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

from dsfunet_core import ReciprocalPlane, ReciprocalVolume

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


@pytest.fixture
def triclinic() -> ReciprocalVolume:
    """Small volume of a triclinic cell whose values tell the voxel."""
    shape = (12, 10, 7)
    return ReciprocalVolume(
        intensity=np.arange(np.prod(shape), dtype=np.float32).reshape(shape),
        cell=gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112),
        origin=np.array([-1.1, -0.9, -0.6]),
        steps=np.diag([0.2, 0.2, 0.2]),
        name="triclinic",
    )


@pytest.fixture
def small_plane() -> ReciprocalPlane:
    """Plane with order between neighbours, quick to factorize."""
    return _small_plane()


@pytest.fixture(scope="module")
def module_plane() -> ReciprocalPlane:
    """The same for what is made once a module."""
    return _small_plane()


def _small_plane() -> ReciprocalPlane:
    cell = gemmi.UnitCell(9, 10, 11, 90, 90, 105)
    axis = (np.arange(67) - 33) / 11
    h, k = np.meshgrid(axis, axis, indexing="ij")
    plane = ReciprocalPlane(
        intensity=np.ones(h.shape),
        valid=np.hypot(h, k) < 2.9,
        cell=cell,
        origin=np.array([-3.0, -3.0, 1.0]),
        steps=np.array([[1 / 11, 0], [0, 1 / 11], [0, 0]]),
        name="hk1",
        laue_class="-1",
    )
    q = plane.q_norm()
    order = 1 + 0.5 * np.cos(2 * np.pi * h) - 0.3 * np.cos(2 * np.pi * k)
    noise = np.random.default_rng(3).normal(0, 0.02, h.shape)
    return plane.replace(intensity=100 * np.exp(-((q / 1.2) ** 2)) * order * (1 + noise))


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """What docks keep between sessions stays in the test's folder."""
    from qtpy.QtCore import QSettings

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))


@pytest.fixture
def registered(npe2pm: Any) -> Iterator[PluginManager]:
    """Plugin manager that knows this plugin, installed or not."""
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)):
        yield npe2pm
