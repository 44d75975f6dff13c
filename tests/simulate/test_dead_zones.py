"""Dead zones against the geometry of the Ewald sphere."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet_core.errors import ParameterError
from dsfunet_core.simulate.dead_zones import (
    ALUMINIUM_RINGS,
    ICE_RINGS,
    measured_mask,
    powder_rings,
)
from dsfunet_core.simulate.detectors import DETECTORS, HELD_OUT_DETECTORS, Detector
from dsfunet_core.simulate.measurements import random_measurement
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


def on_detector(detector, y, x):
    """Q of points of the detector [mm from the beam], in the crystal's frame at angle 0.

    For the axis Z the beam then runs along the crystal's y and −x points sideways.
    """
    k = 2 * np.pi / detector.wavelength
    out = np.stack(np.broadcast_arrays(float(detector.distance), x, y), axis=-1)
    out *= k / np.linalg.norm(out, axis=-1, keepdims=True)
    return np.stack([-out[..., 1], out[..., 0] - k, out[..., 2]], axis=-1)


def by_formula(q, detector, rotation, axis):
    """`measured_mask` for whole arrays, and which pixels lie on an edge to rounding."""
    z = axis / np.linalg.norm(axis)
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    q_1, q_2, q_z = (q @ direction for direction in (x, np.cross(z, x), z))
    k = 2 * np.pi / detector.wavelength
    q_x = -(q**2).sum(axis=-1) / (2 * k)
    square = q_1**2 + q_2**2 - q_x**2
    crosses = (square >= 0) & (k + q_x > 0)
    on_edge = (np.abs(square) < 1e-9) | (np.abs(k + q_x) < 1e-9)
    scale = detector.distance / np.where(k + q_x > 0, k + q_x, 1)
    seen = np.zeros(crosses.shape, bool)
    span = np.deg2rad(rotation[1] - rotation[0])
    arm = np.deg2rad(detector.arm_direction)
    for sign in (1, -1):
        q_y = sign * np.sqrt(np.maximum(square, 0))
        angle = np.arctan2(q_y, q_x) - np.arctan2(q_2, q_1) - np.deg2rad(rotation[0])
        angle = np.mod(angle, 2 * np.pi)
        vertical, horizontal = q_z * scale, q_y * scale
        # Every edge as a number that is positive on the live side.
        edges = [np.hypot(vertical, horizontal) - detector.beam_stop]
        if span < 2 * np.pi:
            edges.append(span - angle)
            on_edge |= (angle < 1e-9) | (angle > 2 * np.pi - 1e-9)
        for position, n, size, gap, offset in zip(
            (vertical, horizontal),
            detector.modules,
            detector.module_pixels,
            detector.gap_pixels,
            detector.beam,
            strict=True,
        ):
            length = n * size + (n - 1) * gap
            pixel = (position + offset) / detector.pixel_size + length / 2
            within = pixel % (size + gap)
            edges += [pixel, length - pixel, size - within]
            on_edge |= (within < 1e-9) | (within > size + gap - 1e-9)
        if detector.radius is not None:
            out = np.hypot(vertical + detector.beam[0], horizontal + detector.beam[1])
            edges.append(detector.radius - out)
        if detector.arm_width:
            along = horizontal * np.cos(arm) + vertical * np.sin(arm)
            beside = np.abs(vertical * np.cos(arm) - horizontal * np.sin(arm))
            edges.append(np.maximum(-along, beside - detector.arm_width / 2))
        for direction, distance in detector.shadows:
            t = np.deg2rad(direction)
            edges.append(distance - horizontal * np.cos(t) - vertical * np.sin(t))
        seen |= crosses & (np.min(edges, axis=0) > 0)
        on_edge |= (np.abs(edges) < 1e-9).any(axis=0)
    return seen, on_edge


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


@pytest.mark.parametrize("rotation", [(0, 360), (17, 377), (10, 70), (-40, 140), (5, 355)])
@pytest.mark.parametrize(
    "detector",
    [
        Detector(distance=150, wavelength=0.7, beam=(20, 8)),
        Detector.named("PILATUS 300K", distance=60, wavelength=0.4, shadows=((135, 12),)),
        Detector.named(
            "EIGER2 16M", distance=160, wavelength=0.5, beam=(-40, 30), beam_stop=4,
            arm_width=5, arm_direction=200, shadows=((80, 70), (-20, 90)),
        ),
        Detector.named("MAR345", distance=120, wavelength=0.6, beam=(0, 60), arm_width=3),
    ],
    ids=["PILATUS 2M", "PILATUS 300K", "EIGER2 16M", "MAR345"],
)  # fmt: skip
def test_one_pass_gives_what_the_formula_gives(detector, rotation):
    g = np.linspace(-7, 7, 128)
    a, b = np.meshgrid(g, g + 0.013, indexing="ij")
    axis = np.array([0.3, 1.0, 0.4])
    for level in (0.0, 1.7):
        q = np.stack([a, 0.2 * a + b, level - 0.3 * b], axis=-1)
        expected, on_edge = by_formula(q, detector, rotation, axis)
        mask = measured_mask(q, detector, rotation=rotation, axis=axis)
        np.testing.assert_array_equal(mask[~on_edge], expected[~on_edge])
        assert on_edge.mean() < 0.001
        assert 0.03 < mask.mean() < 0.99


@pytest.mark.parametrize(
    "detector",
    [
        Detector(distance=150, beam=(10, -20)),
        Detector(distance=100, arm_width=6, arm_direction=90),
        Detector(distance=100, arm_width=6, arm_direction=205),
        Detector(distance=100, shadows=((90, 40), (315, 70))),
        Detector.named("MAR345", distance=200, beam=(50, 0)),
    ],
    ids=["gaps", "arm up", "arm oblique", "shadows", "round"],
)
def test_a_still_shows_the_detector_itself(detector):
    """Within half a degree each point of the detector is one Q: its image is the mask."""
    rng = np.random.default_rng(6)
    y, x = rng.uniform(-200, 200, size=(2, 20000))
    # The other crossing of a Q straight above the beam is half a degree away.
    y, x = (one[np.abs(x) > 2] for one in (y, x))
    mask = measured_mask(on_detector(detector, y, x), detector, rotation=(-0.25, 0.25), axis=Z)
    np.testing.assert_array_equal(mask, sees(detector, y, x))


def test_arm_and_shadow_are_where_they_should_be():
    detector = replace(ENDLESS, distance=100, beam_stop=5)
    x = np.linspace(-20, 20, 40000)  # no point within half a micrometre of the middle

    def still(detector, y, x):
        q = on_detector(detector, y, x)
        return measured_mask(q, detector, rotation=(-0.005, 0.005), axis=Z)

    up = replace(detector, arm_width=6, arm_direction=90)
    assert still(detector, 50.0, x).all()
    np.testing.assert_array_equal(still(up, 50.0, x), np.abs(x) >= 3)
    assert still(up, -50.0, x).all()
    np.testing.assert_array_equal(still(up, -3.0, x), np.abs(x) > 4)
    # Direction 0 is horizontal, towards increasing columns.
    along = np.linspace(-80, 80, 1600)
    right = replace(detector, arm_width=6, arm_direction=0)
    np.testing.assert_array_equal(still(right, 2.9, along), along < -np.sqrt(25 - 2.9**2))
    assert still(right, 3.1, along)[np.abs(along) > 5].all()
    right = replace(detector, shadows=((0, 30),))
    np.testing.assert_array_equal(still(right, 20.0, along), along <= 30)
    up = replace(detector, shadows=((90, 30),))
    assert not still(up, 30.1, along).any()
    assert still(up, 29.9, along).all()


def test_friedel_mates_are_blind_together_on_a_detector_level_with_the_beam():
    """Q and −Q differ in the sign of the height once the turn is full."""
    q = np.random.default_rng(7).normal(scale=3, size=(5000, 3))
    level = Detector(beam=(0, 30))
    np.testing.assert_array_equal(
        measured_mask(q, level, axis=Z), measured_mask(-q, level, axis=Z)
    )
    raised = Detector(beam=(60, 0))
    up, down = measured_mask(q, raised, axis=Z), measured_mask(-q, raised, axis=Z)
    assert (up ^ down).mean() > 0.05


@pytest.mark.parametrize("level", [0.5, 2.0, 4.0])
def test_the_blind_cone_has_the_radius_of_the_formula(level):
    """At height q_z the axis is blind out to k − √(k² − q_z²)."""
    rho = np.linspace(0, 4, 40001)
    q = np.stack([0.6 * rho, 0.8 * rho, np.full_like(rho, level)], axis=1)
    blind = K - np.sqrt(K**2 - level**2)
    np.testing.assert_array_equal(measured_mask(q, ENDLESS, axis=Z), rho >= blind)


def test_a_turn_of_the_crystal_is_a_shift_of_the_scan():
    q = np.random.default_rng(8).normal(scale=3, size=(3000, 3))
    axis = np.array([0.3, 1.0, -0.2])
    detector = Detector(beam=(12, 5), arm_width=4)
    before = measured_mask(q, detector, rotation=(20, 150), axis=axis)
    turned = turned_about(axis, np.deg2rad(35), q)
    after = measured_mask(turned, detector, rotation=(-15, 115), axis=axis)
    np.testing.assert_array_equal(before, after)
    shifted = measured_mask(q, detector, rotation=(380, 510), axis=axis)
    np.testing.assert_array_equal(before, shifted)


def test_turning_further_only_adds():
    q = np.random.default_rng(1).normal(scale=3, size=(2000, 3))
    masks = [
        measured_mask(q, Detector(), rotation=(0, end), axis=Z)
        for end in (30, 90, 180, 359, 360)
    ]
    np.testing.assert_array_equal(
        masks[-1], measured_mask(q, Detector(), rotation=(33.3, 33.3 + 360), axis=Z)
    )
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
        ("EIGER2 1M", (1062, 1028)),
        ("EIGER2 4M", (2162, 2068)),
        ("EIGER2 9M", (3262, 3108)),
        ("EIGER2 16M", (4362, 4148)),
        ("MAR345", (2300, 2300)),
    ],
)
def test_detectors_have_their_published_size(name, pixels):
    assert Detector.named(name.lower().replace(" ", "")).pixels == pixels
    assert Detector.named(f" {name} ", distance=77).distance == 77


def test_the_default_is_the_pilatus_2m_and_the_plate_is_round():
    assert Detector() == Detector.named("pilatus2m")
    plate = Detector.named("mar 345")
    assert plate.radius == pytest.approx(plate.pixels[0] * plate.pixel_size / 2)


def test_aluminium_is_face_centred_cubic():
    n2 = np.round((np.array(ALUMINIUM_RINGS) * 4.0495 / (2 * np.pi)) ** 2, 6)
    np.testing.assert_array_equal(n2[:10], [3, 4, 8, 11, 12, 16, 19, 20, 24, 27])
    assert 11.5 < max(ALUMINIUM_RINGS) <= 12


def drawn_plane(rng, n=128):
    edge = rng.uniform(5, 8)
    g = np.linspace(-edge, edge, n)
    a, b = np.meshgrid(g, g, indexing="ij")
    return np.stack([a, b, np.full((n, n), rng.uniform(0, 4))], axis=-1)


def test_random_measurements_fill_the_range():
    rng = np.random.default_rng(5)
    coverage, used = [], {False: set(), True: set()}
    rings, shaded, arms, scans = set(), set(), set(), set()
    for i in range(240):
        held_out = i % 2 == 1
        mask, how = random_measurement(rng, drawn_plane(rng), held_out=held_out)
        used[held_out].add(how["detector"])
        coverage.append(mask.mean())
        rings.add(how["rings"])
        shaded.add(len(how["shadows"]))
        arms.add(how["arm_width"] > 0)
        scans.add(how["rotation"][1] - how["rotation"][0])
        assert 0.3 <= how["wavelength"] <= 0.75
    assert min(coverage) >= 0.40
    assert max(coverage) <= 0.97
    counts, _ = np.histogram(coverage, 6, range=(0.40, 0.97))
    assert counts.min() >= 25
    assert counts.max() <= 60
    assert used[True] == set(HELD_OUT_DETECTORS)
    assert used[False] == set(DETECTORS) - set(HELD_OUT_DETECTORS)
    assert {name for name in DETECTORS if name.startswith("EIGER2")} < set(HELD_OUT_DETECTORS)
    assert rings == {"none", "ice", "aluminium"}
    assert shaded == {0, 1}
    assert arms == {False, True}
    assert min(scans) >= 120 - 1e-9
    assert max(scans) == pytest.approx(360)


def test_random_measurements_repeat_and_say_all_they_drew():
    """The mask can be made again from the seed, and from the description alone."""
    some_rings = False
    for seed in range(60):
        q = drawn_plane(np.random.default_rng(seed), 64)
        mask, how = random_measurement(np.random.default_rng(seed), q)
        again, how_again = random_measurement(np.random.default_rng(seed), q)
        np.testing.assert_array_equal(mask, again)
        assert how == how_again
        geometry = ("wavelength", "distance", "beam", "beam_stop", "arm_width")
        geometry += ("arm_direction", "shadows")
        detector = Detector.named(how["detector"], **{key: how[key] for key in geometry})
        made = measured_mask(q, detector, rotation=how["rotation"], axis=how["axis"])
        rings = {"none": [], "ice": ICE_RINGS, "aluminium": ALUMINIUM_RINGS}[how["rings"]]
        some_rings |= bool(rings)
        made &= powder_rings(np.linalg.norm(q, axis=-1), rings, how["ring_width"])
        np.testing.assert_array_equal(mask, made)
    assert some_rings


def test_detector_axis_and_coverage_can_be_given():
    rng = np.random.default_rng(9)
    for _ in range(10):
        mask, how = random_measurement(
            rng, drawn_plane(rng, 64), coverage=(0.6, 0.8), detectors=["mar345"], axis=Z
        )
        assert how["detector"] == "MAR345"
        assert how["axis"] == [0, 0, 1]
        assert 0.6 <= mask.mean() <= 0.8
    with pytest.raises(ParameterError, match="EIGER2 4M.*training.*MAR345"):
        random_measurement(rng, drawn_plane(rng, 8), detectors=["MAR345", "EIGER2 4M"])
    with pytest.raises(ParameterError, match="validation"):
        random_measurement(rng, drawn_plane(rng, 8), detectors=["MAR345"], held_out=True)
    with pytest.raises(ParameterError, match="empty"):
        random_measurement(rng, drawn_plane(rng, 8), detectors=[])


def test_planes_no_measurement_suits_get_the_nearest():
    """Beyond every detector's reach nothing is seen; a single pixel is seen or not."""
    rng = np.random.default_rng(10)
    mask, _ = random_measurement(rng, drawn_plane(rng, 16) + 100, tries=5)
    assert not mask.any()
    mask, _ = random_measurement(rng, drawn_plane(rng, 1))
    assert mask.shape == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": 0}, "distance = 0: give a positive"),
        ({"wavelength": np.nan}, "wavelength = nan"),
        ({"pixel_size": np.inf}, "pixel_size = inf"),
        ({"radius": -1}, "radius = -1"),
        ({"beam_stop": -1}, "beam_stop = -1: it cannot be negative"),
        ({"arm_width": np.nan}, "arm_width = nan"),
        ({"modules": (8, 0)}, "modules = .*at least 1"),
        ({"module_pixels": (195,)}, "module_pixels = .*two whole numbers"),
        ({"gap_pixels": (17, -7)}, "gap_pixels = .*at least 0"),
        ({"beam": (1, 2, 3)}, "beam = .*two offsets"),
        ({"arm_direction": np.inf}, "arm_direction = inf"),
        ({"shadows": (90, 60)}, r"shadows=\(\(90, 60\),\)"),
    ],
)
def test_detectors_that_cannot_be_are_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        Detector(**change)


