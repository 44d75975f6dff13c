"""Seconds that a scan of the tert-butyl groups takes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console

from dsfunet_core.simulate import tris_amide
from dsfunet_core.structures.compare import Target
from dsfunet_core.structures.model import tris_amide_model
from dsfunet_core.structures.moves import torsion
from dsfunet_core.structures.scan import Scanner, scan

#: Asked for: 121 angles on 256 × 256 pixels, D_w refined at each [s].
REQUIRED = 1.0


def run(console: Console, rounds: int = 7) -> dict[str, Any]:
    """Time the scan, and one angle as a slider asks for it; print medians."""
    plane, _ = tris_amide.benchmark_plane()
    form_factor, _ = tris_amide.simulate(plane)
    target = Target(plane, form_factor, plane.valid.astype(float))
    model = tris_amide_model()
    turn = torsion(model, ("N", "C4"))
    angles = np.arange(-60.0, 61.0)
    scanner = Scanner(target, model, turn)
    whole, single = [], []
    for number in range(rounds):
        started = time.perf_counter()
        scan(target, model, turn, angles)
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        scanner.fit.solve(scanner.square(float(number)))
        single.append(time.perf_counter() - started)
    result = {"scan": float(np.median(whole)), "angle": float(np.median(single))}
    console.print(
        f"{len(angles)} angles, minima refined: {result['scan']:.2f} s "
        f"({min(whole):.2f}–{max(whole):.2f}, required {REQUIRED:g}); one angle "
        f"{result['angle'] * 1e3:.1f} ms"
    )
    return result
