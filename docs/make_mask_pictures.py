"""Draw the pictures of the page on masks: ``python -m docs.make_mask_pictures``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.bragg import peaked_plane
from dsfunet_core import ReciprocalPlane, masking
from dsfunet_core.frames import plane_frame
from dsfunet_core.mask_figure import mask_figure
from dsfunet_core.plots import INTENSITY, draw_image, png

IMAGES = Path(__file__).parent / "images"


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
    (IMAGES / "masks.png").write_bytes(png(mask_figure(plane, masked), dpi=100))


def background() -> None:
    """Air scattering of a plane without peaks, taken off by the radial method."""
    made = peaked_plane(4)
    q = made.without.q_norm()
    air = np.random.default_rng(1).poisson(60 * np.exp(-((q / 3.5) ** 2)) + 4)
    plane = made.without.replace(intensity=made.without.intensity + air)
    result = masking.subtract_radial(plane)
    (IMAGES / "background.png").write_bytes(png(mask_figure(plane, result.after), dpi=100))


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
    background()


if __name__ == "__main__":
    main()
