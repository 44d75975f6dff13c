"""Volumes that are masked slab by slab: what is read, and what is out so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.lattice import q_matrix
from dsfunet_core.masking.noise import NoiseModel, noise_model
from dsfunet_core.plane import ReciprocalPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["MaskedVolume", "Tiled"]

Callback = Callable[[int, int, str], None]

#: Bytes that a voxel of a slab takes while it is looked at.
_BYTES = 24
#: Voxels that are read at once.
_AT_ONCE = 2**22
#: Edge of the tiles within a slab [voxels].
_EDGE = 64
#: Layers that the noise of a volume is measured in.
_LAYERS = 16
#: Packed chunks are so deep, and slabs at most so deep.
_CHUNK, _DEEPEST = 32, 64


@dataclass
class Tiled:
    """A slab with a margin.

    Parameters
    ----------
    values : ndarray, shape (n, n1, n2)
        Intensities, NaN where a voxel is not used.
    variance : ndarray or None, shape (n, n1, n2)
        Known variances.
    core : slice
        Of the first axis: what belongs to the slab itself.
    start : int
        Index in the volume of the first layer of ``values``.
    """

    values: NDArray[np.float64]
    variance: NDArray[np.float64] | None
    core: slice
    start: int

    def tiles(self, margin: int) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Cut the two other axes, too.

        Parameters
        ----------
        margin : int
            Voxels around each tile.

        Yields
        ------
        outer, inner : tuple of slice
            Tile with its margin in the slab, and what of it is no margin.
        """
        for low in product(*[range(0, n, _EDGE) for n in self.values.shape[1:]]):
            outer, inner = [slice(None)], [self.core]
            for first, n in zip(low, self.values.shape[1:], strict=True):
                begin, end = max(first - margin, 0), min(first + _EDGE + margin, n)
                outer.append(slice(begin, end))
                inner.append(slice(first - begin, min(first + _EDGE, n) - begin))
            yield tuple(outer), tuple(inner)


