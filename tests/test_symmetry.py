from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sro_planes import CUBIC, HEXAGONAL, TRICLINIC, make_plane, sro_at

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.plane_symmetry import column_vectors, plane_operations
from dsfunet_core.simulate.tris_amide import YELL_ALPHA
from dsfunet_core.symmetry import (
    LAUE_CLASSES,
    check_cell,
    laue_class_named,
    laue_class_of,
    laue_rotations,
    orbits,
    shell_vectors,
)

ORDERS = {
    "-1": 2, "2/m": 4, "112/m": 4, "2/m11": 4, "mmm": 8, "4/m": 8, "4/mmm": 16, "-3": 6,
    "-3m1": 12, "-31m": 12, "-3:R": 6, "-3m:R": 12, "6/m": 12, "6/mmm": 24, "m-3": 24,
    "m-3m": 48,
}  # fmt: skip

CELLS = {
    "nothing": TRICLINIC,
    "α = γ = 90°": gemmi.UnitCell(5, 6, 7, 90, 105, 90),
    "α = β = 90°": gemmi.UnitCell(5, 6, 7, 90, 90, 105),
    "β = γ = 90°": gemmi.UnitCell(5, 6, 7, 105, 90, 90),
    "α = β = γ = 90°": gemmi.UnitCell(5, 6, 7, 90, 90, 90),
    "a = b, α = β = γ = 90°": gemmi.UnitCell(5, 5, 7, 90, 90, 90),
    "a = b, α = β = 90°, γ = 120°": HEXAGONAL,
    "a = b = c, α = β = γ": gemmi.UnitCell(5, 5, 5, 71, 71, 71),
    "a = b = c, α = β = γ = 90°": CUBIC,
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


classes = st.sampled_from(sorted(LAUE_CLASSES))
vectors = st.tuples(*[st.integers(-6, 6)] * 3)


def metric(cell: gemmi.UnitCell) -> np.ndarray:
    to_cartesian = np.array(cell.orth.mat.tolist())
    return to_cartesian.T @ to_cartesian


@pytest.mark.parametrize("symbol", sorted(LAUE_CLASSES))
def test_rotations_form_a_centrosymmetric_group_that_keeps_the_metric(symbol):
    rotations = laue_rotations(symbol)
    assert len(rotations) == ORDERS[symbol]
    assert np.array_equal(rotations[0], np.eye(3))
    members = {w.tobytes() for w in rotations}
    assert len(members) == len(rotations)
    assert (-np.eye(3, dtype=np.int64)).tobytes() in members
    assert all((a @ b).tobytes() in members for a in rotations for b in rotations)
    g = metric(CELLS[LAUE_CLASSES[symbol].requirement])
    assert all(np.allclose(w.T @ g @ w, g, atol=1e-9) for w in rotations)


@pytest.mark.parametrize("symbol", sorted(LAUE_CLASSES))
def test_check_cell_agrees_with_the_metric(symbol):
    rotations = laue_rotations(symbol)
    for cell in CELLS.values():
        g = metric(cell)
        fits = all(np.allclose(w.T @ g @ w, g, atol=1e-6) for w in rotations)
        if fits:
            check_cell(cell, symbol)
        else:
            with pytest.raises(GeometryError, match="asks for"):
                check_cell(cell, symbol)


@given(vectors, classes)
def test_orbit_size_is_the_order_over_that_of_the_stabiliser(v, symbol):
    rotations = laue_rotations(symbol)
    stabiliser = sum(tuple((w @ v).tolist()) == v for w in rotations)
    (orbit,) = orbits([v], symbol)
    assert orbit.multiplicity == ORDERS[symbol] / stabiliser
    members = set(map(tuple, orbit.members.tolist()))
    assert len(members) == orbit.multiplicity
    assert v in members
    assert orbit.representative in members
    assert members == {tuple((w @ orbit.representative).tolist()) for w in rotations}


@given(vectors, classes, st.integers(0, 47))
def test_every_member_leads_to_the_same_representative(v, symbol, i):
    rotations = laue_rotations(symbol)
    image = rotations[i % len(rotations)] @ v
    assert orbits([v], symbol)[0].representative == orbits([image], symbol)[0].representative


@given(vectors, classes)
def test_members_are_equally_long(v, symbol):
    cell = CELLS[LAUE_CLASSES[symbol].requirement]
    (orbit,) = orbits([v], symbol, cell)
    lengths = np.linalg.norm(orbit.members @ np.array(cell.orth.mat.tolist()).T, axis=1)
    assert np.allclose(lengths, orbit.length)


def test_general_positions_tell_the_classes_apart_that_others_confuse():
    sizes = {s: orbits([(3, 1, 2)], s)[0].multiplicity for s in ("-1", "-3", "2/m", "6/m")}
    assert sizes == {"-1": 2, "-3": 6, "2/m": 4, "6/m": 12}
    layer = orbits([(3, 1, 0), (3, 2, 0)], "6/m")
    assert [orbit.representative for orbit in layer] == [(3, 1, 0), (3, 2, 0)]
    assert len(orbits([(3, 1, 0), (3, 2, 0)], "6/mmm")) == 1
    assert {m.representative for m in orbits([(1, 0, 0)], "m-3m")} == {(1, 0, 0)}


@pytest.mark.parametrize("symbol", ["-1", "2/m", "4/mmm", "6/m", "-31m", "m-3m"])
def test_shells_are_the_complete_orbits_of_the_box(symbol):
    found = shell_vectors(3, symbol)
    members = [tuple(v) for orbit in found for v in orbit.members.tolist()]
    assert len(members) == len(set(members))
    for v in itertools.product(range(-3, 4), repeat=3):
        images = laue_rotations(symbol) @ v
        complete = np.abs(images).max() <= 3 and any(v)
        assert (v in members) == complete


def test_five_hexagonal_shells_are_table_2_of_the_paper():
    plane = make_plane("hk1", HEXAGONAL)
    found = column_vectors(5, "6/m", plane.lattice, HEXAGONAL)
    assert [orbit.representative for orbit in found] == list(YELL_ALPHA)
    assert {orbit.multiplicity for orbit in found} == {6}
    assert found[1].length == pytest.approx(2 * 14.12)
    for orbit in found:
        u, v, w = orbit.members.T
        assert np.all(w == 0)
        assert np.abs([u, v, u - v]).max() <= 5


@pytest.mark.parametrize("symbol", ["3/m", "-3m", "R-3", ""])
def test_an_unknown_class_is_answered_with_the_list(symbol):
    with pytest.raises(ParameterError, match="allowed are -1, 2/m, 112/m.*m-3m"):
        laue_rotations(symbol)


def test_spellings_of_meerkat_and_yell_are_understood():
    assert laue_class_named("2/m:b").symbol == "2/m"
    assert laue_class_named("-3m:H").symbol == "-3m1"
    assert laue_class_named("6 / m").symbol == "6/m"
    with pytest.raises(ParameterError, match="-3m1 .*-31m"):
        laue_class_named("-3m")


def test_every_space_group_has_its_laue_class():
    sizes = {n: len(laue_rotations(laue_class_of(n))) for n in range(1, 231)}
    for n, size in sizes.items():
        group = gemmi.find_spacegroup_by_number(n)
        plain = laue_class_of(n).replace("-3m1", "-3m").replace("-31m", "-3m")
        assert plain == group.laue_str()
        assert size == len(group.operations().sym_ops) * (
            1 if group.is_centrosymmetric() else 2
        )
    known = {2: "-1", 14: "2/m", 149: "-31m", 150: "-3m1", 157: "-31m", 166: "-3m1", 176: "6/m"}
    assert {n: laue_class_of(n) for n in known} == known
    with pytest.raises(ParameterError, match="space_group=231"):
        laue_class_of(231)


def test_a_cell_that_contradicts_its_class_is_told_what_is_wrong():
    with pytest.raises(
        GeometryError, match=r"b = 15 Å is not a = 14 Å, γ = 118.00° is not 120°"
    ):
        check_cell(gemmi.UnitCell(14, 15, 7, 90, 90, 118), "6/m")
    check_cell(gemmi.UnitCell(14.12, 14.15, 6.93, 90.1, 89.9, 120.2), "6/m")
    with pytest.raises(GeometryError, match="'4/m'"):
        shell_vectors(2, "4/m", HEXAGONAL)


@pytest.mark.parametrize("shells", [0, -1, 2.5])
def test_shells_must_be_whole_and_positive(shells):
    with pytest.raises(ParameterError, match=f"shells={shells}"):
        shell_vectors(shells, "-1")


PLANES = [
    ("hk0", "6/mmm"), ("hk1", "6/m"), ("hk0.5", "6/m"), ("hk0.25", "6/m"), ("h0l", "6/mmm"),
    ("h0l", "-3m1"), ("h1l", "-3m1"), ("hk1", "-3"), ("hk1/3", "-31m"), ("hk0.25", "-1"),
    ("hhl", "m-3m"), ("h-hl", "m-3"), ("h, h+0.5, l", "m-3m"), ("h, h+0.25, l", "m-3m"),
    ("hk1", "4/m"), ("h2l", "2/m"), ("hk0.5", "2/m"), ("0.5kl", "2/m"), ("h, k, h+k", "m-3m"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "symbol"), PLANES)
def test_operations_of_a_plane_leave_short_range_order_as_it_is(section, symbol, rng):
    cell = CELLS[LAUE_CLASSES[symbol].requirement]
    lattice = make_plane(section, cell).lattice
    box = [v for v in itertools.product(range(3), range(-2, 3), range(-2, 3)) if any(v)]
    chosen = [box[i] for i in rng.choice(len(box), 12, replace=False)]
    alpha = {o.representative: rng.normal() for o in orbits(chosen, symbol)}
    u = rng.uniform(-2, 2, size=(40, 2))

    def sro(coordinates):
        return sro_at(lattice.offset + coordinates @ lattice.directions.T, alpha, symbol)

    matrices, shifts = plane_operations(lattice, symbol)
    assert np.array_equal(matrices[0], np.eye(2))
    assert not shifts[0].any()
    for m, t in zip(matrices, shifts, strict=True):
        assert np.allclose(sro(u @ m.T + t), sro(u))


@pytest.mark.parametrize(
    ("section", "symbol", "number"),
    [("hk1", "6/m", 6), ("hk0", "6/mmm", 12), ("hk0.25", "6/m", 6), ("hk0.25", "-1", 1),
     ("hk0.5", "-1", 2), ("h0l", "6/m", 4), ("hhl", "m-3m", 4), ("hk0", "m-3m", 8),
     ("hk0", "-3m1", 12), ("hk0.25", "-3m1", 6)],
)  # fmt: skip
def test_number_of_operations_of_a_plane(section, symbol, number):
    cell = CELLS[LAUE_CLASSES[symbol].requirement]
    assert len(plane_operations(make_plane(section, cell).lattice, symbol)[0]) == number


@pytest.mark.parametrize(("section", "symbol"), PLANES)
def test_one_vector_stands_for_each_pair_of_columns(section, symbol):
    cell = CELLS[LAUE_CLASSES[symbol].requirement]
    lattice = make_plane(section, cell).lattice
    found = column_vectors(3, symbol, lattice, cell)
    members = np.concatenate([orbit.members for orbit in found])
    indices = list(map(tuple, lattice.plane_indices(members).tolist()))
    assert len(indices) == len(set(indices))
    assert {(-u, -v) for u, v in indices} == set(indices)
    assert np.abs(indices).max() <= 3
    assert {tuple(v) for v in members.tolist()} == {
        tuple(-x for x in v) for v in members.tolist()
    }


def test_vectors_between_columns_are_the_shortest_where_no_axis_runs_along_them():
    lattice = make_plane("hhl", CUBIC).lattice
    found = {o.representative: o.multiplicity for o in column_vectors(2, "mmm", lattice, CUBIC)}
    assert {(1, 0, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1)} <= set(found)
    tilted = make_plane("hhl", TRICLINIC).lattice
    normal = np.cross(*tilted.directions.T)
    for orbit in column_vectors(3, "-1", tilted, TRICLINIC):
        v = np.array(orbit.representative)
        others = np.array([v + t * normal for t in range(-4, 5)])
        lengths = np.linalg.norm(others @ np.array(TRICLINIC.orth.mat.tolist()).T, axis=1)
        assert orbit.length == pytest.approx(lengths.min())


def test_orbits_extinguished_on_a_layer_are_left_out():
    lattice = make_plane("h, h+0.5, l", CUBIC).lattice
    found = column_vectors(2, "m-3m", lattice, CUBIC)
    # (1,0,0) and (0,1,0) are equivalent and in antiphase where h − k is half-odd.
    totals = {sum(o.representative[:2]) % 2 for o in found}
    assert totals == {0}
