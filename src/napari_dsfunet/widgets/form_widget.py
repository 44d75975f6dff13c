"""Widgets for a form's fields, filled with the form's defaults."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from qtpy.QtCore import QSettings, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible, QLabeledDoubleSlider

from napari_dsfunet.forms import Form, from_stored

__all__ = ["FormWidget", "read_editor", "write_editor"]


class FormWidget(QWidget):
    """One line a field; advanced ones folded away, what is not the default in bold.

    Parameters
    ----------
    kind : type
        Which form.
    """

    changed = Signal()
    #: Somebody wants to see all choices of a field that were not known beforehand.
    asked = Signal()

    def __init__(self, kind: type[Form]) -> None:
        super().__init__()
        self.kind = kind
        self.editors: dict[str, QWidget] = {}
        self._labels: dict[str, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.lines = _form_layout()
        layout.addLayout(self.lines)
        advanced = _form_layout()
        for entry in fields(kind):
            editor = _editor(entry.default, entry.metadata)
            editor.setToolTip(entry.metadata["tip"])
            _signal(editor).connect(self._changed)
            self.editors[entry.name] = editor
            if isinstance(editor, _OpenBox):
                editor.asked.connect(self.asked)
            lines = advanced if entry.metadata.get("advanced") else self.lines
            label: QWidget = editor
            if isinstance(editor, QCheckBox):
                editor.setText(entry.metadata["label"])
                lines.addRow("", editor)
            else:
                label = QLabel(entry.metadata["label"])
                lines.addRow(label, editor)
            label.setToolTip(f"{entry.metadata['tip']}\nDefault: {_shown(editor)}.")
            self._labels[entry.name] = label
        if advanced.rowCount():
            folded = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
            inside = QWidget()
            inside.setLayout(advanced)
            folded.addWidget(inside)
            layout.addWidget(folded)
        self.kept = QLabel()
        self.kept.setWordWrap(True)
        self.kept.setVisible(False)
        layout.addWidget(self.kept)

    def value(self) -> Any:
        """The form as it is filled in."""
        return self.kind(**{name: read_editor(editor) for name, editor in self.editors.items()})

    def set_value(self, form: Form) -> None:
        """Fill the widgets with a form.

        Parameters
        ----------
        form : Form
            Of this widget's kind.
        """
        for name, value in asdict(form).items():
            write_editor(self.editors[name], value)

    def offer(self, name: str, choices: dict[str, str]) -> None:
        """Offer more for a field whose choices are not all known beforehand.

        Parameters
        ----------
        name : str
            Of the field.
        choices : dict
            Value → text, after those of the form.
        """
        editor = self.editors[name]
        assert isinstance(editor, QComboBox)
        for value, text in choices.items():
            index = editor.findData(value)
            if index < 0:
                editor.addItem(text, value)
            else:
                editor.setItemText(index, text)

    def reset(self) -> None:
        """Back to the defaults."""
        self.set_value(self.kind())
        self.store()

    def store(self) -> None:
        """Keep what is filled in for the next session."""
        settings = _settings()
        settings.setValue(self.kind.__name__, json.dumps(asdict(self.value())))
        settings.sync()
        self.kept.setVisible(False)

    def restore(self) -> None:
        """Fill in what was kept in the last session, as far as it still fits."""
        text = _settings().value(self.kind.__name__, "{}")
        try:
            stored = json.loads(str(text))
        except json.JSONDecodeError:
            return
        if isinstance(stored, dict):
            self.set_value(from_stored(self.kind, stored))
        others = [
            f"{self._labels[name].text()}: {_shown(self.editors[name])}"
            for name in self._not_defaults()
        ]
        self.kept.setText(f"As last time: {'; '.join(others)}. Reset fills in the defaults.")
        self.kept.setVisible(bool(others))

    def _not_defaults(self) -> list[str]:
        filled, defaults = asdict(self.value()), asdict(self.kind())
        return [name for name, value in filled.items() if value != defaults[name]]

    def _changed(self, *_: Any) -> None:
        changed = self._not_defaults()
        for name, label in self._labels.items():
            font = label.font()
            if font.bold() != (name in changed):
                font.setBold(name in changed)
                label.setFont(font)
        self.changed.emit()


class _OpenBox(QComboBox):
    """Box whose choices are found out when they are asked for."""

    asked = Signal()

    def showPopup(self) -> None:  # noqa: N802
        self.asked.emit()
        super().showPopup()


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-dsfunet")


def _form_layout() -> QFormLayout:
    lines = QFormLayout()
    lines.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    lines.setContentsMargins(0, 0, 0, 0)
    return lines


def _editor(default: Any, limits: Any) -> QWidget:
    if isinstance(default, bool):
        box = QCheckBox()
        box.setChecked(default)
        return box
    if isinstance(default, str) and "choices" in limits:
        choice = _OpenBox() if limits.get("open") else QComboBox()
        # Long texts must not widen the dock.
        choice.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        choice.setMinimumContentsLength(10)
        for value, text in limits["choices"].items():
            choice.addItem(text, value)
        choice.setCurrentIndex(choice.findData(default))
        return choice
    if isinstance(default, str):
        line = QLineEdit(default)
        line.setPlaceholderText(limits.get("placeholder", ""))
        return line
    if limits.get("slider"):
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setDecimals(limits.get("decimals", 2))
        slider.setRange(limits.get("low", 0), limits["high"])
        slider.setSingleStep(limits.get("step", 0.01))
        slider.setValue(default)
        return slider
    spin: Any = QSpinBox() if isinstance(default, int) else QDoubleSpinBox()
    if isinstance(default, float):
        spin.setDecimals(limits.get("decimals", 2))
    spin.setRange(limits.get("low", 0), limits["high"])
    spin.setSingleStep(limits.get("step", 1))
    spin.setSuffix(limits.get("unit", ""))
    spin.setSpecialValueText(limits.get("special", ""))
    spin.setValue(default)
    return spin


def _signal(editor: Any) -> Any:
    if isinstance(editor, QCheckBox):
        return editor.toggled
    if isinstance(editor, QComboBox):
        return editor.currentIndexChanged
    return editor.textChanged if isinstance(editor, QLineEdit) else editor.valueChanged


def _shown(editor: Any) -> str:
    """What an editor shows, in words."""
    if isinstance(editor, QCheckBox):
        return "on" if editor.isChecked() else "off"
    if isinstance(editor, QComboBox):
        return editor.currentText()
    if isinstance(editor, QLineEdit):
        return editor.text() or "empty"
    if isinstance(editor, QLabeledDoubleSlider):
        return f"{read_editor(editor):g}"
    return str(editor.text())


def read_editor(editor: Any) -> Any:
    """What is filled in.

    Parameters
    ----------
    editor : QCheckBox, QComboBox, QLineEdit, spin box or slider
        Of a combo box the data of the chosen line.
    """
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    if isinstance(editor, QComboBox):
        return editor.currentData()
    if isinstance(editor, QLineEdit):
        return editor.text()
    # What was typed with few decimals comes back with their rounding, not with more.
    value = editor.value()
    return round(value, editor.decimals()) if isinstance(value, float) else value


def write_editor(editor: Any, value: Any) -> None:
    """Fill in.

    Parameters
    ----------
    editor : QCheckBox, QComboBox, QLineEdit, spin box or slider
        Where.
    value : object
        What :func:`read_editor` returned.
    """
    if isinstance(editor, QCheckBox):
        editor.setChecked(value)
    elif isinstance(editor, QComboBox):
        index = editor.findData(value)
        if index < 0 and isinstance(editor, _OpenBox):
            # Kept from another time; what is offered may come later.
            editor.addItem(value, value)
            index = editor.count() - 1
        if index >= 0:
            editor.setCurrentIndex(index)
    elif isinstance(editor, QLineEdit):
        editor.setText(value)
    else:
        editor.setValue(value)
