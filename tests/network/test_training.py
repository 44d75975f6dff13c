"""Training learns, and can be stopped at any moment."""

import csv
import signal
import subprocess
import sys
import time

import pytest
import torch
from lightning_fabric import Fabric

from dsfunet_core.errors import ParameterError
from dsfunet_core.network import weights
from dsfunet_core.network.losses import factor_loss, joint_loss, linear
from dsfunet_core.network.paper import PaperNet
from dsfunet_core.network.recipes import PaperRecipe
from dsfunet_core.network.training import TrainingPlan, train, validate, validation_samples

SMALL = {
    "widths": (8, 16),
    "depths": (1, 1),
    "final_widths": (8, 16),
    "final_depths": (1, 1),
}
TINY = {"network": SMALL, "batch": 4, "crop": 32, "workers": 0}


def test_losses_are_those_of_the_paper():
    truth = torch.rand(3, 2, 16, 16) * 2 - 1
    assert joint_loss(truth, truth) == 0
    assert factor_loss(truth, truth) == 0
    # Eqs (11), (12) written out for one pixel: products 1.5·3 and 1·2.5, less 2 each.
    found, true = torch.tensor([[-0.5, 1.0]]), torch.tensor([[-1.0, 0.5]])
    difference = (1.5 * 3) - (1 * 2.5)
    loss = joint_loss(found.reshape(1, 2, 1, 1), true.reshape(1, 2, 1, 1))
    assert loss.item() == pytest.approx(abs(difference) - 0.5)
    assert linear(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 0.25, 1]
    # A flat image counts in units of its own range, as the evaluation scales it.
    weak = 0.1 * truth + 0.5
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    assert factor_loss(0.1 * noisy + 0.5, weak) > 0.3 * factor_loss(noisy, truth)


def test_learning_rate_warms_up_holds_and_cools_down():
    plan = TrainingPlan(hours=10, learning_rate=1e-3, cooldown=0.2, batch=10)
    assert plan.rate(0.0, 0) < 1e-5
    assert plan.rate(0.5, 10**6) == pytest.approx(1e-3)
    assert plan.rate(0.9, 10**6) == pytest.approx(0.5e-3, rel=0.01)
    assert plan.rate(1.0, 10**6) < 1e-5
    with pytest.raises(ParameterError, match="positive"):
        TrainingPlan(hours=0)


