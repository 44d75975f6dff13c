"""Monte Carlo configurations against the Boltzmann distribution; correlations pair by pair."""

from itertools import combinations

import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.monte_carlo import monte_carlo_configuration
from dsfunet_core.simulate.sro import warren_cowley


def energy(spins, couplings):
    """E = −Σ J s s' over the bonds to the next site along each axis [kT]."""
    spins = spins.astype(float)
    bonds = [(spins * np.roll(spins, 1, axis)).sum() for axis in range(3)]
    return -float(np.dot(couplings, bonds))


@pytest.mark.parametrize(
    ("size", "n_a", "couplings"),
    [
        (2, 4, (0.2, -0.1, 0.05)),
        (3, 3, (0.3, -0.2, 0.1)),
        (4, 2, (0.5, -0.4, 0.2)),
    ],
)
def test_energies_follow_boltzmann(size, n_a, couplings):
    """Every configuration of a small crystal counted out, as its energy tells."""
    sites = size**3
    levels: dict[float, int] = {}
    for occupied in combinations(range(sites), n_a):
        spins = np.full(sites, -1)
        spins[list(occupied)] = 1
        level = round(energy(spins.reshape(size, size, size), couplings), 6)
        levels[level] = levels.get(level, 0) + 1
    energies = np.array(sorted(levels))
    probability = np.array([levels[e] for e in energies]) * np.exp(energies[0] - energies)
    probability /= probability.sum()
    rng = np.random.default_rng(0)
    n = 2000
    found = np.zeros(len(energies))
    for _ in range(n):
        spins = monte_carlo_configuration(couplings, n_a / sites, size=size, rng=rng)
        assert (spins == 1).sum() == n_a
        found[np.argmin(np.abs(energies - energy(spins, couplings)))] += 1
    often = n * probability > 5
    expected = n * probability[often]
    chi2 = ((found[often] - expected) ** 2 / expected).sum()
    freedom = often.sum() - 1
    assert chi2 < freedom + 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("coupling", [-0.4, 0.25])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_uncoupled_chains_along_every_axis(axis, coupling):
    """α_n along an Ising chain of equal parts is tanh(J)ⁿ; J < 0 alternates."""
    rng = np.random.default_rng(1)
    couplings = np.where(np.arange(3) == axis, coupling, 0.0)
    spins = monte_carlo_configuration(couplings, 0.5, size=32, sweeps=50, rng=rng)
    alpha = np.moveaxis(warren_cowley(spins, reach=3), axis, 0)
    expected = np.tanh(coupling) ** np.arange(1, 4)
    # The standard deviation of one α is about 1/√32³ = 0.006.
    np.testing.assert_allclose(alpha[4:, 3, 3], expected, atol=0.025)
    np.testing.assert_allclose(alpha[3, 4, 3], 0, atol=0.025)


def test_without_couplings_there_is_no_order():
    rng = np.random.default_rng(2)
    alpha = warren_cowley(monte_carlo_configuration((0, 0, 0), 0.3, size=24, sweeps=2, rng=rng))
    alpha[5, 5, 5] = 0
    assert alpha.std() == pytest.approx(24**-1.5, rel=0.1)


@pytest.mark.parametrize("values", [(1, -1), (1, 0), (7.5, 2.0)])
def test_every_vector_is_counted_pair_by_pair(values):
    rng = np.random.default_rng(3)
    is_a = rng.random((5, 6, 7)) < 0.35
    m_a = is_a.mean()
    alpha = warren_cowley(np.where(is_a, *values), reach=2)
    for index in np.ndindex(alpha.shape):
        v = np.array(index) - 2
        pairs = sum(
            is_a[site] and not is_a[tuple((np.array(site) + v) % is_a.shape)]
            for site in np.ndindex(is_a.shape)
        )
        assert alpha[index] == pytest.approx(1 - pairs / is_a.size / (m_a * (1 - m_a)))


def test_what_makes_no_sense_is_refused():
    rng = np.random.default_rng(4)
    for concentration in (0, 1, 0.01, -1):
        with pytest.raises(ParameterError, match="concentration"):
            monte_carlo_configuration((0, 0, 0), concentration, size=3, rng=rng)
    with pytest.raises(ParameterError, match="couplings"):
        monte_carlo_configuration((0.1, 0.2), 0.5, rng=rng)
    spins = monte_carlo_configuration((0, 0, 0), 0.5, size=10, rng=rng)
    with pytest.raises(ParameterError, match="11 along each edge"):
        warren_cowley(spins, reach=5)
    with pytest.raises(ParameterError, match="alike"):
        warren_cowley(np.ones((4, 4, 4)), reach=1)
