"""Diffuse scattering that is no product of a form factor and a short-range order.

Each kind breaks one assumption behind eq. (5), in a strength that is told as a share: the
mean of the intensity added (for displacements: of its modulus) over that of the product.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.simulate.crystals import DisorderedCrystal
from dsfunet_core.simulate.form_factors import form_factor_difference, molecular_form_factor
from dsfunet_core.simulate.sro import plane_coefficients, sro_on_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalPlane
    from dsfunet_core.simulate.planes import SimulatedPlane

__all__ = [
    "VIOLATIONS",
    "second_site",
    "size_effect",
    "thermal_diffuse",
    "unsubtracted_background",
    "violated",
]

#: Kinds of scattering that the product does not describe.
VIOLATIONS = ("background", "displacements", "second site", "thermal")
#: Reach of the displacement field in cells along every axis.
FIELD_REACH = 2


def violated(
    simulated: SimulatedPlane, kind: str, share: float, rng: np.random.Generator
) -> SimulatedPlane:
    """Plane with scattering that breaks one assumption.

    Parameters
    ----------
    simulated : SimulatedPlane
        Noise-free product; dead zones are kept.
    kind : str
        One of `VIOLATIONS`.
    share : float
        Mean intensity added to the measured pixels (displacements: mean modulus of the
        change) in units of the mean of the product there.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    SimulatedPlane
        Its factors are still those of the product; ``description["violation"]`` tells what
        was added.

    Raises
    ------
    ParameterError
        If the kind is not known or the share negative.
    """
    if kind not in VIOLATIONS:
        raise ParameterError(
            f"kind = {kind!r} is not known; choose one of: {', '.join(VIOLATIONS)}."
        )
    if not (np.isfinite(share) and share >= 0):
        raise ParameterError(f"share = {share}: give a number, 0 or more.")
    plane, crystal = simulated.plane, simulated.crystal
    seen = plane.valid
    product = simulated.form_factor * simulated.sro
    about: dict[str, Any] = {"kind": kind, "share": share}
    if kind == "displacements":
        changed, about["rms_displacement"] = _size_effect_of_share(simulated, share, rng)
    else:
        if kind == "background":
            extra = unsubtracted_background(plane, rng)
        elif kind == "second site":
            from dsfunet_core.simulate.crystals import VALIDATION, random_crystal

            other = random_crystal(rng, VALIDATION)
            extra = second_site(plane, other, crystal)
        else:
            extra = thermal_diffuse(plane, crystal)
        changed = product + share * product[seen].mean() / extra[seen].mean() * extra
    return replace(
        simulated,
        plane=plane.replace(intensity=np.where(seen, changed, 0.0)),
        description={**simulated.description, "violation": about},
    )


def size_effect(
    plane: ReciprocalPlane,
    crystal: DisorderedCrystal,
    amplitude: float,
    *,
    reach: int = FIELD_REACH,
) -> tuple[NDArray[np.float64], float]:
    """Diffuse scattering with static displacements that follow the occupancies.

    Every A pushes the sites around it apart (``amplitude`` > 0) or draws them in, by
    A_m = amplitude · r̂_m · (a/|r_m|)² at the distance r_m, as in an elastic medium. To first
    order in the fluctuation of the occupancies (Krivoglaz), displacements act on the amplitude:

        I = m_A m_B I_SRO |F_A − F_B + 2 F̄ Q·Σ_m A_m sin(2π hkl·m)|²,   F̄ = m_A F_A + m_B F_B,

    with the sum over half of the vectors. Intensity moves from one side of every Bragg
    position to the other, and more so at large Q.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its grid is used.
    crystal : DisorderedCrystal
        What scatters.
    amplitude : float
        Displacement of a neighbour at the distance of the shortest axis [Å].
    reach : int
        Cells along every axis over which displacements extend.

    Returns
    -------
    intensity : ndarray, shape of the plane
        In electrons² a cell.
    rms : float
        Root mean square displacement of a site [Å].
    """
    difference = form_factor_difference(crystal.mol_a, crystal.mol_b, plane)
    mean = crystal.concentration * molecular_form_factor(crystal.mol_a, plane)
    mean = mean + (1 - crystal.concentration) * molecular_form_factor(crystal.mol_b, plane)
    wave, rms = _displacement_wave(plane, crystal, reach)
    weight = crystal.concentration * (1 - crystal.concentration)
    changed = np.abs(difference + amplitude * mean * wave) ** 2
    return weight * _sro(plane, crystal) * changed, abs(amplitude) * rms


def second_site(
    plane: ReciprocalPlane,
    other: DisorderedCrystal,
    crystal: DisorderedCrystal,
) -> NDArray[np.float64]:
    """Diffuse scattering of a second disordered site in every cell of a crystal.

    Sites on the same lattice that are filled independently of each other scatter as the sum
    of two products, each of the squared Fourier transform of its own occupancies.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its grid is used.
    other : DisorderedCrystal
        Its molecules, concentration and order are those of the second site; its lattice is
        not used.
    crystal : DisorderedCrystal
        Whose lattice is used.

    Returns
    -------
    ndarray, shape of the plane
        In electrons² a cell.
    """
    site = replace(other, cell=crystal.cell)
    difference = form_factor_difference(site.mol_a, site.mol_b, plane)
    weight = site.concentration * (1 - site.concentration)
    return np.asarray(weight * np.abs(difference) ** 2 * _sro(plane, site))


def thermal_diffuse(plane: ReciprocalPlane, crystal: DisorderedCrystal) -> NDArray[np.float64]:
    """Scattering of acoustic lattice vibrations: |F̄|² Q²/ω²(q), one phonon.

    ω² = Σ_i (2/a_i)² sin²(π h_i) is that of a lattice with springs along its axes; near a Bragg
    position it is |q|², so that the scattering falls off as 1/|q|². Closer than a pixel it
    is held constant, as by the resolution.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its grid is used.
    crystal : DisorderedCrystal
        Its average molecule scatters.

    Returns
    -------
    ndarray, shape of the plane
        On a scale of its own.
    """
    mean = crystal.concentration * molecular_form_factor(crystal.mol_a, plane)
    mean = mean + (1 - crystal.concentration) * molecular_form_factor(crystal.mol_b, plane)
    lengths = np.array(crystal.cell.parameters[:3])
    squared = ((2 / lengths * np.sin(np.pi * plane.hkl())) ** 2).sum(axis=-1)
    _, _, steps = plane.geometry()
    pixel = np.linalg.norm(q_matrix(crystal.cell) @ steps, axis=0).mean()
    return np.asarray(np.abs(mean) ** 2 * plane.q_norm() ** 2 / (squared + pixel**2))


def unsubtracted_background(
    plane: ReciprocalPlane, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Smooth background: constant, falling off with |Q| as air scatter does, and sloping.

    Parameters
    ----------
    plane : ReciprocalPlane
        Its grid is used.
    rng : numpy.random.Generator
        Source of the proportions.

    Returns
    -------
    ndarray, shape of the plane
        Positive, mean 1.
    """
    row, column = (np.linspace(-1, 1, n) for n in plane.shape)
    y, x = row[:, None], column[None, :]
    constant, radial = rng.uniform(0.2, 1, size=2)
    q = plane.q_norm()
    fall = np.exp(-((q / (rng.uniform(0.3, 1) * q.max())) ** 2))
    slope = 1 + rng.uniform(-0.4, 0.4) * y + rng.uniform(-0.4, 0.4) * x
    background = constant * slope + radial * fall
    return np.asarray(background / background.mean())


