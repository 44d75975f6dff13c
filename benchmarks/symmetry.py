"""Volumes averaged over a Laue class from file to file, and planes cut out of large files."""

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

#: Asked for: seconds of 6/m on 501³ voxels, GiB at 801³, seconds and MB of a plane of 801³.
REQUIRED = {
    "symmetrize_seconds": 60.0,
    "gigabytes": 2.0,
    "plane_seconds": 1.0,
    "plane_mb": 300.0,
}
CELL = (5.0, 5.0, 7.0, 90.0, 90.0, 120.0)
CUBE = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)
#: Does one job in a process of its own and prints seconds, those of processors, and MB.
_JOB = """
import json, sys, time
from pathlib import Path
from dsfunet_core.io import read
from dsfunet_core.symmetrize import write_symmetrized
import dsfunet_core.symmetrize.kernels

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(x.split()[1]) / 1024 for x in lines if x.startswith(name))

job, file, option = sys.argv[1:4]
idle = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
started, busy = time.perf_counter(), time.process_time()
volume = read(file)
if job == "plane":
    volume.section(option)
    report = {}
else:
    report = write_symmetrized(file + ".out", volume, option, overwrite=True).as_dict()
seconds, processor = time.perf_counter() - started, time.process_time() - busy
peak = memory("VmHWM")
found = {"seconds": seconds, "processor": processor, "mb": peak, "mb_above_idle": peak - idle}
print(json.dumps(found | report))
"""


def make_file(path: Path, n: int, cell: tuple[float, ...]) -> None:
    """Noise with gaps in Meerkat's layout, packed as Meerkat packs it."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as h5:
        data = h5.create_dataset(
            "data", (n, n, n), "f4", chunks=(32, 32, 8), compression="gzip", shuffle=True,
            compression_opts=1,
        )  # fmt: skip
        for first in range(0, n, 32):
            slab = rng.standard_gamma(2.0, size=(min(32, n - first), n, n), dtype=np.float32)
            slab[:, rng.random((n, n)) < 0.2] = np.nan
            data[first : first + len(slab)] = slab
        h5["format"], h5["is_direct"] = "Yell 1.0", False
        h5["space_group_nr"] = np.array([1.0])
        h5["unit_cell"] = np.array(cell)
        h5["lower_limits"], h5["step_sizes"] = np.full(3, -10.0), np.full(3, 20 / (n - 1))


def job(*arguments: str) -> dict[str, Any]:
    """Run one job and read what it printed."""
    command = [sys.executable, "-c", _JOB, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def run(console: Console, small: int = 501, large: int = 801) -> dict[str, Any]:
    """Time the jobs, each in a process of its own, and print a table."""
    results: dict[str, Any] = {}
    table = Table(title="Laue averages from file to file, planes from files")
    for column in ("", "time", "of processors", "memory", "above idle", "required"):
        table.add_column(column, justify="left" if not column else "right")
    rows = [
        (small, CELL, "symmetrize", "6/m", f"{REQUIRED['symmetrize_seconds']:g} s"),
        (large, CELL, "plane", "hk1", f"{REQUIRED['plane_seconds']:g} s, 300 MB"),
        (large, CELL, "plane", "h0l", f"{REQUIRED['plane_seconds']:g} s, 300 MB"),
        (large, CELL, "symmetrize", "6/m", f"{REQUIRED['gigabytes']:g} GB"),
        (large, CUBE, "symmetrize", "m-3m", f"{REQUIRED['gigabytes']:g} GB"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        made: dict[tuple[int, tuple[float, ...]], Path] = {}
        for n, cell, what, option, needed in rows:
            if (n, cell) not in made:
                for old in made.values():
                    old.unlink()
                made = {(n, cell): Path(folder) / f"volume-{n}.h5"}
                started = time.perf_counter()
                make_file(made[n, cell], n, cell)
                console.print(
                    f"{n}³ written in {time.perf_counter() - started:.0f} s", style="dim"
                )
            name = f"{what} {option} {n}³"
            results[name] = job(what, str(made[n, cell]), option)
            (Path(folder) / f"volume-{n}.h5.out").unlink(missing_ok=True)
            found = results[name]
            table.add_row(
                name, f"{found['seconds']:.2f} s", f"{found['processor']:.2f} s",
                f"{found['mb']:.0f} MB",
                f"{found['mb_above_idle']:.0f} MB", needed,
            )  # fmt: skip
            console.print(
                f"{name}: {found['seconds']:.2f} s, {found['mb']:.0f} MB", style="dim"
            )
    console.print(table)
    return results
