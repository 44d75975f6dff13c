"""Trigonometric sums and normal matrices against direct sums over voxels."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfunet_core import ReciprocalVolume
from dsfunet_core.errors import GeometryError
from dsfunet_core.symmetry import shell_vectors
from dsfunet_core.volume_factorization.bases import (
    FormFactorBasis,
    OrderBasis,
    cross_matrix,
)
from dsfunet_core.volume_factorization.grid import VolumeGrid

CELL = gemmi.UnitCell(6.1, 7.3, 8.9, 78, 97, 112)
STEPS = {
    "along the axes": np.diag([0.2, 0.23, -0.15]),
    "axes exchanged": np.array([[0, 0.2, 0], [0, 0, 0.17], [0.21, 0, 0]]),
    "h+k, h−k, l": np.array([[0.2, 0.1, 0], [0.2, -0.1, 0], [0, 0, 0.15]]),
}


def volume_with(steps, seed=0):
    rng = np.random.default_rng(seed)
    return ReciprocalVolume(rng.random((9, 8, 7)), CELL, np.array([-0.9, -0.5, 0.3]), steps)


def direct(volume, basis_order, basis_form):
    """ψ and φ at every voxel, from hkl and fractional coordinates."""
    hkl = volume.hkl(np.moveaxis(np.indices(volume.shape), 0, -1))
    psi = [
        sum(np.cos(2 * np.pi * hkl @ v) for v in orbit.members) for orbit in basis_order.orbits
    ]
    fractional = (
        np.linalg.inv(basis_form.grid.directions).T
        @ (basis_form.indices / basis_form.divisions).T
    )
    phi = basis_form.amplitude[:, None, None, None] * np.cos(
        2 * np.pi * np.moveaxis(hkl @ fractional, -1, 0)
    )
    return np.array(psi), phi, fractional


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_matrices_are_direct_sums_on_any_lattice_axes(steps):
    volume = volume_with(steps)
    grid = VolumeGrid.of(volume)
    order = OrderBasis.build(grid, shell_vectors(2, "-1", CELL))
    form = FormFactorBasis.build(grid, CELL, 5.0)
    psi, phi, fractional = direct(volume, order, form)
    w = volume.intensity
    np.testing.assert_allclose(
        order.gram(w), np.einsum("nijk,ijk,mijk->nm", psi, w, psi), atol=1e-9
    )
    np.testing.assert_allclose(
        form.gram(w), np.einsum("nijk,ijk,mijk->nm", phi, w, phi), atol=1e-9
    )
    np.testing.assert_allclose(
        cross_matrix(form, order, w), np.einsum("nijk,ijk,mijk->nm", phi, w, psi), atol=1e-9
    )
    cartesian = np.array(CELL.orth.mat.tolist()) @ fractional
    np.testing.assert_allclose(form.radius, np.linalg.norm(cartesian, axis=0), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_synthesis_and_analysis_are_adjoint(seed):
    volume = volume_with(STEPS["h+k, h−k, l"], seed)
    grid = VolumeGrid.of(volume)
    rng = np.random.default_rng(seed)
    field = volume.intensity
    form = FormFactorBasis.build(grid, CELL, 5.0)
    x = rng.normal(size=form.size)
    assert np.vdot(form.synthesize(x), field) == pytest.approx(
        x @ form.analyze(field), rel=1e-5, abs=1e-3
    )
    order = OrderBasis.build(grid, shell_vectors(2, "-1", CELL))
    y = rng.normal(size=order.size)
    change = order.synthesize(y) - order.synthesize(0 * y)
    assert np.vdot(change, field) == pytest.approx(y @ order.analyze(field), rel=1e-5, abs=1e-3)


def test_an_irrational_axis_is_refused():
    steps = np.diag([0.2, 0.2, 0.2])
    steps[1, 0] = 0.2 * np.sqrt(2)
    with pytest.raises(GeometryError, match="array axis 0 .* no small-integer direction"):
        VolumeGrid.of(volume_with(steps))
