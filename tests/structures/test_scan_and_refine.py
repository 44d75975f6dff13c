"""Structures found again from form factors and diffuse scattering."""

import numpy as np
import pytest
from structure_samples import TRICLINIC, plane_of

from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization import factorize
from dsfunet_core.sections import Section
from dsfunet_core.simulate import tris_amide
from dsfunet_core.simulate.planes import cartesian_grid
from dsfunet_core.structures.calculate import Amplitude
from dsfunet_core.structures.compare import Target, compare
from dsfunet_core.structures.model import tris_amide_model
from dsfunet_core.structures.moves import Rotation, Shift, displaced, torsion
from dsfunet_core.structures.refine import refine_structure
from dsfunet_core.structures.scan import scan

DAMPING = 0.03


def form_factor(model, plane, damping=DAMPING):
    amplitude = Amplitude(plane, dtype=np.complex128)(model)
    return np.abs(amplitude) ** 2 * np.exp(-damping * plane.q_norm() ** 2)


def counted(model, seed, counts=5.0):
    """The benchmark plane of a model with counting noise, factorized."""
    plane, _ = tris_amide.benchmark_plane()
    _, sro = tris_amide.simulate(plane)
    clean = form_factor(model, plane) * sro
    clean *= counts / clean[plane.valid].mean()
    noisy = np.random.default_rng(seed).poisson(clean).astype(float)
    return factorize(plane.replace(intensity=noisy), errors=False)


def test_scale_and_damping_come_back_with_honest_errors(ethanol):
    plane = plane_of(TRICLINIC)
    true = form_factor(ethanol, plane, 0.05)
    true *= 40 / true.mean()
    scale = (true / form_factor(ethanol, plane, 0.05)).mean()
    exact = compare(Target(plane, true, np.ones(plane.shape)), ethanol)
    assert exact.scale == pytest.approx(scale, rel=1e-4)
    assert exact.debye_waller == pytest.approx(0.05, abs=1e-5)
    assert exact.mse < 1e-8
    assert exact.r_factor < 1e-4
    pulls = []
    for seed in range(40):
        noisy = np.random.default_rng(seed).poisson(true).astype(float)
        target = Target(plane, noisy, 1 / (true + 1))
        found = compare(target, ethanol)
        pulls.append(
            [
                (found.scale - scale) / found.scale_sigma,
                (found.debye_waller - 0.05) / found.debye_waller_sigma,
            ]
        )
    spread = np.sqrt((np.array(pulls) ** 2).mean(axis=0))
    assert ((spread > 0.7) & (spread < 1.4)).all()
    held = compare(Target(plane, true, np.ones(plane.shape)), ethanol, debye_waller=0.0)
    assert held.debye_waller == 0
    assert held.mse > 1e-4


def test_masked_pixels_do_not_count(ethanol):
    plane = plane_of(TRICLINIC)
    true = form_factor(ethanol, plane)
    weight = np.ones(plane.shape)
    weight[10:20, 5:25] = 0
    spoilt = np.where(weight > 0, true, 1e6)
    found = compare(Target(plane, spoilt, weight), ethanol)
    assert found.r_factor < 1e-4
    assert np.isnan(found.difference[weight == 0]).all()


def test_several_moves_at_once_in_a_triclinic_cell(ethanol):
    plane = plane_of(TRICLINIC, 64)
    moves = [
        torsion(ethanol, ("C1_A", "C2_A")),
        Rotation(np.arange(9), direction=np.array([0.2, 0.5, 1.0]), name="whole"),
        Shift(np.arange(9), np.array([1.0, 0, 0])),
    ]
    true = np.array([14.0, -6.0, 0.11])
    clean = form_factor(displaced(ethanol, moves, true), plane)
    clean *= 60 / clean.mean()
    pulls = []
    for seed in range(8):
        noisy = np.random.default_rng(seed).poisson(clean).astype(float)
        target = Target(plane, noisy, 1 / (clean + 0.5))
        found = refine_structure(target, ethanol, moves, [10, -3, 0.05], contacts=False)
        assert found.converged
        pulls.append((found.values - true) / found.sigma)
    assert np.abs(np.mean(pulls, axis=0)).max() < 1.5
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.6


def test_a_scan_without_noise_is_exact_and_smooth():
    plane, _ = tris_amide.benchmark_plane()
    model = tris_amide_model()
    turn = torsion(model, ("N", "C4"))
    target = Target(
        plane, form_factor(displaced(model, [turn], [-7.0]), plane), plane.valid * 1.0
    )
    found = scan(target, model, turn, np.arange(-60, 61, 4.0))
    best = found.minima[0]
    assert best.value == pytest.approx(-7, abs=1e-3)
    assert best.mse < 1e-8
    assert best.debye_waller == pytest.approx(DAMPING, abs=1e-5)
    assert found.mse[[0, -1]].min() > 0.01
    # 120° about the axis of a tert-butyl group is nearly where it was.
    turned = scan(target, model, turn, np.arange(83, 143, 10.0))
    assert turned.minima[0].value == pytest.approx(113, abs=4)


@pytest.mark.parametrize(
    "true", [*(pytest.param(angle, marks=pytest.mark.slow) for angle in (0.0, -7.0)), 16.0]
)
def test_tert_butyl_angle_from_a_counted_plane(true):
    """Within a degree after factorization at 5 counts a pixel, covered by its error."""
    model = tris_amide_model()
    turn = torsion(model, ("N", "C4"))
    result = counted(displaced(model, [turn], [true]), seed=int(3 + true))
    for target in (Target.form_factor(result), Target.scattering(result)):
        found = scan(target, model, turn, np.arange(-60, 61, 5.0))
        best = found.minima[0]
        assert abs(best.value - true) < 1
        assert abs(best.value - true) < 4 * best.sigma < 1.5
        assert best.mse < found.mse[[0, -1]].min() / 5


def test_a_plane_on_which_a_and_b_look_alike_is_refused():
    model = tris_amide_model()
    origin, steps = cartesian_grid(tris_amide.CELL, Section.parse("hk0"), 32, 4.0)
    plane = plane_of(tris_amide.CELL, 32).replace(origin=origin, steps=steps)
    with pytest.raises(ParameterError, match="A and B look alike"):
        compare(Target(plane, np.ones(plane.shape), np.ones(plane.shape)), model)


def test_a_scan_can_be_stopped_and_wants_rising_values(ethanol):
    plane = plane_of(TRICLINIC)
    target = Target(plane, form_factor(ethanol, plane), np.ones(plane.shape))
    turn = Rotation(np.arange(9), direction=np.array([0, 0, 1.0]))
    with pytest.raises(ParameterError, match="rising"):
        scan(target, ethanol, turn, [3, 2, 1])

    class StopError(Exception):
        pass

    def stop(step, total, message):
        if step == 2:
            raise StopError

    with pytest.raises(StopError):
        scan(target, ethanol, turn, np.arange(10.0), callback=stop)
