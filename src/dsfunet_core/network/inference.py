"""A network at work on planes of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from dsfunet_core.errors import ParameterError
from dsfunet_core.metrics import root_scaled
from dsfunet_core.network.losses import linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = ["SIZE", "factorize_images"]

#: Edge of the planes a network was trained on [pixels].
SIZE = 256


def _resized(image: NDArray, valid: NDArray[np.bool_], size: tuple[int, int]) -> tuple:
    """Image and mask on another grid; no dead pixel leaks into a live one."""
    pair = torch.from_numpy(np.stack([np.where(valid, image, 0), valid]).astype(np.float32))
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    pair = functional.interpolate(
        pair[None], size=size, mode="bilinear", antialias=shrinks, align_corners=False
    )[0]
    share = pair[1].numpy()
    live = share > 0.5
    return np.where(live, pair[0].numpy() / np.maximum(share, 1e-6), 0), live


def _target_size(shape: tuple[int, int]) -> tuple[int, int]:
    scale = SIZE / max(shape)
    rows, columns = (max(8, round(n * scale)) for n in shape)
    return rows, columns


@torch.inference_mode()
def factorize_images(
    network: nn.Module,
    images: Sequence[NDArray],
    valid: Sequence[NDArray[np.bool_]],
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 1,
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Factorize planes blindly: no lattice, no scale.

    Every plane is brought to 256 pixels along its longer edge, the size of the training
    planes, and the factors back to its own grid.

    Parameters
    ----------
    network : Module
        Takes (scattering, valid).
    images : sequence of ndarray, shape (n_rows, n_columns)
        Linear intensities, of any size.
    valid : sequence of ndarray of bool
        Measured pixels of each.
    device : str or torch.device
        Where the network is.
    batch_size : int
        Planes at once.

    Returns
    -------
    list of tuple of ndarray
        I_FF and I_SRO of each plane, linear, between 0 and 1; they multiply to the
        intensity up to scale.

    Raises
    ------
    ParameterError
        If a plane has no measured pixel with intensity, or is smaller than 8 pixels.
    """
    device = torch.device(device)
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    results = []
    for first in range(0, len(images), batch_size):
        inputs = []
        sizes = []
        for image, mask in zip(
            images[first : first + batch_size], valid[first : first + batch_size], strict=True
        ):
            if min(image.shape) < 8:
                raise ParameterError(
                    f"a plane of {image.shape} pixels is too small; 8 are least."
                )
            live = np.asarray(mask, bool) & np.isfinite(image)
            if not np.any(image[live] > 0):
                raise ParameterError(
                    "the plane has no measured pixel with positive intensity: is the mask the "
                    "wrong way round?"
                )
            size = _target_size(image.shape)
            small, seen = (image, live) if size == image.shape else _resized(image, live, size)
            inputs.append(_padded(root_scaled(small, seen, from_zero=True), seen))
            sizes.append(size)
        batch = torch.stack(inputs).to(device)
        multiple = int(getattr(network, "multiple", 64))
        rows, columns = (-(-n // multiple) * multiple for n in batch.shape[2:])
        batch = functional.pad(
            batch, (0, columns - batch.shape[3], 0, rows - batch.shape[2]), value=-1
        )
        scattering, mask_channel = batch[:, :1], (batch[:, 1:] + 1) / 2
        with torch.autocast("cuda", enabled=device.type == "cuda"):
            found = network(scattering, mask_channel)[-1]
        factors = linear(found.float().clamp(-1, 1)).cpu()
        for pair, size, image in zip(
            factors, sizes, images[first : first + batch_size], strict=True
        ):
            results.append(_on_grid(pair[:, : size[0], : size[1]], image.shape))
    return results


def _padded(scattering: NDArray[np.float32], seen: NDArray[np.bool_]) -> Tensor:
    """Both channels on a square of the training size; −1 stands for nothing."""
    square = torch.full((2, SIZE, SIZE), -1.0)
    rows, columns = scattering.shape
    square[0, :rows, :columns] = torch.from_numpy(scattering)
    square[1, :rows, :columns] = torch.from_numpy(2 * seen.astype(np.float32) - 1)
    return square


def _on_grid(
    pair: Tensor, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if tuple(pair.shape[1:]) != tuple(shape):
        pair = functional.interpolate(
            pair[None], size=tuple(shape), mode="bicubic", align_corners=False
        )[0].clamp(min=0)
    form_factor, sro = pair.numpy()
    return form_factor, sro
