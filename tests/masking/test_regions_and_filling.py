"""Polygons, painted labels, too few observations; holes filled with matching noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from masking_planes import TRICLINIC, flat

from dsfunet_core import mask_bragg
from dsfunet_core.errors import DsfunetError, ParameterError
from dsfunet_core.masking import (
    fill,
    mask_labels,
    mask_polygons,
    mask_unseen,
    read_polygons,
)


def test_a_triangle_in_pixels_has_its_area_and_is_where_it_should_be():
    plane = flat(TRICLINIC)
    out = mask_polygons(plane, [[(10, 10), (10, 70), (50, 10)]]).masks["by hand"]
    assert out.sum() == pytest.approx(60 * 40 / 2, rel=0.05)
    assert out[12, 12]
    assert out[11, 60]
    assert not out[45, 40]


def test_a_polygon_in_hkl_is_the_same_on_any_grid():
    corners = [(-0.6, -0.4, 1), (0.7, -0.2, 1), (0.3, 0.8, 1)]
    fractions = []
    for step, n in ((0.05, 121), (0.025, 241)):
        plane = flat(TRICLINIC, n=n, step=step)
        out = mask_polygons(plane, [corners], units="hkl", reason="arc").masks["arc"]
        hk = plane.hkl()[out][:, :2]
        fractions.append(out.sum() * step**2)
        assert hk.mean(axis=0) == pytest.approx(np.mean(corners, axis=0)[:2], abs=0.03)
    a, b, c = np.array(corners)[:, :2]
    area = abs(np.linalg.det([b - a, c - a])) / 2
    assert fractions == pytest.approx([area, area], rel=0.05)


def test_polygons_against_winding_by_turns():
    plane = flat(TRICLINIC, n=41)
    turns = 4 * np.pi * np.arange(5) / 5 + 0.1
    star = 20 + 15 * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    out = mask_polygons(plane, [star]).masks["by hand"]
    row, column = np.mgrid[:41, :41]
    edges = star[None, None] - np.stack([row, column], -1)[:, :, None]
    angle = np.arctan2(edges[..., 0], edges[..., 1])
    turn = np.diff(np.concatenate([angle, angle[..., :1]], -1), axis=-1)
    winding = np.rint(((turn + np.pi) % (2 * np.pi) - np.pi).sum(-1) / (2 * np.pi))
    np.testing.assert_array_equal(out, winding.astype(int) % 2 == 1)


def test_polygons_come_from_json(tmp_path):
    path = tmp_path / "p.json"
    corners = [[0, 0], [0, 5], [5, 5]]
    path.write_text(json.dumps([{"corners": corners, "reason": "arc"}, {"corners": corners}]))
    assert read_polygons(path) == [(corners, "pixel", "arc"), (corners, "pixel", "by hand")]
    for content in ("[1]", "nonsense", '{"corner": []}'):
        path.write_text(content)
        with pytest.raises(DsfunetError, match="is no list of polygons"):
            read_polygons(path)


def test_every_label_is_a_layer():
    plane = flat(TRICLINIC, n=21)
    labels = np.zeros((21, 21), int)
    labels[2:5], labels[8:10] = 1, 7
    masked = mask_labels(plane, labels, {7: "second crystal"})
    assert masked.pixels_out() == {"never measured": 0, "painted 1": 63, "second crystal": 42}
    np.testing.assert_array_equal(masked.unmasked("painted 1").valid, labels != 7)
    with pytest.raises(ParameterError, match="whole numbers"):
        mask_labels(plane, np.zeros((21, 21)))


def test_pixels_with_too_few_observations():
    plane = flat(TRICLINIC, n=21)
    counts = np.arange(441).reshape(21, 21) % 4
    out = mask_unseen(plane.replace(counts=counts), 2).masks["unseen"]
    np.testing.assert_array_equal(out, counts < 2)


def test_filled_holes_have_the_mean_and_the_noise_of_their_rims():
    plane = flat(TRICLINIC, n=201, step=0.02)
    rng = np.random.default_rng(0)
    slope = 30 * np.exp(-0.3 * plane.hkl()[..., 0])
    counts = rng.poisson(slope) + 0.0
    peaks = ~mask_bragg(plane, 0.12).valid
    spotted = plane.replace(intensity=np.where(peaks, 1e5, counts))

    filled = fill(mask_bragg(spotted, 0.12), seed=3)

    assert filled.valid.all()
    assert "bragg" not in filled.masks
    residual = (filled.intensity - slope)[peaks]
    error = np.sqrt(slope[peaks].mean() / peaks.sum())
    assert abs(residual.mean()) < 6 * error
    assert residual.var() == pytest.approx(slope[peaks].mean(), rel=0.25)
    np.testing.assert_array_equal(filled.intensity[~peaks], counts[~peaks])
    again = fill(mask_bragg(spotted, 0.12), seed=3)
    np.testing.assert_array_equal(again.intensity, filled.intensity)


def test_pixels_out_for_another_reason_are_not_filled():
    plane = mask_bragg(flat(TRICLINIC), 0.15).masked(flat(TRICLINIC).hkl()[..., 0] > 0, "half")
    filled = fill(plane)
    assert not filled.valid[plane.masks["half"]].any()


def test_mistakes_are_told():
    plane = flat(TRICLINIC, n=21)
    with pytest.raises(ParameterError, match="no mask layer 'bragg'"):
        fill(plane)
    with pytest.raises(ParameterError, match="three corners"):
        mask_polygons(plane, [[(1, 1), (2, 2)]])
    with pytest.raises(ParameterError, match="units='q'"):
        mask_polygons(plane, [[(1, 1), (2, 2), (3, 1)]], units="q")
