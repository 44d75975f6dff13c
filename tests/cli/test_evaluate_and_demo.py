"""dsfunet evaluate and dsfunet demo."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from factorization_planes import known_plane

from dsfunet_core.io.results import load_fit, load_result
from dsfunet_core.simulate.tris_amide import YELL_ALPHA


@pytest.fixture
def one_plane(tmp_path):
    """Evaluation set of one plane."""
    known = known_plane(origin_hkl=(0, 0, 0), n=65, step=0.15)
    path = tmp_path / "set.npz"
    np.savez(
        path,
        intensity=known.plane.intensity[None],
        valid=known.plane.valid[None],
        form_factor=known.form_factor[None],
        sro=known.sro[None],
        basis=known.plane.lattice.basis[None],
    )
    return path


def test_evaluate_prints_a_table_and_writes_json(dsfunet, one_plane, tmp_path):
    figures = tmp_path / "figures.json"
    said = dsfunet("evaluate", one_plane, "--method", "lattice", "--json", figures).stdout
    content = json.loads(figures.read_text())
    assert content["n"] == 1
    assert content["mse"]["sro"]["mean"] < 0.01
    assert f"{content['mse']['sro']['mean']:.3g}" in said
    assert "1 planes" not in said
    failed = dsfunet("evaluate", one_plane, "--json", figures, code=1)
    assert "--overwrite" in failed.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--method", "magic"], "lattice"), (["--device", "abacus"], "abacus")],
)
def test_evaluate_says_what_to_change(dsfunet, one_plane, options, said):
    assert said in dsfunet("evaluate", one_plane, *options, code=1).stderr


@pytest.mark.slow
def test_demo_gets_the_published_parameters_back(dsfunet, tmp_path):
    folder = tmp_path / "new" / "demo"
    folder.mkdir(parents=True)
    for name in ("report.html", "tris-amide-hk1.h5"):
        (folder / name).write_text("from an earlier run")
    said = dsfunet("demo", "--output", folder).stdout
    assert str(folder / "report.html") in said.replace("\n", "")
    fit = load_fit(folder / "tris-amide-hk1.h5")
    assert fit is not None
    errors = np.array([fit[v] - alpha for v, alpha in YELL_ALPHA.items()])
    assert np.sqrt((errors**2).mean()) < 0.001
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 4
    assert "http" not in page
    for value in YELL_ALPHA.values():
        assert f"{value:.4f}".replace("-", "−") in page
    result = load_result(folder / "tris-amide-hk1.h5")
    assert f"R = {result.r_factor:.4f}" in page
