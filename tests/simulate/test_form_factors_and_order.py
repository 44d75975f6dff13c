"""Form factors and short-range order against sums written out atom by atom."""

import gemmi
import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.sections import Section
from dsfunet_core.simulate.form_factors import (
    atomic_form_factor,
    axis_form_factors,
    form_factor_difference,
    molecular_form_factor,
)
from dsfunet_core.simulate.molecules import Molecule, random_molecule, random_rotation
from dsfunet_core.simulate.monte_carlo import monte_carlo_configuration
from dsfunet_core.simulate.planes import cartesian_grid
from dsfunet_core.simulate.sro import (
    plane_coefficients,
    sro_on_plane,
    warren_cowley,
)

TRICLINIC = gemmi.UnitCell(6.3, 7.9, 9.1, 77, 98, 111)


def blank_plane(text, size=31, q_max=5.0, cell=TRICLINIC):
    origin, steps = cartesian_grid(cell, Section.parse(text), size, q_max)
    blank = np.ones((size, size))
    return ReciprocalPlane(blank, blank > 0, cell, origin, steps)


def direct_sum(molecule, q):
    total = np.zeros(q.shape[:-1], complex)
    b_iso = np.zeros(len(molecule.elements)) if molecule.b_iso is None else molecule.b_iso
    for element, x, b in zip(molecule.elements, molecule.positions, b_iso, strict=True):
        stol2 = (q**2).sum(-1) / (4 * np.pi) ** 2
        sf = gemmi.Element(element).it92
        f = np.array([sf.calculate_sf(float(s)) for s in stol2.ravel()]).reshape(stol2.shape)
        total += f * np.exp(-b * stol2) * np.exp(1j * q @ x)
    return total


@pytest.mark.parametrize("text", ["hk1", "h0l", "hhl", "hk0.5"])
def test_separable_product_is_the_direct_sum(text):
    rng = np.random.default_rng(0)
    molecule = random_molecule(rng, 6)
    b_iso = rng.uniform(0, 4, size=len(molecule.elements))
    molecule = Molecule(molecule.elements, molecule.positions + (1, -2, 0.5), b_iso)
    plane = blank_plane(text)
    expected = direct_sum(molecule, plane.q())
    result = molecular_form_factor(molecule, plane)
    # gemmi evaluates the form factors in single precision.
    np.testing.assert_allclose(result, expected, atol=1e-6 * np.abs(expected).max())


def test_atoms_scatter_with_all_their_electrons_forwards():
    for symbol, z in (("C", 6), ("O", 8), ("Cl", 17), ("Pb", 82)):
        assert atomic_form_factor(symbol, np.zeros(1))[0] == pytest.approx(z, rel=0.002)
    f = atomic_form_factor("C", np.linspace(0, 8, 50))
    assert np.all(np.diff(f) < 0)


def test_friedel_and_rotation():
    rng = np.random.default_rng(1)
    molecule = random_molecule(rng, 5)
    plane = blank_plane("hk0", size=31)
    f = molecular_form_factor(molecule, plane)
    # Pixel (15, 15) is Q = 0; opposite pixels are complex conjugates.
    np.testing.assert_allclose(f[::-1, ::-1], f.conj(), atol=1e-9)
    empty = Molecule((), np.zeros((0, 3)))
    assert not molecular_form_factor(empty, plane).any()
    turned = molecule.transformed(random_rotation(rng))
    assert turned.extent == pytest.approx(molecule.extent)


def test_correlations_by_fft_are_pair_counts():
    rng = np.random.default_rng(2)
    spins = np.where(rng.random((5, 6, 7)) < 0.3, 1, -1)
    m_a = (spins == 1).mean()
    alpha = warren_cowley(spins, reach=2)
    for v in [(1, 0, 0), (0, -2, 1), (2, 1, -1), (0, 0, 0)]:
        a, b = spins == 1, np.roll(spins, [-x for x in v], (0, 1, 2)) == -1
        p_ab = np.mean(a & b)
        # P(A at 0, B at v) = m_A·m_B·(1 − α): Warren–Cowley's definition.
        expected = 1 - p_ab / (m_a * (1 - m_a))
        assert alpha[v[0] + 2, v[1] + 2, v[2] + 2] == pytest.approx(expected)


def test_monte_carlo_keeps_the_composition_and_obeys_the_ising_chain():
    rng = np.random.default_rng(3)
    spins = monte_carlo_configuration((0.3, 0, 0), 0.5, size=24, sweeps=80, rng=rng)
    assert (spins == 1).sum() == 24**3 // 2
    alpha = warren_cowley(spins)
    # Uncoupled chains: α_n00 = tanh(J)^n, and nothing across.
    np.testing.assert_allclose(alpha[6:8, 5, 5], [np.tanh(0.3), np.tanh(0.3) ** 2], atol=0.03)
    assert abs(alpha[5, 6, 5]) < 0.03
    dilute = monte_carlo_configuration((-0.3, 0.2, 0), 0.1, size=20, rng=rng)
    assert (dilute == 1).sum() == 800


def test_monte_carlo_is_reproducible():
    a, b = (
        monte_carlo_configuration((0.2, -0.1, 0), 0.4, size=8, rng=np.random.default_rng(4))
        for _ in range(2)
    )
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("text", ["hk0", "hk0.5", "h1l", "hhl", "2kl", "hk0.3"])
def test_planes_of_order_are_the_sum_over_all_vectors(text):
    rng = np.random.default_rng(5)
    half = rng.normal(scale=0.1, size=(5, 5, 5))
    alpha = half + half[::-1, ::-1, ::-1]
    alpha[2, 2, 2] = 1
    plane = blank_plane(text)
    lattice = plane.lattice
    sro = sro_on_plane(
        plane_coefficients(alpha, lattice), lattice.basis, lattice.origin, plane.shape
    )
    expected = np.zeros(plane.shape)
    hkl = plane.hkl()
    for index in np.ndindex(5, 5, 5):
        v = np.array(index) - 2
        expected += alpha[index] * np.cos(2 * np.pi * hkl @ v)
    np.testing.assert_allclose(sro, expected, atol=1e-9)