@dataclass
class MaskedVolume:
    """A volume and the layers of its mask that are being made.

    Parameters
    ----------
    volume : ReciprocalVolume
        Read a slab at a time.
    voxels : int
        How many voxels of a slab there is memory for.
    layers : dict
        Layers so far, sliced like arrays.
    """

    volume: ReciprocalVolume
    voxels: int
    layers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def within(cls, volume: ReciprocalVolume, max_memory: float) -> MaskedVolume:
        """Volume that is looked at within some memory.

        Parameters
        ----------
        volume : ReciprocalVolume
            The volume.
        max_memory : float
            What the arrays worked on may take [GiB].
        """
        if not (np.isfinite(max_memory) and max_memory > 0):
            raise ParameterError(f"max_memory={max_memory}; more than 0 GiB was expected.")
        return cls(volume, int(max_memory * 2**30 / _BYTES), dict(volume.masks))

    def slabs(self, margin: int = 0) -> list[slice]:
        """Cut the first axis so that every piece fits into memory, margins included.

        Parameters
        ----------
        margin : int
            Layers read on both sides of each piece.

        Raises
        ------
        ParameterError
            If there is not even memory for one layer and its margins.
        """
        n0, n1, n2 = self.volume.shape
        wide = min(2 * margin, n0 - 1)
        deep = min(self.voxels // (n1 * n2) - wide, _DEEPEST)
        if deep < 1:
            needed = (wide + 1) * n1 * n2 * _BYTES / 2**30
            raise ParameterError(
                f"{wide + 1} layers of {n1} × {n2} voxels are looked at at once, which takes "
                f"{needed:.2g} GiB, more than max_memory allows; raise it."
            )
        if deep > _CHUNK:
            deep -= deep % _CHUNK
        return [slice(a, min(a + deep, n0)) for a in range(0, n0, deep)]

    def blocks(
        self, part: slice
    ) -> Iterator[tuple[slice, dict[str, NDArray | None], NDArray[np.bool_]]]:
        """Read a slab in pieces.

        Parameters
        ----------
        part : slice
            Of the first axis.

        Yields
        ------
        piece : slice
            Of the first axis.
        block : dict
            As :meth:`ReciprocalVolume.block` gives.
        used : ndarray of bool, shape (n, n1, n2)
            What is measured and in no layer so far.
        """
        _, n1, n2 = self.volume.shape
        deep = max(1, _AT_ONCE // (n1 * n2))
        for start in range(part.start, part.stop, deep):
            piece = slice(start, min(start + deep, part.stop))
            block = self.volume.block((piece, slice(None), slice(None)))
            assert block["valid"] is not None
            used = np.array(block["valid"])
            for layer in self.layers.values():
                used &= ~np.asarray(layer[piece], dtype=bool)
            yield piece, block, used

    def measured(self, part: slice) -> NDArray[np.bool_]:
        """Voxels that were measured, masked or not.

        Parameters
        ----------
        part : slice
            Of the first axis.

        Returns
        -------
        ndarray of bool, shape (n, n1, n2)
            False where never measured.
        """
        pieces = []
        for piece, block, _ in self.blocks(part):
            assert block["valid"] is not None
            measured = np.array(block["valid"])
            for layer in self.volume.masks.values():
                measured |= np.asarray(layer[piece], dtype=bool)
            pieces.append(measured)
        return np.concatenate(pieces)

    def read(self, part: slice, margin: int = 0) -> Tiled:
        """One slab with margins, as far as the volume reaches.

        Parameters
        ----------
        part : slice
            Of the first axis.
        margin : int
            Layers on both sides.
        """
        n0, n1, n2 = self.volume.shape
        outer = slice(max(part.start - margin, 0), min(part.stop + margin, n0))
        values = np.empty((outer.stop - outer.start, n1, n2))
        variance = None if self.volume.variance is None else np.empty_like(values)
        for piece, block, used in self.blocks(outer):
            here = slice(piece.start - outer.start, piece.stop - outer.start)
            intensity = block["intensity"]
            assert intensity is not None
            values[here] = np.where(used, intensity, np.nan)
            if variance is not None:
                variance[here] = block["variance"]
        core = slice(part.start - outer.start, part.stop - outer.start)
        return Tiled(values, variance, core, outer.start)

    def noise(self, without: tuple[float, ...] = ()) -> tuple[NoiseModel, float]:
        """Noise, measured in layers evenly spaced, and the mean intensity of these.

        Parameters
        ----------
        without : tuple of float
            Voxels of these values are left out.

        Returns
        -------
        noise : NoiseModel
            Medians over the layers; known variances are not looked at.
        typical : float
            Mean of all voxels used, the brightest twentieth cut to its least.
        """
        n0 = self.volume.shape[0]
        found, lit = [], []
        for i in np.unique(np.linspace(0, n0 - 1, min(_LAYERS, n0)).round().astype(int)):
            values = self.read(slice(int(i), int(i) + 1)).values[0]
            valid = np.isfinite(values) & ~np.isin(values, without)
            if not valid.any():
                continue
            one = noise_model(ReciprocalPlane(np.where(valid, values, 0.0), valid))
            if one.constant > 0 or one.gain > 0:
                found.append((one.constant, one.gain))
            lit.append(values[valid])
        if not lit:
            return NoiseModel(0.0, 0.0), 0.0
        every = np.concatenate(lit)
        typical = float(np.minimum(every, np.quantile(every, 0.95)).mean())
        if not found:
            return NoiseModel(0.0, 0.0), typical
        constant, gain = np.median(np.array(found), axis=0)
        return NoiseModel(float(constant), float(gain)), typical

    def q(self, layer: int, step: int = 1) -> NDArray[np.float64]:
        """Scattering vectors of one layer [Å⁻¹], 2π included, shape (m1, m2, 3).

        Parameters
        ----------
        layer : int
            Index along the first axis.
        step : int
            Along the two others every so many voxels.
        """
        _, n1, n2 = self.volume.shape
        rows, columns = np.meshgrid(
            np.arange(0, n1, step), np.arange(0, n2, step), indexing="ij"
        )
        index = np.stack([np.full_like(rows, layer), rows, columns], axis=-1)
        return np.asarray(self.volume.hkl(index) @ q_matrix(self.volume.cell).T)
