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
    from dsfunet_core.structures.moves import Rotation
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
TurningOption = Annotated[
    str | None,
    typer.Option("--turning", help="Labels of the atoms that turn, C5,C6,…; else by bonds."),
]


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


def _torsion(model: DisorderModel, bond: str, turning: str | None = None) -> Rotation:
    from dsfunet_core.structures.moves import torsion

    ends = [label.strip() for label in bond.split(",")]
    if len(ends) != 2:
        raise ParameterError(f"--bond {bond!r}: two labels were expected, such as N,C4.")
    group = None if turning is None else [label.strip() for label in turning.split(",")]
    return torsion(model, (ends[0], ends[1]), group)


def scan(
    file: FileArgument,
    structure: StructureOption,
    bond: Annotated[
        str, typer.Option(help="Labels of the axis, N,C4: what hangs on the second turns.")
    ],
    b: BOption = None,
    b_from_a: BFromAOption = None,
    parts: GroupsOption = None,
    image: ImageOption = None,
    turning: TurningOption = None,
    span: Annotated[
        tuple[float, float], typer.Option("--range", help="First and last angle, °.")
    ] = (-60.0, 60.0),
    step: Annotated[float, typer.Option(help="Between angles, °.")] = 1.0,
    against: AgainstOption = "form-factor",
    q_range: RangeOption = None,
    debye_waller: DampingOption = None,
    csv: Annotated[Path | None, typer.Option(help="Write the curve here.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw it here, PNG.")] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Turn a group of a structure and compare its form factor with a measured one.

    [dim]Example:[/]

    [cyan]dsfunet scan hk1.h5 --structure tris-amide --bond N,C4 --figure scan.png[/]
    """
    import numpy as np

    from dsfunet_core.structures.files import read_model
    from dsfunet_core.structures.scan import scan as run

    for path in (csv, figure):
        check_writable(path, overwrite)
    if not step > 0 or not span[1] - span[0] >= 2 * step:
        raise ParameterError(
            f"--range {span[0]:g} {span[1]:g} in steps of {step:g}°: at least three rising "
            "angles were expected."
        )
    target = _target(file, against, q_range)
    model = read_model(
        structure, b=b, b_from_a=b_from_a, groups=parts, images=image or (),
        cell=target.plane.cell,
    )  # fmt: skip
    move = _torsion(model, bond, turning)
    values = np.arange(span[0], span[1] + step / 2, step)
    with progress("scanning") as callback:
        found = run(target, model, move, values, debye_waller=debye_waller, callback=callback)
    if csv is not None:
        _write_csv(csv, found, overwrite)
    if figure is not None:
        _write_figure(figure, found, overwrite)
    if json:
        print_json(_scan_as_dict(found))
        return
    names = ", ".join(model.labels[i] for i in move.atoms)
    say(f"{move.name}: {names} turn; {len(values)} angles against {against}.")
    if not found.minima:
        say("No minimum inside the range; widen it with --range.")
    for minimum in found.minima:
        say(
            f"  minimum at {minimum.value:8.2f} ± {minimum.sigma:.2f}°   "
            f"MSE {minimum.mse:.5f}   D_w {minimum.debye_waller:.4f} Å²"
        )
    say(
        f"  at the ends of the range the MSE is {found.mse[0]:.5f} and {found.mse[-1]:.5f} "
        "(images scaled to [−1, 1])"
    )


def _write_csv(path: Path, found: Scan, overwrite: bool) -> None:
    from dsfunet_core.io.files import replacing

    rows = [f"{found.move.name} [{found.move.unit}],mse,cost,scale,debye_waller [A^2]"]
    for row in zip(
        found.values, found.mse, found.cost, found.scale, found.debye_waller, strict=True
    ):
        rows.append(",".join(f"{value:.8g}" for value in row))
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")


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
        list[str], typer.Option(help="Labels of a torsion's axis, N,C4; repeatable.")
    ],
    b: BOption = None,
    b_from_a: BFromAOption = None,
    parts: GroupsOption = None,
    image: ImageOption = None,
    start: Annotated[
        str | None, typer.Option(help="Angles to begin with, °: 10,-5; the file's otherwise.")
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
    """Refine torsions of a structure by least squares, with standard uncertainties.

    [dim]Example:[/]

    [cyan]dsfunet refine hk1.h5 --structure tris-amide --bond N,C4 --xyz refined.xyz[/]
    """
    from dsfunet_core.structures.files import read_model, write_xyz
    from dsfunet_core.structures.refine import refine_structure

    check_writable(xyz, overwrite)
    target = _target(file, against, q_range)
    model = read_model(
        structure, b=b, b_from_a=b_from_a, groups=parts, images=image or (),
        cell=target.plane.cell,
    )  # fmt: skip
    moves = [_torsion(model, ends) for ends in bond]
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
    for move, value, sigma in zip(moves, found.values, found.sigma, strict=True):
        say(f"{move.name:24s} {value:9.3f} ± {sigma:.3f} {move.unit}")
    say(f"{'D_w':24s} {fit.debye_waller:9.4f} ± {fit.debye_waller_sigma:.4f} Å²")
    ended = "converged" if found.converged else "NOT converged"
    say(
        f"R = {fit.r_factor:.4f}, MSE = {fit.mse:.5f} against {against}; {ended} after "
        f"{found.cycles} cycles."
    )
    if xyz is not None:
        say(f"Written to {xyz}.")
