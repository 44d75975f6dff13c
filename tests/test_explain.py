"""Every choice is explained, whatever the method recorded."""

from __future__ import annotations

import numpy as np
import pytest
from sro_planes import TRICLINIC, factorized, make_plane

from dsfunet_core.explain import explain_choices, summarize
from dsfunet_core.factorization import factorize


def result_with(choices, **changes):
    plane = make_plane("hk1", TRICLINIC)
    return factorized(plane, np.ones(plane.shape), choices=choices, **changes)


def explained(result):
    return {choice.what: choice for choice in explain_choices(result)}


def test_all_that_the_lattice_method_records_is_explained():
    plane = make_plane("hk1", TRICLINIC, reach=4)
    row, column = np.indices(plane.shape)
    rng = np.random.default_rng(0)
    plane = plane.replace(intensity=rng.poisson(50 + 20 * np.cos(row / 4.0)) + 0.0)
    result = factorize(plane, support=5.0, order=2)
    choices = explained(result)
    for what in (
        "pixels",
        "support",
        "order",
        "weights",
        "outliers",
        "uncertainties",
        "cycles",
    ):
        assert choices[what].why.endswith("."), what
        assert "nan" not in choices[what].value
    assert "You gave this radius" in choices["support"].why
    assert f"{result.r_factor:.4f}" in summarize(result)


def test_cross_validation_tells_its_scores_and_its_limit():
    choice = explained(
        result_with(
            {
                "support": 12.0,
                "support_in_lattice_constants": 1.5,
                "support_chosen_by": "cross-validation",
                "support_scores": {"1": 0.25, "1.5": 0.031},
                "support_capped": True,
            }
        )
    )["support"]
    assert choice.value == "12.0 Å (1.50 lattice constants)"
    assert "1.50: 3.1 %" in choice.why
    assert "too many unknowns" in choice.why


def test_many_outliers_are_a_warning():
    few, many = (explained(result_with({"outliers": n}))["outliers"].why for n in (5, 900))
    assert "mask them" not in few
    assert "mask them" in many


@pytest.mark.parametrize("kind", ["model", "blocks"])
def test_where_uncertainties_come_from(kind):
    assert explained(result_with({"covariance": kind}))["uncertainties"].value == kind


def test_masked_bragg_peaks_and_background_are_told():
    result = result_with({})
    keep = np.ones(result.plane.shape, bool)
    keep[3:6, 4:9] = False
    plane = result.plane.masked(keep, "bragg")
    lost = int((result.plane.valid & ~keep).sum())
    background = np.full(plane.shape, plane.intensity.mean() / 4)
    choices = explained(result_with({}, plane=plane, background=background))
    assert f"bragg {lost}" in choices["pixels"].why
    assert choices["background"].value == "25.0% of the intensity"


def test_a_result_without_records_explains_what_it_can():
    assert set(explained(result_with({}))) == {"pixels", "background"}
