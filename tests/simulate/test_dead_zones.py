"""Dead zones against the geometry of the Ewald sphere."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.dead_zones import (
    ALUMINIUM_RINGS,
    DETECTORS,
    HELD_OUT_DETECTORS,
    ICE_RINGS,
    Detector,
    measured_mask,
    powder_rings,
    random_measurement,
)
from dsfunet_core.simulate.molecules import random_rotation

#: Larger than any other, without gaps, beam stop or edges in reach.
ENDLESS = Detector(
    modules=(1, 1),
    module_pixels=(10**7, 10**7),
    gap_pixels=(0, 0),
    pixel_size=1.0,
    beam_stop=0,
    wavelength=0.7,
)
K = 2 * np.pi / 0.7
Z = np.array([0.0, 0.0, 1.0])


def sees(detector, y, x):
    """Whether points of the detector plane [mm from the beam] are live, written out."""
    live = y**2 + x**2 > detector.beam_stop**2
    if detector.radius is not None:
        live &= (y + detector.beam[0]) ** 2 + (x + detector.beam[1]) ** 2 <= detector.radius**2
    for position, n, size, gap, offset in zip(
        (y, x),
        detector.modules,
        detector.module_pixels,
        detector.gap_pixels,
        detector.beam,
        strict=True,
    ):
        length = n * size + (n - 1) * gap
        pixel = (position + offset) / detector.pixel_size + length / 2
        live &= (pixel >= 0) & (pixel < length) & (pixel % (size + gap) < size)
    arm = np.deg2rad(detector.arm_direction)
    along, beside = x * np.cos(arm) + y * np.sin(arm), y * np.cos(arm) - x * np.sin(arm)
    live &= ~((along > 0) & (np.abs(beside) < detector.arm_width / 2))
    for direction, edge in detector.shadows:
        t = np.deg2rad(direction)
        live &= x * np.cos(t) + y * np.sin(t) <= edge
    return live


def turned_about(axis, angle, vectors):
    z = axis / np.linalg.norm(axis)
    c, s = np.cos(angle), np.sin(angle)
    return vectors * c + np.cross(z, vectors) * s + np.outer(vectors @ z, z) * (1 - c)


@pytest.mark.parametrize(
    "detector",
    [
        Detector(distance=140, wavelength=0.7, beam=(15, -6), beam_stop=3),
        Detector.named("EIGER 4M", distance=90, wavelength=0.6, arm_width=6, arm_direction=90),
        Detector.named("MAR345", distance=200, wavelength=0.7, shadows=((30, 60), (200, 90))),
    ],
    ids=["PILATUS 2M", "EIGER 4M", "MAR345"],
)
@pytest.mark.parametrize("rotation", [(-20, 130), (40, 260)])
def test_measured_voxels_are_those_that_some_frame_records(detector, rotation):
    """Turn the crystal in small steps and look where each Q crosses the Ewald sphere."""
    axis = np.array([0.2, -0.5, 1.0])
    q = np.random.default_rng(0).normal(scale=2.5, size=(400, 3))
    predicted = measured_mask(q, detector, rotation=rotation, axis=axis)
    z = axis / np.linalg.norm(axis)
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    k = 2 * np.pi / detector.wavelength
    excess, hits = [], []
    for angle in np.deg2rad(np.arange(rotation[0], rotation[1] + 0.01, 0.1)):
        laboratory = turned_about(axis, angle, q) @ np.stack([x, np.cross(z, x), z], axis=1)
        outgoing = laboratory + (k, 0, 0)
        excess.append(np.linalg.norm(outgoing, axis=1) - k)
        forward = outgoing[:, 0] > 0
        scale = detector.distance / np.where(forward, outgoing[:, 0], 1)
        hits.append(forward & sees(detector, outgoing[:, 2] * scale, outgoing[:, 1] * scale))
    excess, hits = np.array(excess), np.array(hits)
    crossing = excess[:-1] * excess[1:] <= 0
    recorded = (crossing & hits[:-1] & hits[1:]).any(axis=0)
    touched = (crossing & (hits[:-1] | hits[1:])).any(axis=0)
    assert not np.any(recorded & ~predicted)
    # A step of 0.1° moves the spot by a pixel or two: allow edges of modules.
    assert np.mean(predicted & ~touched) < 0.01
    assert 0.2 < predicted.mean() < 0.97


def test_turning_further_only_adds():
    q = np.random.default_rng(1).normal(scale=3, size=(2000, 3))
    masks = [
        measured_mask(q, Detector(), rotation=(0, end), axis=Z)
        for end in (30, 90, 180, 359, 360)
    ]
    for less, more in zip(masks, masks[1:], strict=False):
        assert not np.any(less & ~more)
    assert masks[3].sum() > masks[2].sum() > masks[1].sum() > masks[0].sum()


def test_the_blind_region_is_the_torus_the_ewald_sphere_leaves_out():
    """With a full turn Q is seen where |Q|²/2k ≤ its distance from the axis."""
    q = np.random.default_rng(2).normal(scale=5, size=(20000, 3))
    predicted = measured_mask(q, ENDLESS, axis=Z)
    across, norm2 = np.hypot(q[:, 0], q[:, 1]), (q**2).sum(axis=1)
    forward = norm2 / (2 * K) < K
    np.testing.assert_array_equal(predicted, (norm2 / (2 * K) <= across) & forward)
    assert 0.3 < predicted.mean() < 0.9


def test_a_round_plate_ends_at_its_resolution():
    """Equatorial vectors end at |Q| = 2k sin θ with tan 2θ = radius / distance."""
    plate = Detector.named("MAR345", distance=150, wavelength=0.7, beam_stop=0)
    limit = 2 * K * np.sin(np.arctan(172.5 / 150) / 2)
    r = np.linspace(0.1, 8, 800)
    q = np.stack([r, 0 * r, 0 * r], axis=1)
    np.testing.assert_array_equal(measured_mask(q, plate, axis=Z), r <= limit)


def test_a_gap_is_as_wide_in_reciprocal_space_as_on_the_detector():
    """Along the axis' direction a row gap of 17 pixels hides Δq_z = k Δy / D near the beam."""
    detector = Detector(distance=200, beam_stop=0, beam=(0.0, 0.0))
    # The middle of the 8-row detector lies in the middle of its fourth gap.
    z = np.linspace(-0.2, 0.2, 4001)
    q = np.stack([0 * z + 0.5, 0 * z, z], axis=1)
    hidden = ~measured_mask(q, detector, axis=Z)
    expected = 17 * 0.172 * K / 200
    assert hidden.sum() * 1e-4 == pytest.approx(expected, rel=0.02)
    assert hidden[2000]


