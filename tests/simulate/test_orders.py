"""Short-range order: targets met, symmetric shells, and what no crystal can have."""

import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.monte_carlo import least_alpha, monte_carlo_order
from dsfunet_core.simulate.sro import (
    SHELL_SYSTEMS,
    alpha_box,
    check_realisable,
    damped_oscillator,
    least_sro,
    shells,
    warren_cowley,
)
from dsfunet_core.simulate.sro_table import averaged_over_mirrors, sro_table
from dsfunet_core.symmetry import laue_rotations


@pytest.mark.parametrize("seed", range(12))
def test_monte_carlo_meets_three_targets(seed):
    rng = np.random.default_rng(seed)
    m_a = rng.uniform(0.1, 0.9)
    targets = rng.uniform(max(0.9 * least_alpha(m_a), -0.6), 0.6, size=3)
    order = monte_carlo_order(targets, m_a, rng=rng)
    np.testing.assert_allclose(order.reached, targets, atol=0.01)
    # The α are those of the crystal that comes with them, and its composition is kept.
    np.testing.assert_allclose(order.alpha, warren_cowley(order.configuration))
    assert (order.configuration == 1).sum() == round(m_a * 8000)
    assert order.concentration == pytest.approx(m_a, abs=1 / 8000)


def test_targets_are_met_by_the_most_random_crystal():
    """Chains along a alone: everything else is what the Ising chain of that α has."""
    rng = np.random.default_rng(1)
    order = monte_carlo_order((-0.4, 0, 0), 0.5, size=24, samples=20, rng=rng)
    chain = (-0.4) ** np.arange(6)
    # The scatter of 20 correlated samples is below 24^-1.5 = 0.0085.
    np.testing.assert_allclose(order.alpha[5:, 5, 5], chain, atol=0.015)
    across = order.alpha.copy()
    across[:, 5, 5] = 0
    assert np.abs(across).max() < 0.03
    assert across.std() < 0.004


def test_what_a_composition_forbids_is_refused():
    rng = np.random.default_rng(2)
    # One in five: every A can have only B beside it, but most B must then be among B.
    assert least_alpha(0.2) == pytest.approx(-0.25)
    with pytest.raises(ParameterError, match="-0.250 to 1"):
        monte_carlo_order((-0.3, 0, 0), 0.2, rng=rng)
    with pytest.raises(ParameterError, match="nearest has"):
        monte_carlo_order((-0.25, -0.25, -0.25), 0.2, sweeps=20, tolerance=0.002, rng=rng)
    with pytest.raises(ParameterError, match="three values"):
        monte_carlo_order((0.1, 0.2), 0.5, rng=rng)


def test_shells_are_whole_orbits_in_order_of_length():
    for system, group in SHELL_SYSTEMS.items():
        operations = laue_rotations(group)
        lengths = []
        for shell in shells(system):
            members = {tuple(v) for v in shell.tolist()}
            for operation in operations:
                assert {tuple(v) for v in (shell @ operation.T).tolist()} == members
            u, v, w = shell.T
            length2 = u * u + v * v + w * w - (u * v if system == "hexagonal" else 0)
            assert len(set(length2.tolist())) == 1
            lengths.append(length2[0])
        assert lengths == sorted(lengths)
    assert [len(s) for s in shells("hexagonal")[:3]] == [6, 6, 6]
    assert [len(s) for s in shells("tetragonal")[:4]] == [4, 4, 4, 8]
    assert [len(s) for s in shells("cubic")[:3]] == [6, 12, 8]
    with pytest.raises(ParameterError, match="hexagonal, tetragonal, cubic"):
        shells("trigonal")


def test_damped_oscillator_is_equation_7():
    alpha = damped_oscillator("hexagonal", 0.9, 0.5, 0.8)
    for x, shell in enumerate(shells("hexagonal"), start=1):
        expected = 0.9 * np.exp(-0.5 * x) * np.cos(0.8 * x)
        for u, v, w in shell:
            assert alpha[5 + u, 5 + v, 5 + w] == pytest.approx(expected)
    assert alpha[5, 5, 5] == 1
    assert not alpha[:, :, 6].any()


