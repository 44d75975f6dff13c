"""Draw the pictures of the page on masks: ``python -m docs.make_mask_pictures``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.bragg import peaked_plane
from dsfunet_core import ReciprocalPlane, masking
from dsfunet_core.frames import plane_frame
from dsfunet_core.plots import INTENSITY, draw_image, png

IMAGES = Path(__file__).parent / "images"
#: One colour a layer, told apart by readers of every kind of colour vision.
COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#f0e442"]


def spoilt_plane() -> ReciprocalPlane:
    """Counts with peaks in every cell, a powder ring, hot pixels and a beam stop's shadow."""
    made = peaked_plane(4)
    rng = np.random.default_rng(0)
    plane = made.with_peaks
    q = plane.q_norm()
    low, high = q.min(), q.max()
    ring = 30 * np.exp(-((q - (low + 0.45 * (high - low))) ** 2) / (2 * 0.02**2))
    counts = plane.intensity + rng.poisson(ring) + rng.poisson(20 * np.exp(-q / 2))
    shadow = (np.hypot(*np.moveaxis(np.mgrid[:256, :256] - 127.5, 0, 0)) < 14) | (
        (np.abs(np.mgrid[:256, :256][1] - 127.5) < 3) & (np.mgrid[:256, :256][0] > 127)
    )
    counts = np.where(shadow, rng.poisson(0.03 * counts), counts)
    for row, column in rng.integers(0, 256, size=(60, 2)):
        counts[row, column] += rng.integers(300, 3000)
    return plane.replace(intensity=counts)


def layers() -> None:
    plane = spoilt_plane()
    masked = masking.mask_beam_stop(plane, float(plane.q_norm()[128, 143]))
    holder = [(127, 123), (127, 132), (257, 132), (257, 123)]
    masked = masking.mask_polygons(masked, [holder], reason="holder")
    masked = masking.mask_bragg(masked)
    masked = masking.mask_hot_pixels(masked)
    masked = masking.mask_rings(masked)
    masked = masking.mask_polygons(masked, [[(170, 30), (225, 45), (215, 100), (175, 85)]])
    frame = plane_frame(plane)
    seen = np.where(plane.valid, plane.intensity, np.nan)
    top = float(np.nanpercentile(np.sqrt(np.where(masked.valid, seen, np.nan)), 99.5))
    figure = Figure(figsize=(13, 4.9), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    draw_image(axes[0], np.sqrt(seen), frame, cmap=INTENSITY, limits=(0.0, top))
    axes[0].set_title("measured (√I)")
    number = np.full(plane.shape, np.nan)
    for i, layer in enumerate(masked.masks.values()):
        number[layer] = i
    draw_image(axes[1], np.sqrt(seen), frame, cmap="Greys", limits=(0.0, 2 * top))
    n = len(masked.masks)
    # A name that draw_image knows, then our own colours, with the plane showing through.
    image = draw_image(axes[1], number, frame, cmap="tab10", limits=(-0.5, n - 0.5))
    image.set_cmap(ListedColormap(COLOURS[:n]).with_extremes(bad=(0, 0, 0, 0)))
    axes[1].set_title("why pixels are out")
    handles = [
        Patch(color=c, label=name) for c, name in zip(COLOURS, masked.masks, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=n, frameon=False)
    used = np.where(masked.valid, plane.intensity, np.nan)
    draw_image(axes[2], np.sqrt(used), frame, cmap=INTENSITY, limits=(0.0, top))
    axes[2].set_title("used (√I)")
    for ax in axes:
        ax.label_outer()
    (IMAGES / "masks.png").write_bytes(png(figure, dpi=100))


def sizes() -> None:
    """The same part of a plane: spheres of one size, and peaks grown from the data."""
    made = peaked_plane(4)
    plane = made.with_peaks
    frame = plane_frame(plane)
    pixel = float(np.linalg.det(plane.metric) ** 0.25)
    cases = {
        "not masked": plane,
        "spheres of 3 pixels": masking.mask_bragg(plane, 3 * pixel),
        "grown from the data": masking.mask_bragg(plane),
        "grown and filled": masking.fill(masking.mask_bragg(plane)),
    }
    figure = Figure(figsize=(13, 3.9), layout="constrained")
    top = float(np.nanpercentile(np.sqrt(made.without.intensity[plane.valid]), 99.8))
    corner = frame.xy(np.array([40.0, 130.0]), np.array([110.0, 200.0]))
    for ax, (title, case) in zip(
        figure.subplots(1, 4, sharey=True), cases.items(), strict=True
    ):
        values = np.sqrt(np.where(case.valid, case.intensity, np.nan))
        draw_image(ax, values, frame, cmap=INTENSITY, limits=(0.0, top))
        ax.set_title(title)
        ax.set_xlim(*sorted(corner[:, 0]))
        ax.set_ylim(*sorted(corner[:, 1]))
        ax.label_outer()
    (IMAGES / "bragg-sizes.png").write_bytes(png(figure, dpi=100))


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    layers()
    sizes()


if __name__ == "__main__":
    main()
