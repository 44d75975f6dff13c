"""Drawings in true geometry, and the report made of them."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from sro_planes import HEXAGONAL, TRICLINIC, factorized, make_plane, sro_at

from dsfunet_core import plots
from dsfunet_core.errors import ParameterError
from dsfunet_core.factorization.result import Factorization, SroCoefficients
from dsfunet_core.frames import plane_frame
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.refine import figures, refine_sro
from dsfunet_core.refine.reference import Reference
from dsfunet_core.report import write_report

ALPHA = {(1, 0, 0): -0.2, (1, 1, 0): 0.1}


@pytest.fixture(scope="module")
def result():
    plane = make_plane("hk1", HEXAGONAL)
    valid = np.ones(plane.shape, bool)
    valid[20:30] = False
    rng = np.random.default_rng(1)
    return factorized(
        plane.replace(valid=valid),
        sro_at(plane.hkl(), ALPHA, "6/m"),
        rng=rng,
        choices={"order": 5},
    )


@pytest.fixture(scope="module")
def fit(result):
    return refine_sro(result, laue_class="6/m", shells=3)


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(b"\x89PNG")
    return int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])


def test_pixels_are_drawn_where_they_are():
    plane = make_plane("hk1", TRICLINIC)
    frame = plane_frame(plane)
    figure = plots.plane_figure(plane)
    axes = figure.axes[0]
    image = axes.images[0]
    row, column = 17, 40
    to_data = image.get_transform() - axes.transData
    np.testing.assert_allclose(
        to_data.transform((column, row)), frame.xy(np.array(row), np.array(column))
    )
    assert axes.get_xlabel() == frame.x_label
    assert axes.get_aspect() == 1


def test_a_bright_pixel_lands_on_its_place():
    plane = make_plane("hk1", TRICLINIC, shape=(31, 31))
    intensity = np.zeros(plane.shape)
    intensity[25, 6] = 1.0
    figure = plots.plane_figure(plane.replace(intensity=intensity))
    canvas, axes = figure.canvas, figure.axes[0]
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())
    x, y = axes.transData.transform(plane_frame(plane).xy(np.array(25), np.array(6)))
    brightest = picture[picture.shape[0] - 1 - round(y), round(x), :3]
    dark = picture[picture.shape[0] - 1 - round(y), round(x) - 40, :3]
    assert brightest.sum() > 500
    assert dark.sum() < 50


def test_a_plane_without_a_lattice_is_drawn_in_pixels():
    plane = ReciprocalPlane(np.ones((12, 15)), np.ones((12, 15), bool))
    assert "pixels" in plots.plane_figure(plane).axes[0].get_xlabel()


def test_every_figure_becomes_a_picture(result, fit):
    certain = replace(
        result,
        form_factor_sigma=0.1 * result.form_factor,
        coefficients=SroCoefficients(
            np.array([[1, 0], [0, 1]]), np.array([0.1 + 0j, 0.05]), 1e-4 * np.eye(4)
        ),
    )
    reference = np.full(len(fit.alpha), 0.05)
    for figure in (
        plots.measured_figure(result),
        plots.factors_figure(result),
        plots.uncertainty_figure(certain),
        figures.cell_figure(fit),
        figures.alpha_figure(fit),
        figures.alpha_figure(fit, reference=reference, label="elsewhere"),
    ):
        width, height = size_of(plots.png(figure, dpi=60))
        assert width > 300
        assert height > 100


def test_margins_that_were_never_measured_are_left_out(result):
    valid = np.zeros(result.plane.shape, bool)
    valid[40:50, 50:60] = True
    plane = result.plane.replace(valid=valid)
    left, right = plots.plane_figure(plane).axes[0].get_xlim()
    whole = plots.plane_figure(result.plane).axes[0].get_xlim()
    assert right - left < 0.4 * (whole[1] - whole[0])


def test_scattered_samples_are_spread_but_holes_stay():
    values = np.full((48, 48), np.nan)
    values[::4, ::4] = 1.0
    assert np.isfinite(figures.spread_out(values)).all()
    values[12:36, 12:36] = np.nan
    spread = figures.spread_out(values)
    assert np.isnan(spread[24, 24])
    assert np.isfinite(spread[:8]).all()


def test_drawing_does_not_touch_pyplot():
    code = (
        "import sys, numpy as np; from dsfunet_core import plots, ReciprocalPlane as P;"
        "plots.png(plots.plane_figure(P(np.ones((5, 5)), np.ones((5, 5), bool))));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


class Tags(HTMLParser):
    """Checks that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def read_page(path):
    tags = Tags()
    page = path.read_text(encoding="utf-8")
    tags.feed(page)
    assert tags.open == []
    return page, " ".join(" ".join(tags.texts).split())


def test_report_stands_alone_and_says_everything(result, fit, tmp_path):
    steps = []
    path = write_report(
        tmp_path / "report.html",
        result,
        fit,
        reference=Reference({(1, 0, 0): -0.2, (0, -1, 0): 0.3}, "known", "Two of them."),
        introduction="A test of <tags> & ampersands.",
        callback=lambda *args: steps.append(args),
    )
    page, text = read_page(path)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 4
    for picture in pictures:
        size_of(base64.b64decode(picture))
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "A test of <tags> & ampersands." in text
    assert "Two of them." in text
    for orbit in fit.orbits:
        assert orbit.label in text
    assert "14.12 14.12 6.93 Å" in text
    assert "detector gap" in text
    assert steps[-1][0] == steps[-1][1]


def test_reference_is_matched_by_any_member_of_an_orbit(fit):
    values = Reference({(-1, 0, 0): 0.25}).matched(fit.orbits)
    where = [orbit.label for orbit in fit.orbits].index("(1,0,0)")
    assert values[where] == 0.25
    assert np.isnan(np.delete(values, where)).all()


def test_report_without_a_fit_and_without_gaps(result, tmp_path):
    whole = result.plane.replace(valid=np.ones(result.plane.shape, bool))
    path = write_report(
        tmp_path / "report.html", factorized(whole, np.ones(whole.shape), choices={})
    )
    _, text = read_page(path)
    assert "Warren–Cowley parameters" not in text
    assert "detector gap" not in text


def test_report_without_a_cell(tmp_path):
    plane = ReciprocalPlane(np.ones((20, 20)), np.ones((20, 20), bool))
    bare = Factorization(plane, "network", np.ones((20, 20)), np.ones((20, 20)))
    _, text = read_page(write_report(tmp_path / "report.html", bare))
    assert "none" in text


def test_report_warns_of_a_bad_fit(result, fit, tmp_path):
    from dataclasses import replace

    path = write_report(tmp_path / "report.html", result, replace(fit, chi2=9 * fit.dof))
    assert "Multiply the uncertainties by 3.0" in read_page(path)[1]


def test_report_replaces_a_file_only_when_asked(result, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("precious")
    with pytest.raises(ParameterError, match="exists"):
        write_report(path, result)
    assert path.read_text() == "precious"
    write_report(path, result, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
