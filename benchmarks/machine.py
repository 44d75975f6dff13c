"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import torch

import dsfunet_core


def facts() -> dict[str, str]:
    """Processor, cores, memory and versions, for the head of every table."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            x.split(":", 1)[1].strip()
            for x in info.read_text().splitlines()
            if "model name" in x
        ]
        cpu = names[0] if names else cpu
    return {
        "processor": cpu,
        "cores": str(os.cpu_count()),
        "torch threads": str(torch.get_num_threads()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "dsfunet": dsfunet_core.__version__,
    }
