"""Layers of a mask: one for each reason why measured pixels are not used.

A layer holds measured pixels only. Whatever is neither valid nor in a layer was never
measured, and no layer taken back can make it valid.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NEVER_MEASURED", "MaskLayers", "check_layers"]

#: What pixels are called that are neither valid nor in a layer.
NEVER_MEASURED = "never measured"

#: Names of layers are names in files, too.
_LAYER_NAME = re.compile(r"[^\W_][^/\0\n]*")


class MaskLayers:
    """What a plane can do with its ``valid`` and ``masks``."""

    if TYPE_CHECKING:

        @property
        def valid(self) -> NDArray[np.bool_]:
            """True where a pixel is used."""

        @property
        def masks(self) -> dict[str, NDArray[np.bool_]]:
            """Layers by reason, True = out."""

        @property
        def name(self) -> str:
            """What to call the plane."""

        def replace(self, **changes: Any) -> Self:
            """Copy with some fields changed."""

    @property
    def measured(self) -> NDArray[np.bool_]:
        """True where a pixel was measured, masked or not, shape (n_rows, n_columns)."""
        measured = np.array(self.valid, dtype=bool)
        for layer in self.masks.values():
            measured |= layer
        return measured

    def masked(self, keep: NDArray[np.bool_], reason: str = "mask") -> Self:
        """Copy in which only pixels with ``keep`` stay valid.

        Parameters
        ----------
        keep : ndarray of bool, shape (n_rows, n_columns)
            False where a pixel is to be masked.
        reason : str
            Name of the layer in ``masks`` that the pixels are added to.

        Returns
        -------
        Self
            The layer holds every pixel that was measured and is not kept, those too that
            were out for another reason before.

        Raises
        ------
        GeometryError
            If ``keep`` has another shape than the plane.
        ParameterError
            If the name is not fit for a layer.
        """
        keep = np.asarray(keep, dtype=bool)
        if keep.shape != np.shape(self.valid):
            raise GeometryError(
                f"keep has shape {keep.shape}, but the plane has {np.shape(self.valid)}; "
                "they must agree pixel by pixel."
            )
        layer = self.measured & ~keep
        if reason in self.masks:
            layer |= self.masks[reason]
        return self.replace(valid=self.valid & keep, masks={**self.masks, reason: layer})

    def unmasked(self, reason: str, where: NDArray[np.bool_] | None = None) -> Self:
        """Copy in which pixels masked for a reason are valid again.

        A pixel comes back only if no other layer holds it.

        Parameters
        ----------
        reason : str
            Name of a layer in ``masks``.
        where : ndarray of bool, shape (n_rows, n_columns), optional
            Which of its pixels to take back; the whole layer, and its name, when left out.

        Returns
        -------
        Self
            Pixels that were never measured stay out.

        Raises
        ------
        ParameterError
            If there is no such layer.
        """
        if reason not in self.masks:
            known = ", ".join(map(repr, self.masks)) or "none"
            raise ParameterError(
                f"plane {self.name!r} has no mask layer {reason!r}; its layers: {known}."
            )
        layer = self.masks[reason]
        back = layer if where is None else layer & np.asarray(where, dtype=bool)
        masks = {k: m for k, m in self.masks.items() if k != reason}
        elsewhere = np.zeros_like(self.valid, dtype=bool)
        for other in masks.values():
            elsewhere |= other
        if where is not None:
            masks = {k: m & ~back if k == reason else m for k, m in self.masks.items()}
        return self.replace(valid=self.valid | (back & ~elsewhere), masks=masks)

    def pixels_out(self) -> dict[str, int]:
        """How many pixels are out for which reason.

        Returns
        -------
        dict of str to int
            ``"never measured"`` first, then the layers of ``masks``. A pixel in two layers
            counts in both.
        """
        layers = {name: int(layer.sum()) for name, layer in self.masks.items()}
        return {NEVER_MEASURED: int((~self.measured).sum()), **layers}


def check_layers(
    masks: dict[str, NDArray[np.bool_]], valid: NDArray[np.bool_], plane: str
) -> None:
    """Refuse layers that cannot be.

    Parameters
    ----------
    masks : dict of str to ndarray of bool
        Layers by reason.
    valid : ndarray of bool, shape (n_rows, n_columns)
        Pixels that are used.
    plane : str
        Name of the plane, for the errors.

    Raises
    ------
    ParameterError
        If a name is not fit for a layer.
    GeometryError
        If a layer has another shape or type, or holds pixels that are valid.
    """
    shape = np.shape(valid)
    for name, layer in masks.items():
        if not _LAYER_NAME.fullmatch(name) or name == NEVER_MEASURED:
            raise ParameterError(
                f"a mask layer cannot be called {name!r}; use a few words without '/' "
                f"that begin with a letter or digit, other than {NEVER_MEASURED!r}."
            )
        if np.shape(layer) != shape or np.asarray(layer).dtype != np.bool_:
            raise GeometryError(
                f"mask layer {name!r} has shape {np.shape(layer)} and type "
                f"{np.asarray(layer).dtype}; bool of shape {shape} was expected."
            )
        both = int((layer & valid).sum())
        if both:
            raise GeometryError(
                f"{both} pixels of plane {plane!r} are valid and in the mask layer {name!r} at "
                f"once; take it back with plane.unmasked({name!r}) instead of setting valid."
            )
