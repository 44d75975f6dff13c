"""Random planes: products with dead zones, from the world they were asked from."""

import gemmi
import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.simulate.crystals import (
    PAPER,
    TRAINING,
    VALIDATION,
    DisorderedCrystal,
    World,
    random_crystal,
    vegard_cell,
)
from dsfunet_core.simulate.detectors import HELD_OUT_DETECTORS
from dsfunet_core.simulate.form_factors import atomic_form_factor
from dsfunet_core.simulate.library import fragment, fragments
from dsfunet_core.simulate.planes import (
    level_section,
    random_plane,
    simulate_plane,
    strongest_levels,
)
from dsfunet_core.simulate.realism import Realism, add_counting_noise, disturbed, random_realism
from dsfunet_core.simulate.sro import alpha_box
from dsfunet_core.simulate.sro_table import sro_table

HELD_OUT = {f.name for f in fragments() if f.held_out}
KEPT = {f.name for f in fragments() if not f.held_out}


def crystal(alpha=None, cell=None, b=None):
    """Dioxane and toluene on a triclinic lattice."""
    order = {(1, 0, 0): -0.3, (0, 1, 1): 0.2} if alpha is None else alpha
    return DisorderedCrystal(
        fragment("dioxane").molecule,
        b or fragment("toluene").molecule,
        cell or gemmi.UnitCell(7, 8, 9, 80, 95, 103),
        0.3,
        alpha_box(order, "-1"),
    )


@pytest.mark.parametrize(
    "world", [TRAINING, PAPER, VALIDATION], ids=["training", "paper", "validation"]
)
def test_random_planes_are_reproducible_products_with_dead_zones(world):
    for seed in range(4):
        one, two = (random_plane(np.random.default_rng(seed), world) for _ in range(2))
        np.testing.assert_array_equal(one.plane.intensity, two.plane.intensity)
        assert 0.37 <= one.plane.valid.mean() <= 0.99
        assert one.form_factor.min() >= 0
        assert one.sro.min() >= 0
        product = np.where(one.plane.valid, one.form_factor * one.sro, 0)
        np.testing.assert_allclose(one.plane.intensity, product)
        assert 6 <= one.description["q_max"] <= 8
        np.testing.assert_allclose(one.plane.pixel(one.plane.lattice.offset), [128, 128])


def test_a_plane_is_made_of_its_crystal():
    """I_FF and I_SRO written out pixel by pixel from molecules and α."""
    made = crystal()
    plane = simulate_plane(made, level_section(1, 1.5), size=24, q_max=5)
    q = plane.plane.q()
    norm = np.linalg.norm(q, axis=-1)
    f = sum(
        sign * atomic_form_factor(e, norm) * np.exp(1j * q @ x)
        for sign, m in ((1, made.mol_a), (-1, made.mol_b))
        for e, x in zip(m.elements, m.positions, strict=True)
    )
    np.testing.assert_allclose(plane.form_factor, 0.21 * np.abs(f) ** 2, rtol=1e-9, atol=1e-9)
    hkl = plane.plane.hkl()
    sro = (
        1
        - 0.6 * np.cos(2 * np.pi * hkl[..., 0])
        + 0.4 * np.cos(2 * np.pi * hkl[..., 1:].sum(-1))
    )
    np.testing.assert_allclose(plane.sro, np.maximum(sro, 0), atol=1e-9)


@pytest.mark.parametrize("radiation", ["neutron", "electron"])
def test_other_radiations_change_the_form_factor_only(radiation):
    made = crystal()
    x_rays = simulate_plane(made, level_section(2, 1), size=32)
    other = simulate_plane(made, level_section(2, 1), size=32, radiation=radiation)
    np.testing.assert_array_equal(x_rays.sro, other.sro)
    assert np.abs(other.form_factor / x_rays.form_factor).std() > 1e-3


