"""A network at work: planes of any size and scale, and what comes back."""

import numpy as np
import pytest
import torch
from factorization_planes import known_plane
from torch import nn

import dsfunet_core as ds
from dsfunet_core.errors import ParameterError
from dsfunet_core.evaluate import EvaluationSet, evaluate_set
from dsfunet_core.factorization import factorize
from dsfunet_core.network import weights
from dsfunet_core.network.compact import CompactNet
from dsfunet_core.network.inference import factorize_images
from dsfunet_core.plane import ReciprocalPlane


class Echo(nn.Module):
    """Says that all of √I is form factor, and remembers what it was shown."""

    multiple = 64

    def forward(self, scattering, valid):
        self.seen = scattering, valid
        return [torch.cat([scattering, torch.ones_like(scattering)], dim=1)]


def smooth(rows, columns):
    y, x = np.mgrid[:rows, :columns]
    return 100 + 60 * np.sin(2 * np.pi * y / rows) * np.cos(4 * np.pi * x / columns)


@pytest.mark.parametrize("shape", [(256, 256), (100, 100), (511, 340), (64, 300)])
def test_planes_of_any_size_come_back_on_their_own_grid(shape):
    image = smooth(*shape)
    ((form_factor, sro),) = factorize_images(Echo(), [image], [np.ones(shape, bool)])
    assert form_factor.shape == sro.shape == shape
    np.testing.assert_allclose(form_factor, image / image.max(), atol=0.03)
    np.testing.assert_allclose(sro, 1, atol=1e-5)


def test_the_scale_of_intensity_does_not_matter():
    image, mask = smooth(80, 90), np.ones((80, 90), bool)
    echo = Echo()
    one, two = (factorize_images(echo, [f * image], [mask])[0][0] for f in (1, 1e6))
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("shape", [(256, 256), (400, 400)])
def test_dead_pixels_are_never_seen(shape):
    """Whatever stands under the mask, NaN and huge values among it, changes nothing."""
    image, mask = smooth(*shape), np.ones(shape, bool)
    mask[50:90, 30:120] = False
    echo, shown = Echo(), []
    for junk in (0.0, np.nan, 1e30, -5.0):
        factorize_images(echo, [np.where(mask, image, junk)], [mask])
        shown.append(torch.cat(echo.seen))
    for other in shown[1:]:
        torch.testing.assert_close(other, shown[0])
    scattering, valid = shown[0]
    assert ((scattering == -1) | (valid == 1)).all()
    assert valid.mean().item() == pytest.approx(mask.mean(), abs=0.01)
    # NaN under a mask that says "valid" counts as dead, too.
    factorize_images(echo, [np.where(mask, image, np.nan)], [np.ones(shape, bool)])
    torch.testing.assert_close(torch.cat(echo.seen), shown[0])


def test_a_batch_is_its_planes_one_by_one():
    torch.manual_seed(0)
    network = CompactNet((8, 16), (1, 1), (8, 16), (1, 1)).eval()
    images = [smooth(90, 90), smooth(120, 70), smooth(256, 256)]
    masks = [np.ones(i.shape, bool) for i in images]
    together = factorize_images(network, images, masks, batch_size=3)
    for pair, image, mask in zip(together, images, masks, strict=True):
        (alone,) = factorize_images(network, [image], [mask])
        # Sums are not rounded alike in batches of other sizes.
        np.testing.assert_allclose(pair[0], alone[0], atol=5e-4)
        np.testing.assert_allclose(pair[1], alone[1], atol=5e-4)


def test_planes_with_nothing_in_them_are_refused():
    with pytest.raises(ParameterError, match="wrong way round"):
        factorize_images(Echo(), [np.ones((20, 20))], [np.zeros((20, 20), bool)])
    with pytest.raises(ParameterError, match="too small"):
        factorize_images(Echo(), [np.ones((4, 20))], [np.ones((4, 20), bool)])


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(3)
    path = tmp_path / "random.safetensors"
    weights.save(path, CompactNet((8, 16), (1, 1), (8, 16), (1, 1)), "compact", {"figures": {}})
    return path


