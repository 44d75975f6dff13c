"""``dsfunet scan`` and ``dsfunet refine``: structures against a form factor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dsfunet_core.cli.console import (
    JsonOption,
    OverwriteOption,
    check_writable,
    print_json,
    progress,
    say,
)
from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.structures.compare import Target
    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.scan import Scan

__all__ = ["refine", "scan"]

FileArgument = Annotated[Path, typer.Argument(help="Result of dsfunet factorize.")]
StructureOption = Annotated[
    str,
    typer.Option(help="CIF, XYZ, SDF or MOL of A (or of A and B as PARTs); or tris-amide."),
]
BOption = Annotated[Path | None, typer.Option("--b", help="File of B, on the same site.")]
BFromAOption = Annotated[
    str | None, typer.Option("--b-from-a", help="Operation that makes B of A: x,y,1/2-z.")
]
GroupsOption = Annotated[
    tuple[int, int] | None, typer.Option("--parts", help="Disorder groups that are A and B.")
]
ImageOption = Annotated[
    list[str] | None,
    typer.Option("--image", help="Operation that completes both species; repeatable."),
]
AgainstOption = Annotated[
    str,
    typer.Option(
        help="form-factor: I_FF of the result; scattering: the intensities themselves, with "
        "the order refined along."
    ),
]
RangeOption = Annotated[
    tuple[float, float] | None, typer.Option("--q-range", help="Smallest and largest |Q|, Å⁻¹.")
]
DampingOption = Annotated[
    float | None, typer.Option("--debye-waller", help="D_w in Å² to hold; refined otherwise.")
]
_MOVE_HELP = (
    "Instead of a torsion: 'rotate C5,C6 0,0,1', 'shift all 1,0,0' (Cartesian), 'occupancy C5'."
)


def _target(file: Path, against: str, q_range: tuple[float, float] | None) -> Target:
    from dsfunet_core.io.results import load_result
    from dsfunet_core.structures.compare import Target

    makers = {"form-factor": Target.form_factor, "scattering": Target.scattering}
    if against not in makers:
        raise ParameterError(
            f"--against {against!r} is not known; choose form-factor or scattering."
        )
    result = load_result(file)
    result.plane.geometry()
    return makers[against](result, q_range=q_range or (0.0, float("inf")))


def _model(
    target: Target,
    structure: str,
    b: Path | None,
    b_from_a: str | None,
    parts: tuple[int, int] | None,
    image: list[str] | None,
) -> DisorderModel:
    from dsfunet_core.structures.files import read_model

    cell = target.plane.cell
    return read_model(
        structure, b=b, b_from_a=b_from_a, groups=parts, images=image or (), cell=cell
    )


def _moves(model: DisorderModel, bonds: list[str], moves: list[str] | None) -> list[Any]:
    from dsfunet_core.structures.moves import parse_move

    made = [parse_move(model, f"torsion {''.join(bond.split())}") for bond in bonds]
    made += [parse_move(model, text) for text in moves or []]
    if not made:
        raise ParameterError("nothing is to move; give --bond N,C4, or --move.")
    return made


def scan(
    file: FileArgument,
    structure: StructureOption,
    bond: Annotated[
        str | None,
        typer.Option(help="Labels of the axis, N,C4: what hangs on the second turns."),
    ] = None,
    move: Annotated[str | None, typer.Option(help=_MOVE_HELP)] = None,
    b: BOption = None,
    b_from_a: BFromAOption = None,
    parts: GroupsOption = None,
    image: ImageOption = None,
    span: Annotated[
        tuple[float, float], typer.Option("--range", help="First and last value, ° or Å.")
    ] = (-60.0, 60.0),
    step: Annotated[float, typer.Option(help="Between values, ° or Å.")] = 1.0,
    against: AgainstOption = "form-factor",
    q_range: RangeOption = None,
    debye_waller: DampingOption = None,
    csv: Annotated[Path | None, typer.Option(help="Write the curve here.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw it here, PNG.")] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Move a group of a structure and compare its form factor with a measured one.

    [dim]Example:[/]

    [cyan]dsfunet scan hk1.h5 --structure tris-amide --bond N,C4 --figure scan.png[/]
    """
    import numpy as np

    from dsfunet_core.structures.scan import scan as run

    for path in (csv, figure):
        check_writable(path, overwrite)
    if not step > 0 or not span[1] - span[0] >= 2 * step:
        raise ParameterError(
            f"--range {span[0]:g} {span[1]:g} in steps of {step:g}: at least three rising "
            "values were expected."
        )
    target = _target(file, against, q_range)
    model = _model(target, structure, b, b_from_a, parts, image)
    if bond is not None and move is not None:
        raise ParameterError("give --bond or --move, but not both: one thing is scanned.")
    (turn,) = _moves(model, [bond] if bond else [], [move] if move else [])
    values = np.arange(span[0], span[1] + step / 2, step)
    with progress("scanning") as callback:
        found = run(target, model, turn, values, debye_waller=debye_waller, callback=callback)
    if csv is not None:
        found.to_csv(csv, overwrite=overwrite)
    if figure is not None:
        _write_figure(figure, found, overwrite)
    if json:
        print_json(_scan_as_dict(found))
        return
    names = ", ".join(model.labels[i] for i in turn.atoms)
    say(f"{turn.name}: {names} move; {len(values)} values against {against}.")
    if not found.minima:
        say("No minimum inside the range; widen it with --range.")
    for minimum in found.minima:
        say(
            f"  minimum at {minimum.value:8.2f} ± {minimum.sigma:.2f} {turn.unit}   "
            f"MSE {minimum.mse:.5f}   D_w {minimum.debye_waller:.4f} Å²"
        )
    say(
        f"  at the ends of the range the MSE is {found.mse[0]:.5f} and {found.mse[-1]:.5f} "
        "(images scaled to [−1, 1])"
    )


