"""What napari saves through the plugin comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from dsfunet_core import (
    Factorization,
    ReciprocalPlane,
    ReciprocalVolume,
    load_result,
    project,
    read,
    refine_sro,
)
from dsfunet_core import factorize as core_factorize
from dsfunet_core.io.results import load_fit
from napari_dsfunet.layers import cell_layer, factorization_layers, plane_layer, volume_layer
from napari_dsfunet.writer import WriteError, write_layer


@pytest.fixture(scope="module")
def result(module_plane: ReciprocalPlane) -> Factorization:
    return core_factorize(module_plane, support=4.0, order=2)


def save(viewer: ViewerModel, path: Path, layers: list[Layer] | None = None) -> None:
    viewer.layers.selection = layers or [viewer.layers[-1]]
    written = viewer.layers.save(str(path), selected=True, plugin="napari-dsfunet")
    assert written == [str(path)]


@pytest.mark.parametrize("name", ["plane.npz", "plane.h5", "plane.tif", "plane.yell.h5"])
def test_planes(
    registered: Any, small_plane: ReciprocalPlane, name: str, tmp_path: Path
) -> None:
    viewer = ViewerModel()
    viewer.add_layer(Layer.create(*plane_layer(small_plane)))
    save(viewer, tmp_path / name)
    again = read(tmp_path / name)
    if isinstance(again, ReciprocalVolume):
        again = again.section("hk1")
    np.testing.assert_allclose(
        np.where(again.valid, again.intensity, 0),
        np.where(small_plane.valid, small_plane.intensity, 0),
        rtol=1e-6,
    )
    np.testing.assert_allclose(again.hkl(3, 5), small_plane.hkl(3, 5), atol=1e-9)


def test_volumes(registered: Any, triclinic: ReciprocalVolume, tmp_path: Path) -> None:
    viewer = ViewerModel()
    viewer.add_layer(Layer.create(*volume_layer(triclinic)))
    save(viewer, tmp_path / "volume.nxs")
    again = read(tmp_path / "volume.nxs")
    np.testing.assert_array_equal(again.intensity[...], triclinic.intensity)
    np.testing.assert_allclose(again.steps, triclinic.steps)


def test_a_factorization_is_one_file_with_its_refinement(
    registered: Any, result: Factorization, tmp_path: Path
) -> None:
    fit = refine_sro(result, shells=2)
    viewer = ViewerModel()
    for data in (plane_layer(result.plane), *factorization_layers(result, (), fit)):
        viewer.add_layer(Layer.create(*data))
    for name, layers in (("one.h5", [viewer.layers[2]]), ("all.h5", list(viewer.layers))):
        save(viewer, tmp_path / name, layers)
        np.testing.assert_array_equal(load_result(tmp_path / name).sro, result.sro)
        np.testing.assert_array_equal(load_fit(tmp_path / name).alpha, fit.alpha)


@pytest.mark.parametrize(("role", "attribute"), [("SRO", "sro"), ("residual", "residual")])
def test_single_maps(
    registered: Any, result: Factorization, role: str, attribute: str, tmp_path: Path
) -> None:
    viewer = ViewerModel()
    layers = [Layer.create(*data) for data in factorization_layers(result)]
    layer = next(x for x in layers if x.metadata["dsfunet"]["role"] == role)
    viewer.add_layer(layer)
    save(viewer, tmp_path / "map.npy")
    # The numbers are the core's, not the picture's, which is transposed and single precision.
    np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), getattr(result, attribute))
    save(viewer, tmp_path / "map.npz")
    plane = read(tmp_path / "map.npz")
    assert plane.provenance["map"] == role
    np.testing.assert_allclose(plane.hkl(3, 5), result.plane.hkl(3, 5))


def test_layers_of_others_and_of_different_origin_are_refused(
    result: Factorization, small_plane: ReciprocalPlane, tmp_path: Path, registered: Any
) -> None:
    with pytest.raises(WriteError, match="napari's own writers"):
        write_layer(str(tmp_path / "x.npz"), np.zeros((3, 3)), {"name": "x", "metadata": {}})
    viewer = ViewerModel()
    viewer.add_layer(Layer.create(*factorization_layers(result)[0]))
    viewer.add_layer(Layer.create(*plane_layer(small_plane)))
    with pytest.raises(WriteError, match="not the parts of one factorization"):
        save(viewer, tmp_path / "both.h5", list(viewer.layers))
    assert not list(tmp_path.iterdir())


def test_a_map_of_one_cell_is_numbers(
    registered: Any, result: Factorization, tmp_path: Path
) -> None:
    cell = project(result, bins=(22, 22))
    viewer = ViewerModel()
    viewer.add_layer(Layer.create(*cell_layer(cell)))
    save(viewer, tmp_path / "cell.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "cell.npy"), cell.values)
    with pytest.raises(WriteError, match=r"saved as \.npy"):
        save(viewer, tmp_path / "cell.h5")
