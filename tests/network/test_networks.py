"""The networks: published layers, filters that move with the image, weights on disk."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.network import weights
from dsfunet_core.network.compact import CompactNet, SpectralGate
from dsfunet_core.network.paper import Discriminator, Generator, PaperNet

TINY = {
    "widths": (8, 16),
    "depths": (1, 1),
    "final_widths": (8, 16),
    "final_depths": (1, 1),
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Weights of whoever runs the tests stay out of it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def published_state():
    """Names and shapes of the published generators, written out from the paper's table."""
    down = [(1, 64), (64, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    up = [(512, 512), (1024, 512), (1024, 256), (512, 128), (256, 64)]
    state = {}
    for i, (a, b) in enumerate(down, start=1):
        state[f"down{i}.model.0.weight"] = torch.randn(b, a, 4, 4) * 0.02
    for i, (a, b) in enumerate(up, start=3):
        state[f"up{i}.model.0.weight"] = torch.randn(a, b, 4, 4) * 0.02
    state["final.2.weight"] = torch.randn(1, 128, 4, 4) * 0.02
    state["final.2.bias"] = torch.randn(1) * 0.02
    return state


def test_generator_has_the_published_layers():
    found = {k: tuple(v.shape) for k, v in Generator().state_dict().items()}
    assert found == {k: tuple(v.shape) for k, v in published_state().items()}
    assert sum(p.numel() for p in Generator().parameters()) == pytest.approx(29e6, rel=0.02)
    x = torch.rand(2, 1, 128, 192) * 2 - 1
    with torch.inference_mode():
        y = Generator().eval()(x)
    assert y.shape == x.shape
    assert y.abs().max() <= 1


def test_discriminator_answers_patch_by_patch():
    patches = Discriminator()(torch.rand(2, 1, 256, 256), torch.rand(2, 1, 256, 256))
    assert patches.shape == (2, 1, 16, 16)


def test_published_weights_are_imported(tmp_path):
    states = {name: published_state() for name in ("form_factor", "sro")}
    # One plain, one as saved from several GPUs.
    torch.save(states["form_factor"], tmp_path / "generator_dFF_200.pth")
    torch.save(
        {f"module.{k}": v for k, v in states["sro"].items()}, tmp_path / "generator_SRO_200.pth"
    )
    target = weights.user_folder() / "paper.safetensors"
    weights.import_published(
        tmp_path / "generator_dFF_200.pth", tmp_path / "generator_SRO_200.pth", target
    )
    loaded = weights.load("paper")
    assert len(loaded.checksum) == 64
    x = torch.rand(1, 1, 64, 64) * 2 - 1
    # Dropout is on in use, as published, and always the same.
    with torch.inference_mode():
        found = loaded.network(x, x)[-1]
        torch.testing.assert_close(loaded.network(x, x)[-1], found)
        generators = {name: Generator().train() for name in states}
        torch.manual_seed(0)
        for channel, (name, alone) in enumerate(generators.items()):
            alone.load_state_dict(states[name])
            expected = alone(x)[:, 0]
            # Half precision on disk.
            torch.testing.assert_close(found[:, channel], expected, atol=0.02, rtol=0)
    with pytest.raises(ParameterError, match="exists already"):
        weights.import_published(
            tmp_path / "generator_dFF_200.pth", tmp_path / "generator_SRO_200.pth", target
        )


def test_files_that_are_no_generators_are_refused(tmp_path):
    good = tmp_path / "good.pth"
    torch.save(published_state(), good)

    class Harmful:
        def __reduce__(self):
            return (print, ("this must not be executed",))

    cases = {}
    with (tmp_path / "harmful.pth").open("wb") as file:
        pickle.dump({"x": Harmful()}, file, protocol=2)
    cases["harmful.pth"] = "not a file of torch weights"
    (tmp_path / "text.pth").write_text("hello")
    cases["text.pth"] = "not a file of torch weights"
    state = published_state()
    state["down3.model.0.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "wrong.pth")
    cases["wrong.pth"] = r"1 of 13 tensors differ, the first is down3"
    torch.save([1, 2], tmp_path / "list.pth")
    cases["list.pth"] = "no state_dict"
    target = tmp_path / "out.safetensors"
    for name, message in cases.items():
        with pytest.raises(FileFormatError, match=message):
            weights.import_published(good, tmp_path / name, target)
    assert not target.exists()


def test_a_filter_moves_with_the_image():
    """What the spectral branch does depends on power alone: it commutes with shifts."""
    torch.manual_seed(0)
    gate = SpectralGate(4)
    x = torch.randn(1, 4, 24, 32)
    shifted = x.roll((5, -7), (2, 3))
    torch.testing.assert_close(
        gate(shifted), gate(x).roll((5, -7), (2, 3)), atol=1e-5, rtol=1e-4
    )
    # And it is no convolution with fixed weights: a sum is not filtered as its parts.
    other = torch.randn(1, 4, 24, 32)
    nothing = gate(torch.zeros_like(x))
    parts = gate(x) + gate(other) - nothing
    assert (gate(x + other) - parts).abs().max() > 1e-3


def test_compact_network_takes_any_multiple():
    network = CompactNet(**TINY).eval()
    for shape in ((32, 32), (64, 48), (40, 80)):
        x = torch.rand(2, 1, *shape) * 2 - 1
        found = network(x, torch.ones_like(x))
        assert len(found) == 3
        assert all(f.shape == (2, 2, *shape) for f in found)
        assert torch.isfinite(found[-1]).all()


def test_weights_keep_what_they_are(tmp_path):
    torch.manual_seed(1)
    network = CompactNet(**TINY).eval()
    path = tmp_path / "mine.safetensors"
    weights.save(path, network, "compact", {"figures": {"sro": 0.5}})
    loaded = weights.load(path)
    assert loaded.card["figures"] == {"sro": 0.5}
    assert tuple(loaded.card["options"]["widths"]) == (8, 16)
    x = torch.rand(1, 1, 32, 32) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.network(x, x * 0 + 1)[-1], network(x, x * 0 + 1)[-1], atol=2e-2, rtol=0
        )
    before = path.read_bytes()
    with pytest.raises(ParameterError, match="exists already"):
        weights.save(path, network, "compact", {})
    assert path.read_bytes() == before
    torch.manual_seed(2)
    weights.save(path, CompactNet(**TINY), "compact", {}, overwrite=True)
    assert weights.load(path).checksum != loaded.checksum


def test_weights_that_are_not_there_or_not_ours(tmp_path):
    with pytest.raises(ParameterError, match="'gigantic' are not known"):
        weights.find("gigantic")
    with pytest.raises(FileFormatError, match="does not exist"):
        weights.find(tmp_path / "none.safetensors")
    with pytest.raises(ParameterError, match="compact, paper"):
        weights.build("large")
    for name, content in (("a", b""), ("b", b"\x00" * 64)):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="not hold weights"):
            weights.load(path)
    path = tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(2)}, str(path))
    with pytest.raises(FileFormatError, match="not hold weights"):
        weights.load(path)


def test_both_networks_have_one_interface():
    x = torch.rand(1, 1, 64, 64) * 2 - 1
    for network in (PaperNet().eval(), CompactNet(**TINY).eval()):
        with torch.inference_mode():
            assert network(x, torch.ones_like(x))[-1].shape == (1, 2, 64, 64)
        assert network.multiple in (8, 64)
