"""What all docks share: a scroll area, a button that runs and cancels, texts, a script."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from dsfunet_core.errors import CancelledError, DsfunetError, ParameterError
from napari_dsfunet.forms import from_stored
from napari_dsfunet.layers import core_object
from napari_dsfunet.view import follow
from napari_dsfunet.widgets.form_widget import FormWidget, read_editor, write_editor
from napari_dsfunet.widgets.layer_choice import LayerChoice
from napari_dsfunet.widgets.manual import Manual
from napari_dsfunet.widgets.tabs import become_tab_later
from napari_dsfunet.widgets.texts import error_text, python_text, told
from napari_dsfunet.widgets.wheel import WheelGuard
from napari_dsfunet.workers import Compute, CoreWorker

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_dsfunet.forms import Form

__all__ = ["Dock"]

_LOG = logging.getLogger(__name__)


class Dock(QWidget):
    """A form above a button, a progress bar and a text.

    Parameters
    ----------
    viewer : napari.Viewer
        Where results go.
    kind : type
        The form.
    intro : str
        What the dock does, in a sentence.
    run_text : str
        Text of the button.
    """

    #: Name under Plugins > Diffuse Scattering.
    title: ClassVar[str]
    #: Page of the manual, without suffix.
    page: ClassVar[str]
    #: What to do first, where there is no layer to work on.
    first: ClassVar[str] = ""

    def __init__(self, viewer: Any, kind: type[Form], intro: str, run_text: str) -> None:
        super().__init__()
        # napari hands docks a proxy, behind which layers lose their identity.
        self.viewer = viewer = getattr(viewer, "__wrapped__", viewer)
        self.run_text = run_text
        self.worker: CoreWorker | None = None
        self._apply: Callable[[Any], str] | None = None
        #: Called once what runs is done, unless it is cancelled: to follow a change that
        #: came after it began.
        self.later: Callable[[], Any] | None = None
        #: What the text says while it is an error.
        self._error = ""
        self._choices: dict[str, LayerChoice] = {}
        self._kept: dict[str, QWidget] = {}
        follow(viewer)

        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.addWidget(_text_label(intro))
        self.hint = _text_label(self.first)
        self.hint.setVisible(False)
        self.column.addWidget(self.hint)
        self.form = FormWidget(kind)
        self.column.addWidget(self.form)
        self.run_button = QPushButton(run_text)
        self.copy_button = QPushButton("Copy as Python")
        self.reset_button = QPushButton("Reset")
        self.help_button = QPushButton("?")
        self.copy_button.setToolTip("Put a script that does the same on the clipboard.")
        self.reset_button.setToolTip("Fill in the defaults.")
        self.help_button.setToolTip("Show the page of the manual.")
        self.help_button.setFixedWidth(28)
        self.run_button.clicked.connect(self.run_or_cancel)
        self.copy_button.clicked.connect(self.copy_script)
        self.reset_button.clicked.connect(self.reset)
        self.help_button.clicked.connect(self.show_manual)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.copy_button, 1)
        buttons.addWidget(self.reset_button, 0)
        buttons.addWidget(self.help_button, 0)
        self.column.addLayout(buttons)
        self.progress = QProgressBar()
        self.progress.setVisible(False)
        self.column.addWidget(self.progress)
        self.message = _text_label("")
        self.column.addWidget(self.message)
        self.column.addStretch(1)

        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        scroll.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(380)
        WheelGuard(inside)
        self.form.restore()
        self.form.changed.connect(self._forget_error)
        become_tab_later(self, Dock)

    # For docks to build themselves with.

    def add_layer_choice(
        self,
        label: str,
        accepts: Callable[[Layer], bool],
        prefers: Callable[[Layer], bool] | None = None,
    ) -> LayerChoice:
        """Add a box to choose a layer, above the form's fields.

        Parameters
        ----------
        label : str
            What stands beside it.
        accepts : callable
            Whether a layer is offered.
        prefers : callable, optional
            Whether a layer goes before others that are offered.
        """
        choice = LayerChoice(self.viewer, accepts, prefers)
        self.form.lines.insertRow(len(self._choices), label, choice)
        self._choices[label] = choice
        choice.currentIndexChanged.connect(self._say_what_is_missing)
        choice.currentIndexChanged.connect(self._forget_error)
        self._say_what_is_missing()
        return choice

    def source(self) -> tuple[Layer, Any]:
        """Layer to work on, the first one chosen, and the core's object that it shows.

        Raises
        ------
        ParameterError
            If there is none; the text says what to do first.
        """
        layer = next(iter(self._choices.values())).layer()
        if layer is None:
            raise ParameterError(self.first)
        return layer, core_object(layer)

    def keep(self, **widgets: QWidget) -> None:
        """Let sessions keep what is filled in beside the form.

        Parameters
        ----------
        **widgets : QWidget
            Boxes, lines and ticks by name.
        """
        self._kept |= widgets

    def add_below(self, *widgets: QWidget, shown: bool = True) -> None:
        """Add widgets below the text.

        Parameters
        ----------
        *widgets : QWidget
            From top to bottom.
        shown : bool
            Whether they are to be seen from the start.
        """
        for widget in widgets:
            self.column.insertWidget(self.column.count() - 1, widget)
            widget.setVisible(shown)

    # What a session keeps.

    def state(self) -> dict[str, Any]:
        """What is filled in, in types that JSON knows.

        Returns
        -------
        dict
            ``form`` and ``beside``, field by field, ``layers``, the names of the chosen
            ones, and ``message``, what the dock says.
        """
        chosen = {label: choice.layer() for label, choice in self._choices.items()}
        return {
            "form": asdict(self.form.value()),
            "beside": {name: read_editor(widget) for name, widget in self._kept.items()},
            "layers": {label: x.name for label, x in chosen.items() if x is not None},
            "message": self.message.text(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Fill in what :meth:`state` returned, as far as it still fits.

        Parameters
        ----------
        state : dict
            From :meth:`state`, perhaps of another version.
        """
        self.form.set_value(from_stored(self.form.kind, state.get("form", {})))
        for label, name in state.get("layers", {}).items():
            if label in self._choices and name in self.viewer.layers:
                self._choices[label].choose(self.viewer.layers[name])
        for name, value in state.get("beside", {}).items():
            if name in self._kept and isinstance(value, type(read_editor(self._kept[name]))):
                write_editor(self._kept[name], value)
        self.message.setText(str(state.get("message", "")))

    def reset(self) -> None:
        """Fill in the defaults."""
        self.form.reset()

    def show_manual(self) -> None:
        """Show the dock's page of the manual."""
        manual = Manual(self.page, self)
        manual.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        manual.show()

    # What a dock has to say.

    def prepare(self) -> tuple[Compute, Callable[[Any], str]]:
        """Read the form: a computation, and what to do with what it returns.

        Returns
        -------
        compute : callable
            Takes the core's callback and cancel token; runs beside the window.
        apply : callable
            Takes the result, changes the viewer, returns a text for the dock.

        Raises
        ------
        DsfunetError
            If something is missing; the text is shown.
        """
        raise NotImplementedError

    def script(self) -> tuple[str, ...]:
        """Python that does what the button does."""
        raise NotImplementedError

    # Running.

    @property
    def running(self) -> bool:
        """Whether a computation is under way."""
        return self.worker is not None

    def run_or_cancel(self) -> None:
        """Start, or ask what is running to stop."""
        if self.worker is not None:
            self.run_button.setText("Cancelling…")
            self.run_button.setEnabled(False)
            self.worker.quit()
            return
        try:
            compute, self._apply = self.prepare()
        except DsfunetError as error:
            self.show_error(error)
            return
        self.message.setText("")
        worker = CoreWorker(compute)
        worker.signals.progressed.connect(self._progressed)
        worker.signals.returned.connect(self._returned)
        worker.signals.errored.connect(self._errored)
        worker.signals.warned.connect(self._warned)
        worker.signals.finished.connect(self._finished)
        self.destroyed.connect(worker.quit)
        self.worker = worker
        self.run_button.setText("Cancel")
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        self.progress.setVisible(True)
        worker.start()

    def _progressed(self, step: int, total: int, message: str) -> None:
        self.progress.setRange(0, max(total, 0))
        self.progress.setValue(step)
        self.progress.setFormat("%p %")
        if self.worker is not None and not self.worker.abort_requested:
            self.message.setText(message)

    def _returned(self, result: Any) -> None:
        if self._apply is None:
            return
        try:
            text = self._apply(result)
        except Exception as error:  # a slot has nobody to raise to
            self._errored(error)
            return
        self.form.store()
        self.message.setText(text)

    def _errored(self, error: Exception) -> None:
        if isinstance(error, CancelledError):
            return
        if isinstance(error, DsfunetError):
            self.show_error(error)
            return
        _LOG.error("%s failed", type(self).__name__, exc_info=error)
        self.show_error(
            f"{type(error).__name__}: {error}. This is a fault of the program; nothing was "
            "changed. 'Copy as Python' gives a script that shows it."
        )

    def _warned(self, warning: tuple[Any, ...]) -> None:
        _LOG.warning("%s", warning[0])

    def _finished(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None and worker.abort_requested:
            self.message.setText("Cancelled; nothing was changed.")
        self.run_button.setText(self.run_text)
        self.run_button.setEnabled(True)
        self.progress.setVisible(False)
        later, self.later = self.later, None
        if later is not None and not (worker is not None and worker.abort_requested):
            later()

    # Texts.

    def _say_what_is_missing(self, *_: Any) -> None:
        """Show what to do first, as long as there is nothing to work on."""
        nothing = all(choice.layer() is None for choice in self._choices.values())
        self.hint.setVisible(nothing and bool(self.first))

    def show_error(self, error: str | Exception, before: str = "") -> None:
        """Show what went wrong.

        Parameters
        ----------
        error : str or Exception
            What it says.
        before : str
            What it meant for the user.
        """
        text = told(error) if isinstance(error, Exception) else error
        self._error = error_text(before + text)
        self.message.setText(self._error)

    def _forget_error(self, *_: Any) -> None:
        """Take an error away once something else is filled in: it may be put right."""
        if self._error and self.message.text() == self._error:
            self.message.setText("")

    def copy_script(self) -> None:
        """Put the script on the clipboard."""
        try:
            text = python_text(self.script())
        except DsfunetError as error:
            self.show_error(error)
            return
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(text)
        self.message.setText("The script is on the clipboard.")


def _text_label(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