def test_a_plane_without_a_lattice_can_be_factorized(stored, tmp_path):
    image = smooth(70, 70)
    plane = ReciprocalPlane(image, np.ones(image.shape, bool))
    result = factorize(plane, method="network", weights=stored)
    assert result.method == "network"
    assert result.lattice is None
    assert result.coefficients is None
    assert result.choices["weights_sha256"] == weights.load(stored).checksum
    # The product lies on the measured intensities: no common factor does better.
    ratio = (image * result.product).sum() / (result.product**2).sum()
    assert ratio == pytest.approx(1)
    ds.save_result(tmp_path / "result.h5", result)
    again = ds.load_result(tmp_path / "result.h5")
    np.testing.assert_allclose(again.sro, result.sro)
    assert again.choices["weights_sha256"] == result.choices["weights_sha256"]


def test_order_has_mean_one_over_whole_cells(stored):
    """A periodic image cut anywhere: its mean over cells is 1 in the result."""
    known = known_plane(origin_hkl=(0, 0, 0), n=65, step=0.15)
    result = factorize(known.plane, method="network", weights=stored)
    assert result.lattice is not None

    from dsfunet_core.factorization.network import _mean_over_cells

    x = np.arange(70)
    for period in (7.3, 9.1, 12.7):
        wave = 1 + 0.8 * np.cos(2 * np.pi * (x[:, None] + 0.3 * x) / period + 0.4)
        assert _mean_over_cells(2.5 * wave) == pytest.approx(2.5, rel=0.01)


def test_a_result_says_what_its_errors_leave_out(tmp_path):
    from dsfunet_core.explain import explain_choices

    torch.manual_seed(4)
    path = tmp_path / "known.safetensors"
    card = {"figures": {"sro": 0.0312, "form_factor": 0.0123}}
    weights.save(path, CompactNet((8, 16), (1, 1), (8, 16), (1, 1)), "compact", card)
    plane = ReciprocalPlane(smooth(70, 70), np.ones((70, 70), bool))
    said = {c.what: c for c in explain_choices(factorize(plane, "network", weights=path))}
    assert said["weights"].value.startswith(
        f"known (SHA-256 {weights.load(path).checksum[:12]}"
    )
    assert "0.031 for I_SRO and 0.012 for I_FF" in said["weights"].why
    assert "no share of its errors" in said["weights"].why


def test_errors_to_expect_are_those_of_planes_alike(tmp_path):
    from dsfunet_core.explain import explain_choices

    torch.manual_seed(4)
    path = tmp_path / "calibrated.safetensors"
    classes = [
        {"to": 1e-9, "median": 1e-4, "p90": 2e-4},
        {"to": 0.02, "median": 3e-2, "p90": 4e-2},
    ]
    measured = [
        {"to": 0.5, "median": 5e-2, "p90": 6e-2},
        {"to": 1.0, "median": 7e-3, "p90": 8e-3},
    ]
    card = {"calibration": {"sro": classes, "form_factor": measured}}
    weights.save(path, CompactNet((8, 16), (1, 1), (8, 16), (1, 1)), "compact", card)
    image = smooth(70, 70) * (1 + 0.5 * np.cos(np.arange(70)))
    result = factorize(ReciprocalPlane(image, np.ones((70, 70), bool)), "network", weights=path)
    # Random weights explain badly: the class without an upper end. All was measured.
    assert result.choices["unexplained"] > 0.02
    assert result.choices["expected_errors"]["sro"] == {"median": 3e-2, "p90": 4e-2}
    assert result.choices["expected_errors"]["form_factor"] == {"median": 7e-3, "p90": 8e-3}
    said = {c.what: c for c in explain_choices(result)}["weights"].why
    assert "90 % below 0.04" in said


def test_options_of_the_other_method_are_refused(stored):
    plane = ReciprocalPlane(smooth(70, 70), np.ones((70, 70), bool))
    with pytest.raises(ParameterError, match="no background term"):
        factorize(plane, method="network", weights=stored, background=True)
    known = known_plane(origin_hkl=(0, 0, 0), n=65, step=0.15)
    with pytest.raises(ParameterError, match="only the network has any"):
        factorize(known.plane, weights=stored)


def test_a_set_is_evaluated_blindly(stored):
    known = known_plane(origin_hkl=(0, 0, 0), n=65, step=0.15)
    bare = EvaluationSet(
        known.plane.intensity[None],
        known.plane.valid[None],
        known.form_factor[None],
        known.sro[None],
    )
    figures = evaluate_set(bare, method="network", weights=stored, batch_size=4)
    assert figures["weights"] == "random"
    assert figures["n"] == 1
    assert 0 < figures["mse"]["sro"]["mean"] < 4
