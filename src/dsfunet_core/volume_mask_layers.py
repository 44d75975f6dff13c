"""Mask layers of volumes: why a voxel is out, counted and taken back without loading them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.mask_layers import NEVER_MEASURED

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VolumeMaskLayers"]

#: Voxels that are looked at at once.
_AT_ONCE = 2**23


class VolumeMaskLayers:
    """What a volume can do with its ``mask`` and ``masks``."""

    if TYPE_CHECKING:
        mask: Any
        masks: dict[str, Any]
        name: str

        @property
        def shape(self) -> tuple[int, int, int]:
            """Voxels along each array axis."""

        def block(self, slices: tuple[slice, slice, slice]) -> dict[str, NDArray | None]:
            """One block in memory."""

        def replace(self, **changes: Any) -> Self:
            """Copy with some fields changed."""

    def layered(
        self,
    ) -> Iterator[tuple[slice, NDArray[np.bool_], dict[str, NDArray[np.bool_]]]]:
        """What is used and what is in which layer, a slab at a time.

        Yields
        ------
        slab : slice
            Of the first array axis.
        valid : ndarray of bool, shape (n, n1, n2)
            Voxels that are used.
        layers : dict of str to ndarray of bool, shape (n, n1, n2)
            Layers by reason.
        """
        deep = max(1, _AT_ONCE // max(self.shape[1] * self.shape[2], 1))
        for start in range(0, self.shape[0], deep):
            slab = slice(start, min(start + deep, self.shape[0]))
            valid = self.block((slab, slice(None), slice(None)))["valid"]
            assert valid is not None
            layers = {n: np.asarray(layer[slab], bool) for n, layer in self.masks.items()}
            yield slab, valid, layers

    def voxels_out(self) -> dict[str, int]:
        """How many voxels are out for which reason; reads the volume a slab at a time.

        Returns
        -------
        dict of str to int
            ``"never measured"`` first, then the layers of ``masks``. A voxel in two layers
            counts in both.
        """
        out = dict.fromkeys((NEVER_MEASURED, *self.masks), 0)
        for _, valid, layers in self.layered():
            measured = valid.copy()
            for name, layer in layers.items():
                out[name] += int(layer.sum())
                measured |= layer
            out[NEVER_MEASURED] += int((~measured).sum())
        return out

    def unmasked(self, reason: str) -> Self:
        """Copy in which voxels masked for a reason are used again.

        A voxel comes back only if no other layer holds it.

        Parameters
        ----------
        reason : str
            Name of a layer in ``masks``.

        Returns
        -------
        Self
            Reads its mask where it is sliced.

        Raises
        ------
        ParameterError
            If there is no such layer.
        """
        if reason not in self.masks:
            known = ", ".join(map(repr, self.masks)) or "none"
            raise ParameterError(
                f"volume {self.name!r} has no mask layer {reason!r}; its layers: {known}."
            )
        others = {name: layer for name, layer in self.masks.items() if name != reason}
        back = _Remaining(self.mask, self.masks[reason], list(others.values()))
        return self.replace(mask=back, masks=others)


class _Remaining:
    """Mask without one layer, but for what other layers hold; read where it is sliced."""

    def __init__(self, mask: Any, layer: Any, others: list[Any]) -> None:
        self.mask, self.layer, self.others = mask, layer, others
        self.shape, self.dtype = tuple(mask.shape), np.dtype(bool)
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        back = np.array(self.layer[key], dtype=bool)
        for other in self.others:
            back &= ~np.asarray(other[key], dtype=bool)
        return np.asarray(self.mask[key], dtype=bool) & ~back

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("this mask is read from a file, so it is always a copy.")
        return np.asarray(self[...], dtype=dtype)
