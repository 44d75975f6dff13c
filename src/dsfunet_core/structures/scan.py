"""Scan one move of a structure against a measured form factor: Fig. 5(b) of the paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.structures.calculate import Amplitude
from dsfunet_core.structures.compare import Comparison, ScaleFit, Target, comparison
from dsfunet_core.structures.moves import displaced
from dsfunet_core.structures.refine import refine_structure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dsfunet_core.structures.model import DisorderModel
    from dsfunet_core.structures.moves import Move

__all__ = ["Minimum", "Scan", "scan"]


@dataclass(frozen=True)
class Minimum:
    """A minimum of a scan.

    Parameters
    ----------
    value, sigma : float
        Where it is, and its standard uncertainty, in the unit of the move.
    mse, cost : float
        Mean square difference on the paper's scale and relative cost there.
    debye_waller : float
        D_w there [Å²].
    """

    value: float
    sigma: float
    mse: float
    cost: float
    debye_waller: float


@dataclass(frozen=True, eq=False)
class Scan:
    """Agreement as a function of one move.

    Parameters
    ----------
    move : Move
        What was moved.
    values : ndarray, shape (n,)
        By how much, in the unit of the move.
    mse : ndarray, shape (n,)
        Mean square difference, each image scaled to [−1, 1].
    cost : ndarray, shape (n,)
        Weighted mean square of the difference over that of the target, minimised by the
        scale and D_w.
    scale, debye_waller : ndarray, shape (n,)
        k and D_w [Å²] at each value.
    minima : tuple of Minimum
        The deepest first.
    """

    move: Move
    values: NDArray[np.float64]
    mse: NDArray[np.float64]
    cost: NDArray[np.float64]
    scale: NDArray[np.float64]
    debye_waller: NDArray[np.float64]
    minima: tuple[Minimum, ...]

    def to_csv(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the curve as a table of comma-separated values.

        Parameters
        ----------
        path : path-like
            File to write: value, MSE, cost, k, D_w.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        ParameterError
            If it exists and ``overwrite`` is False.
        """
        from dsfunet_core.io.files import replacing

        rows = [f"{self.move.name} [{self.move.unit}],mse,cost,scale,debye_waller [A^2]"]
        columns = (self.values, self.mse, self.cost, self.scale, self.debye_waller)
        for row in zip(*columns, strict=True):
            rows.append(",".join(f"{value:.8g}" for value in row))
        with replacing(path, overwrite=overwrite) as temporary:
            temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")


class Scanner:
    """Calculates a structure at one value of a move after the other.

    Only what moves is calculated again. For a slider: `at` takes some milliseconds.

    Parameters
    ----------
    target : Target
        What was measured.
    model : DisorderModel
        The structure where the move is 0.
    move : Move
        What is moved.
    debye_waller : float, optional
        D_w [Å²] to hold; refined at every value when left out.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    """

    def __init__(
        self,
        target: Target,
        model: DisorderModel,
        move: Move,
        *,
        debye_waller: float | None = None,
        radiation: str = "xray",
    ) -> None:
        self.target, self.model, self.move = target, model, move
        self.fit = ScaleFit(target, debye_waller)
        self._amplitude = Amplitude(target.plane, radiation=radiation)
        self._amplitude.require_contrast(model)
        still = np.setdiff1d(np.arange(len(model.occupancy)), move.atoms)
        self._still = self._amplitude(model, still)

    def square(self, value: float) -> NDArray[np.floating]:
        """|ΔF|² at a value of the move, shape (n_rows, n_columns)."""
        amplitude = self._still + self._amplitude(self.moved(value), self.move.atoms)
        return np.asarray(amplitude.real**2 + amplitude.imag**2)

    def moved(self, value: float) -> DisorderModel:
        """Structure at a value of the move."""
        return displaced(self.model, [self.move], [value])

    def at(self, value: float) -> Comparison:
        """Comparison at a value of the move."""
        square = self.square(value)
        scale, damping, _ = self.fit.solve(square)
        return comparison(self.target, self.fit, square, scale, damping)


def scan(
    target: Target,
    model: DisorderModel,
    move: Move,
    values: ArrayLike,
    *,
    debye_waller: float | None = None,
    radiation: str = "xray",
    callback: Callable[[int, int, str], None] | None = None,
) -> Scan:
    """Move a part of a structure step by step and compare each step with the target.

    Parameters
    ----------
    target : Target
        What was measured, see `Target.form_factor`.
    model : DisorderModel
        The structure where the move is 0.
    move : Move
        What is moved, see `torsion`.
    values : array_like, shape (n,)
        Values of the move, rising, in its unit (degrees for rotations).
    debye_waller : float, optional
        D_w [Å²] to hold; refined at every value when left out.
    radiation : {"xray", "neutron", "electron"}
        What scatters.
    callback : callable, optional
        Called with (step, total, message); an exception raised there ends the scan.

    Returns
    -------
    Scan
        With every minimum inside the range, refined off the grid, and its uncertainty,
        which counts neighbouring pixels as erring together.

    Raises
    ------
    ParameterError
        If the values do not rise, or the structure does not scatter on this plane.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 3 or not (np.diff(values) > 0).all():
        raise ParameterError(
            f"values has shape {values.shape}; at least three rising numbers were expected."
        )
    scanner = Scanner(target, model, move, debye_waller=debye_waller, radiation=radiation)
    live = target.weight > 0
    q2 = (target.plane.q_norm() ** 2).astype(np.float32)
    reference = _scaled(target.intensity[live])
    rows = []
    for number, value in enumerate(values):
        if callback is not None:
            callback(number, len(values), f"{move.name} {value:g} {move.unit}")
        square = scanner.square(float(value))
        scale, damping, cost = scanner.fit.solve(square)
        calculated = square * np.exp(np.float32(-damping) * q2)
        if target.order is not None:
            calculated = calculated * target.order
        mse = float(np.mean((_scaled(calculated[live]) - reference) ** 2))
        rows.append((mse, cost, scale, damping))
    mse, cost, scale, damping = np.array(rows).T
    minima = []
    for i in range(1, len(values) - 1):
        if cost[i] < cost[i - 1] and cost[i] <= cost[i + 1]:
            minima.append(
                _refined(target, model, move, float(values[i]), debye_waller, radiation)
            )
    minima.sort(key=lambda minimum: minimum.cost)
    return Scan(move, values, mse, cost, scale, damping, tuple(minima))


def _scaled(image: NDArray) -> NDArray:
    low, high = image.min(), image.max()
    return (image - low) * (2 / max(high - low, 1e-30)) - 1


def _refined(
    target: Target,
    model: DisorderModel,
    move: Move,
    value: float,
    debye_waller: float | None,
    radiation: str,
) -> Minimum:
    """Minimum near a point of the grid."""
    fit = refine_structure(
        target,
        model,
        [move],
        [value],
        debye_waller=debye_waller,
        contacts=False,
        radiation=radiation,
    )
    found = fit.comparison
    return Minimum(
        float(fit.values[0]), float(fit.sigma[0]), found.mse, found.cost, found.debye_waller
    )
