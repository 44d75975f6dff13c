"""Dock that takes a plane apart into form factor and short-range order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QPushButton

from dsfunet_core.applicability import Applicability, assess
from dsfunet_core.errors import DsfunetError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from napari_dsfunet.forms import FactorizeForm, SliceForm
from napari_dsfunet.layers import (
    core_object,
    entry,
    factorization_layers,
    plane_layer,
    script_of,
)
from napari_dsfunet.placing import add_above, side_by_side
from napari_dsfunet.widgets.dock import Dock
from napari_dsfunet.widgets.texts import html
from napari_dsfunet.workers import Compute

__all__ = ["Factorize"]


class Factorize(Dock):
    """Factorize a plane: I_D = I_FF · I_SRO.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where planes and volumes are and results go.
    """

    title = "Factorize"
    page = "factorization"
    first = (
        "There is nothing to factorize. Open a reconstruction or a sample, or cut a plane with "
        "Plugins > Diffuse Scattering > Plane."
    )

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(
            napari_viewer,
            FactorizeForm,
            "Take a plane apart: measured = form factor × short-range order.",
            "Factorize",
        )
        self.sources = self.add_layer_choice(
            "Plane or volume",
            lambda layer: isinstance(core_object(layer), ReciprocalPlane | ReciprocalVolume),
        )
        self.plane_text = QLineEdit(SliceForm().plane)
        self.plane_text.setToolTip("Plane to cut out of a volume: hk1, h0l, hhl, hk0.5, …")
        self.tile = QCheckBox("Show the maps side by side")
        self.tile.setChecked(True)
        self.form.lines.insertRow(1, "Plane of volume", self.plane_text)
        self.form.lines.addRow("", self.tile)
        self.keep(plane=self.plane_text, tile=self.tile)
        self.save_button = QPushButton("Save result…")
        self.save_button.setToolTip(
            "Factors, coefficients, uncertainties and the plane, in one NeXus/HDF5 file."
        )
        self.save_button.clicked.connect(self.ask_and_save)
        self.add_below(self.save_button, shown=False)
        self._added: list[Any] = []
        self.sources.currentIndexChanged.connect(self._source_changed)
        self.form.changed.connect(self._method_changed)
        self._source_changed()
        self._method_changed()
        self.form.asked.connect(self._offer_all)

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form; see :meth:`Dock.prepare`."""
        layer, source = self._source()
        form: FactorizeForm = self.form.value()
        cut = SliceForm(plane=self.plane_text.text())
        script = self.script()
        tile = self.tile.isChecked()

        def compute(
            callback: Any, cancel: Any
        ) -> tuple[ReciprocalPlane, Factorization, Applicability]:
            plane = cut.compute(source) if isinstance(source, ReciprocalVolume) else source
            result = form.compute(plane, callback, cancel)
            return plane, result, assess(result)

        def apply(found: tuple[ReciprocalPlane, Factorization, Applicability]) -> str:
            plane, result, applicability = found
            self._offer_all()
            new = factorization_layers(result, script)
            if isinstance(source, ReciprocalVolume):
                lines = (*script_of(layer), *cut.script()) if script else ()
                new.insert(0, plane_layer(plane, lines))
            kept = any(layer is other for other in self.viewer.layers)
            added = add_above(self.viewer, new, layer)
            self._added = added
            self.save_button.setVisible(True)
            if tile:
                planes = [] if isinstance(source, ReciprocalVolume) or not kept else [layer]
                side_by_side(self.viewer, [*planes, *added])
            text = explain(result, applicability)
            return (
                text if kept else text + "<br><br>The layer it came from was removed meanwhile."
            )

        return compute, apply

    def script(self) -> tuple[str, ...]:
        """Python that factorizes; see :meth:`Dock.script`."""
        layer, source = self._source()
        known = script_of(layer)
        if not known:
            return ()
        if isinstance(source, ReciprocalVolume):
            known = (*known, *SliceForm(plane=self.plane_text.text()).script())
        return (*known, *self.form.value().script())

    def state(self) -> dict[str, Any]:
        """What is filled in, and which layers came out; see :meth:`Dock.state`."""
        shown = [x for x in self._added if any(x is layer for layer in self.viewer.layers)]
        return {**super().state(), "added": [layer.name for layer in shown]}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in a state; see :meth:`Dock.restore_state`."""
        super().restore_state(state)
        names = [name for name in state.get("added", []) if name in self.viewer.layers]
        self._added = [self.viewer.layers[name] for name in names]
        self.save_button.setVisible(bool(self._added))

    def ask_and_save(self) -> None:
        """Ask for a file and write the latest result there."""
        path, _ = QFileDialog.getSaveFileName(
            self, "Save result", "result.h5", "Result (*.h5 *.nxs)"
        )
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Write the latest result, and what was refined to it since.

        Parameters
        ----------
        path : str
            File to write, ``.h5`` or ``.nxs``; the user agreed to replace it.
        """
        from dsfunet_core import save_result

        notes = [entry(layer) for layer in self._added]
        found = [n for n in notes if n is not None and isinstance(n["object"], Factorization)]
        fit = next((n["fit"] for n in found if n.get("fit") is not None), None)
        try:
            save_result(path, found[0]["object"], fit, overwrite=True)
        except (DsfunetError, OSError) as error:
            self.show_error(error, "Nothing was written: ")
            return
        self.message.setText(f"Written: {path}")

    def _source(self) -> tuple[Any, ReciprocalPlane | ReciprocalVolume]:
        layer, source = self.source()
        assert isinstance(source, ReciprocalPlane | ReciprocalVolume)
        return layer, source

    def _method_changed(self) -> None:
        """Show what the method heeds."""
        method = self.form.value().method
        for name in ("support", "refine_lattice", "background", "robust"):
            self.form.lines.setRowVisible(self.form.editors[name], method != "network")
        self.form.lines.setRowVisible(self.form.editors["model"], method != "lattice")

    def _offer_all(self) -> None:
        """Offer devices and models; torch, which knows them, is slow to import."""
        from dsfunet_core import devices
        from dsfunet_core.network import weights

        found = devices.available()
        labels = {"auto": f"quickest: {found[0].label}"}
        labels |= {device.name: f"{device.name}: {device.label}" for device in found}
        self.form.offer("device", labels)
        self.form.offer("model", {name: name for name in weights.available()})

    def _source_changed(self, *_: Any) -> None:
        layer = self.sources.layer()
        volume = layer is not None and isinstance(core_object(layer), ReciprocalVolume)
        self.form.lines.setRowVisible(self.plane_text, volume)


def explain(result: Factorization, applicability: Applicability) -> str:
    """R factor, whether the plane is a product, what was chosen and why, in words.

    Parameters
    ----------
    result : Factorization
        What was found.
    applicability : Applicability
        What it was asked.
    """
    from dsfunet_core.explain import explain_choices, summarize

    lines = [f"<b>{html(summarize(result))}</b>", *verdict_lines(applicability), ""]
    for choice in explain_choices(result):
        lines.append(f"<b>{html(choice.what)}: {html(choice.value)}.</b> {html(choice.why)}")
    return "<br>".join(lines)


def verdict_lines(applicability: Applicability) -> list[str]:
    """What speaks against the product, with figures, and what does not by name.

    Parameters
    ----------
    applicability : Applicability
        What a plane or a volume was asked.
    """
    mark = "✓" if applicability.holds else "⚠"
    lines = [f"<b>{mark} {html(applicability.verdict)}</b>"]
    for check in (*applicability.concerns, *applicability.shortcomings):
        lines.append(f"<b>✗ {check.what}: {html(check.shown)}.</b> {html(check.sentence)}")
    passed = [check.what for check in applicability.checks if check.passed]
    if passed:
        lines.append(f"Passed: {', '.join(passed)}.")
    return lines
