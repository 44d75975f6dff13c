"""dsfunet mask: layers asked for, a table of them, mistakes told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from factorization_planes import known_plane
from typer.testing import CliRunner

from dsfunet_core import read
from dsfunet_core.cli.console import ReportingGroup
from dsfunet_core.cli.mask import mask
from dsfunet_core.io.numpy import write_npz

# A group of its own, so that these tests stand without the other commands.
app = typer.Typer(cls=ReportingGroup)
app.command("mask")(mask)
app.callback()(lambda: None)


@pytest.fixture
def run():
    def invoke(*arguments, code=0):
        result = CliRunner().invoke(app, ["mask", *map(str, arguments)])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def spotted(tmp_path):
    """Poisson plane with a hot pixel."""
    rng = np.random.default_rng(0)
    known = known_plane()
    counts = rng.poisson(20 * known.plane.intensity / known.plane.intensity.mean()) + 0.0
    counts[20, 30] = 5000
    path = tmp_path / "spotted.npz"
    write_npz(path, known.with_intensity(counts))
    return path


def test_every_layer_asked_for_is_in_the_file_and_in_the_table(run, spotted, tmp_path):
    polygons = tmp_path / "arc.json"
    corners = [[60, 60], [60, 70], [70, 70]]
    polygons.write_text(json.dumps([{"corners": corners, "reason": "arc"}]))
    out = tmp_path / "out.npz"

    said = run(
        *(spotted, out, "--bragg", "0.1", "--hot-pixels", "--rings", "2.5:0.02"),
        *("--beam-stop", "0.9", "--polygons", polygons),
    ).stdout

    plane = read(out)
    assert list(plane.masks) == ["beam stop", "arc", "bragg", "hot pixels", "powder rings"]
    for name, layer in plane.masks.items():
        assert layer.any(), name
        assert f"{layer.sum():,}" in said
        assert name in said
    np.testing.assert_array_equal(np.argwhere(plane.masks["hot pixels"]), [[20, 30]])
    assert f"{plane.valid.sum():,}" in said


def test_nothing_is_masked_unasked(run, spotted, tmp_path):
    run(spotted, tmp_path / "out.npz")
    assert read(tmp_path / "out.npz").masks == {}


def test_json_and_background(run, spotted, tmp_path):
    said = run(spotted, tmp_path / "out.npz", "--background", "2.5", "--json").stdout
    content = json.loads(said)
    assert content["background"]["mean"] == 2.5
    before, after = read(spotted), read(tmp_path / "out.npz")
    np.testing.assert_allclose(before.intensity - after.intensity, 2.5)
    assert content["background"]["negative"] == (after.intensity < 0).sum() > 0


def test_filled_peaks_are_used_again(run, spotted, tmp_path):
    run(spotted, tmp_path / "out.npz", "--bragg", "0.1", "--fill")
    plane = read(tmp_path / "out.npz")
    assert plane.valid.all()
    assert plane.provenance["processing"][-1]["step"] == "fill"


def test_a_plane_of_a_volume(run, crystal, tmp_path):
    run(crystal, tmp_path / "out.npz", "--plane", "hk1", "--bragg", "0.1")
    assert read(tmp_path / "out.npz").masks["bragg"].any()


def test_a_whole_volume(run, crystal, tmp_path):
    out = tmp_path / "out.nxs"
    said = run(crystal, out, "--bragg", "0.1", "--hot-pixels", "--json").stdout
    volume, told = read(out), json.loads(said)
    assert told["voxels_out"] == volume.voxels_out()
    assert told["voxels_out"]["bragg"] == int(np.asarray(volume.masks["bragg"][...]).sum()) > 0
    used = np.isfinite(volume.intensity[...]) & ~np.asarray(volume.mask[...])
    assert told["valid_voxels"] == int(used.sum())
    assert "factorize-volume" in run(out, tmp_path / "more.nxs", "--gaps").stdout
    failed = run(crystal, tmp_path / "no.nxs", "--bragg", "auto", "--fill", code=1)
    assert "--bragg auto, --fill: for planes only" in failed.stderr
    assert not (tmp_path / "no.nxs").exists()


def test_layers_are_taken_back(run, spotted, crystal, tmp_path):
    masked, again = tmp_path / "masked.npz", tmp_path / "again.npz"
    run(spotted, masked, "--bragg", "0.1", "--hot-pixels")
    run(masked, again, "--unmask", "hot pixels", "--rings", "2.5:0.02")
    plane = read(again)
    assert list(plane.masks) == ["bragg", "powder rings"]
    assert plane.valid[20, 30]
    assert {"step": "unmask", "layer": "hot pixels"} in plane.provenance["processing"]
    failed = run(masked, tmp_path / "no.npz", "--unmask", "arc", code=1)
    assert "no mask layer 'arc'" in failed.stderr

    run(crystal, tmp_path / "v.nxs", "--bragg", "0.1", "--beam-stop", "1.6")
    for number, more in enumerate(([], ["--gaps"])):
        path = tmp_path / f"back{number}.nxs"
        run(tmp_path / "v.nxs", path, "--unmask", "bragg", *more)
        back = read(path)
        assert "bragg" not in back.masks
        out = np.asarray(back.mask[...])
        assert out.any()
        np.testing.assert_array_equal(out, np.asarray(back.masks["beam stop"][...]))


def test_a_picture_before_and_after(run, spotted, crystal, tmp_path):
    drawn = tmp_path / "p.png"
    options = ["--bragg", "0.1", "--background", "constant", "--picture", drawn]
    assert "Drawn in" in run(spotted, tmp_path / "out.npz", *options).stdout
    assert drawn.read_bytes().startswith(b"\x89PNG")
    options = ["--picture", tmp_path / "p.jpg"]
    assert "end in .png" in run(spotted, tmp_path / "2.npz", *options, code=1).stderr
    options = ["--bragg", "0.1", "--picture", tmp_path / "q.png"]
    assert "--picture: for planes" in run(crystal, tmp_path / "v.nxs", *options, code=1).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bragg", "big"], "--bragg big: 1 number expected"),
        (["--bragg", "0.1,0.2"], "3 numbers expected"),
        (["--bragg", "0.1", "--space-group", "P nonsense"], "'P nonsense' is not known"),
        (["--rings", "2.5"], "half-width"),
        (["--scale", "2"], "--scale belongs to --background"),
        (["--background", "radial", "--scale", "2"], "only a file has a scale"),
        (["--fill"], "--fill fills Bragg peaks"),
        (["--satellite", "0.5"], "--satellite 0.5: 3 numbers"),
    ],
)
def test_mistakes_are_told(run, spotted, tmp_path, options, message):
    out = tmp_path / "out.npz"
    failed = run(spotted, out, *options, code=1)
    assert message in failed.stderr
    assert not out.exists()


def test_files_are_not_replaced_unasked(run, spotted, tmp_path):
    assert "--overwrite" in run(spotted, spotted, code=1).stderr
    assert "suffix" in run(spotted, tmp_path / "out.doc", code=1).stderr


def test_nothing_left_is_an_error_and_nothing_is_written(run, spotted, tmp_path):
    said = " ".join(run(spotted, tmp_path / "out.npz", "--bragg", 0.7, code=1).output.split())
    assert "nothing is left of plane" in said
    assert "pixels taken: bragg " in said
    assert "--unmask" in said
    assert not (tmp_path / "out.npz").exists()
