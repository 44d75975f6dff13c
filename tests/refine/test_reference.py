from __future__ import annotations

import numpy as np
import pytest
from sro_planes import HEXAGONAL, factorized, make_plane, sro_at

from dsfunet_core.errors import FileFormatError
from dsfunet_core.refine import refine_sro
from dsfunet_core.refine.reference import read_reference


@pytest.fixture(scope="module")
def fit():
    plane = make_plane("hk1", HEXAGONAL, shape=(120, 120), reach=4.3, skew=0.5)
    alpha = {(1, 0, 0): -0.2, (1, 1, 0): 0.1}
    return refine_sro(
        factorized(plane, sro_at(plane.hkl(), alpha, "6/m")), laue_class="6/m", shells=2
    )


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_a_refinement_writes_is_a_reference(suffix, fit, tmp_path):
    path = getattr(fit, f"to_{suffix}")(tmp_path / f"alpha.{suffix}")
    reference = read_reference(path)
    assert reference.label == path.name
    np.testing.assert_allclose(reference.matched(fit.orbits), fit.alpha, rtol=1e-14)


def test_a_table_of_a_spreadsheet_with_other_members_of_the_orbits(fit, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("\ufeffu,v,w,alpha,remark\n0,-1,0,-0.25,nearest\n9,0,0,0.1,far\n", "utf-8")
    values = read_reference(path).matched(fit.orbits)
    known = [tuple(o.representative) == (1, 0, 0) for o in fit.orbits]
    assert values[known] == -0.25
    assert np.isnan(values[~np.array(known)]).all()


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "{", "u,v,w,alpha\n", "u,v,w,alpha\nx,0,0,1\n"]
)
def test_anything_else_is_refused_with_what_was_expected(text, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match="expected|Expected"):
        read_reference(path)
