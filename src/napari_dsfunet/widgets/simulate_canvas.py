"""Drawing of a simulated plane beside its two factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dsfunet.widgets.canvas import MovingCanvas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.simulate import SimulatedPlane

__all__ = ["SimulatedMaps"]

#: Percentile that is drawn brightest.
HIGH = 99.5
#: Share of the edge of the plane over which short-range order is shown.
ENLARGED = 0.3


class SimulatedMaps(MovingCanvas):
    """What is measured, large, and the factors it is made of.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme the drawing has.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, height=260)
        self._frame: NDArray[np.float64] | None = None

    def paint(self, figure: Any, content: SimulatedPlane) -> None:
        """Draw a plane and its factors; see :meth:`Canvas.paint`."""
        from dsfunet_core.frames import plane_frame
        from dsfunet_core.plots import INTENSITY, ORDER, draw_image

        frame = plane_frame(content.plane)
        self._frame = frame.affine
        grid = figure.add_gridspec(2, 2, width_ratios=(2, 1))
        panels = [
            figure.add_subplot(grid[:, 0]),
            figure.add_subplot(grid[0, 1]),
            figure.add_subplot(grid[1, 1]),
        ]
        titles = ("what is measured", "form factor", "SRO, enlarged")
        self.moving = []
        for axes, values, title, colours, limits in zip(
            panels,
            _maps(content),
            titles,
            (INTENSITY, INTENSITY, ORDER),
            _limits(content),
            strict=True,
        ):
            drawn = draw_image(axes, values, frame, cmap=colours, limits=limits)
            axes.set_title(title)
            self.moving.append(drawn)
        for axes in panels[1:]:
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        # All of it would be too fine a pattern for so few pixels of the screen.
        for low, high, zoom in (
            (*panels[2].get_xlim(), panels[2].set_xlim),
            (*panels[2].get_ylim(), panels[2].set_ylim),
        ):
            middle, half = (low + high) / 2, (high - low) / 2 * ENLARGED
            zoom(middle - half, middle + half)

    def follow(self, content: SimulatedPlane) -> None:
        """Show another plane, in place where it has the same pixels.

        Parameters
        ----------
        content : SimulatedPlane
            What is shown.
        """
        from dsfunet_core.frames import plane_frame

        affine = plane_frame(content.plane).affine
        if self._frame is None or not np.allclose(affine, self._frame):
            self.show_content(content)
            return

        def update() -> None:
            images = zip(self.moving, _maps(content), _limits(content), strict=True)
            for image, values, limits in images:
                image.set_data(np.ma.masked_invalid(values))
                image.set_clim(*limits)

        self.change(content, update)


def _maps(content: SimulatedPlane) -> tuple[NDArray, NDArray, NDArray]:
    plane = content.plane
    measured = np.where(plane.valid, plane.intensity, np.nan)
    return measured, content.form_factor, content.sro


def _limits(content: SimulatedPlane) -> list[tuple[float, float]]:
    from dsfunet_core.overview import display_range

    measured, form_factor, sro = _maps(content)
    tops = [display_range(x, high=HIGH)[1] for x in (measured, form_factor)]
    # Order near 1 everywhere is no order, and must not look like one.
    tops.append(max(float(sro.max()), 1.5))
    return [(0.0, max(float(top), 1e-12)) for top in tops]
