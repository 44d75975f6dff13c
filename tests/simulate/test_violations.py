"""Scattering that no product of a form factor and an order explains."""

from __future__ import annotations

import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.crystals import VALIDATION
from dsfunet_core.simulate.planes import random_plane
from dsfunet_core.simulate.violations import VIOLATIONS, thermal_diffuse, violated


@pytest.fixture(scope="module")
def clean():
    return random_plane(np.random.default_rng(5), VALIDATION)


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_as_much_is_added_as_was_asked_for(kind, clean):
    made = violated(clean, kind, 0.2, np.random.default_rng(1))
    seen = clean.plane.valid
    product = (clean.form_factor * clean.sro)[seen]
    change = made.plane.intensity[seen] - product
    assert np.abs(change).mean() / product.mean() == pytest.approx(0.2, rel=0.05)
    if kind != "displacements":
        assert change.min() > -1e-9 * product.max()
    assert made.description["violation"]["kind"] == kind
    np.testing.assert_array_equal(made.sro, clean.sro)


def test_thermal_scattering_is_strongest_near_lattice_points(clean):
    plane = clean.plane
    extra = thermal_diffuse(plane, clean.crystal)
    hkl = plane.hkl(*np.indices(plane.shape))
    off = np.linalg.norm(hkl - np.rint(hkl), axis=-1)
    near = off < np.quantile(off, 0.1)
    # The plane may run between the points, and |F|² differs from place to place.
    assert extra[near].mean() > 1.4 * extra[~near].mean()


def test_nothing_is_changed_by_no_share_and_nonsense_is_refused(clean):
    rng = np.random.default_rng(1)
    same = violated(clean, "background", 0.0, rng).plane.intensity[clean.plane.valid]
    product = (clean.form_factor * clean.sro)[clean.plane.valid]
    np.testing.assert_allclose(same, product)
    with pytest.raises(ParameterError, match="not known"):
        violated(clean, "ghosts", 0.1, rng)
    with pytest.raises(ParameterError, match="0 or more"):
        violated(clean, "thermal", -0.1, rng)
