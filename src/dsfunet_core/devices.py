"""What torch can compute on here."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Device", "available", "best"]


@dataclass(frozen=True)
class Device:
    """Something to compute on.

    Parameters
    ----------
    name : str
        As torch calls it: ``"cpu"``, ``"cuda:0"``.
    label : str
        For people: what it is, and its memory.
    """

    name: str
    label: str


def available() -> list[Device]:
    """Devices with double precision, the quickest first.

    Returns
    -------
    list of Device
        The processor comes last.
    """
    import torch

    found = []
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        size = about.total_memory / 2**30
        found.append(Device(f"cuda:{number}", f"{about.name}, {size:.0f} GB"))
    cores = os.cpu_count() or 1
    memory = _memory()
    label = f"{_processor()}, {cores} cores" + (f", {memory:.0f} GB" if memory else "")
    return [*found, Device("cpu", label)]


def best() -> str:
    """Name of the quickest device: a GPU where torch sees one."""
    return available()[0].name


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    """Memory of the machine in GB, where the system tells it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, OSError, ValueError):
        return None
