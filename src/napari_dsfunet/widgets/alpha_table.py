"""Table of the Warren–Cowley parameters of a volume, to be read and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTableWidgetItem

from dsfunet_core.refine.alpha_table import with_uncertainty
from napari_dsfunet.widgets.headed_table import HeadedTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.refine.alpha_table import AlphaByOrbit

__all__ = ["AlphaTable"]

#: Headings, and what they mean.
COLUMNS = {
    "vector": "Vector between two cells, one of its orbit.",
    "mult.": "Number of symmetry-equivalent vectors.",
    "|v| (Å)": "Length of the vector.",
    "α": "Warren–Cowley parameter; in brackets its standard uncertainty in the last digits.",
    "σ": "Standard uncertainty.",
    "|α|/σ": "How far it stands out of its uncertainty.",
    "known": "Known value, where one is loaded.",
    "Δ/σ": "Difference from the known value in standard uncertainties.",
}
VECTOR, MULTIPLICITY, LENGTH, ALPHA, SIGMA, RATIO, KNOWN, OFF = range(len(COLUMNS))


class AlphaTable(HeadedTable):
    """One line an orbit, the shortest first; a click on a heading sorts by it."""

    def __init__(self) -> None:
        super().__init__(COLUMNS)
        self.setEditTriggers(HeadedTable.EditTrigger.NoEditTriggers)
        self.setMinimumHeight(220)
        self.setColumnHidden(KNOWN, True)
        self.setColumnHidden(OFF, True)

    def show_result(
        self, result: AlphaByOrbit, reference: NDArray[np.float64] | None = None
    ) -> None:
        """Fill in parameters.

        Parameters
        ----------
        result : AlphaByOrbit
            One row an orbit.
        reference : ndarray, shape (n,), optional
            Known values, NaN where there is none.
        """
        known = np.full(len(result.orbits), np.nan) if reference is None else reference
        # Rows would move while they are being filled.
        self.setSortingEnabled(False)
        self.setRowCount(len(result.orbits))
        rows = zip(result.orbits, result.alpha, result.sigma, known, strict=True)
        for row, (orbit, alpha, sigma, true) in enumerate(rows):
            ratio = abs(alpha) / sigma if sigma > 0 else np.inf
            off = (alpha - true) / sigma if sigma > 0 else np.nan
            cells: list[tuple[str, float]] = [
                (orbit.label, orbit.length),
                (str(orbit.multiplicity), orbit.multiplicity),
                (f"{orbit.length:.2f}", orbit.length),
                (with_uncertainty(alpha, sigma), alpha),
                (f"{sigma:.2g}", sigma),
                (f"{ratio:.1f}", ratio),
                (f"{true:.4f}" if np.isfinite(true) else "", true),
                (f"{off:+.1f}" if np.isfinite(off) else "", off),
            ]
            for column, (text, key) in enumerate(cells):
                self.setItem(row, column, _Cell(text, float(key)))
        for column in (KNOWN, OFF):
            self.setColumnHidden(column, reference is None)
        self.setSortingEnabled(True)
        # Once, at the end: headers that follow their contents measure all rows at every item,
        # which takes minutes for 665 of them.
        self.resizeColumnsToContents()
        self.sortByColumn(LENGTH, Qt.SortOrder.AscendingOrder)


class _Cell(QTableWidgetItem):
    """Text that is sorted by a number."""

    def __init__(self, text: str, key: float) -> None:
        super().__init__(text)
        self.key = key if np.isfinite(key) or key == np.inf else -np.inf
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self.key < other.key if isinstance(other, _Cell) else False
