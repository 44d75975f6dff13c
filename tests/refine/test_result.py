from __future__ import annotations

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from sro_planes import HEXAGONAL, factorized, make_plane, sro_at

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.refine import SroRefinement, refine_sro
from dsfunet_core.refine.alpha_table import with_uncertainty
from dsfunet_core.simulate.tris_amide import YELL_ALPHA


@pytest.fixture(scope="module")
def fit() -> SroRefinement:
    plane = make_plane("hk1", HEXAGONAL, shape=(100, 100), reach=4.2, skew=0.5)
    noise = np.random.default_rng(3)
    return refine_sro(
        factorized(plane, sro_at(plane.hkl(), YELL_ALPHA, "6/m"), rng=noise), laue_class="6/m"
    )


def same(first: SroRefinement, second: SroRefinement) -> bool:
    return json.dumps(first.to_dict()) == json.dumps(second.to_dict())


@pytest.mark.parametrize(
    ("value", "sigma", "expected"),
    [
        (0.0984, 0.0012, "0.0984(12)"), (0.0984, 0.00195, "0.098(2)"),
        (-0.25163, 0.0003, "-0.2516(3)"), (0.5, 0.19, "0.50(19)"), (1234.5, 27.0, "1230(30)"),
        (12.34, 1.5, "12.3(15)"), (12.34, 15.0, "12(15)"), (0.1, 0.0, "0.1000"),
        (0.1, float("nan"), "0.1000"), (-0.00004, 0.00095, "-0.0000(10)"),
        (0.0, 1e-5, "0.000000(10)"),
        (0.123456, 0.0000996, "0.12346(10)"), (0.5, 0.0199, "0.50(2)"),
    ],
)  # fmt: skip
def test_uncertainty_in_brackets(value, sigma, expected):
    assert with_uncertainty(value, sigma) == expected


def test_the_table_is_aligned_and_complete(fit):
    lines = fit.table().splitlines()
    assert lines[1].split() == ["(0,0,0)", "1", "0.000", "1", "(fixed)"]
    row = lines[2].split()
    assert row[:3] == ["(1,0,0)", "6", "14.120"]
    assert re.fullmatch(r"-0\.\d+\(\d+\)", row[3])
    columns = [line.index("(", 10) if "(" in line[10:] else None for line in lines[2:17]]
    assert all(columns)
    assert len({len(line.split()[2]) for line in lines[2:17]}) == 1
    footer = " ".join(lines[17:])
    assert "6/m" in footer
    assert "order along [0 0 1]" in footer
    assert "degrees of freedom" in footer


def test_inflation_is_flagged_only_above_what_chance_explains(fit):
    bad = dataclasses.replace(fit, chi2=4 * fit.dof)
    assert bad.inflation == pytest.approx(2)
    assert "multiply the uncertainties by 2.00" in bad.table()
    chance = dataclasses.replace(fit, chi2=fit.dof + np.sqrt(fit.dof))
    assert "multiply" not in chance.table()
    exact = dataclasses.replace(fit, chi2=0.0, dof=0.0)
    assert "tests nothing" in exact.table()
    assert exact.inflation == 1
    good = dataclasses.replace(fit, chi2=0.5 * fit.dof)
    assert good.inflation == 1
    assert "multiply" not in good.table()
    assert np.array_equal(bad.sigma, good.sigma)


def test_correlations_have_a_unit_diagonal(fit):
    assert np.allclose(np.diag(fit.correlation), 1)
    assert np.abs(fit.correlation).max() < 1 + 1e-12
    assert fit.correlation.shape == (15, 15)


def test_members_share_their_parameter_and_others_are_refused(fit):
    assert fit[1, 0, 0] == fit[1, 1, 0] == fit[0, -1, 0] == fit.alpha[0]
    assert fit[0, 0, 0] == 1
    with pytest.raises(ParameterError, match=r"vector \(0, 0, 1\) was not refined"):
        fit[0, 0, 1]


def test_dict_and_json_give_back_everything(fit, tmp_path):
    assert same(SroRefinement.from_dict(fit.to_dict()), fit)
    path = fit.to_json(tmp_path / "fit.json")
    back = SroRefinement.from_json(path)
    assert same(back, fit)
    assert np.array_equal(back.alpha, fit.alpha)
    assert np.array_equal(back.calculated.values, fit.calculated.values)
    assert back.orbits[3].label == fit.orbits[3].label
    assert back.table() == fit.table()
    assert back.observed.cell.parameters == fit.observed.cell.parameters


def test_files_are_not_replaced_unless_asked(fit, tmp_path):
    for name, write in (("fit.json", fit.to_json), ("fit.csv", fit.to_csv)):
        path = tmp_path / name
        path.write_text("precious")
        with pytest.raises(ParameterError, match="overwrite=True"):
            write(path)
        assert path.read_text() == "precious"
        assert write(path, overwrite=True) == path
        assert path.read_text() != "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fit.csv", "fit.json"]
    with pytest.raises(ParameterError, match="folder"):
        fit.to_csv(tmp_path / "nowhere" / "fit.csv")


def test_csv_holds_the_numbers_exactly(fit, tmp_path):
    with fit.to_csv(tmp_path / "fit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert [float(row["alpha"]) for row in rows] == fit.alpha.tolist()
    assert [float(row["sigma"]) for row in rows] == fit.sigma.tolist()
    assert [int(rows[4][k]) for k in ("u", "v", "w", "multiplicity")] == [3, 1, 0, 6]


def test_something_else_is_not_a_refinement(tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"layout": 99}')
    with pytest.raises(FileFormatError, match="layout 1 .found 99"):
        SroRefinement.from_json(path)
    path.write_text("no json")
    with pytest.raises(FileFormatError, match="not JSON"):
        SroRefinement.from_json(path)
    with pytest.raises(FileFormatError, match="does not exist"):
        SroRefinement.from_json(tmp_path / "missing.json")


def test_yell_gets_joint_probabilities(fit):
    text = fit.yell_snippet(variant="Column", concentration=0.3)
    assert "LaueSymmetry 6/m" in text
    groups = re.findall(
        r"\[\((-?\d+),(-?\d+),(-?\d+)\)\s+Multiplicity (\d+)\s+"
        r"SubstitutionalCorrelation\(Column,Column,([\d.]+)\)",
        text,
    )
    assert len(groups) == 16
    joint = {tuple(map(int, g[:3])): float(g[4]) for g in groups}
    assert joint[0, 0, 0] == pytest.approx(0.3)
    # Eq. (4): P_AB = m_A·m_B·(1 − α), and P_AA + P_AB = m_A.
    expected = 0.3 - 0.3 * 0.7 * (1 - fit[2, 1, 0])
    assert joint[2, 1, 0] == pytest.approx(expected, abs=1e-7)
    assert {int(g[3]) for g in groups} == {1, 6}
    assert text.count("[") == text.count("]")
    with pytest.raises(ParameterError, match="concentration=1"):
        fit.yell_snippet(concentration=1)
    with pytest.raises(ParameterError, match="variant='two words'"):
        fit.yell_snippet(variant="two words")
