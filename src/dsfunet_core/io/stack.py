"""Images that lie above each other as the layers of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError
from dsfunet_core.io.hdf5 import LazyArray, selection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["ImageStack"]


class ImageStack(LazyArray):
    """Images as layers along the first axis, each read when it is needed.

    Parameters
    ----------
    names : sequence of str
        What to call each of them in an error.
    load : callable
        Gives pixels and dead pixels (or None) of an image by its number. Dead ones are NaN.
    first : ndarray, shape (n_rows, n_columns)
        The first image, whose shape the others must have.
    """

    def __init__(
        self,
        names: Sequence[str],
        load: Callable[[int], tuple[NDArray[Any], NDArray[np.bool_] | None]],
        first: NDArray[Any],
    ) -> None:
        kind = first.dtype if first.dtype.kind == "f" else np.float64
        super().__init__((len(names), *first.shape), kind)
        self.names, self.load = list(names), load

    def __getitem__(self, key: Any) -> NDArray[Any]:
        (layers, *within), flips, _ = selection(key, self.shape)
        if isinstance(layers, int):
            return self._image(layers, within)[flips]
        wanted = range(*layers.indices(self.shape[0]))
        parts = [self._image(i, within) for i in wanted]
        empty = np.empty((0, *self._image(0, within).shape), self.dtype) if not parts else None
        return (np.stack(parts) if empty is None else empty)[flips]

    def _image(self, number: int, within: list[int | slice]) -> NDArray[Any]:
        values, dead = self.load(number)
        if values.shape != self.shape[1:]:
            raise FileFormatError(
                f"{self.names[number]} has {values.shape} pixels, but {self.names[0]} has "
                f"{self.shape[1:]}; layers of a volume must be alike."
            )
        image = values.astype(self.dtype)
        if dead is not None:
            image[dead] = np.nan
        return image[tuple(within)]
