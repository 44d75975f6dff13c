"""``dsfunet mask``: take out of a plane or a volume what is no diffuse scattering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dsfunet_core.cli.console import (
    JsonOption,
    OverwriteOption,
    check_writable,
    load_plane,
    print_json,
    progress,
    say,
)
from dsfunet_core.cli.masked_volume import print_table, refuse_for_volumes, report_volume
from dsfunet_core.errors import ParameterError

if TYPE_CHECKING:
    from dsfunet_core.plane import ReciprocalPlane

__all__ = ["mask"]

_BACKGROUNDS = ("radial", "constant")
#: Share of the measured pixels from which peaks are suspected to be maxima of the order.
MANY = 0.2


def mask(
    file: Annotated[Path, typer.Argument(help="Plane or volume.")],
    output: Annotated[Path, typer.Argument(help="Masked plane: .npz or .nxs; volume: .nxs.")],
    plane: Annotated[
        str | None,
        typer.Option(
            help="Which plane of a volume: hk1, h0l, hhl, hk0.5; the whole volume if not given."
        ),
    ] = None,
    bragg: Annotated[
        str | None,
        typer.Option(
            help="Mask Bragg peaks: auto grows each from the data; or a radius in Å⁻¹, or "
            "semi-axes along a, y, c*, such as 0.05,0.05,0.1."
        ),
    ] = None,
    centring: Annotated[str, typer.Option(help="Lattice centring: P A B C I F R_obv.")] = "P",
    space_group: Annotated[
        str | None,
        typer.Option(help="Leave out what its glide planes and screw axes extinguish."),
    ] = None,
    satellite: Annotated[
        list[str] | None,
        typer.Option(help="Mask satellites G ± q too: q such as 0,0.5,0; may be repeated."),
    ] = None,
    satellite_order: Annotated[int, typer.Option(help="Satellites up to G ± m·q.")] = 1,
    fill: Annotated[
        bool, typer.Option("--fill", help="Fill the Bragg peaks from around them.")
    ] = False,
    hot_pixels: Annotated[
        bool, typer.Option("--hot-pixels", help="Mask hot pixels and zingers.")
    ] = False,
    stray_peaks: Annotated[
        bool, typer.Option("--stray-peaks", help="Mask peaks that are off the lattice.")
    ] = False,
    rings: Annotated[
        str | None,
        typer.Option(
            help="Mask powder rings: auto, or |Q|:half-width in Å⁻¹, 2.69:0.03,4.4:0.03."
        ),
    ] = None,
    beam_stop: Annotated[
        str | None, typer.Option(help="Mask the beam stop: auto, or a radius in Å⁻¹.")
    ] = None,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Mask gaps of the detector filled with numbers.")
    ] = False,
    polygons: Annotated[
        Path | None,
        typer.Option(
            help='JSON with polygons: [{"corners": [[r, c], …], "units": "pixel" or "hkl", '
            '"reason": "arc"}].'
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="Take off a background: radial, constant, a constant's value, or the file "
            "of a plane measured without crystal."
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Factor of the background's file; fitted if not given."),
    ] = None,
    unmask: Annotated[
        list[str] | None,
        typer.Option(help="Take a layer of the mask back first, by its name; may be repeated."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw a plane before and after, and why pixels are out: .png."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Path of the intensities in an HDF5 file.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Mask what is no diffuse scattering, each reason in a layer of its own.

    Nothing is masked but what an option asks for, and every layer can be taken back later.

    [dim]Examples:[/]

    [cyan]dsfunet mask hk0.npz masked.npz --bragg auto --hot-pixels[/]

    [cyan]dsfunet mask crystal.h5 masked.npz --plane hk0 --bragg 0.06 --centring C[/]

    [cyan]dsfunet mask hk0.npz masked.npz --rings auto --background radial --picture it.png[/]

    [cyan]dsfunet mask masked.npz again.npz --unmask "powder rings"[/]

    [cyan]dsfunet mask crystal.h5 masked.nxs --bragg 0.06 --hot-pixels --gaps[/]
    """
    from dsfunet_core.io import read
    from dsfunet_core.io.writing import format_of, write
    from dsfunet_core.masking import mask_volume
    from dsfunet_core.plane import ReciprocalVolume

    format_of(output)
    if scale is not None and background is None:
        raise ParameterError("--scale belongs to --background FILE; give both.")
    if fill and bragg is None:
        raise ParameterError("--fill fills Bragg peaks; give --bragg auto, or a radius.")
    check_writable(output, overwrite)
    check_writable(picture, overwrite)
    if picture is not None and picture.suffix.lower() != ".png":
        raise ParameterError(f"--picture {picture}: the name must end in .png.")
    radius = None if bragg is None else _radius(bragg)
    modulation = [_numbers(q, "--satellite", 3) for q in satellite or []]
    source = read(file, dataset)
    if plane is None and isinstance(source, ReciprocalVolume):
        refuse_for_volumes(
            file,
            {
                "--bragg auto": bragg == "auto",
                "--beam-stop auto": beam_stop == "auto",
                "--fill": fill,
                "--polygons": polygons is not None,
                "--background": background is not None,
                "--picture": picture is not None,
            },
        )
        for reason in unmask or []:
            source = _recorded(source.unmasked(reason), reason)
        methods: dict[str, Any] = {
            "gaps": gaps,
            "beam_stop": None
            if beam_stop is None
            else _numbers(beam_stop, "--beam-stop", 1)[0],
            "bragg": radius,
            "stray_peaks": stray_peaks,
            "hot_pixels": hot_pixels,
            "rings": "auto" if rings == "auto" else None if rings is None else _rings(rings),
        }
        with progress("reading") as callback:
            if unmask and all(given in (None, False) for given in methods.values()):
                write(output, source, overwrite=overwrite)
                masked: Any = read(output)
            else:
                masked = mask_volume(
                    output,
                    source,
                    **methods,
                    centring=centring,
                    space_group=space_group,
                    satellites=modulation,
                    satellite_order=satellite_order,
                    overwrite=overwrite,
                    callback=callback,
                )
            voxels = masked.voxels_out()
        report_volume(output, masked, voxels, json)
        return
    with progress("reading"):
        from dsfunet_core import masking

        data = load_plane(file, plane, dataset)
        for reason in unmask or []:
            data = _recorded(data.unmasked(reason), reason)
        before = data
        if gaps:
            data = masking.mask_gaps(data)
        if beam_stop is not None:
            data = masking.mask_beam_stop(data, _auto_or_number(beam_stop, "--beam-stop"))
        if polygons is not None:
            for corners, units, reason in masking.read_polygons(polygons):
                data = masking.mask_polygons(data, [corners], units=units, reason=reason)
        if radius is not None:
            data = masking.mask_bragg(
                data,
                radius,
                centring=centring,
                space_group=space_group,
                satellites=modulation,
                satellite_order=satellite_order,
            )
        if stray_peaks:
            data = masking.mask_stray_peaks(data)
        if hot_pixels:
            data = masking.mask_hot_pixels(data)
        if rings is not None:
            data = masking.mask_rings(data, None if rings == "auto" else _rings(rings))
        taken = None
        if background is not None:
            data, taken = _without_background(data, background, scale)
        out = data.pixels_out()
        _warn_of_many(out.get("bragg", 0), int(before.valid.sum()), radius)
        masking.refuse_empty(data)
        if fill:
            data = masking.fill(data, "bragg")
        write(output, data, overwrite=overwrite)
        if picture is not None:
            _draw(picture, before, data, overwrite)
    if json:
        print_json(
            {
                "output": str(output),
                "plane": data.name,
                "shape": data.shape,
                "pixels_out": out,
                "valid_pixels": int(data.valid.sum()),
                "background": taken,
                "processing": data.provenance.get("processing", []),
            }
        )
        return
    print_table(f"Plane {data.name}: pixels out", out, int(data.valid.sum()), data.valid.size)
    if taken is not None:
        below = f"{taken['negative']:,} pixels are negative now, which is right."
        say(
            f"Background taken off: {taken['mean']:.4g} on average; "
            f"{below if taken['negative'] else 'no pixel is negative now.'}"
        )
    if data.provenance.get("processing") == before.provenance.get("processing"):
        say("No mask was asked for (--bragg auto, --hot-pixels, …): nothing was masked.")
    if picture is not None:
        say(f"Drawn in {picture}.")
    say(f"Written to {output}. Next: dsfunet factorize {output} -o result.h5")


