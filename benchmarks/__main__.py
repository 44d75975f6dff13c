"""Print the tables of accuracy and speed: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from benchmarks import (
    applicability,
    bragg,
    calibration,
    error_maps,
    extremes,
    lattice_search,
    machine,
    masks,
    network,
    plugin,
    shadows,
    simulation,
    structures,
    symmetry,
    tris_amide,
    validation,
    volume,
    volume_applicability,
)

#: Figures of single planes that took long to measure; they are kept with the project.
RECORDS = Path(__file__).parent / "records"


def main() -> None:
    """Run what was asked for and keep the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "which",
        nargs="*",
        default=["simulation", "network", "structures", "validation", "tris-amide"],
        help="simulation, network, structures: their speed; validation: simulated planes; "
        "tris-amide: the benchmark crystal (default: all these); lattice-search: lattices "
        "found blind; extremes: single atoms, small molecules in large cells; "
        "calibration: errors of the "
        "network against what is known without the truth; bragg: masked Bragg peaks; "
        "shadows: beam stops, gaps and rings; "
        "masks: volumes of 501³ voxels masked (minutes, 2 GB of temporary space); "
        "symmetry: files of 501³ and 801³ voxels (minutes, 8 GB of temporary space); plugin: "
        "how quickly it answers (needs a screen or xvfb-run, 4 GB of temporary space); volume: "
        "whole volumes of 128³ voxels; applicability, volume-applicability: planes and volumes "
        "that break an assumption, told or not; error-maps: errors of both maps over their σ",
    )
    parser.add_argument("--planes", type=int, default=200, help="validation planes (200)")
    parser.add_argument(
        "--first", type=int, default=0, help="first validation plane, to share them out (0)"
    )
    parser.add_argument("--seeds", type=int, default=50, help="noise realisations (50)")
    parser.add_argument(
        "--counts", type=float, nargs="*", default=[0.0, 5.0], help="noise levels (0 5)"
    )
    parser.add_argument(
        "--method", default="lattice", help="measured by validation: lattice, network or hybrid"
    )
    parser.add_argument(
        "--blind", action="store_true", help="hybrid has to find the lattice by itself"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep figures plane by plane, and go on from those that are there",
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    console = Console(width=110)
    facts = machine.facts()
    console.print(" · ".join(f"{k} {v}" for k, v in facts.items()), style="dim")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for which in arguments.which:
        if which == "simulation":
            results = {"simulation": simulation.run(console)}
        elif which == "network":
            results = {"network": network.run(console)}
        elif which == "validation":
            results = {
                f"{c:g}": validation.run(
                    arguments.planes,
                    c,
                    console,
                    arguments.method,
                    blind=arguments.blind,
                    first=arguments.first,
                    folder=RECORDS if arguments.resume else None,
                )
                for c in arguments.counts
            }
        elif which == "lattice-search":
            folder = RECORDS if arguments.resume else None
            results = {
                f"{c:g}": lattice_search.run(arguments.planes, c, console, folder)
                for c in arguments.counts
            }
        elif which == "error-maps":
            results = {
                f"{m}, {c:g}": error_maps.run(min(arguments.planes, 20), c, m, console)
                for m in ("lattice", "hybrid")
                for c in (0.0, 20.0, 5.0)
            }
        elif which == "applicability":
            folder = RECORDS if arguments.resume else None
            results = {
                "applicability": applicability.run(
                    arguments.planes, arguments.method, console, folder, arguments.first
                )
            }
        elif which == "volume-applicability":
            folder = RECORDS if arguments.resume else None
            results = {
                "volumes": volume_applicability.run(
                    arguments.planes, console, folder, arguments.first
                )
            }
        elif which == "extremes":
            results = {"extremes": extremes.run(min(arguments.planes, 6), console)}
        elif which == "structures":
            results = {"structures": structures.run(console)}
        elif which == "calibration":
            results = {"calibration": calibration.run(arguments.planes, console)}
        elif which == "bragg":
            results = {"bragg": bragg.run(console)}
        elif which == "shadows":
            results = {"shadows": shadows.run(console)}
        elif which == "masks":
            results = {"masks": masks.run(console)}
        elif which == "symmetry":
            results = {"symmetry": symmetry.run(console)}
        elif which == "volume":
            results = {"volume": volume.run(console, arguments.counts, arguments.output)}
        elif which == "plugin":
            results = {"plugin": plugin.run(console)}
        elif which == "tris-amide":
            results = {"tris-amide": tris_amide.run(arguments.seeds, console)}
        else:
            parser.error(f"there is no benchmark {which!r}; choose from the help")
        suffix = ""
        if which == "validation" and arguments.method != "lattice":
            suffix = f"-{arguments.method}" + ("-blind" if arguments.blind else "")
        target = arguments.output / f"{which}{suffix}.json"
        target.write_text(json.dumps({"machine": facts, "results": results}, indent=1))
        console.print(f"figures kept in {target}", style="dim")


if __name__ == "__main__":
    main()