def test_a_crop_is_the_piece_of_the_whole():
    whole = simulate_plane(crystal(), level_section(0, 1), size=64, q_max=6)
    window = (slice(10, 42), slice(-5, 27))
    piece = simulate_plane(crystal(), level_section(0, 1), size=64, q_max=6, window=window)
    np.testing.assert_allclose(
        piece.form_factor[:, 5:], whole.form_factor[10:42, :27], rtol=1e-9
    )
    np.testing.assert_allclose(piece.sro[:, 5:], whole.sro[10:42, :27], atol=1e-12)
    np.testing.assert_allclose(piece.plane.hkl(0, 5), whole.plane.hkl(10, 0))


def test_single_precision_is_good_to_1e_5():
    for seed in range(3):
        double = random_plane(np.random.default_rng(seed))
        single = random_plane(np.random.default_rng(seed), dtype=np.complex64)
        scale = double.form_factor.max()
        np.testing.assert_allclose(single.form_factor, double.form_factor, atol=1e-5 * scale)
        np.testing.assert_array_equal(single.plane.valid, double.plane.valid)


def test_levels_scatter_most_and_lie_where_the_order_peaks():
    made = crystal()
    # α₁₀₀ < 0: half-integers; α₀₁₀ = 0: integers.
    assert all(level % 1 == 0.5 for level in strongest_levels(made, 0, 7))
    levels = strongest_levels(made, 1, 7)
    assert all(level % 1 == 0 for level in levels)
    assert len(levels) == 4
    spacing = 1 / (8 * np.linalg.norm(q_matrix(made.cell)[:, 1]) / (2 * np.pi))
    assert max(levels) * 2 * np.pi / 8 <= 7 * max(spacing, 1)
    means = {
        level: simulate_plane(
            made, level_section(1, level), size=48, q_max=7
        ).form_factor.mean()
        for level in range(9)
    }
    best = sorted(means, key=means.get, reverse=True)
    assert levels[0] in best[:2]
    assert set(levels) <= set(best[:6])


def test_worlds_do_not_share_what_is_held_out():
    table = sro_table()
    held_out_sets = set(table.indices(held_out=True).tolist())
    seen = {True: set(), False: set()}
    for world in (TRAINING, PAPER, VALIDATION):
        for seed in range(25):
            plane = random_plane(np.random.default_rng(seed), world, size=32)
            how = plane.description
            names = {name for name in how["molecules"] if name in HELD_OUT | KEPT}
            seen[world.held_out] |= names
            if "sro_set" in how:
                assert (how["sro_set"] in held_out_sets) == world.held_out
            assert (how["measurement"]["detector"] in HELD_OUT_DETECTORS) == world.held_out
    assert seen[True] <= HELD_OUT
    assert seen[False] <= KEPT
    assert len(seen[True]) > 8


def test_a_world_mixes_what_it_was_told():
    world = World(pairs={"vacancy": 1}, systems={"hexagonal": 1}, coverage=None, centred=0)
    offsets = []
    for seed in range(6):
        plane = random_plane(np.random.default_rng(seed), world, size=64)
        assert not plane.crystal.mol_b.elements
        a, b, *_, gamma = plane.crystal.cell.parameters
        assert (a, gamma) == (b, 120)
        assert plane.description["axis"] == 2
        assert plane.plane.valid.all()
        offsets.append(plane.plane.pixel(plane.plane.lattice.offset) - 32)
    assert np.abs(offsets).max() <= 16 + 1e-9
    assert np.abs(offsets).max() > 4
    with pytest.raises(ParameterError, match="'guest' is not known"):
        random_crystal(np.random.default_rng(0), World(pairs={"guest": 1}))


def test_vegards_law():
    a, b = np.array([6.0, 8.0, 10.0]), np.array([8.0, 7.0, 12.0])
    cell = vegard_cell(a, b, 0.25, "orthorhombic")
    np.testing.assert_allclose(cell.parameters[:3], [7.5, 7.25, 11.5])
    assert vegard_cell(a, b, 0.25, "cubic").parameters == (11.5, 11.5, 11.5, 90, 90, 90)
    # A vacancy takes the room of its neighbour.
    np.testing.assert_allclose(
        vegard_cell(a, np.zeros(3), 0.1, "orthorhombic").parameters[:3], a
    )
    with pytest.raises(ParameterError, match="rng"):
        vegard_cell(a, b, 0.5, "oblique")
    with pytest.raises(ParameterError, match="'rhombic'"):
        vegard_cell(a, b, 0.5, "rhombic")


