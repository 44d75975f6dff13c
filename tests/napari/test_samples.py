"""Samples that are made when they are opened: what they show, and scripts that make them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from dsfunet_core import Factorization, ReciprocalPlane, ReciprocalVolume
from dsfunet_core.simulate.samples import CUBIC_ALPHA, TRICLINIC_ALPHA, triclinic_volume
from dsfunet_core.volume_factorization import factorize_volume
from napari_dsfunet import sample_data
from napari_dsfunet.layers import core_object, script_of


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("tris-amide-plane", ["hk1"]),
        ("cubic", ["cubic hk0 true SRO", "cubic hk0 true form factor", "cubic hk0"]),
        ("triclinic-volume", ["triclinic"]),
        ("hard", ["hard hk1 true SRO", "hard hk1 true form factor", "hard hk1"]),
    ],
)
def test_samples_open_through_napari(registered: Any, key: str, names: list[str]) -> None:
    viewer = ViewerModel()
    start = time.perf_counter()
    viewer.open_sample("napari-dsfunet", key)
    assert time.perf_counter() - start < 10  # under 2 s on an idle core
    assert [layer.name for layer in viewer.layers] == names
    assert [layer.visible for layer in viewer.layers] == [False] * (len(names) - 1) + [True]


@pytest.mark.parametrize("name", ["tris_amide_plane", "cubic", "hard", "triclinic_volume"])
def test_scripts_make_the_same_again(name: str) -> None:
    viewer = ViewerModel()
    for data, options, _ in getattr(sample_data, name)():
        viewer.add_image(data, **options)
    for layer in viewer.layers:
        names: dict[str, Any] = {}
        exec("\n".join(["import dsfunet_core", *script_of(layer)]), names)
        shown = core_object(layer)
        if isinstance(shown, Factorization):
            np.testing.assert_array_equal(names["result"].sro, shown.sro)
            np.testing.assert_array_equal(names["result"].form_factor, shown.form_factor)
        elif isinstance(shown, ReciprocalVolume):
            np.testing.assert_array_equal(names["volume"].intensity, shown.intensity)
        else:
            assert isinstance(shown, ReciprocalPlane)
            np.testing.assert_array_equal(names["plane"].intensity, shown.intensity)
            np.testing.assert_array_equal(names["plane"].valid, shown.valid)


def test_truth_is_told_in_the_metadata() -> None:
    *_, (_, options, _) = sample_data.cubic()
    truth = options["metadata"]["dsfunet"]["truth"]
    assert truth["order"].startswith("α(1 0 0) = −0.1, ")
    # On l = 0 neighbours above and below count with those in the plane.
    expected = CUBIC_ALPHA[1, 0, 0] + 2 * CUBIC_ALPHA[1, 1, 0]
    assert truth["coefficients"][1, 0] == pytest.approx(expected)


def test_the_volume_gives_its_own_answer_back() -> None:
    result = factorize_volume(triclinic_volume().volume, order=2)
    for vector, true in TRICLINIC_ALPHA.items():
        assert abs(result[vector] - true) < 5 * result.sigma_of(vector) + 0.002
    assert abs(result[2, 1, 0]) < 0.004
