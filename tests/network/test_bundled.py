"""The weights that come with the package."""

import numpy as np
import pytest
import torch
from factorization_planes import known_plane

from dsfunet_core.evaluate import EvaluationSet, evaluate_set
from dsfunet_core.factorization import factorize
from dsfunet_core.network import weights
from dsfunet_core.network.inference import factorize_images
from dsfunet_core.simulate.crystals import VALIDATION
from dsfunet_core.simulate.stream import plane_number


def test_the_default_is_there_small_and_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = weights.find()
    assert path.stem == weights.DEFAULT
    assert path.stat().st_size < 20e6
    card = weights.load().card
    assert card["preset"] == "compact"
    assert card["progress"]["seen"] > 1000
    assert {"sro", "form_factor", "sro_p90", "form_factor_p90"} <= set(card["figures"])


def test_planes_it_never_saw_come_apart_without_a_lattice():
    """Far better than noise (about 1) or a flat order (about 0.3), on held-out molecules."""
    planes = [plane_number(77, i, VALIDATION) for i in range(6)]
    bare = EvaluationSet(
        np.stack([p.plane.intensity for p in planes]),
        np.stack([p.plane.valid for p in planes]),
        np.stack([p.form_factor for p in planes]),
        np.stack([p.sro for p in planes]),
    )
    figures = evaluate_set(bare, method="network", batch_size=3)
    assert figures["mse"]["sro"]["median"] < 0.05
    assert figures["mse"]["form_factor"]["median"] < 0.05


def test_it_is_what_the_network_method_uses():
    known = known_plane(origin_hkl=(0, 0, 0), n=65, step=0.15)
    result = factorize(known.plane, method="network")
    assert result.choices["weights"] == weights.DEFAULT
    assert torch.is_inference_mode_enabled() is False


def _answers(plane, device="cpu", half=False):
    """Both factors, linear, as a device and a precision give them."""
    loaded = weights.load(device=device).network
    with torch.autocast("cpu", dtype=torch.float16, enabled=half):
        ((form_factor, sro),) = factorize_images(
            loaded, [plane.intensity], [plane.valid], device=device
        )
    return np.stack([form_factor, sro])


@pytest.mark.parametrize("number", range(3))
def test_half_precision_changes_nothing_that_matters(number):
    """What autocast does on a GPU, done on the CPU: 1e-3 of the range, root mean square."""
    plane = plane_number(78, number, VALIDATION).plane
    change = _answers(plane, half=True) - _answers(plane)
    assert 0 < np.sqrt((change**2).mean()) < 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_answer():
    plane = plane_number(78, 0, VALIDATION).plane
    change = _answers(plane, device="cuda") - _answers(plane)
    assert np.sqrt((change**2).mean()) < 1e-3
