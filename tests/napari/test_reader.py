"""What the plugin claims to open, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from napari.components import ViewerModel

from dsfunet_core import ReciprocalPlane, ReciprocalVolume, factorize, sample, save_result
from dsfunet_core.errors import FileFormatError
from dsfunet_core.io import write
from dsfunet_core.io.meerkat import write_meerkat
from dsfunet_core.io.numpy import write_npz
from napari_dsfunet.layers import core_object, script_of
from napari_dsfunet.reader import get_reader, read_file
from napari_dsfunet.sample_data import tris_amide


@pytest.fixture
def meerkat(tmp_path: Path, triclinic: ReciprocalVolume) -> Path:
    path = tmp_path / "reconstruction.h5"
    steps = np.diag(triclinic.steps)
    write_meerkat(path, triclinic.intensity, triclinic.cell, triclinic.origin, steps)
    return path


def test_claims_reconstructions_by_content(
    meerkat: Path, tmp_path: Path, small_plane: ReciprocalPlane
) -> None:
    assert get_reader(str(meerkat)) is read_file
    assert get_reader([str(meerkat)]) is read_file
    renamed = meerkat.rename(tmp_path / "anything.dat")
    assert get_reader(str(renamed)) is read_file
    write_npz(tmp_path / "plane.npz", small_plane)
    assert get_reader(str(tmp_path / "plane.npz")) is read_file


def test_nexus_opens_where_it_lies(tmp_path: Path, triclinic: ReciprocalVolume) -> None:
    path = tmp_path / "volume.nxs"
    write(path, triclinic)
    assert get_reader(str(path)) is read_file
    ((data, options, _),) = read_file(str(path))
    volume = options["metadata"]["dsfunet"]["object"]
    np.testing.assert_allclose(volume.steps, triclinic.steps)
    np.testing.assert_allclose(np.asarray(data).T, np.asarray(triclinic.intensity[...]))


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"II*\x00tiff", b"\x93NUM"])
def test_damaged_files_say_why(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(content)
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(FileFormatError, match=r"other\.h5.*copy it again"):
        reader(str(path))
    path = path.rename(tmp_path / "other.img")
    assert (get_reader(str(path)) is None) == (content[:4] != b"\x89HDF")


def test_arrays_of_unknown_layout_are_asked_about(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as h5:
        h5["one"] = h5["two"] = np.zeros((30, 30, 30))
        h5["three"] = np.zeros((40, 30, 30))
    assert get_reader(str(tmp_path / "odd.h5")) is read_file
    (tmp_path / "t.npy").write_bytes(bytes(range(50)))
    reader = get_reader(str(tmp_path / "t.npy"))
    assert reader is not None
    with pytest.raises(FileFormatError, match="damaged"):
        reader(str(tmp_path / "t.npy"))


def test_files_that_tell_too_little_name_the_dock(tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", np.ones((4, 5, 6)))
    with pytest.raises(FileFormatError, match="Diffuse Scattering > Open file") as raised:
        read_file(str(tmp_path / "bare.npy"))
    assert "dsfunet convert" not in str(raised.value)


def test_never_raises(tmp_path: Path, meerkat: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as h5:
        h5["pictures"] = np.zeros((3, 3))
    assert get_reader(str(tmp_path / "foreign.h5")) is None
    (tmp_path / "empty").mkdir()
    assert get_reader(str(tmp_path / "empty")) is None
    assert get_reader(str(tmp_path / "missing.h5")) is None
    assert get_reader([str(meerkat), str(tmp_path / "foreign.h5")]) is None
    assert get_reader([]) is None
    assert get_reader("\0") is None


def test_folders_and_several_files(
    meerkat: Path, tmp_path: Path, small_plane: ReciprocalPlane
) -> None:
    for name in ("hk2", "hk1"):
        write_npz(tmp_path / f"{name}.npz", small_plane.replace(name=name))
    (tmp_path / "notes.txt").write_text("of the measurement")
    for opened in (str(tmp_path), [str(tmp_path / "hk1.npz"), str(tmp_path / "hk2.npz")]):
        reader = get_reader(opened)
        assert reader is not None
        names = [options["name"] for _, options, _ in reader(opened)]
        expected = ["hk1", "hk2"]
        assert [n for n in names if n.startswith("hk")] == expected
        # The reconstruction of the folder comes, too; what is no data does not.
        assert len(names) == (3 if opened == str(tmp_path) else 2)


def test_folder_through_napari(
    registered: Any, tmp_path: Path, small_plane: ReciprocalPlane
) -> None:
    for name in ("hk1", "hk2"):
        write_npz(tmp_path / f"{name}.npz", small_plane.replace(name=name))
    viewer = ViewerModel()
    layers = viewer.open(str(tmp_path), plugin="napari-dsfunet")
    assert [layer.name for layer in layers] == ["hk1", "hk2"]


def test_tiffs_of_others_are_left_alone(tmp_path: Path, small_plane: ReciprocalPlane) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "cells.tif", np.zeros((40, 50), np.uint8))
    assert get_reader(str(tmp_path / "cells.tif")) is None
    write(tmp_path / "plane.tif", small_plane)
    assert get_reader(str(tmp_path / "plane.tif")) is read_file


def test_a_file_with_several_arrays_asks_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    from napari_dsfunet.widgets.dataset_picker import DatasetPicker

    path = tmp_path / "several.h5"
    with h5py.File(path, "w") as h5:
        h5["small"], h5["large"] = np.zeros((8, 8)), np.ones((9, 9))

    def choose(self: DatasetPicker) -> bool:
        assert "9 × 9" in self.list.item(0).text()
        self.list.setCurrentRow(1)
        return True

    monkeypatch.setattr(DatasetPicker, "exec", choose)
    placed = {"cell": (5, 6, 7, 90, 90, 90), "section": "hk0", "limits": (-1, 1, -1, 1)}
    ((data, options, _),) = read_file(str(path), **placed)
    assert data.shape == (8, 8)
    assert "dataset='/small'" in options["metadata"]["dsfunet"]["script"][0]
    monkeypatch.setattr(DatasetPicker, "exec", lambda self: False)
    with pytest.raises(FileFormatError, match="none of its arrays"):
        read_file(str(path), **placed)


def test_damaged_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "damaged.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(FileFormatError, match="damaged"):
        reader(str(path))


def test_opens_through_napari(registered: Any, meerkat: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(str(meerkat), plugin="napari-dsfunet")
    volume = core_object(layer)
    assert isinstance(volume, ReciprocalVolume)
    assert volume.shape == (12, 10, 7)
    np.testing.assert_array_equal(np.asarray(layer.data).T, volume.intensity[...])


def test_sample_through_napari(registered: Any) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open_sample("napari-dsfunet", "tris-amide")
    assert isinstance(core_object(layer), ReciprocalVolume)
    assert layer.data.shape == (5, 301, 301)


def test_sample_script_reads_the_sample() -> None:
    ((_, options, _),) = tris_amide()
    assert options["metadata"]["dsfunet"]["script"] == (
        'volume = dsfunet_core.read(dsfunet_core.sample("tris-amide-hk1"))',
    )
    low, high = options["contrast_limits"]
    assert low <= 0 < high
    assert sample().is_file()


def test_saved_factorization_comes_back_as_layers(
    tmp_path: Path, small_plane: ReciprocalPlane
) -> None:
    result = factorize(small_plane, order=2, support=4.0, errors=False)
    path = tmp_path / "result.nxs"
    save_result(path, result)
    reader = get_reader(str(path))
    assert reader is not None
    names = [options["name"] for _, options, _ in reader(str(path))]
    assert names == ["hk1", "hk1 form factor", "hk1 SRO", "hk1 product", "hk1 residual"]


def test_script_of_a_file_names_it(meerkat: Path, registered: Any) -> None:
    (layer,) = ViewerModel().open(str(meerkat), plugin="napari-dsfunet")
    assert script_of(layer) == (f"volume = dsfunet_core.read({str(meerkat)!r})",)


def test_files_and_folders_dropped_onto_the_window_open(
    make_napari_viewer: Any,
    registered: Any,
    meerkat: Path,
    small_plane: ReciprocalPlane,
    tmp_path: Path,
) -> None:
    """By real drop events: several files at once, and a folder of planes."""
    from napari.settings import get_settings
    from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
    from qtpy.QtGui import QDragEnterEvent, QDropEvent
    from qtpy.QtWidgets import QApplication

    # What napari keeps when it has asked once: its own reader claims these suffixes, too.
    get_settings().plugins.extension2reader = {"*": "napari-dsfunet"}
    viewer = make_napari_viewer()
    folder = tmp_path / "planes"
    folder.mkdir()
    for number in range(3):
        plane = small_plane.replace(name=f"plane {number}")
        write_npz(folder / f"{number}.npz", plane)
    write_npz(tmp_path / "single.npz", small_plane)
    dropped = [meerkat, tmp_path / "single.npz", folder]
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in dropped])
    window = viewer.window._qt_viewer
    rest = (mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    entering = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, *rest)
    QApplication.sendEvent(window, entering)
    assert entering.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), entering.dropAction(), *rest))
    shown = [core_object(layer) for layer in viewer.layers]
    assert isinstance(shown[0], ReciprocalVolume)
    assert [x.name for x in shown[1:]] == ["hk1", "plane 0", "plane 1", "plane 2"]
