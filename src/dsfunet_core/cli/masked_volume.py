"""What ``dsfunet mask`` says: tables of what is out, and of volumes what cannot be done."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from dsfunet_core.cli.console import print_json, say
from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["print_table", "refuse_for_volumes", "report_volume"]


def refuse_for_volumes(file: Path, given: dict[str, bool]) -> None:
    """Refuse options that are for planes only.

    Parameters
    ----------
    file : Path
        The volume.
    given : dict of str to bool
        Options, and whether they were given.

    Raises
    ------
    ParameterError
        Names all that were.
    """
    wrong = [option for option, yes in given.items() if yes]
    if wrong:
        raise ParameterError(
            f"{', '.join(wrong)}: for planes only, but {file} holds a volume. Name a plane of "
            "it with --plane, or give numbers: --bragg 0.06, --beam-stop 0.3 (radii in Å⁻¹)."
        )


def report_volume(
    output: Path, masked: ReciprocalVolume, out: dict[str, int], json: bool
) -> None:
    """Say what was masked in a volume.

    Parameters
    ----------
    output : Path
        Where it was written.
    masked : ReciprocalVolume
        What was written.
    out : dict of str to int
        Voxels out by reason.
    json : bool
        As JSON.
    """
    total = math.prod(masked.shape)
    valid = sum(int(v.sum()) for _, v, _ in masked.layered())
    if json:
        print_json(
            {
                "output": str(output),
                "volume": masked.name,
                "shape": masked.shape,
                "voxels_out": out,
                "valid_voxels": valid,
                "processing": masked.provenance.get("processing", []),
            }
        )
        return
    print_table(f"Volume {masked.name}: voxels out", out, valid, total)
    say(f"Written to {output}. Next: dsfunet factorize-volume {output} -o result.h5")


def print_table(title: str, out: dict[str, int], used: int, total: int) -> None:
    """Print how much is out for which reason.

    Parameters
    ----------
    title : str
        Above the table.
    out : dict of str to int
        Pixels or voxels by reason.
    used, total : int
        How many are used, of how many.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    table.add_column("reason", style="bold")
    table.add_column("number", justify="right")
    table.add_column("of all", justify="right")
    for reason, number in out.items():
        table.add_row(reason, f"{number:,}", f"{number / total:.1%}")
    table.add_section()
    table.add_row("used", f"{used:,}", f"{used / total:.1%}")
    console = Console(highlight=False)
    console.print(title, markup=False)
    console.print(table, markup=False)
    if len(out) > 2:
        say("One may be out for more than one reason.")
