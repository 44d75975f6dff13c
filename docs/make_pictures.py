"""Draw the picture of the README: ``python docs/make_pictures.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dsfunet_core as ds
from dsfunet_core.frames import plane_frame
from dsfunet_core.plots import INTENSITY, ORDER, draw_image, png


def main() -> None:
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
    target = Path(__file__).parent / "images" / "tris-amide.png"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(png(figure, dpi=110))


if __name__ == "__main__":
    main()