def _sro(plane: ReciprocalPlane, crystal: DisorderedCrystal) -> NDArray[np.float64]:
    lattice = plane.lattice
    coefficients = plane_coefficients(crystal.alpha, lattice)
    sro = sro_on_plane(coefficients, lattice.basis, lattice.origin, plane.shape)
    return np.maximum(sro, 0)


def _displacement_wave(
    plane: ReciprocalPlane, crystal: DisorderedCrystal, reach: int
) -> tuple[NDArray[np.float64], float]:
    """Q·Σ_m A_m 2 sin(2π hkl·m) over half of the vectors, and the rms displacement.

    Both are for an amplitude of 1 Å.
    """
    vectors = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    vectors = vectors[np.any(vectors != 0, axis=1)]
    cartesian = vectors @ np.array(crystal.cell.orth.mat.tolist()).T
    length = np.linalg.norm(cartesian, axis=1, keepdims=True)
    shortest = min(crystal.cell.parameters[:3])
    push = cartesian / length * (shortest / length) ** 2
    q, hkl = plane.q(), plane.hkl()
    wave = np.zeros(plane.shape)
    for m, a in zip(vectors, push, strict=True):
        if tuple(m) > (0, 0, 0):
            wave += 2 * (q @ a) * np.sin(2 * np.pi * (hkl @ m))
    # ⟨u²⟩ = m_A m_B Σ A_m·A_m' α_(m − m').
    apart = vectors[:, None] - vectors
    half = crystal.alpha.shape[0] // 2
    inside = np.abs(apart).max(axis=-1) <= half
    i, j, k = np.moveaxis(np.where(inside[..., None], apart, 0) + half, -1, 0)
    order = np.where(inside, crystal.alpha[i, j, k], 0)
    weight = crystal.concentration * (1 - crystal.concentration)
    return wave, float(np.sqrt(max(weight * np.sum(order * (push @ push.T)), 0)))


def _size_effect_of_share(
    simulated: SimulatedPlane, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Intensity with displacements, as large as the mean change of intensity asks for."""
    plane, crystal = simulated.plane, simulated.crystal
    sign = 1.0 if rng.random() < 0.5 else -1.0
    plain, _ = size_effect(plane, crystal, 0.0)
    one, rms = size_effect(plane, crystal, sign)
    other, _ = size_effect(plane, crystal, -sign)
    # I(a) = I_0 + a·L + a²·K, exactly.
    linear, square = (one - other) / 2, (one + other) / 2 - plain
    seen = plane.valid
    wanted = share * plain[seen].mean()

    def change(a: float) -> float:
        return float(np.abs(a * linear[seen] + a * a * square[seen]).mean())

    low, high = 0.0, 1.0
    while change(high) < wanted:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if change(middle) < wanted else (low, middle)
    # The truth may have been damped or scaled since.
    ratio = simulated.form_factor / np.where(plain > 0, plain, 1) * simulated.sro
    ratio = np.where(plain > 0, ratio, 0)
    return ratio * (plain + high * linear + high * high * square), high * rms