def test_least_sro_of_chains_is_known():
    """1 + 2 α cos is least, 1 − 2|α|, at the zone boundary or at the origin."""
    value, hkl = least_sro(alpha_box({(1, 0, 0): 0.3}, "-1"))
    assert value == pytest.approx(0.4, abs=1e-6)
    assert hkl[0] == pytest.approx(0.5, abs=1e-3)
    value, hkl = least_sro(alpha_box({(0, 0, 1): -0.3}, "-1"))
    assert value == pytest.approx(0.4, abs=1e-6)
    assert min(hkl[2], 1 - hkl[2]) == pytest.approx(0, abs=1e-3)
    # Between the points of any grid: cos(2πx) + cos(4πx) is least at cos(2πx) = −1/4.
    value, hkl = least_sro(alpha_box({(0, 1, 0): 0.2, (0, 2, 0): 0.2}, "-1"))
    assert value == pytest.approx(1 + 0.4 * (-1.125), abs=1e-9)
    assert np.cos(2 * np.pi * hkl[1]) == pytest.approx(-0.25, abs=1e-4)


def test_unrealisable_order_names_the_worst_place():
    check_realisable(alpha_box({(1, 0, 0): 0.5}, "-1"))
    with pytest.raises(ParameterError, match=r"-0.400 at hkl = \(0.500, "):
        check_realisable(alpha_box({(1, 0, 0): 0.7}, "-1"))
    check_realisable(alpha_box({(1, 0, 0): 0.51}, "-1"), tolerance=0.021)


def test_a_users_order_is_completed_and_checked():
    box = alpha_box({(1, 0, 0): -0.25, (2, 1, 0): 0.1}, "6/m")
    assert np.count_nonzero(box) == 1 + 6 + 6
    np.testing.assert_array_equal(box, box[::-1, ::-1, ::-1])
    for alpha, message in [
        ({(6, 0, 0): 0.1}, "between −5 and 5"),
        ({(1, 0, 0): 1.5}, "between −1 and 1"),
        ({(0, 0, 0): 0.5}, "is 1 at the origin"),
        ({(1, 0, 0): 0.1, (0, 1, 0): 0.2}, "equivalent in 6/m"),
    ]:
        with pytest.raises(ParameterError, match=message):
            alpha_box(alpha, "6/m")


def test_the_table_is_large_realisable_and_met_its_targets():
    table = sro_table()
    assert len(table) >= 12_000
    np.testing.assert_array_equal(table.octants[:, 0, 0, 0], 10_000)
    reached = np.stack(
        [table.octants[:, 1, 0, 0], table.octants[:, 0, 1, 0], table.octants[:, 0, 0, 1]],
        axis=1,
    )
    assert np.abs(reached * 1e-4 - table.targets).max() <= 0.01
    assert table.concentration.min() >= 0.1
    assert table.concentration.max() <= 0.9
    for index in np.random.default_rng(3).choice(len(table), 60, replace=False):
        alpha = table.alpha(index)
        np.testing.assert_array_equal(alpha, averaged_over_mirrors(alpha))
        check_realisable(alpha, tolerance=0.11)
    training, held_out = table.indices(), table.indices(held_out=True)
    assert len(training) + len(held_out) == len(table)
    assert not np.intersect1d(training, held_out).size
    assert len(held_out) > 1000


def test_the_table_spreads_over_what_is_possible():
    """Both signs along every axis, chains and layers, all compositions."""
    table = sro_table()
    for axis in range(3):
        targets = table.targets[:, axis]
        assert np.mean(targets < -0.1) > 0.1
        assert np.mean(targets > 0.2) > 0.15
        assert targets.max() > 0.6
    counts, _ = np.histogram(table.concentration, np.linspace(0.1, 0.9, 9))
    assert counts.min() > 0.05 * len(table)
    signs, n = np.unique(np.sign(table.targets), axis=0, return_counts=True)
    assert len(signs) >= 8
    assert n.max() < 0.5 * len(table)


@pytest.mark.slow
def test_table_entries_can_be_made_again():
    """The command that wrote the table, on its own seeds."""
    from dsfunet_core.simulate.sro_table import UNIT, draw_set

    table = sro_table()
    for index in (0, 17, 12_000):
        m_a, targets, alpha = draw_set(np.random.default_rng([20241101, index]))
        assert m_a == pytest.approx(table.concentration[index], abs=1e-6)
        np.testing.assert_allclose(targets, table.targets[index], atol=1e-6)
        np.testing.assert_allclose(alpha[5:, 5:, 5:], table.octants[index] * UNIT, atol=1e-4)