def test_crystal_and_axis_turned_together_see_the_same():
    rng = np.random.default_rng(3)
    q, axis = rng.normal(scale=3, size=(3000, 3)), np.array([0.3, 1.0, -0.2])
    detector = Detector(beam=(12, 5), arm_width=4)
    turn = random_rotation(rng)
    full = measured_mask(q, detector, axis=axis)
    np.testing.assert_array_equal(
        full, measured_mask(q @ turn.T, detector, axis=5 * turn @ axis)
    )


def test_only_angles_count_not_sizes():
    q = np.random.default_rng(4).normal(scale=3, size=(3000, 3))
    small = Detector(distance=100, beam=(10, 5), arm_width=3, shadows=((70, 40),))
    large = replace(
        small, distance=300, beam=(30, 15), arm_width=9, shadows=((70, 120),),
        pixel_size=3 * 0.172, beam_stop=7.5,
    )  # fmt: skip
    first, second = (measured_mask(q, d, rotation=(10, 150), axis=Z) for d in (small, large))
    np.testing.assert_array_equal(first, second)


def test_long_waves_and_volumes():
    """A volume gives the planes it is made of; beyond 2k nothing is ever seen."""
    g = np.linspace(-4, 4, 24)
    volume = np.stack(np.meshgrid(g, g, g, indexing="ij"), axis=-1)
    detector = replace(Detector(), wavelength=2.0)
    mask = measured_mask(volume, detector, axis=Z)
    assert mask.shape == (24, 24, 24)
    np.testing.assert_array_equal(
        mask[:, :, 5], measured_mask(volume[:, :, 5], detector, axis=Z)
    )
    assert not mask[np.linalg.norm(volume, axis=-1) > 2 * np.pi].any()