def _write_figure(path: Path, found: Scan, overwrite: bool) -> None:
    from dsfunet_core.io.files import replacing
    from dsfunet_core.plots import png
    from dsfunet_core.structures.figures import scan_figure

    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(png(scan_figure(found)))


def _scan_as_dict(found: Scan) -> dict[str, Any]:
    return {
        "move": found.move.name,
        "unit": found.move.unit,
        "values": found.values,
        "mse": found.mse,
        "cost": found.cost,
        "debye_waller": found.debye_waller,
        "minima": [vars(minimum) for minimum in found.minima],
    }


def refine(
    file: FileArgument,
    structure: StructureOption,
    bond: Annotated[
        list[str] | None,
        typer.Option(help="Labels of a torsion's axis, N,C4; repeatable."),
    ] = None,
    move: Annotated[list[str] | None, typer.Option(help=_MOVE_HELP + " Repeatable.")] = None,
    b: BOption = None,
    b_from_a: BFromAOption = None,
    parts: GroupsOption = None,
    image: ImageOption = None,
    start: Annotated[
        str | None, typer.Option(help="Values to begin with, ° or Å: 10,-5; 0 otherwise.")
    ] = None,
    against: AgainstOption = "scattering",
    q_range: RangeOption = None,
    debye_waller: DampingOption = None,
    contacts: Annotated[
        bool, typer.Option(help="Keep atoms that are not bonded apart.")
    ] = True,
    xyz: Annotated[
        Path | None, typer.Option(help="Write the refined independent atoms here.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Refine torsions, rotations, shifts and occupancies by least squares, with uncertainties.

    [dim]Example:[/]

    [cyan]dsfunet refine hk1.h5 --structure tris-amide --bond N,C4 --xyz refined.xyz[/]
    """
    from dsfunet_core.structures.files import write_xyz
    from dsfunet_core.structures.refine import refine_structure

    check_writable(xyz, overwrite)
    target = _target(file, against, q_range)
    model = _model(target, structure, b, b_from_a, parts, image)
    moves = _moves(model, bond or [], move)
    try:
        first = None if start is None else [float(word) for word in start.split(",")]
    except ValueError as error:
        raise ParameterError(f"--start {start!r}: numbers were expected, 10,-5.") from error
    with progress("refining") as callback:
        found = refine_structure(
            target, model, moves, first,
            debye_waller=debye_waller, contacts=contacts, callback=callback,
        )  # fmt: skip
    if xyz is not None:
        write_xyz(xyz, found.model, overwrite=overwrite)
    fit = found.comparison
    if json:
        print_json(
            {
                "values": {m.name: v for m, v in zip(moves, found.values, strict=True)},
                "sigma": {m.name: v for m, v in zip(moves, found.sigma, strict=True)},
                "covariance": found.covariance,
                "debye_waller": fit.debye_waller,
                "debye_waller_sigma": fit.debye_waller_sigma,
                "r_factor": fit.r_factor,
                "mse": fit.mse,
                "converged": found.converged,
            }
        )
        return
    for one, value, sigma in zip(moves, found.values, found.sigma, strict=True):
        say(f"{one.name:24s} {value:9.3f} ± {sigma:.3f} {one.unit}")
    say(f"{'D_w':24s} {fit.debye_waller:9.4f} ± {fit.debye_waller_sigma:.4f} Å²")
    ended = "converged" if found.converged else "NOT converged"
    say(
        f"R = {fit.r_factor:.4f}, MSE = {fit.mse:.5f} against {against}; {ended} after "
        f"{found.cycles} cycles."
    )
    if xyz is not None:
        say(f"Written to {xyz}.")
