"""Lattices found blind, on planes whose lattice is known."""

import numpy as np
import pytest
import torch

from dsfunet_core.network import repeats
from dsfunet_core.simulate.crystals import World
from dsfunet_core.simulate.stream import plane_number


def find_lattice(quotient, weight):
    lattice, strength = repeats.find_lattice(
        torch.from_numpy(quotient)[None], torch.from_numpy(weight)[None]
    )
    return lattice[0].double().numpy(), float(strength[0])


def same_lattice(found, true):
    """Whether the rows of both span the same points, to a tenth of a cell over the plane."""
    change = found @ np.linalg.inv(true)
    whole = np.round(change)
    return abs(abs(np.linalg.det(whole)) - 1) < 0.1 and np.abs(change - whole).max() < 0.02


def waves(lattice, shape, amplitudes):
    y, x = np.mgrid[: shape[0], : shape[1]]
    fractional = np.tensordot(lattice, np.stack([y, x]), 1)
    return 1 + sum(
        a * np.cos(2 * np.pi * (u * fractional[0] + v * fractional[1]))
        for (u, v), a in amplitudes.items()
    )


@pytest.mark.parametrize(
    "cycles", [[[9.3, 0], [0, 14.2]], [[8.1, 3.3], [-2.2, 11.7]], [[0.2, 12.4], [17.9, 6.1]]]
)
@pytest.mark.parametrize(
    "amplitudes",
    [
        {(1, 0): 0.5, (0, 1): 0.3},
        # Stripes, with only a trace of the second direction.
        {(1, 0): 0.6, (2, 0): 0.3, (3, 0): 0.15, (1, 1): 0.03, (0, 1): 0.03},
        # No point generates the lattice alone.
        {(2, 0): 0.4, (1, 1): 0.3, (0, 2): 0.2},
    ],
    ids=["plain", "stripes", "centred"],
)
def test_lattice_of_waves_behind_dead_zones(cycles, amplitudes):
    shape = (128, 112)
    true = np.array(cycles) / 128
    weight = np.ones(shape)
    weight[:60, 30:80], weight[:, 90:94], weight[100:103] = 0, 0, 0
    found, strength = find_lattice(waves(true, shape, amplitudes) * weight, weight)
    if (1, 0) not in amplitudes:
        true = np.array([true[0] + true[1], true[0] - true[1]])
    assert same_lattice(found, true)
    assert strength > 0.9


def test_stripes_repeat_themselves_along_their_length():
    true = np.array([[7.7, 10.2], [1e3, 0]]) / 128
    image = waves(true, (128, 128), {(1, 0): 0.7, (2, 0): 0.3})
    found, _ = find_lattice(image, np.ones((128, 128)))
    ratio = found @ np.linalg.inv(np.array([true[0], [-true[0, 1], true[0, 0]]]))
    along = np.abs(ratio[:, 1]) < 1e-2
    assert along.sum() == 1
    assert np.abs(ratio[along, 0]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("system", ["orthorhombic", "oblique", "hexagonal"])
def test_lattice_of_simulated_crystals(system):
    world = World(pairs={"library": 1}, systems={system: 1}, coverage=(0.5, 0.9))
    hits = 0
    for number in range(10):
        simulated = plane_number(21, number, world)
        plane = simulated.plane
        weight = np.where(plane.valid, simulated.form_factor / simulated.form_factor.max(), 0)
        found, _ = find_lattice(
            np.where(plane.valid, plane.intensity / simulated.form_factor, 0), weight
        )
        true = plane.steps[np.abs(plane.steps).max(1) > 1e-9]
        hits += same_lattice(found, true)
    assert hits >= 8


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_planes_without_order_or_data_have_some_lattice(value):
    for weight in (np.zeros((64, 48)), np.ones((64, 48))):
        found, _ = find_lattice(np.full((64, 48), value), weight)
        assert np.isfinite(found).all()
        assert abs(np.linalg.det(found)) > 0