def read_log(folder):
    with (folder / "log.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_a_run_learns_and_goes_on_where_it_stopped(tmp_path):
    plan = TrainingPlan(hours=1, full_from=2, **TINY)
    told = []
    first = train(
        plan,
        tmp_path,
        minutes=0.12,
        checkpoint_minutes=0.03,
        validation=2,
        callback=told.append,
    )
    assert len(told) >= 2
    # A few steps on a busy machine go up and down.
    assert min(one["loss"] for one in told[1:]) < told[0]["loss"]
    assert first["minutes"] == pytest.approx(0.12, abs=0.1)
    second = train(plan, tmp_path, minutes=0.03, checkpoint_minutes=1, validation=2)
    assert second["seen"] > first["seen"]
    assert second["minutes"] > first["minutes"]
    log = read_log(tmp_path)
    assert [row["seen"] for row in log] == sorted(row["seen"] for row in log)
    # The best weights can be used, and say what they are.
    loaded = weights.load(tmp_path / "best.safetensors")
    best = min(row["sro"] + row["form_factor"] for row in log)
    figures = loaded.card["figures"]
    assert figures["sro"] + figures["form_factor"] == pytest.approx(best, rel=1e-4)
    again = validate(loaded.network, validation_samples(2), torch.device("cpu"))
    assert again["sro"] == pytest.approx(figures["sro"], rel=0.02)
    # What to look at while it runs.
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_parts_that_are_kept_do_not_change(tmp_path):
    plan = TrainingPlan(hours=1, full_from=2, keep=("guess",), **TINY)
    torch.manual_seed(plan.seed)
    before = weights.build("compact", SMALL).state_dict()
    train(plan, tmp_path, minutes=0.03, validation=1)
    after = torch.load(tmp_path / "last.ckpt", weights_only=True)["model"]
    changed = {
        name.split(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert changed == {"correct", "polish"}


def test_a_run_can_start_from_weights_alone(tmp_path):
    plan = TrainingPlan(hours=1, full_from=2, **TINY)
    first = train(plan, tmp_path / "one", minutes=0.03, validation=2)
    start = str(tmp_path / "one" / "best.safetensors")
    plan = TrainingPlan(hours=1, full_from=2, start=start, **TINY)
    second = train(plan, tmp_path / "two", minutes=0.01, validation=2)
    assert second["seen"] > first["seen"]
    assert second["minutes"] > first["minutes"]
    assert second["form_factor"] < 2 * first["form_factor"] + 0.1
    weights.save(tmp_path / "paper.safetensors", weights.build("paper"), "paper", {})
    with pytest.raises(ParameterError, match="paper network"):
        train(TrainingPlan(start=str(tmp_path / "paper.safetensors")), tmp_path / "three")


def test_validation_planes_are_held_out_and_always_the_same():
    one, two = validation_samples(2), validation_samples(2)
    for a, b in zip(one, two, strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name])
    assert one[0]["scattering"].shape == (1, 256, 256)

    class Truth(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.answers = iter(one)

        def forward(self, scattering, valid):
            sample = next(self.answers)
            return [torch.cat([sample["form_factor"], sample["sro"]])[None]]

    figures = validate(Truth(), one, torch.device("cpu"))
    assert figures["sro"] == pytest.approx(0, abs=1e-10)
    assert figures["form_factor"] == pytest.approx(0, abs=1e-10)


@pytest.mark.slow
def test_the_published_recipe_learns_and_can_be_continued(tmp_path):
    """Six steps on one batch bring the factors nearer; a copy goes on in the same way."""
    fabric = Fabric(accelerator="cpu", devices=1)
    torch.manual_seed(0)
    batch = {k: torch.rand(2, 1, 64, 64) * 2 - 1 for k in ("scattering", "clean", "sro")}
    batch["form_factor"] = batch["sro"].flip(3)
    one = PaperRecipe(PaperNet(), fabric)
    before = {k: v.clone() for k, v in one.discriminators["sro"].state_dict().items()}
    losses = [one.step(batch, 2e-4) for _ in range(6)]
    assert losses[-1] < 0.9 * losses[0]
    after = one.discriminators["sro"].state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before)
    fabric.save(tmp_path / "x.ckpt", one.state())
    two = PaperRecipe(PaperNet(), fabric)
    fabric.load(tmp_path / "x.ckpt", two.state())
    results = []
    for recipe in (one, two):
        torch.manual_seed(5)
        results.append(recipe.step(batch, 2e-4))
    assert results[0] == pytest.approx(results[1], rel=1e-4)
    # What is validated and written are these generators.
    for name in ("form_factor", "sro"):
        torch.testing.assert_close(
            two.result.get_submodule(name).state_dict(),
            one.generators[name].module.state_dict(),
            atol=1e-5,
            rtol=1e-3,
        )


def test_clean_scattering_is_only_for_the_discriminators():
    """Generators must not learn from what an experiment never gives."""
    fabric = Fabric(accelerator="cpu", devices=1)
    torch.manual_seed(1)
    recipe = PaperRecipe(PaperNet(), fabric)
    shown = {"generator": [], "discriminator": []}
    for name in recipe.names:
        recipe.generators[name].register_forward_pre_hook(
            lambda _, inputs: shown["generator"].append(inputs[0])
        )
        recipe.discriminators[name].register_forward_pre_hook(
            lambda _, inputs: shown["discriminator"].append(inputs[1])
        )
    batch = {k: torch.rand(1, 1, 64, 64) for k in ("scattering", "clean", "sro", "form_factor")}
    recipe.step(batch, 1e-4)
    assert all(torch.equal(x, batch["scattering"]) for x in shown["generator"])
    assert all(torch.equal(x, batch["clean"]) for x in shown["discriminator"])
    assert len(shown["generator"]) == 4
    assert len(shown["discriminator"]) == 6


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    """kill −9 while it trains, then the same command once more."""
    command = [sys.executable, "-c", "from dsfunet_core.cli import app; app()", "train"]
    options = [str(tmp_path), "--hours", "1", "--batch", "2", "--validation", "1"]
    options += ["--checkpoint-minutes", "0.1"]
    running = subprocess.Popen([*command, *options])
    deadline = time.monotonic() + 120
    while not (tmp_path / "last.ckpt").exists():
        time.sleep(0.2)
        assert running.poll() is None
        assert time.monotonic() < deadline
    time.sleep(1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = read_log(tmp_path)
    subprocess.run([*command, *options, "--minutes", "0.1"], check=True)
    after = read_log(tmp_path)
    assert after[: len(before)] == before
    assert after[-1]["seen"] > before[-1]["seen"]
    assert after[-1]["minutes"] == pytest.approx(before[-1]["minutes"] + 0.1, abs=0.5)
