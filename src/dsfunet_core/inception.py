"""Distances between sets of images as an Inception network sees them: FID and KID."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dsfunet_core.errors import DsfunetError, FileFormatError
from dsfunet_core.io.files import existing_file
from dsfunet_core.metrics import scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["InceptionDistances"]


class _Features(nn.Module):
    """Inception behind the interface of torchmetrics."""

    def __init__(self, network: Any, path: Path) -> None:
        super().__init__()
        self.network, self.path = network, path
        self.num_features = int(self(torch.zeros((1, 3, 64, 64), dtype=torch.uint8)).shape[1])

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, k) of images (n, 3, rows, columns), 0 to 255."""
        try:
            features: Tensor = self.network(images, return_features=True)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise FileFormatError(
                f"{self.path} is no Inception network that takes (images, return_features): "
                f"{error}"
            ) from error
        return features.flatten(1).float()


class InceptionDistances:
    """Fréchet and kernel Inception distance of found factors to the true ones.

    Heusel et al. (2018) and Bińkowski et al. (2021), computed by torchmetrics. The network
    is not ours to ship: whoever has the file gives it.

    Parameters
    ----------
    path : path-like
        TorchScript file of the 2015 Inception network (``inception-2015-12-05.pt``), called
        as ``network(images, return_features=True)``.
    device : str or torch.device
        Where it runs.

    Raises
    ------
    FileFormatError
        If the file is no such network.
    """

    def __init__(self, path: str | Path, *, device: str | torch.device = "cpu") -> None:
        try:
            from torchmetrics.image.fid import FrechetInceptionDistance
            from torchmetrics.image.kid import KernelInceptionDistance
        except ImportError as error:
            raise DsfunetError(
                "FID and KID need torchmetrics; install it with "
                "pip install 'napari-dsfunet[train]'."
            ) from error
        file = existing_file(path)
        try:
            with warnings.catch_warnings():
                # The format is on its way out, but it is the one this network comes in.
                warnings.simplefilter("ignore", DeprecationWarning)
                network = torch.jit.load(str(file), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise FileFormatError(f"{file} is not a TorchScript file ({error}).") from error
        features = _Features(network, file)
        self.device = torch.device(device)
        self.n = 0
        self._frechet = FrechetInceptionDistance(feature=features).to(device)
        with warnings.catch_warnings():
            # Features of 16 kB a plane are kept; a set of 2,000 needs 64 MB.
            warnings.simplefilter("ignore", UserWarning)
            self._kernel = KernelInceptionDistance(feature=features, subset_size=2).to(device)

    @torch.inference_mode()
    def add(self, found: NDArray, truth: NDArray) -> None:
        """Count one image and its truth, each scaled linearly to its own range.

        Parameters
        ----------
        found, truth : ndarray, shape (n_rows, n_columns)
            Linear intensities.
        """
        for image, real in ((found, False), (truth, True)):
            grey = np.rint((scaled(image) + 1) * 127.5).astype(np.uint8)
            batch = torch.from_numpy(grey).expand(1, 3, -1, -1).to(self.device)
            self._frechet.update(batch, real=real)
            self._kernel.update(batch, real=real)
        self.n += 1

    def result(self) -> dict[str, float]:
        """Both distances.

        Returns
        -------
        dict
            ``fid`` and ``kid`` (mean over 100 subsets of up to 1000 images).
        """
        if self.n < 3:
            raise DsfunetError(f"{self.n} planes are too few for FID and KID; 3 are least.")
        self._kernel.subset_size = min(1000, self.n - 1)
        mean, _ = self._kernel.compute()
        return {"fid": float(self._frechet.compute()), "kid": float(mean)}
