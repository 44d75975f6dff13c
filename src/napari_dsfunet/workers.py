"""Run the core beside the window, with progress and an end on demand."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Any

from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal

__all__ = ["Compute", "CoreWorker"]

# At exit Qt's objects are deleted; a thread that outlived them would take the process down
# with its last signal. napari waits, too, but only where its own event loop ran.
atexit.register(WorkerBase.await_workers)

#: Computation that takes the core's callback and cancel token.
Compute = Callable[[Callable[[int, int, str], None], threading.Event], Any]


class _CoreSignals(WorkerBaseSignals):
    progressed = Signal(int, int, str)  # step, total, what is being done


class CoreWorker(WorkerBase):
    """Worker that passes progress on and honours ``quit()`` in the middle of a computation.

    The core asks its cancel token between cycles, where a generator would have to yield.

    Parameters
    ----------
    compute : callable
        Takes the core's callback and cancel token.
    """

    def __init__(self, compute: Compute) -> None:
        super().__init__(SignalsClass=_CoreSignals)
        self.cancel = threading.Event()
        self._compute = compute

    def quit(self) -> None:
        """Ask the computation to stop."""
        self.cancel.set()
        super().quit()

    def work(self) -> Any:
        """Compute; called on the worker's thread."""
        return self._compute(self._report, self.cancel)

    def _report(self, step: int, total: int, message: str) -> None:
        if not self.abort_requested:
            self.signals.progressed.emit(step, total, message)
