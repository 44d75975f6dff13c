"""Draw the pictures of the documentation: ``python docs/make_pictures.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dsfunet_core as ds
from dsfunet_core.frames import plane_frame
from dsfunet_core.pdf import plane_patterson
from dsfunet_core.plots import INTENSITY, ORDER, draw_image, png
from dsfunet_core.simulate.crystals import TRAINING, VALIDATION
from dsfunet_core.simulate.stream import plane_number
from dsfunet_core.symmetrize import symmetrize_plane

IMAGES = Path(__file__).parent / "images"


def tris_amide() -> None:
    plane = ds.read(ds.sample("tris-amide-hk1")).section("hk1")
    result = ds.factorize(plane)
    frame = plane_frame(plane)
    measured = np.where(plane.valid, plane.intensity, np.nan)
    # Square roots, as such planes are usually shown: they bring out the weak parts.
    panels = [
        ("measured (√I)", np.sqrt(measured), INTENSITY),
        ("= form factor (√I)", np.sqrt(result.form_factor), INTENSITY),
        ("× short-range order", result.sro, ORDER),
    ]
    figure = Figure(figsize=(12, 4.1), layout="constrained")
    for axes, (title, values, colours) in zip(
        figure.subplots(1, 3, sharey=True), panels, strict=True
    ):
        top = float(np.nanpercentile(values, 99.8))
        draw_image(axes, values, frame, cmap=colours, limits=(0.0, top))
        axes.set_title(title)
        axes.set_xlim(-5.6, 6.2)
        axes.set_ylim(-5.4, 5.4)
        axes.label_outer()
    (IMAGES / "tris-amide.png").write_bytes(png(figure, dpi=110))


def gallery() -> None:
    """A dozen simulated planes beside their factors."""
    planes = [plane_number(1, i, VALIDATION) for i in range(3)]
    wanted = ["oblique", "hexagonal", "tetragonal", "cubic", "oblique", "orthorhombic"]
    wanted += ["hexagonal", "oblique", "orthorhombic"]
    numbers = iter(range(1000))
    while wanted:
        plane = plane_number(3, next(numbers), TRAINING, disturb=0.6)
        if plane.description["system"] == wanted[0]:
            planes.append(plane)
            del wanted[0]
    figure = Figure(figsize=(13, 15.5), layout="constrained")
    for number, (part, plane) in enumerate(
        zip(figure.subfigures(6, 2, wspace=0.03).flat, planes, strict=True), start=1
    ):
        how = plane.description
        counts = how.get("realism", {}).get("counts", 0)
        a, b = how["molecules"]
        noise = f", {counts:.1f} counts" if counts else ""
        level = f"{'hkl'[how['axis']]} = {how['level']:g}"
        part.suptitle(f"{number}. {a} / {b}, {how['system']}, {level}{noise}", fontsize=9)
        seen = np.where(plane.plane.valid, plane.plane.intensity, np.nan)
        images = (np.sqrt(seen), np.sqrt(plane.form_factor), plane.sro)
        for axes, image, colours in zip(
            part.subplots(1, 3), images, (INTENSITY, INTENSITY, ORDER), strict=True
        ):
            top = float(np.nanpercentile(image, 99.8))
            axes.imshow(image, cmap=colours, vmin=0, vmax=top, origin="lower")
            axes.set_axis_off()
    (IMAGES / "gallery.png").write_bytes(png(figure, dpi=64))


def symmetry() -> None:
    """Measured plane, the same averaged in 6/m, and its Patterson map."""
    plane = ds.read(ds.sample("tris-amide-hk1")).section("hk1")
    done = symmetrize_plane(plane, "6/m", outliers=8).plane
    frame = plane_frame(plane)
    figure = Figure(figsize=(9.4, 4.3), layout="constrained")
    titles = ("measured (√I)", "averaged in 6/m (√I)")
    for axes, title, shown in zip(figure.subplots(1, 2), titles, (plane, done), strict=True):
        values = np.sqrt(np.where(shown.valid, np.maximum(shown.intensity, 0), np.nan))
        top = float(np.nanpercentile(values, 99.8))
        draw_image(axes, values, frame, cmap=INTENSITY, limits=(0.0, top))
        axes.set_title(title)
        axes.label_outer()
    (IMAGES / "symmetry.png").write_bytes(png(figure, dpi=100))
    map_ = plane_patterson(plane)
    (IMAGES / "patterson.png").write_bytes(png(map_.figure(reach=60), dpi=90))


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    tris_amide()
    gallery()
    symmetry()


if __name__ == "__main__":
    main()