def _recorded(data: Any, reason: str) -> Any:
    steps = data.provenance.get("processing", [])
    step = {"step": "unmask", "layer": reason}
    return data.replace(provenance={**data.provenance, "processing": [*steps, step]})


def _warn_of_many(bragg: int, measured: int, radius: Any) -> None:
    """Say so where so much was taken for peaks that maxima of the order may be among them."""
    if radius == "auto" and bragg > MANY * measured:
        Console(stderr=True).print(
            f"{bragg / measured:.0%} of the measured pixels were taken for Bragg peaks. Maxima "
            "of the order may be among them: look at --picture FILE.png, or give a radius such "
            "as --bragg 0.06 (Å⁻¹).",
            style="yellow",
        )


def _draw(
    picture: Path, before: ReciprocalPlane, after: ReciprocalPlane, overwrite: bool
) -> None:
    from dsfunet_core import plots
    from dsfunet_core.io.files import replacing
    from dsfunet_core.mask_figure import mask_figure

    with replacing(picture, overwrite=overwrite) as temporary:
        temporary.write_bytes(plots.png(mask_figure(before, after), dpi=100))


def _without_background(
    plane: ReciprocalPlane, background: str, scale: float | None
) -> tuple[ReciprocalPlane, dict[str, Any]]:
    from dsfunet_core import masking

    number = _number(background)
    if background in _BACKGROUNDS or number is not None:
        if scale is not None:
            raise ParameterError(
                f"--scale {scale:g} with --background {background}: only a file has a scale."
            )
        if background == "radial":
            result = masking.subtract_radial(plane)
        else:
            result = masking.subtract_constant(plane, number)
    else:
        other = load_plane(Path(background), None, None)
        result = masking.subtract_measured(plane, other, scale)
    record: dict[str, Any] = result.after.provenance["processing"][-1]
    return result.after, record


def _radius(text: str) -> Any:
    if text == "auto":
        return text
    parts = text.split(",")
    values = _numbers(text, "--bragg", 3 if len(parts) > 1 else 1)
    return values if len(values) > 1 else values[0]


def _rings(text: str) -> list[tuple[float, float]]:
    rings = []
    for part in text.split(","):
        q, colon, half = part.partition(":")
        values = (_number(q), _number(half))
        if not colon or None in values:
            raise ParameterError(
                f"--rings {text}: give auto, or |Q|:half-width in Å⁻¹ such as 2.69:0.03."
            )
        rings.append((float(q), float(half)))
    return rings


def _auto_or_number(text: str, option: str) -> float | None:
    if text == "auto":
        return None
    return _numbers(text, option, 1)[0]


def _numbers(text: str, option: str, n: int) -> list[float]:
    values = [_number(part) for part in text.split(",")]
    if len(values) != n or None in values:
        example = {1: "0.05", 3: "0,0.5,0"}[n]
        raise ParameterError(
            f"{option} {text}: {n} number{'s' if n > 1 else ''} expected, such as {example}."
        )
    return [v for v in values if v is not None]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
