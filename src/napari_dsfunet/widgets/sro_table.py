"""Table of Warren–Cowley parameters in which they can be held, changed and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidgetItem

from dsfunet_core.refine.alpha_table import with_uncertainty
from napari_dsfunet.widgets.headed_table import HeadedTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dsfunet_core.refine.result import SroRefinement
    from dsfunet_core.symmetry import Orbit

__all__ = ["SroTable"]

Vector = tuple[int, int, int]
#: Headings, and what they mean.
COLUMNS = {
    "refine": "Take the tick away to hold α at the value that stands there.",
    "vector": "Vector between two cells, one of its orbit.",
    "mult.": "Number of symmetry-equivalent vectors.",
    "|v| (Å)": "Length of the vector.",
    "α": "Warren–Cowley parameter; type a value to hold it there.",
    "σ": "Standard uncertainty.",
    "known": "Known value, where one is loaded.",
    "min": "Lowest allowed α.",
    "max": "Highest allowed α.",
}
_REFINE, _VECTOR, _MULTIPLICITY, _LENGTH, _ALPHA, _SIGMA, _KNOWN, _MIN, _MAX = range(
    len(COLUMNS)
)


class SroTable(HeadedTable):
    """One line an orbit.

    ``edited`` is emitted when the user holds, frees, changes or bounds a parameter.
    """

    edited = Signal()

    def __init__(self) -> None:
        super().__init__(COLUMNS)
        self.setSelectionMode(HeadedTable.SelectionMode.SingleSelection)
        self.setMinimumHeight(190)
        columns = self.horizontalHeader()
        assert columns is not None
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self._orbits: tuple[Orbit, ...] = ()
        self._held: dict[Vector, float] = {}
        self._limits: dict[Vector, tuple[float, float]] = {}
        self._filling = False
        self.itemChanged.connect(self._changed)

    def fixed(self, orbits: Sequence[Orbit]) -> dict[Vector, float]:
        """Vector → α that is held.

        Parameters
        ----------
        orbits : sequence of Orbit
            What counts; others may be held for when they come back.
        """
        shown = {orbit.representative for orbit in orbits}
        return {v: x for v, x in self._held.items() if v in shown}

    def bounds(self, orbits: Sequence[Orbit]) -> NDArray[np.float64] | None:
        """Lowest and highest α; None where nothing is bounded.

        Parameters
        ----------
        orbits : sequence of Orbit
            Of which the bounds are asked.

        Returns
        -------
        ndarray, shape (n, 2), or None
            Infinite where there is no bound.
        """
        limits = [self._limits.get(o.representative, (-np.inf, np.inf)) for o in orbits]
        return np.array(limits) if np.isfinite(limits).any() else None

    def vector(self, row: int) -> Vector:
        """Vector of a row.

        Parameters
        ----------
        row : int
            From 0.
        """
        return self._orbits[row].representative

    def hold(self, row: int, value: float) -> None:
        """Hold a parameter, as typing a value does.

        Parameters
        ----------
        row : int
            From 0.
        value : float
            α.
        """
        self._held[self.vector(row)] = value
        self.edited.emit()

    def free_all(self) -> None:
        """Refine everything again, without bounds."""
        self._held.clear()
        self._limits.clear()
        self.edited.emit()

    def constraints(self) -> dict[str, Any]:
        """What is held and bounded, in types that JSON knows."""
        return {
            "fixed": [[*v, value] for v, value in self._held.items()],
            # JSON has no infinity.
            "bounds": [
                [*v, *(x if np.isfinite(x) else None for x in limits)]
                for v, limits in self._limits.items()
            ],
        }

    def set_constraints(self, constraints: dict[str, Any]) -> None:
        """Take over what :meth:`constraints` returned.

        Parameters
        ----------
        constraints : dict
            ``fixed`` and ``bounds``.
        """
        self._held = {(u, v, w): float(x) for u, v, w, x in constraints.get("fixed", [])}
        self._limits = {
            (u, v, w): (
                -np.inf if low is None else float(low),
                np.inf if high is None else float(high),
            )
            for u, v, w, low, high in constraints.get("bounds", [])
        }

    def show_fit(self, fit: SroRefinement, reference: NDArray[np.float64] | None) -> None:
        """Fill in a refinement.

        Parameters
        ----------
        fit : SroRefinement
            One row an orbit.
        reference : ndarray, shape (n,), optional
            Known values, NaN where there is none.
        """
        self._filling = True
        model = self.model()
        assert model is not None
        try:
            if [o.label for o in self._orbits] != [o.label for o in fit.orbits]:
                self._make_rows(fit)
            self._orbits = fit.orbits
            held = self._held
            # Else the view measures all its columns anew after every text.
            model.blockSignals(True)
            for row, (orbit, alpha, sigma) in enumerate(
                zip(fit.orbits, fit.alpha, fit.sigma, strict=True)
            ):
                vector = orbit.representative
                free = vector not in held
                checked = Qt.CheckState.Checked if free else Qt.CheckState.Unchecked
                self._item(row, _REFINE).setCheckState(checked)
                value = with_uncertainty(alpha, sigma)
                if fit.at_bound[row]:
                    value += " at its bound"
                self._item(row, _ALPHA).setText(value if free else f"{alpha:.4f}")
                self._item(row, _SIGMA).setText(f"{sigma:.4f}" if sigma > 0 else "–")
                low, high = self._limits.get(vector, (-np.inf, np.inf))
                self._item(row, _MIN).setText(f"{low:g}" if np.isfinite(low) else "")
                self._item(row, _MAX).setText(f"{high:g}" if np.isfinite(high) else "")
                known = np.nan if reference is None else reference[row]
                self._item(row, _KNOWN).setText(f"{known:.4f}" if np.isfinite(known) else "")
            model.blockSignals(False)
            self.setColumnHidden(_KNOWN, reference is None)
            last = model.index(self.rowCount() - 1, self.columnCount() - 1)
            model.dataChanged.emit(model.index(0, 0), last)
        finally:
            model.blockSignals(False)
            self._filling = False

    def clear_rows(self) -> None:
        """Empty the table; what is held and bounded is kept for the next one."""
        self._filling = True
        self.setRowCount(0)
        self._orbits = ()
        self._filling = False

    def _make_rows(self, fit: SroRefinement) -> None:
        self.setRowCount(len(fit.orbits))
        for row, orbit in enumerate(fit.orbits):
            known = orbit.length == orbit.length  # NaN without a cell
            texts = {
                _VECTOR: orbit.label,
                _MULTIPLICITY: str(orbit.multiplicity),
                _LENGTH: f"{orbit.length:.2f}" if known else "–",
            }
            for column in range(len(COLUMNS)):
                item = QTableWidgetItem(texts.get(column, ""))
                flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
                if column == _REFINE:
                    flags |= Qt.ItemFlag.ItemIsUserCheckable
                if column in (_ALPHA, _MIN, _MAX):
                    flags |= Qt.ItemFlag.ItemIsEditable
                item.setFlags(flags)
                self.setItem(row, column, item)

    def _item(self, row: int, column: int) -> QTableWidgetItem:
        item = self.item(row, column)
        assert item is not None
        return item

    def _changed(self, item: QTableWidgetItem) -> None:
        if self._filling:
            return
        row, column = item.row(), item.column()
        vector = self.vector(row)
        if column == _REFINE:
            if item.checkState() == Qt.CheckState.Checked:
                self._held.pop(vector, None)
            else:
                self._held[vector] = _number(self._item(row, _ALPHA).text()) or 0.0
        elif column == _ALPHA:
            value = _number(item.text())
            if value is not None:
                self._held[vector] = value
        else:
            low, high = (_number(self._item(row, c).text()) for c in (_MIN, _MAX))
            limits = (-np.inf if low is None else low, np.inf if high is None else high)
            if limits == (-np.inf, np.inf):
                self._limits.pop(vector, None)
            else:
                self._limits[vector] = limits
        self.edited.emit()


def _number(text: str) -> float | None:
    """Number at the start of a text, without its uncertainty; None where there is none."""
    bare = text.partition("(")[0].partition(" ")[0].strip().replace(",", ".")
    try:
        value = float(bare.replace("−", "-"))
    except ValueError:
        return None
    return value if np.isfinite(value) else None