def test_nonsense_is_refused():
    q = np.zeros((4, 3))
    with pytest.raises(ParameterError, match="last angle is below the first"):
        measured_mask(q, Detector(), rotation=(90, 0), axis=Z)
    with pytest.raises(ParameterError, match="two angles"):
        measured_mask(q, Detector(), rotation=(0, np.nan), axis=Z)
    for axis in [(0, 0, 0), (1, 2), (np.nan, 0, 1)]:
        with pytest.raises(ParameterError, match="not all zero"):
            measured_mask(q, Detector(), axis=axis)
    for wrong in (np.zeros((3, 4)), 1.0):
        with pytest.raises(ParameterError, match="three components"):
            measured_mask(wrong, Detector(), axis=Z)
    with pytest.raises(ParameterError, match="PILATUS 3M.*PILATUS 2M.*MAR345"):
        Detector.named("PILATUS 3M")
    rng, plane = np.random.default_rng(0), np.zeros((4, 4, 3))
    for coverage in [(0.9, 0.5), (-0.1, 0.5), (0.5, 1.1)]:
        with pytest.raises(ParameterError, match="coverage"):
            random_measurement(rng, plane, coverage=coverage)
    with pytest.raises(ParameterError, match="of a plane"):
        random_measurement(rng, np.zeros((4, 3)))
    with pytest.raises(ParameterError, match="tries = 0"):
        random_measurement(rng, plane, tries=0)


def test_what_is_no_number_was_not_measured():
    q = np.array([[np.nan, 1, 1], [0, 0, 0], [2, 1, 0.5]])
    np.testing.assert_array_equal(measured_mask(q, Detector(), axis=Z), [False, False, True])
