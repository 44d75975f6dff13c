"""Both steps of the blind alternating solver, on planes whose factors are known."""

import numpy as np
import pytest
import torch

from dsfunet_core.metrics import mean_squared_error
from dsfunet_core.network.alternation import continue_form_factor, fold_order, quotient
from dsfunet_core.network.compact import CompactNet
from dsfunet_core.simulate.crystals import World
from dsfunet_core.simulate.stream import plane_number


def tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32))[None, None]


def simulated(number, system="orthorhombic", coverage=(0.5, 0.8)):
    """Scaled intensity, mask, both factors and the lattice of a noise-free plane."""
    world = World(pairs={"library": 1}, systems={system: 1}, coverage=coverage)
    plane = plane_number(31, number, world)
    form_factor = plane.form_factor / plane.form_factor.max()
    sro = plane.sro / plane.sro.max()
    valid = plane.plane.valid
    lattice = plane.plane.steps[np.abs(plane.plane.steps).max(1) > 1e-9]
    lattice = torch.from_numpy(lattice.astype(np.float32))[None]
    return tensor(form_factor * sro * valid), tensor(valid), form_factor, sro, lattice


@pytest.mark.parametrize("system", ["orthorhombic", "oblique", "hexagonal"])
def test_order_folded_with_the_true_form_factor_is_the_truth(system):
    errors = []
    for number in range(6):
        intensity, valid, form_factor, sro, lattice = simulated(number, system)
        found = fold_order(lattice, intensity, valid, tensor(form_factor))[0, 0].numpy()
        errors.append(mean_squared_error(found, sro))
        assert found.max() <= 1 + 1e-5
    # Sharp maxima, of more than five harmonics, and weak order are what is left.
    assert np.median(errors) < 2e-3


def test_folding_is_exact_for_few_harmonics_and_any_scale():
    n = 96
    y, x = np.mgrid[:n, :n]
    u, v = 0.0871 * y + 0.021 * x, -0.031 * y + 0.117 * x
    sro = 1.6 + np.cos(2 * np.pi * u) + 0.4 * np.cos(2 * np.pi * (u - 2 * v))
    form_factor = np.exp(-((y - 40) ** 2 + (x - 55) ** 2) / 3000)
    valid = np.ones((n, n))
    valid[20:50, 30:60] = 0
    lattice = torch.tensor([[[0.0871, 0.021], [-0.031, 0.117]]])
    images = tensor(form_factor * sro * valid), tensor(valid), tensor(form_factor)
    found = fold_order(lattice, *images)
    np.testing.assert_allclose(found[0, 0], sro / sro.max(), atol=0.02)
    scaled = fold_order(lattice, 1e3 * images[0], images[1], 7 * images[2])
    torch.testing.assert_close(scaled, found, rtol=1e-3, atol=1e-4)
    # Another basis of the same lattice folds alike.
    other = torch.tensor([[[1.0, 1.0], [0.0, -1.0]]]) @ lattice
    torch.testing.assert_close(fold_order(other, *images), found, rtol=0, atol=0.03)


def test_form_factor_is_continued_into_dead_zones():
    better = []
    for number in range(8):
        intensity, valid, form_factor, sro, _ = simulated(number)
        measured, weight = quotient(intensity, valid, tensor(sro))
        truth = torch.nn.functional.avg_pool2d(tensor(form_factor), 2)
        seen = measured * (weight > 0)
        found = continue_form_factor(seen, weight, seen)
        # Told no more than the measured part, better than its mean; and that is kept.
        dead = weight == 0
        error = (found - truth)[dead].square().mean()
        mean = (seen.sum() / (weight > 0).sum() - truth)[dead].square().mean()
        better.append(float(error / mean))
        kept = (found - truth)[weight > 0.5].square().mean().sqrt()
        assert kept < 0.03
        assert (found >= 0).all()
    assert np.median(better) < 0.7


def test_a_good_guess_of_the_spectrum_finds_what_no_pixel_shows():
    """Fringes go on where nothing was measured: their line in the spectrum says so."""
    y, x = np.mgrid[:96, :80]
    truth = np.exp(-((y - 50) ** 2 + (x - 44) ** 2) / 4000) * (
        1 + np.cos(2 * np.pi * (0.071 * y + 0.043 * x) + 0.4)
    )
    weight = np.ones_like(truth)
    weight[30:60, 20:50] = 0
    guess = np.where(weight > 0, truth, truth.mean())
    found = continue_form_factor(tensor(truth * weight), tensor(weight), tensor(guess))
    difference = found[0, 0].numpy() - truth
    assert np.sqrt((difference[weight == 0] ** 2).mean()) < 0.2 * truth[weight == 0].std()


def test_batches_are_planes_one_by_one():
    planes = [simulated(number) for number in range(3)]
    batch = [torch.cat([p[k] for p in planes]) for k in (4, 0, 1)]
    guess = torch.cat([tensor(p[2]) for p in planes])
    folded = fold_order(*batch, guess)
    measured, weight = quotient(batch[1], batch[2], folded)
    small = torch.nn.functional.avg_pool2d(guess, 2)
    continued = continue_form_factor(measured, weight, small)
    for i in range(3):
        one = slice(i, i + 1)
        alone = fold_order(*(b[one] for b in batch), guess[one])
        torch.testing.assert_close(alone, folded[one], rtol=1e-4, atol=1e-5)
        alone = continue_form_factor(measured[one], weight[one], small[one])
        torch.testing.assert_close(alone, continued[one], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("measured", [0.0, 1.0])
def test_odd_planes_give_finite_answers(value, measured):
    network = CompactNet().eval()
    with torch.inference_mode():
        for size in ((64, 64), (96, 32)):
            image = torch.ones(2, 1, *size)
            for found in network(2 * value * image - 1, measured * image):
                assert found.shape == (2, 2, *size)
                assert torch.isfinite(found).all()


def test_reduced_precision_reaches_only_the_convolutions():
    network = CompactNet().eval()
    intensity, valid, *_ = simulated(0)
    with torch.inference_mode():
        exact = network(2 * intensity.sqrt() - 1, valid)[-1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reduced = network(2 * intensity.sqrt() - 1, valid)[-1]
    assert (reduced.float() - exact).abs().median() < 0.02
