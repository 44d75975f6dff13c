"""What is said of volumes that are products, and of some that are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from volume_samples import CELL

from dsfunet_core.simulate.molecules import random_molecule
from dsfunet_core.simulate.sro import alpha_box
from dsfunet_core.volume_factorization import (
    SimulatedVolume,
    assess_volume,
    explain_volume,
    factorize_volume,
    simulate_volume,
    summarize_volume,
)

#: Positive everywhere: 1 + Σ α cos ≥ 0.2.
GENTLE = {(1, 0, 0): 0.15, (0, 1, 0): -0.1, (0, 1, 1): 0.05, (2, 1, 0): 0.05, (0, 0, 2): 0.05}


def made_of(alpha: dict, *, counts: float = 5.0, seed: int = 7) -> SimulatedVolume:
    pair = np.random.default_rng(3)
    return simulate_volume(
        random_molecule(pair, 5),
        random_molecule(pair, 6),
        alpha_box(alpha)[2:9, 2:9, 2:9],
        CELL,
        size=40,
        step=0.13,
        counts=counts,
        rng=np.random.default_rng(seed),
    )


def failed(
    made: SimulatedVolume,
    intensity: np.ndarray | None = None,
    *,
    order: int = 2,
    support: float = 6.5,
) -> set:
    volume = made.volume
    if intensity is not None:
        noisy = np.random.default_rng(11).poisson(np.maximum(intensity, 0)).astype(np.float32)
        noisy[np.isnan(volume.intensity)] = np.nan
        volume = replace(volume, intensity=noisy)
    report = assess_volume(factorize_volume(volume, order=order, support=support))
    assert report.holds == (not report.concerns)
    return {check.what for check in report.concerns}


@pytest.fixture(scope="module")
def gentle() -> SimulatedVolume:
    return made_of(GENTLE)


@pytest.mark.parametrize(("counts", "support"), [(0.0, 9.0), (5.0, 6.5)])
def test_a_product_passes(counts: float, support: float) -> None:
    assert failed(made_of(GENTLE, counts=counts), support=support) == set()


def test_too_small_a_support_without_noise_is_told() -> None:
    assert "periodicity of the residual" in failed(made_of(GENTLE, counts=0.0), support=5.0)


def test_order_that_reaches_further_than_refined_is_told() -> None:
    made = made_of({**GENTLE, (3, 0, 0): 0.1, (0, 3, 1): 0.05})
    assert "range of the order" in failed(made)
    assert failed(made, order=3) == set()


def test_a_background_is_told(gentle: SimulatedVolume) -> None:
    true = 4 * gentle.form_factor * gentle.sro
    assert failed(gentle, true) == set()
    assert "background" in failed(gentle, true + 0.3 * true.mean())


def test_another_order_at_large_q_is_told(gentle: SimulatedVolume) -> None:
    # As of a second disordered site that scatters to larger |Q|.
    axis = 0.13 * (np.arange(40) - 19.5)
    h, k, ell = np.meshgrid(axis, axis, axis, indexing="ij")
    far = np.clip((h**2 + k**2 + ell**2) / 6.5, 0, 1)
    other = gentle.form_factor * far * (1 - 0.6 * np.cos(2 * np.pi * h))
    true = 4 * gentle.form_factor * gentle.sro
    assert "order besides the product" in failed(gentle, true + 4 * other)


def test_no_order_is_no_contrast() -> None:
    report = assess_volume(factorize_volume(made_of({}).volume, order=2, support=6.5))
    assert report.holds
    assert [check.what for check in report.shortcomings] == ["contrast of the order"]


def test_the_words(gentle: SimulatedVolume) -> None:
    result = factorize_volume(gentle.volume, order=2)
    summary, choices = summarize_volume(result), explain_volume(result)
    assert f"R = {result.r_factor:.4f}" in summary
    assert "(1,0,0)" in summary
    said = {choice.what: choice for choice in choices}
    assert "held out best" in said["support"].why
    assert said["uncertainties"].value == "from the model"
    given = factorize_volume(gentle.volume, order=2, support=6.5, robust=False)
    said = {choice.what: choice for choice in explain_volume(given)}
    assert said["support"].why == "You gave this radius."
    assert said["outliers"].value == "kept"
    report = assess_volume(result)
    assert "This plane" not in report.table()
    assert report.to_dict()["holds"]


def test_a_form_factor_that_takes_up_a_second_site_is_told(gentle: SimulatedVolume) -> None:
    small = assess_volume(factorize_volume(gentle.volume, order=2, support=5.0))
    assert "ends before the next cell" in small.table()
    large = assess_volume(factorize_volume(gentle.volume, order=2, support=9.5))
    assert large.holds == small.holds
    (told,) = (check for check in large.shortcomings if check.what == "support")
    assert "second disordered site" in told.sentence