def test_counting_noise_has_the_variance_of_counts():
    clean = random_plane(np.random.default_rng(7))
    noisy = add_counting_noise(clean, 5.0, np.random.default_rng(8))
    valid = clean.plane.valid
    mean = (noisy.form_factor * noisy.sro)[valid]
    counts = noisy.plane.intensity[valid]
    assert mean.mean() == pytest.approx(5)
    assert np.all(counts == np.rint(counts))
    assert np.mean((counts - mean) ** 2) == pytest.approx(5, rel=0.05)


def test_displacements_damp_the_product_and_feed_the_rest():
    """Molecules moved one by one: the mean of many crystals is what the formula says."""
    rng = np.random.default_rng(9)
    u, n = 0.25, 12
    made = crystal(alpha={}, cell=gemmi.UnitCell(7, 8, 9, 90, 90, 90))
    whole = simulate_plane(made, level_section(2, 1), size=16, q_max=4)
    found = disturbed(whole, Realism(displacement=u), rng)
    q = whole.plane.q().reshape(-1, 3)[::23]
    f = [
        sum(
            atomic_form_factor(e, np.linalg.norm(q, axis=1)) * np.exp(1j * q @ x)
            for e, x in zip(m.elements, m.positions, strict=True)
        )
        for m in (made.mol_a, made.mol_b)
    ]
    variance = []
    for _ in range(400):
        is_a = rng.random(n**3) < 0.3
        moved = np.exp(1j * q @ rng.normal(scale=u, size=(n**3, 3)).T)
        amplitude = np.where(is_a, f[0][:, None], f[1][:, None]) * moved
        variance.append(
            np.mean(np.abs(amplitude) ** 2, axis=1) - np.abs(amplitude.mean(axis=1)) ** 2
        )
    explicit = np.mean(variance, axis=0)
    expected = found.plane.intensity.reshape(-1)[::23]
    np.testing.assert_allclose(explicit, expected, rtol=0.02)
    np.testing.assert_allclose(
        found.form_factor, whole.form_factor * np.exp(-(u**2) * whole.plane.q_norm() ** 2)
    )


def test_disturbances_do_what_their_names_say():
    rng = np.random.default_rng(10)
    made = crystal()
    whole = simulate_plane(made, level_section(2, 1), size=96, q_max=6)
    clean = whole.form_factor * whole.sro
    damped = disturbed(whole, Realism(debye_waller=0.03), rng)
    ratio = damped.plane.intensity / clean
    np.testing.assert_allclose(ratio, np.exp(-0.03 * whole.plane.q_norm() ** 2))
    lifted = disturbed(whole, Realism(background=0.2), rng)
    extra = lifted.plane.intensity - clean
    assert extra.mean() == pytest.approx(0.2 * clean.mean())
    assert extra.min() > 0
    np.testing.assert_array_equal(lifted.form_factor, whole.form_factor)
    spots = disturbed(whole, Realism(bragg=5), rng).plane.intensity - clean
    lattice = whole.plane.lattice
    rows, columns = np.nonzero(spots > clean.mean())
    index = (np.stack([rows, columns], 1) - lattice.origin) @ np.linalg.inv(lattice.basis).T
    distance = np.linalg.norm((index - np.rint(index)) @ lattice.basis.T, axis=1)
    assert len(rows) > 50
    assert distance.max() < 3.5
    half = simulate_plane(made, level_section(2, 0.5), size=96, q_max=6)
    between = disturbed(half, Realism(bragg=5), rng)
    np.testing.assert_allclose(between.plane.intensity, half.form_factor * half.sro)
    with pytest.raises(ParameterError, match="counts = -1"):
        Realism(counts=-1)


def test_every_random_disturbance_is_absent_half_the_time():
    drawn = [vars(random_realism(np.random.default_rng(i))) for i in range(400)]
    for name in drawn[0]:
        present = np.mean([d[name] > 0 for d in drawn])
        assert 0.42 < present < 0.58
