"""``dsfunet info`` and ``dsfunet slice``: look into files, cut planes out of volumes."""

from __future__ import annotations

from enum import StrEnum
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
    with_pixels,
)
from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["info", "slice_plane"]

_SUFFIXES = (".npz", ".png", ".npy")


class Grid(StrEnum):
    """Grids of :func:`dsfunet_core.sections.cut`."""

    NATIVE = "native"
    CARTESIAN = "cartesian"


def info(
    file: Annotated[Path, typer.Argument(help="Volume, plane, or result.")],
    dataset: Annotated[
        str | None, typer.Option(help="Path of the intensities in an HDF5 file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what a file holds: format, shape, cell, limits, coverage.

    Only parts of a large volume are read; coverage is estimated from them.

    [dim]Example:[/]  [cyan]dsfunet info crystal.h5[/]
    """
    from dsfunet_core.overview import describe

    with progress("looking into the file"):
        about = describe(file, dataset)
    if json:
        print_json(about)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, title=str(file), title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, value in _rows(about):
        table.add_row(label, value)
    Console().print(table, markup=False)


def slice_plane(
    file: Annotated[Path, typer.Argument(help="Volume.")],
    plane: Annotated[
        str, typer.Option(help="Which plane: hk1, h0l, hhl, hk0.5, hk1/2, 'h, h+1, l'.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help=".npz (everything, for dsfunet), .png (picture), .npy (bare numbers).",
        ),
    ],
    grid: Annotated[
        Grid, typer.Option(help="The volume's own pixels, or square ones in Å⁻¹.")
    ] = Grid.NATIVE,
    thickness: Annotated[
        float, typer.Option(help="Thickness of the slab averaged over, in r.l.u.")
    ] = 0.0,
    size: Annotated[int, typer.Option(help="Pixels along an edge of a Cartesian grid.")] = 256,
    q_max: Annotated[
        float | None,
        typer.Option(
            help="Half-width of a Cartesian grid in Å⁻¹; the largest filled if left out."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Path of the intensities in an HDF5 file.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Cut a plane out of a volume.

    [dim]Examples:[/]

    [cyan]dsfunet slice crystal.h5 --plane hk1 -o hk1.npz[/]

    [cyan]dsfunet slice crystal.h5 --plane hhl --grid cartesian --size 512 -o hhl.png[/]
    """
    from dsfunet_core.io import read
    from dsfunet_core.plane import ReciprocalPlane

    if output.suffix.lower() not in _SUFFIXES:
        raise ParameterError(
            f"--output {output}: the name must end in {', '.join(_SUFFIXES)}, which says what "
            "to write."
        )
    check_writable(output, overwrite)
    volume = read(file, dataset)
    if isinstance(volume, ReciprocalPlane):
        raise ParameterError(f"{file} holds a plane already, {volume.name!r}; nothing to cut.")
    with progress(f"cutting {plane}"):
        cut = with_pixels(
            volume.section(plane, grid=grid.value, thickness=thickness, size=size, q_max=q_max)
        )
        _write(output, cut, overwrite)
    if json:
        print_json(
            {
                "output": str(output),
                "plane": cut.name,
                "shape": cut.shape,
                "coverage": float(cut.valid.mean()),
                "provenance": cut.provenance,
            }
        )
        return
    say(
        f"Plane {cut.name}: {cut.shape[0]} × {cut.shape[1]} pixels, {cut.valid.mean():.1%} "
        f"measured, written to {output}."
    )
    if output.suffix.lower() == ".npy":
        say("A .npy holds numbers only; cell and geometry go into .npz.")


def _write(output: Path, plane: ReciprocalPlane, overwrite: bool) -> None:
    import numpy as np

    from dsfunet_core.io.files import replacing
    from dsfunet_core.io.numpy import write_npz

    if output.suffix.lower() == ".npz":
        write_npz(output, plane, overwrite=overwrite)
        return
    with replacing(output, overwrite=overwrite) as temporary:
        if output.suffix.lower() == ".png":
            from dsfunet_core import plots

            temporary.write_bytes(plots.png(plots.plane_figure(plane)))
        else:
            with temporary.open("wb") as file:
                np.save(file, np.where(plane.valid, plane.intensity, np.nan))


def _rows(about: dict[str, Any]) -> list[tuple[str, str]]:
    """Labels and values of a description, for people."""
    kind = about["kind"]
    rows = [("holds", {"factorization": "result of a factorization"}.get(kind, f"a {kind}"))]
    if kind == "factorization":
        rows += [
            ("method", about["method"]),
            ("R factor", f"{about['r_factor']:.4f}"),
            ("SRO refinement", _refinement(about["sro_refinement"])),
        ]
        about = about["plane"]
    written = " by ".join(str(about[k]) for k in ("format", "writer") if about.get(k))
    rows += [
        ("format", written or "not told"),
        ("name", about["name"]),
        ("shape", " × ".join(map(str, about["shape"])) + f"  ({about['type']})"),
        ("unit cell", _cell(about["unit_cell"])),
        ("Laue class", about["laue_class"] or "not given"),
    ]
    for axis, (low, high) in about.get("limits", {}).items():
        rows.append((axis, f"{low:g} … {high:g}"))
    if "steps" in about:
        steps = ["(" + " ".join(f"{x:g}" for x in step) + ")" for step in about["steps"]]
        rows.append(("hkl per step", "  ".join(steps)))
    if "q_max" in about:
        rows.append(("largest |Q|", f"{about['q_max']:.2f} Å⁻¹"))
    rows += [("measured", _coverage(about)), ("weights", _weights(about))]
    rows += [
        (label, ", ".join(about[key]))
        for label, key in (("mask layers", "mask_layers"), ("processing", "processing"))
        if about[key]
    ]
    low, high = (about["intensity_percentiles"][k] for k in ("1", "99"))
    rows.append(("intensities", f"98 % lie between {low:.4g} and {high:.4g}"))
    return rows + [("note", note) for note in about["notes"]]


def _refinement(refined: dict[str, Any] | None) -> str:
    if refined is None:
        return "none yet; add one with dsfunet fit-sro"
    return (
        f"{refined['parameters']} parameters in {refined['laue_class']}, "
        f"R = {refined['r_factor']:.4f}"
    )


def _cell(cell: list[float] | None) -> str:
    if cell is None:
        return "none, so pixels have no hkl"
    return "{:g} {:g} {:g} Å  {:g} {:g} {:g}°".format(*cell)


def _coverage(about: dict[str, Any]) -> str:
    measured = f"{about['coverage']:.1%} of the voxels"
    sampled = about.get("coverage_from")
    if sampled is None:
        return measured.replace("voxels", "pixels")
    if sampled["voxels"] == sampled["of"]:
        return measured
    return f"about {measured} (from {sampled['voxels'] / sampled['of']:.2%} of them)"


def _weights(about: dict[str, Any]) -> str:
    if about["has_variances"]:
        return "variances in the file"
    return "numbers of observations in the file" if about["has_counts"] else "none in the file"
