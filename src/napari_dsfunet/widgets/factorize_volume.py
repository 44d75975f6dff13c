"""Dock that takes a whole volume apart into form factor and α of all vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced

from dsfunet_core.errors import DsfunetError, ParameterError
from dsfunet_core.plane import ReciprocalVolume
from napari_dsfunet.forms_volume import VolumeForm
from napari_dsfunet.layers import core_object, entry, script_of
from napari_dsfunet.placing import add_above, side_by_side
from napari_dsfunet.volume_layers import VOLUME_ROLES, volume_result_layers
from napari_dsfunet.widgets.alpha_table import AlphaTable
from napari_dsfunet.widgets.exporting import ExportingDock
from napari_dsfunet.widgets.fit_canvas import AlphaPlot
from napari_dsfunet.widgets.texts import error_text, html, told
from napari_dsfunet.workers import Compute

if TYPE_CHECKING:
    from dsfunet_core.applicability import Applicability
    from dsfunet_core.refine.reference import Reference
    from dsfunet_core.volume_factorization import VolumeFactorization, VolumePlan

__all__ = ["FactorizeVolume"]


class FactorizeVolume(ExportingDock):
    """Factorize a volume: I = F·S with α of all vectors from one fit.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where volumes are and results go.
    """

    title = "Factorize volume"
    page = "volumes"
    exports = {
        ".h5": "Result file: volume, both factors, α with covariance",
        ".csv": "Table of α",
        ".txt": "Correlations for a Yell model",
        ".png": "Figure of α against distance",
        ".pdf": "Figure of α against distance",
    }
    proposed = "volume-result.h5"
    first = (
        "There is no volume to factorize. Open a reconstruction, drop its file onto the "
        "viewer, or try File > Open Sample > Triclinic volume; planes are taken apart by "
        "Plugins > Diffuse Scattering > Factorize."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            VolumeForm,
            "Take a whole volume apart: the form factor and the order along all axes from one "
            "fit. Mask Bragg peaks and background before.",
            "Factorize volume",
        )
        self.result: VolumeFactorization | None = None
        self.reference: Reference | None = None
        self._reference_path = ""
        self.volumes = self.add_layer_choice("Volume", is_volume)
        self.tile = QCheckBox("Show the maps side by side")
        self.tile.setChecked(True)
        self.form.lines.addRow("", self.tile)
        self.plan_label = QLabel()
        self.plan_label.setWordWrap(True)
        self.column.insertWidget(2, self.plan_label)
        self.table = AlphaTable()
        self.plot = AlphaPlot(self.viewer)
        self.chosen = QLabel()
        self.chosen.setWordWrap(True)
        self.compare_button = QPushButton("Compare with…")
        self.compare_button.setToolTip("Known values: a CSV table with u, v, w and alpha.")
        self.compare_button.clicked.connect(self.ask_and_compare)
        self.panel = self._panel()
        self.add_below(self.panel, shown=False)
        self.form.changed.connect(self._plan_later)
        self.volumes.currentIndexChanged.connect(self._plan_later)
        selection = self.viewer.layers.selection
        selection.events.active.connect(self._selected)
        self.destroyed.connect(lambda: selection.events.active.disconnect(self._selected))
        self.show_plan()
        self._selected()

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, volume = self._volume()
        form: VolumeForm = self.form.value()
        refuse_what_has_no_room(form.plan(volume))
        script = self.script()
        noted = entry(layer)
        axes = None if noted is None else noted["axes"]
        tile = self.tile.isChecked()

        def compute(callback: Any, cancel: Any) -> Any:
            from dsfunet_core.volume_factorization import assess_volume, summarize_volume

            result = form.compute(volume, callback, cancel)
            callback(99, 100, "maps")
            layers = volume_result_layers(result, script, axes)
            return result, layers, verdict(summarize_volume(result), assess_volume(result))

        def apply(found: Any) -> str:
            result, layers, text = found
            kept = any(layer is other for other in self.viewer.layers)
            added = add_above(self.viewer, layers, layer)
            if tile:
                side_by_side(self.viewer, [*([layer] if kept else []), *added])
            self.show_result(result)
            if not kept:
                text += "<br><br>The layer it came from was removed meanwhile."
            return str(text)

        return compute, apply

    def script(self) -> tuple[str, ...]:
        """Python that factorizes; see :meth:`Dock.script`."""
        layer, _ = self._volume()
        known = script_of(layer)
        return (*known, *self.form.value().script()) if known else ()

    def show_plan(self) -> None:
        """Say below the form what would be done, or why it cannot be."""
        layer = self.volumes.layer()
        if layer is None:
            self.plan_label.setText("")
            return
        try:
            plan = self.form.value().plan(core_object(layer))
            refuse_what_has_no_room(plan)
        except DsfunetError as error:
            self.plan_label.setText(error_text(told(error)))
            return
        self.plan_label.setText(plan.describe())

    def show_result(self, result: VolumeFactorization) -> None:
        """Show table and plot of a result.

        Parameters
        ----------
        result : VolumeFactorization
            What was found.
        """
        self.result = result
        known = None if self.reference is None else self.reference.matched(result.orbits)
        self.table.show_result(result, known)
        label = "" if self.reference is None else self.reference.label
        self.plot.show_content((result, known, label))
        self.chosen.setText(chosen(result))
        self.panel.setVisible(True)

    def nothing_yet(self) -> str:
        """See :meth:`ExportingDock.nothing_yet`."""
        if self.result is None:
            return "there is no result to export yet; factorize a volume first."
        return ""

    def write(self, path: Path, suffix: str) -> None:
        """Write the result; see :meth:`ExportingDock.write`."""
        from dsfunet_core.io.files import replacing
        from dsfunet_core.refine.figures import alpha_figure
        from dsfunet_core.refine.yell import correlations
        from dsfunet_core.volume_factorization import write_volume_factorization

        result = self.result
        assert result is not None
        if suffix == ".h5":
            write_volume_factorization(path, result, overwrite=True)
        elif suffix == ".csv":
            result.to_csv(path, overwrite=True)
        else:
            with replacing(path, overwrite=True) as temporary:
                if suffix == ".txt":
                    text = correlations(result.orbits, result.alpha, result.laue_class)
                    temporary.write_text(text, encoding="utf-8")
                else:
                    alpha_figure(result).savefig(temporary, format=suffix[1:], dpi=200)

    def ask_and_compare(self) -> None:
        """Ask for a file with known values and show them beside the refined ones."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Known parameters", "", "Table or refinement (*.csv *.json)"
        )
        if path:
            self.compare(path)

    def compare(self, path: str) -> None:
        """Show known parameters beside the refined ones.

        Parameters
        ----------
        path : str
            CSV or JSON, see :func:`dsfunet_core.refine.reference.read_reference`.
        """
        from dsfunet_core.refine.reference import read_reference

        try:
            self.reference = read_reference(path)
        except DsfunetError as error:
            self.show_error(error)
            return
        self._reference_path = path
        if self.result is not None:
            self.show_result(self.result)

    def reset(self) -> None:
        """Fill in the defaults, without known values."""
        super().reset()
        self.reference, self._reference_path = None, ""
        if self.result is not None:
            self.show_result(self.result)

    def state(self) -> dict[str, Any]:
        """What is filled in; see :meth:`Dock.state`."""
        notes = [(x, entry(x)) for x in self.viewer.layers]
        shown = [x for x, n in notes if n is not None and n["object"] is self.result]
        return {
            **super().state(),
            "tile": self.tile.isChecked(),
            "reference": self._reference_path,
            "result": shown[0].name if shown and self.result is not None else "",
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in a state and show its result again; see :meth:`Dock.restore_state`."""
        super().restore_state(state)
        self.tile.setChecked(bool(state.get("tile", True)))
        if Path(state.get("reference", "")).is_file():
            self.compare(state["reference"])
        if state.get("result") in self.viewer.layers:
            self._show_layer(self.viewer.layers[state["result"]])

    # Parts.

    def _panel(self) -> QWidget:
        panel = QWidget()
        column = QVBoxLayout(panel)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        column.addWidget(self.table)
        buttons = QHBoxLayout()
        buttons.addWidget(self.export_button, 1)
        buttons.addWidget(self.compare_button, 1)
        column.addLayout(buttons)
        column.addWidget(self.chosen)
        return panel

    def _volume(self) -> tuple[Any, ReciprocalVolume]:
        layer, volume = self.source()
        assert isinstance(volume, ReciprocalVolume)
        return layer, volume

    @qdebounced(timeout=150)
    def _plan_later(self, *_: Any) -> None:
        self.show_plan()

    def _selected(self, event: Any = None) -> None:
        """Show the result whose layer was chosen in the viewer's list."""
        layer = self.viewer.layers.selection.active
        if layer is not None:
            self._show_layer(layer)

    def _show_layer(self, layer: Any) -> None:
        noted = entry(layer)
        if noted is None or noted["role"] not in VOLUME_ROLES:
            return
        if noted["object"] is not self.result:
            self.show_result(noted["object"])


def is_volume(layer: Any) -> bool:
    """Whether a layer shows a volume.

    Parameters
    ----------
    layer : napari.layers.Layer
        Any.
    """
    return isinstance(core_object(layer), ReciprocalVolume)


def refuse_what_has_no_room(plan: VolumePlan) -> None:
    """Refuse what needs more memory than the machine has.

    Parameters
    ----------
    plan : VolumePlan
        What is to be done.

    Raises
    ------
    ParameterError
        The text says what would fit.
    """
    import psutil

    total = psutil.virtual_memory().total
    if plan.memory <= total:
        return
    most = plan.unknowns_within(0.8 * total)
    mend = f"Allow at most {most:,} unknowns under Advanced, or make" if most else "Make"
    raise ParameterError(
        f"that may need {plan.memory / 1e9:.1f} GB of memory, and this machine has "
        f"{total / 1e9:.1f} GB. {mend} the volume smaller: a lower limit of |h|, |k|, |l|, or "
        "one voxel in two."
    )


def verdict(summary: str, applicability: Applicability) -> str:
    """Figures, and whether the volume is a product, as rich text.

    Parameters
    ----------
    summary : str
        From :func:`dsfunet_core.volume_factorization.summarize_volume`.
    applicability : Applicability
        From :func:`dsfunet_core.volume_factorization.assess_volume`.
    """
    from napari_dsfunet.widgets.factorize import verdict_lines

    return "<br>".join([f"<b>{html(summary)}</b>", *verdict_lines(applicability)])


def chosen(result: VolumeFactorization) -> str:
    """What was chosen on the way and why, as rich text.

    Parameters
    ----------
    result : VolumeFactorization
        What was found.
    """
    from dsfunet_core.volume_factorization import explain_volume

    return "<br>".join(
        f"<b>{html(c.what)}: {html(c.value)}.</b> {html(c.why)}" for c in explain_volume(result)
    )
