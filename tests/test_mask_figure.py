"""Figures of masks: what they show is what was done."""

from __future__ import annotations

import numpy as np
from factorization_planes import known_plane

from dsfunet_core import ReciprocalPlane, masking
from dsfunet_core.mask_figure import mask_figure
from dsfunet_core.plots import png


def test_every_layer_is_named_with_its_pixels_and_the_background_has_a_panel():
    plane = known_plane().plane
    masked = masking.mask_bragg(plane, 0.1).masked(plane.q_norm() < 3, reason="arc")
    masked = masked.masked(np.ones(plane.shape, bool), reason="nothing")
    figure = mask_figure(plane, masked)
    assert [ax.get_title()[:4] for ax in figure.axes] == ["meas", "why ", "used"]
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == [f"{k}: {int(masked.masks[k].sum()):,}" for k in ("bragg", "arc")]
    drawn = np.ma.getmaskarray(figure.axes[2].images[0].get_array())
    np.testing.assert_array_equal(drawn, ~masked.valid)

    level = float(np.median(plane.intensity))
    without = masking.subtract_constant(masked, level).after
    figure = mask_figure(plane, without)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[2] == "background (√I)"
    assert "blue: I < 0" in titles[3]
    shown = figure.axes[2].images[0].get_array().compressed()
    np.testing.assert_allclose(shown, np.sqrt(level), rtol=1e-9)


def test_planes_without_lattice_without_masks_and_without_anything():
    values = np.random.default_rng(0).poisson(3, (20, 30)).astype(float)
    valid = np.ones(values.shape, bool)
    for plane in (
        ReciprocalPlane(values, valid),
        ReciprocalPlane(0 * values, valid),
        ReciprocalPlane(values, ~valid),
    ):
        assert png(mask_figure(plane, plane), dpi=30).startswith(b"\x89PNG")
