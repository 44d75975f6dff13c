"""Equivalent pixels found without a lattice, on planes whose factors are known."""

import numpy as np
import pytest
import torch

from dsfunet_core.metrics import mean_squared_error
from dsfunet_core.network.consensus import PeriodicConsensus
from dsfunet_core.simulate.crystals import TRAINING, World
from dsfunet_core.simulate.stream import plane_number


def tensors(plane, rng, noise):
    """Plane, mask, true form factor, and the true order with noise, each (1, 1, n, n)."""
    form_factor = plane.form_factor / plane.form_factor.max()
    sro = plane.sro / plane.sro.max()
    guess = np.clip(sro + noise * rng.normal(size=sro.shape), 0, None)
    images = (form_factor * sro, plane.plane.valid, form_factor, guess)
    return [torch.from_numpy(np.asarray(i, np.float32))[None, None] for i in images], sro


@pytest.mark.parametrize("system", ["orthorhombic", "oblique", "hexagonal"])
def test_order_is_recovered_from_a_noisy_guess_dead_zones_included(system):
    world = World(pairs={"library": 1}, systems={system: 1}, coverage=(0.5, 0.8))
    rng = np.random.default_rng(0)
    consensus = PeriodicConsensus((16.0,))
    before, after = [], []
    for number in range(6):
        plane = plane_number(11, number, world)
        images, sro = tensors(plane, rng, noise=0.3)
        # Nothing of the order is known where nothing was measured.
        images[3] = images[3] * images[1]
        found = consensus(*images)[0, 0].numpy()
        before.append(mean_squared_error(images[3][0, 0].numpy(), sro))
        after.append(mean_squared_error(found, sro))
    assert np.median(after) < 0.02
    assert np.median(after) < 0.1 * np.median(before)


def test_a_perfect_lattice_gives_the_exact_quotient():
    """Periods of whole pixels: every translation fits, and the answer is the truth."""
    n = 96
    y, x = np.mgrid[:n, :n]
    sro = 1 + 0.5 * np.cos(2 * np.pi * y / 12) + 0.3 * np.cos(2 * np.pi * (x + y / 2) / 8)
    form_factor = np.exp(-((y - 40) ** 2 + (x - 55) ** 2) / 3000)
    valid = np.ones((n, n))
    valid[20:50, 30:60] = 0
    images = [
        torch.from_numpy(i.astype(np.float32))[None, None]
        for i in (form_factor * sro * valid, valid, form_factor, sro)
    ]
    found = PeriodicConsensus((200.0,))(*images)[0, 0].numpy()
    np.testing.assert_allclose(found, sro, rtol=0.01)


def test_scales_and_shifts_do_not_matter():
    plane = plane_number(12, 1, TRAINING, size=128)
    images, _ = tensors(plane, np.random.default_rng(1), noise=0.2)
    consensus = PeriodicConsensus()
    found = consensus(*images)
    scaled = consensus(1000 * images[0], images[1], 7 * images[2], images[3])
    torch.testing.assert_close(scaled, found, rtol=2e-2, atol=1e-3)
    turned = consensus(*(i.flip(2).transpose(2, 3).contiguous() for i in images))
    difference = (turned - found.flip(2).transpose(2, 3)).abs()
    # Where the form factor vanishes nothing decides the last digits.
    assert torch.quantile(difference, 0.99) < 2e-3


def test_odd_planes_give_finite_answers():
    ones = torch.ones(1, 1, 64, 48)
    consensus = PeriodicConsensus()
    for images in (
        (0 * ones, ones, ones, ones),
        (ones, 0 * ones, ones, ones),
        (ones, ones, 0 * ones, ones),
        (ones, ones, ones, 0 * ones),
        (ones, ones, ones, ones),
    ):
        found = consensus(*images)
        assert found.shape == (1, 2, 64, 48)
        assert torch.isfinite(found).all()
        assert (found >= 0).all()