def test_rings_are_cut_at_their_width():
    q = np.linspace(0, 8, 80001)
    keep = powder_rings(q, [2.0, 5.0], width=0.1)
    assert (~keep).sum() * 1e-4 == pytest.approx(0.2, rel=0.01)
    assert not keep[20000]
    assert powder_rings(q, [9.0], 0.1).all()
    assert min(ICE_RINGS) == pytest.approx(1.611, abs=1e-3)
    # (111) of aluminium at d = 2.338 Å.
    assert ALUMINIUM_RINGS[0] == pytest.approx(2 * np.pi / 2.338, rel=1e-4)
    with pytest.raises(ParameterError, match="positive width"):
        powder_rings(q, [1.0], 0)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("PILATUS 300K", (619, 487)),
        ("PILATUS 1M", (1043, 981)),
        ("PILATUS 2M", (1679, 1475)),
        ("PILATUS 6M", (2527, 2463)),
        ("EIGER 1M", (1065, 1030)),
        ("EIGER 4M", (2167, 2070)),
        ("EIGER 9M", (3269, 3110)),
        ("EIGER 16M", (4371, 4150)),
        ("EIGER2 4M", (2162, 2068)),
        ("EIGER2 16M", (4362, 4148)),
    ],
)
def test_detectors_have_their_published_size(name, pixels):
    assert Detector.named(name.lower().replace(" ", "")).pixels == pixels


def test_random_measurements_fill_the_range_and_repeat():
    rng = np.random.default_rng(5)
    g = np.linspace(-7, 7, 128)
    in_plane = np.meshgrid(g, g, indexing="ij")
    coverage, used = [], {False: set(), True: set()}
    for i in range(120):
        q = np.stack([*in_plane, np.full((128, 128), rng.uniform(0, 4))], axis=-1)
        held_out = i % 2 == 1
        mask, how = random_measurement(np.random.default_rng(i), q, held_out=held_out)
        used[held_out].add(how["detector"])
        coverage.append(mask.mean())
        if i < 5:
            again, _ = random_measurement(np.random.default_rng(i), q, held_out=held_out)
            np.testing.assert_array_equal(mask, again)
    assert min(coverage) > 0.37
    assert max(coverage) < 0.99
    counts, _ = np.histogram(coverage, [0.37, 0.52, 0.67, 0.82, 0.99])
    assert counts.min() >= 12
    assert used[True] <= set(HELD_OUT_DETECTORS)
    assert used[False].isdisjoint(HELD_OUT_DETECTORS)
    assert used[False] == set(DETECTORS) - set(HELD_OUT_DETECTORS)


def test_nonsense_is_refused():
    q = np.zeros((4, 3))
    with pytest.raises(ParameterError, match="last angle is below the first"):
        measured_mask(q, Detector(), rotation=(90, 0), axis=Z)
    with pytest.raises(ParameterError, match="not all zero"):
        measured_mask(q, Detector(), axis=(0, 0, 0))
    with pytest.raises(ParameterError, match="PILATUS 2M"):
        Detector.named("PILATUS 3M")
    with pytest.raises(ParameterError, match="distance"):
        Detector(distance=0)
    with pytest.raises(ParameterError, match="beam_stop"):
        Detector(beam_stop=-1)
    with pytest.raises(ParameterError, match="coverage"):
        random_measurement(np.random.default_rng(0), np.zeros((4, 4, 3)), coverage=(0.9, 0.5))
