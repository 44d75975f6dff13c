from __future__ import annotations

import gemmi
import numpy as np
import pytest

from dsfunet_core import ReciprocalVolume, Section
from dsfunet_core.outline import section_outline, section_trace

VOLUME = ReciprocalVolume(
    intensity=np.zeros((21, 31, 11), np.float32),
    cell=gemmi.UnitCell(5, 6, 7, 80, 95, 105),
    origin=np.array([-2.0, -3.0, -1.0]),
    steps=np.array([[0.2, 0, 0.05], [0, 0.2, 0], [0, 0, 0.2]]),
)


@pytest.mark.parametrize(
    "text", ["hk0", "hk0.5", "h0l", "1kl", "hhl", "h, h+1, l", "h, k, h+k"]
)
def test_corners_lie_on_the_plane_and_on_the_box(text: str) -> None:
    section = Section.parse(text)
    corners = section_outline(VOLUME, section)
    assert 3 <= len(corners) <= 6
    hkl = VOLUME.origin + corners @ VOLUME.steps.T
    assert np.allclose((hkl - section.origin) @ section.normal, 0, atol=1e-7)
    low, high = -0.5, np.array(VOLUME.shape) - 0.5
    assert (corners >= low - 1e-8).all()
    assert (corners <= high + 1e-8).all()
    on_face = np.isclose(corners, low) | np.isclose(corners, high)
    assert (on_face.sum(axis=1) >= 2).all()
    # Convex: every turn goes the same way.
    sides = np.roll(corners, -1, axis=0) - corners
    turns = np.cross(sides, np.roll(sides, -1, axis=0))
    assert (turns @ turns[0] > 0).all()


def test_a_plane_that_misses_has_no_outline() -> None:
    assert section_outline(VOLUME, Section.parse("hk9")).shape == (0, 3)
    assert section_trace(np.empty((0, 3)), 0, 3).shape == (0, 3)


def test_traces_lie_on_plane_and_layer() -> None:
    section = Section.parse("hhl")
    corners = section_outline(VOLUME, section)
    line = section_trace(corners, 2, 4)
    assert line.shape == (2, 3)
    assert np.allclose(line[:, 2], 4)
    hkl = VOLUME.origin + line @ VOLUME.steps.T
    assert np.allclose(hkl[:, 0], hkl[:, 1])


def test_a_layer_of_the_volume_is_its_own_trace() -> None:
    straight = ReciprocalVolume(
        intensity=np.zeros((5, 6, 7), np.float32),
        cell=VOLUME.cell,
        origin=np.zeros(3),
        steps=np.eye(3) * 0.5,
    )
    corners = section_outline(straight, Section.parse("hk1"))
    assert len(corners) == 4
    np.testing.assert_array_equal(section_trace(corners, 2, 2), corners)
    assert section_trace(corners, 2, 3).shape == (0, 3)
