"""Volumes masked from file to file: time and memory of every method."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Console
from rich.table import Table

CELL = (10.1, 11.3, 12.9, 78.0, 97.0, 112.0)
#: What is asked of ``mask_volume``, by the name in the table.
METHODS: dict[str, dict[str, Any]] = {
    "bragg, radius": {"bragg": 0.06},
    "powder rings, given": {"rings": [(2.0, 0.03)]},
    "powder rings, looked for": {"rings": "auto"},
    "hot voxels": {"hot_pixels": True},
    "stray peaks": {"stray_peaks": True},
    "gaps": {"gaps": True},
    "all of these": {
        "bragg": 0.06,
        "rings": "auto",
        "hot_pixels": True,
        "stray_peaks": True,
        "gaps": True,
        "beam_stop": 0.1,
    },
}
#: Does one job in a process of its own and prints seconds, those of processors, and MB.
_JOB = """
import json, sys, time
from pathlib import Path
import numpy as np
from dsfunet_core import ReciprocalVolume, masking, read
import dsfunet_core.masking.neighbours

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(x.split()[1]) / 1024 for x in lines if x.startswith(name))

file, target, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
small = ReciprocalVolume(np.ones((12, 12, 12)), read(file).cell, np.zeros(3), np.eye(3) / 10)
masking.mask_volume(target, small, hot_pixels=True)  # loops are compiled before the clock runs
idle = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
started, busy = time.perf_counter(), time.process_time()
done = masking.mask_volume(target, read(file), **options, overwrite=True)
seconds, processor = time.perf_counter() - started, time.process_time() - busy
print(json.dumps({"seconds": seconds, "processor": processor, "mb": memory("VmHWM"),
                  "mb_above_idle": memory("VmHWM") - idle, "out": done.voxels_out()}))
"""


def make_file(path: Path, n: int) -> None:
    """Counts of smooth scattering on a triclinic lattice, with peaks and unmeasured rods."""
    rng = np.random.default_rng(0)
    ends = (n - 1) / 50
    with h5py.File(path, "w") as h5:
        data = h5.create_dataset(
            "data", (n, n, n), "f4", chunks=(32, 32, 32), compression="gzip", shuffle=True,
            compression_opts=1,
        )  # fmt: skip
        h, k, lattice = np.meshgrid(
            *[np.linspace(-ends, ends, n)] * 3, sparse=True, indexing="ij"
        )
        across = 2 * np.cos(2 * np.pi * k) + 2 * np.cos(2 * np.pi * lattice)
        for first in range(0, n, 32):
            part = slice(first, min(first + 32, n))
            along = np.cos(2 * np.pi * h[part])
            expected = 8 + 3 * along + across
            expected = expected + 300 * np.exp(30 * (along - 1) + 15 * (across - 4))
            slab = rng.poisson(expected).astype(np.float32)
            slab[:, rng.random((n, n)) < 0.2] = np.nan
            data[part] = slab
        h5["format"], h5["is_direct"] = "Yell 1.0", False
        h5["unit_cell"] = np.array(CELL)
        h5["lower_limits"], h5["step_sizes"] = np.full(3, -ends), np.full(3, 2 * ends / (n - 1))


def run(console: Console, n: int = 501) -> dict[str, Any]:
    """Time the methods, each in a process of its own, and print a table."""
    results: dict[str, Any] = {}
    table = Table(title=f"Masks of {n}³ voxels from file to file (max_memory 1 GiB)")
    for column in ("", "time", "of processors", "memory", "above idle", "voxels out"):
        table.add_column(column, justify="left" if not column else "right")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "volume.h5", Path(folder) / "masked.nxs"
        started = time.perf_counter()
        make_file(source, n)
        console.print(f"{n}³ written in {time.perf_counter() - started:.0f} s", style="dim")
        for name, options in METHODS.items():
            command = [
                sys.executable,
                "-c",
                _JOB,
                str(source),
                str(target),
                json.dumps(options),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            target.unlink()
            found = results[name] = dict(json.loads(done.stdout))
            out = sum(v for k, v in found["out"].items() if k != "never measured")
            table.add_row(
                name, f"{found['seconds']:.0f} s", f"{found['processor']:.0f} s",
                f"{found['mb']:.0f} MB", f"{found['mb_above_idle']:.0f} MB",
                f"{out / n**3:.2%}",
            )  # fmt: skip
            console.print(
                f"{name}: {found['seconds']:.0f} s, {found['mb']:.0f} MB", style="dim"
            )
    console.print(table)
    return results