def test_diffuse_intensity_of_an_explicit_crystal():
    """|Σ (F_site − ⟨F⟩) exp(iQ·R)|²/N of a supercell, atom by atom, is I_FF · I_SRO."""
    rng = np.random.default_rng(6)
    n = 6
    spins = monte_carlo_configuration((0.3, -0.2, 0.1), 0.4, size=n, rng=rng)
    m_a = (spins == 1).mean()
    mol_a, mol_b = random_molecule(rng, 4), random_molecule(rng, 4)
    to_space = np.array(TRICLINIC.orth.mat.tolist())
    # Every α of the periodic supercell, not a truncated box.
    deviation = spins - spins.mean()
    alpha = np.fft.ifftn(np.abs(np.fft.fftn(deviation)) ** 2).real
    alpha /= alpha[0, 0, 0]
    sites = np.array(list(np.ndindex(n, n, n)))
    for hkl in [(1, 2, 3), (7, -2, 1), (13, 5, -4), (-9, 11, 2)]:
        q = q_matrix(TRICLINIC) @ (np.array(hkl) / n)
        f_a, f_b = (complex(direct_sum(m, q[None])[0]) for m in (mol_a, mol_b))
        mean = m_a * f_a + (1 - m_a) * f_b
        amplitude = sum(
            ((f_a if spins[tuple(s)] == 1 else f_b) - mean) * np.exp(1j * q @ to_space @ s)
            for s in sites
        )
        explicit = abs(amplitude) ** 2 / n**3
        i_ff = m_a * (1 - m_a) * abs(f_a - f_b) ** 2
        i_sro = sum(alpha[tuple(s)] * np.cos(2 * np.pi * np.array(hkl) @ s / n) for s in sites)
        assert explicit == pytest.approx(i_ff * i_sro, rel=1e-6)


@pytest.mark.parametrize("radiation", ["xray", "neutron", "electron"])
@pytest.mark.parametrize("text", ["hk1", "h0.5l", "hhl"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_fast_difference_agrees_with_the_direct_sum(radiation, text, dtype):
    """Asked: 1e-5 relative, for displaced atoms and off the middle of the plane, too."""
    rng = np.random.default_rng(8)
    a, b = random_molecule(rng, 20), random_molecule(rng, 12)
    a = Molecule(a.elements, a.positions + (1, -2, 0.5), rng.uniform(0, 5, len(a.elements)))
    plane = blank_plane(text, size=41, q_max=8.0)
    found = form_factor_difference(a, b, plane, radiation=radiation, dtype=dtype)
    q = plane.q()
    norm = np.linalg.norm(q, axis=-1)
    expected = np.zeros(plane.shape, complex)
    for sign, molecule in ((1, a), (-1, b)):
        b_iso = np.zeros(len(molecule.elements)) if molecule.b_iso is None else molecule.b_iso
        for e, x, u in zip(molecule.elements, molecule.positions, b_iso, strict=True):
            f = atomic_form_factor(e, norm, radiation=radiation)
            expected += sign * f * np.exp(-u * (norm / (4 * np.pi)) ** 2) * np.exp(1j * q @ x)
    scale = np.abs(expected).max()
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def test_scattering_factors_of_each_radiation():
    zero = np.zeros(1)
    # Electrons see charges through the Mott-Bethe formula, f = (Z - f_x) / (8 pi^2 a0 s^2);
    # at s = 0.5 1/A carbon has f_x = 1.69.
    s = np.array([0.5])
    f_x = atomic_form_factor("C", 4 * np.pi * s)
    mott_bethe = 0.0239337 * (6 - f_x) / s**2
    electron = atomic_form_factor("C", 4 * np.pi * s, radiation="electron")
    np.testing.assert_allclose(electron, mott_bethe, rtol=0.01)
    assert atomic_form_factor("C", zero)[0] == pytest.approx(6, abs=0.01)
    assert atomic_form_factor("H", zero, radiation="neutron")[0] == pytest.approx(
        -3.739, abs=1e-3
    )
    assert atomic_form_factor("C", 9 + zero, radiation="neutron")[0] == pytest.approx(6.646)
    with pytest.raises(ParameterError, match="xray, neutron, electron"):
        atomic_form_factor("C", zero, radiation="muon")
    with pytest.raises(ParameterError, match="chemical symbol"):
        atomic_form_factor("Qq", zero)


def test_planes_along_an_axis_are_ranked_as_their_sums_tell():
    rng = np.random.default_rng(9)
    a, b = random_molecule(rng, 9), random_molecule(rng, 7)
    to_q = q_matrix(TRICLINIC)
    levels = np.arange(5) + 0.5
    found = axis_form_factors(a, b, to_q, 1, levels, 6.0)
    expected = []
    for level in levels:
        plane = blank_plane(f"h{level}l", size=12, q_max=6.0)
        # The coarse grid lies half a step off the centre.
        plane = plane.replace(origin=plane.origin + plane.steps @ (0.5, 0.5))
        f = molecular_form_factor(a, plane) - molecular_form_factor(b, plane)
        expected.append((np.abs(f) ** 2).mean())
    np.testing.assert_allclose(found, expected, rtol=1e-9)
