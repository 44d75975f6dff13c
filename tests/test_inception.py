"""FID and KID through a small network whose features are known."""

import numpy as np
import pytest
import torch

from dsfunet_core.errors import DsfunetError, FileFormatError
from dsfunet_core.evaluate import EvaluationSet, evaluate_set
from dsfunet_core.inception import InceptionDistances

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Corners(torch.nn.Module):
    """Features: the means of the four quarters of the first channel."""

    def forward(self, images: torch.Tensor, return_features: bool) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images[:, :1].float(), 2)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "inception.pt"
    torch.jit.script(Corners()).save(str(path))
    return path


def images(n, seed):
    rng = np.random.default_rng(seed)
    steps = rng.random((n, 2, 2)) * 0.8 + 0.1
    blocks = np.kron(steps, np.ones((8, 8)))
    # Each image is scaled by its own range: pin it.
    blocks[:, 0, 0], blocks[:, -1, -1] = 0, 1
    return blocks


def frechet(a, b):
    """|μ_a − μ_b|² + tr(A + B − 2 (AB)^½), from the features directly."""
    from scipy.linalg import sqrtm

    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    a, b = np.cov(a.T), np.cov(b.T)
    return mean + np.trace(a + b - 2 * sqrtm(a @ b).real)


def features(stack):
    grey = np.rint(stack * 255)
    return grey.reshape(len(stack), 2, 8, 2, 8).mean(axis=(2, 4)).reshape(len(stack), -1)


def test_frechet_distance_is_that_of_the_features(network):
    found, truth = images(40, 0), images(40, 1) ** 1.3
    distances = InceptionDistances(network)
    for a, b in zip(found, truth, strict=True):
        distances.add(a, b)
    result = distances.result()
    assert result["fid"] == pytest.approx(frechet(features(found), features(truth)), rel=1e-3)
    same = InceptionDistances(network)
    for a in found:
        same.add(a, 7 * a)
    assert same.result()["fid"] == pytest.approx(0, abs=1e-2)
    assert abs(same.result()["kid"]) < abs(result["kid"])


def test_files_that_are_no_inception(tmp_path, network):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(FileFormatError, match="not a TorchScript file"):
        InceptionDistances(tmp_path / "text.pt")
    other = tmp_path / "other.pt"
    torch.jit.script(torch.nn.ReLU()).save(str(other))
    with pytest.raises(FileFormatError, match="no Inception network"):
        InceptionDistances(other)
    few = InceptionDistances(network)
    with pytest.raises(DsfunetError, match="too few"):
        few.result()


def test_evaluation_reports_them_only_with_a_file(network, monkeypatch):
    planes = images(6, 2) + 0.1
    valid = np.ones(planes.shape, bool)
    bare = EvaluationSet(planes, valid, planes, planes)
    monkeypatch.setattr(
        "dsfunet_core.evaluate._solver",
        lambda *_: (lambda members: [(planes[i], planes[i]) for i in members], {}),
    )
    assert evaluate_set(bare)["inception"] is None
    result = evaluate_set(bare, inception=network)["inception"]
    assert result["sro"]["fid"] == pytest.approx(0, abs=1e-2)
    assert set(result) == {"sro", "form_factor"}


def test_figures_are_split_by_what_the_set_tells(monkeypatch):
    planes = images(6, 3) + 0.1
    wrong = planes[:, ::-1]
    notes = [{"coverage": c, "q_max": 7.0} for c in (0.45, 0.5, 0.9, 0.95, 1.0, 0.86)]
    known = EvaluationSet(planes, np.ones(planes.shape, bool), planes, planes, notes=notes)
    monkeypatch.setattr(
        "dsfunet_core.evaluate._solver",
        lambda *_: (
            lambda members: [(planes[i], wrong[i] if i < 2 else planes[i]) for i in members],
            {},
        ),
    )
    splits = evaluate_set(known)["splits"]
    # All planes have one Q_max: nothing to split.
    assert set(splits) == {"coverage"}
    badly, well = splits["coverage"]
    assert (badly["n"], well["n"]) == (2, 4)
    assert badly["sro"] > 0.01
    assert well["sro"] == pytest.approx(0)
    assert badly["form_factor"] == pytest.approx(0)
