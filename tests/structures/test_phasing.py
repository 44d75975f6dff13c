"""Projected densities found again from form factors."""

import numpy as np
import pytest
from scipy import fft
from structure_samples import TRICLINIC

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.sections import Section
from dsfunet_core.simulate.form_factors import atomic_form_factor, molecular_form_factor
from dsfunet_core.simulate.molecules import random_molecule
from dsfunet_core.simulate.planes import cartesian_grid
from dsfunet_core.structures import phasing


def result_of(molecule, section="hk0", n=128, q_max=8.0, gaps=True):
    """Form factor of a molecule beside a vacancy, a fifth of it unmeasured."""
    origin, steps = cartesian_grid(TRICLINIC, Section.parse(section), n, q_max)
    plane = ReciprocalPlane(np.ones((n, n)), np.ones((n, n), bool), TRICLINIC, origin, steps)
    valid = plane.q_norm() < q_max
    if gaps:
        valid[48:52] = False
        valid[: n // 4, n // 2 :] = False
    plane = plane.replace(valid=valid)
    form_factor = np.abs(molecular_form_factor(molecule, plane)) ** 2
    form_factor = np.where(valid, form_factor, 0) if gaps else form_factor
    return Factorization(
        plane, "lattice", form_factor, np.ones((n, n)), choices={"support": molecule.extent}
    )


def true_density(molecule, found):
    """Projection of the molecule on the grid of a result, as broad as that is."""
    shape = found.density.shape
    q_steps = 2 * np.pi * np.linalg.inv((found.steps * shape).T)
    y, x = (fft.fftfreq(n, 1 / n) for n in shape)
    in_plane = q_steps[:, 0, None, None] * y[:, None] + q_steps[:, 1, None, None] * x
    q = np.einsum("ij,jrc->irc", found.axes, in_plane)
    q2 = (q**2).sum(axis=0)
    spectrum = sum(
        atomic_form_factor(element, np.sqrt(q2)) * np.exp(1j * np.einsum("irc,i->rc", q, where))
        for element, where in zip(molecule.elements, molecule.positions, strict=True)
    )
    return fft.fftshift(fft.ifft2(spectrum * np.exp(-np.log(10) / 64 * q2)).real)


@pytest.mark.parametrize("seed", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_density_of_a_molecule_beside_vacancies(seed):
    molecule = random_molecule(np.random.default_rng(seed), 8)
    found = phasing.project_density(result_of(molecule), starts=4)
    assert found.r_factor < 0.06
    likeness = phasing._likeness(found.density, true_density(molecule, found))
    assert likeness > 0.9
    # Another molecule, as large, is not like it.
    other = random_molecule(np.random.default_rng(seed + 50), 8)
    assert phasing._likeness(found.density, true_density(other, found)) < likeness - 0.1
    # In the middle, and nothing far from it.
    n, m = found.density.shape
    y, x = np.mgrid[:n, :m]
    place = np.tensordot(found.steps, np.stack([y - n // 2, x - m // 2]), 1)
    assert found.density[np.hypot(*place) > molecule.extent + 1.5].sum() == 0


def test_noise_has_no_density():
    """Random intensities agree with nothing, and the result says so."""
    molecule = random_molecule(np.random.default_rng(0), 8)
    result = result_of(molecule, gaps=False)
    noise = np.random.default_rng(1).exponential(size=result.form_factor.shape)
    spoilt = Factorization(result.plane, "lattice", noise, result.sro, choices=result.choices)
    found = phasing.project_density(spoilt, starts=3)
    assert found.r_factor > 0.2


def test_planes_that_hold_no_projection_are_refused():
    molecule = random_molecule(np.random.default_rng(0), 8)
    with pytest.raises(GeometryError, match="through it, such as hk0"):
        phasing.project_density(result_of(molecule, "hk1"))
    with pytest.raises(ParameterError, match="too large"):
        phasing.project_density(result_of(molecule), extent=300)
    result = result_of(molecule)
    blind = Factorization(result.plane, "network", result.form_factor, result.sro)
    with pytest.raises(ParameterError, match="largest distance between two atoms"):
        phasing.project_density(blind)
