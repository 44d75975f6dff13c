from __future__ import annotations

import torch

from dsfunet_core import devices


def test_the_processor_is_there_and_comes_last() -> None:
    found = devices.available()
    assert [d.name for d in found if d.name == "cpu"] == ["cpu"]
    assert found[-1].name == "cpu"
    assert "cores" in found[-1].label
    assert len(found) == 1 + torch.cuda.device_count()
    torch.zeros(3, dtype=torch.float64, device=devices.best())
