"""What tables of Warren–Cowley parameters have in common."""

from __future__ import annotations

from qtpy.QtWidgets import QTableWidget

__all__ = ["HeadedTable"]


class HeadedTable(QTableWidget):
    """Rows that are chosen as a whole, under headings that explain themselves.

    Parameters
    ----------
    columns : dict of str
        Headings, and what they mean.
    """

    def __init__(self, columns: dict[str, str]) -> None:
        super().__init__(0, len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        for column, tip in enumerate(columns.values()):
            item = self.horizontalHeaderItem(column)
            assert item is not None
            item.setToolTip(tip)
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        rows = self.verticalHeader()
        assert rows is not None
        rows.setVisible(False)
        rows.setDefaultSectionSize(22)
