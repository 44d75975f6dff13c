"""Named layers of a mask: why a pixel is out, and how it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factorization_planes import known_plane

from dsfunet_core import ReciprocalPlane, read
from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.io.numpy import write_npz
from dsfunet_core.io.results import load_result, save_result

SHAPE = (5, 7)


@pytest.fixture
def plane() -> ReciprocalPlane:
    valid = np.ones(SHAPE, bool)
    valid[0] = False
    return ReciprocalPlane(np.ones(SHAPE), valid)


def column(*numbers: int) -> np.ndarray:
    out = np.zeros(SHAPE, bool)
    out[:, list(numbers)] = True
    return out


def test_a_pixel_comes_back_only_if_measured_and_in_no_other_layer(plane):
    both = plane.masked(~column(1, 2), "bragg").masked(~column(2, 3), "rings")

    back = both.unmasked("bragg")

    assert list(back.masks) == ["rings"]
    np.testing.assert_array_equal(back.valid, plane.valid & ~column(2, 3))
    np.testing.assert_array_equal(back.unmasked("rings").valid, plane.valid)


def test_the_order_of_masking_and_unmasking_does_not_matter(plane):
    layers = {"a": column(1, 2), "b": column(2, 3), "c": column(3, 4)}
    one, other = plane, plane
    for name in "abc":
        one = one.masked(~layers[name], name)
    for name in "cab":
        other = other.masked(~layers[name], name)
    assert one.pixels_out() == other.pixels_out()
    np.testing.assert_array_equal(
        one.unmasked("b").unmasked("a").valid, other.unmasked("a").unmasked("b").valid
    )


def test_layers_count_measured_pixels_only(plane):
    masked = plane.masked(~column(1), "bragg")
    assert masked.pixels_out() == {"never measured": 7, "bragg": 4}
    np.testing.assert_array_equal(masked.measured, plane.valid)


def test_a_layer_grows_and_part_of_it_is_taken_back(plane):
    grown = plane.masked(~column(1), "by hand").masked(~column(2), "by hand")
    np.testing.assert_array_equal(grown.masks["by hand"], column(1, 2) & plane.valid)
    part = grown.unmasked("by hand", where=column(2, 5))
    np.testing.assert_array_equal(part.masks["by hand"], column(1) & plane.valid)
    np.testing.assert_array_equal(part.valid, plane.valid & ~column(1))


def test_without_a_reason_the_layer_is_called_mask(plane):
    assert list(plane.masked(~column(1)).masks) == ["mask"]


def test_mistakes_are_told(plane):
    masked = plane.masked(~column(1), "bragg")
    with pytest.raises(ParameterError, match="no mask layer 'rings'; its layers: 'bragg'"):
        masked.unmasked("rings")
    with pytest.raises(GeometryError, match=r"unmasked\('bragg'\) instead of setting valid"):
        masked.replace(valid=plane.valid)
    for name in ("a/b", "", ".", "never measured"):
        with pytest.raises(ParameterError, match="cannot be called"):
            plane.masked(~column(1), name)
    with pytest.raises(GeometryError, match=r"keep has shape \(2, 2\)"):
        plane.masked(np.ones((2, 2), bool))
    with pytest.raises(GeometryError, match="bool of shape"):
        plane.replace(masks={"bragg": np.zeros(SHAPE)})


@pytest.fixture
def two_layers() -> ReciprocalPlane:
    plane = known_plane(n=33, step=0.3).plane
    return plane.masked(plane.q_norm() > 1, "beam stop").masked(
        plane.intensity < plane.intensity.max(), "Bragg, a*+b*"
    )


def test_npz_keeps_layers_and_their_order(two_layers: ReciprocalPlane, tmp_path: Path) -> None:
    write_npz(tmp_path / "p.npz", two_layers)
    back = read(tmp_path / "p.npz")
    assert isinstance(back, ReciprocalPlane)
    check_same(back, two_layers)


def test_results_keep_layers_and_their_order(
    two_layers: ReciprocalPlane, tmp_path: Path
) -> None:
    ones = np.ones(two_layers.shape)
    save_result(tmp_path / "r.h5", Factorization(two_layers, "lattice", ones, ones))
    check_same(load_result(tmp_path / "r.h5").plane, two_layers)


def test_damaged_layers_in_npz_are_told(two_layers: ReciprocalPlane, tmp_path: Path) -> None:
    write_npz(tmp_path / "p.npz", two_layers)
    arrays = dict(np.load(tmp_path / "p.npz"))
    np.savez(tmp_path / "q.npz", **arrays | {"masks": arrays["masks"][:1]})
    with pytest.raises(ValueError, match="for 2 mask_names"):
        read(tmp_path / "q.npz")


def check_same(back: ReciprocalPlane, plane: ReciprocalPlane) -> None:
    assert list(back.masks) == list(plane.masks)
    for name, layer in plane.masks.items():
        np.testing.assert_array_equal(back.masks[name], layer)
    np.testing.assert_array_equal(back.valid, plane.valid)
    assert back.unmasked("beam stop").valid.sum() == plane.valid.size - 1
