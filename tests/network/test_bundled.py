"""The weights that come with the package."""

import numpy as np
import torch
from factorization_planes import known_plane

from dsfunet_core.evaluate import EvaluationSet, evaluate_set
from dsfunet_core.factorization import factorize
from dsfunet_core.network import weights
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
