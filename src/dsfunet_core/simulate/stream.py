"""An endless stream of simulated planes for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from dsfunet_core.metrics import root_scaled
from dsfunet_core.simulate.crystals import TRAINING, World
from dsfunet_core.simulate.planes import SimulatedPlane, random_plane
from dsfunet_core.simulate.realism import disturbed, random_realism

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["PlaneStream", "as_paper_sample", "as_sample", "plane_number"]


def plane_number(
    seed: int,
    index: int,
    world: World = TRAINING,
    *,
    size: int = 256,
    crop: int | None = None,
    disturb: float = 0.0,
    dtype: DTypeLike = np.complex128,
) -> SimulatedPlane:
    """Plane with a given number: the same whoever draws it, and in whatever order.

    Parameters
    ----------
    seed, index : int
        Which plane of which stream.
    world : World
        What to draw from.
    size, crop : int
        Pixels along each edge of the plane, and of the piece of it that is computed.
    disturb : float
        Chance that the plane gets noise, background and so on, see `random_realism`.
    dtype : dtype
        Of the amplitudes.

    Returns
    -------
    SimulatedPlane
        With truth.
    """
    rng = np.random.default_rng([seed, index])
    plane = random_plane(rng, world, size=size, crop=crop, dtype=dtype)
    if rng.random() < disturb:
        plane = disturbed(plane, random_realism(rng), rng)
    return plane


def as_paper_sample(simulated: SimulatedPlane) -> dict[str, torch.Tensor]:
    """Tensors scaled as the paper does: each image from its own minimum to its maximum.

    Parameters
    ----------
    simulated : SimulatedPlane
        Plane and truth.

    Returns
    -------
    dict of str to Tensor
        As `as_sample`; factors scaled so do not quite multiply to the scattering.
    """
    return _sample(simulated, from_zero=False)


def as_sample(simulated: SimulatedPlane) -> dict[str, torch.Tensor]:
    """Tensors a network is trained with, each (1, rows, columns) and on √I.

    Parameters
    ----------
    simulated : SimulatedPlane
        Plane and truth.

    Returns
    -------
    dict of str to Tensor
        ``scattering`` scaled to [−1, 1] with dead pixels −1; ``valid`` 0 or 1;
        ``clean``, ``form_factor`` and ``sro`` scaled to [−1, 1] from zero, without dead
        zones.
    """
    return _sample(simulated, from_zero=True)


def _sample(simulated: SimulatedPlane, *, from_zero: bool) -> dict[str, torch.Tensor]:
    plane = simulated.plane
    images = {
        "scattering": root_scaled(plane.intensity, plane.valid, from_zero=from_zero),
        "valid": plane.valid.astype(np.float32),
        "clean": root_scaled(simulated.form_factor * simulated.sro, from_zero=from_zero),
        "form_factor": root_scaled(simulated.form_factor, from_zero=from_zero),
        "sro": root_scaled(simulated.sro, from_zero=from_zero),
    }
    return {name: torch.from_numpy(image[None]) for name, image in images.items()}


class PlaneStream(IterableDataset):
    """Endless, seeded and reproducible planes.

    The workers of a data loader (and the ranks of a distributed run) take turns, a block
    each, so that the planes are the same for any number of them; with a loader's batches of
    one block they even come in the same order.

    Parameters
    ----------
    seed : int
        Which stream.
    world : World
        What to draw from.
    size, crop : int
        Pixels along each edge, and of the random piece that is computed.
    disturb : float
        Chance that a plane gets noise, background and so on.
    start : int
        Number of the first plane: where a run goes on after it was stopped.
    stop : int, optional
        Number after the last plane; endless when left out.
    block : int
        Planes a worker draws in one turn: the batch size.
    transform : callable
        From SimulatedPlane to what comes out of the stream; see `as_sample`.
    """

    def __init__(
        self,
        seed: int,
        world: World = TRAINING,
        *,
        size: int = 256,
        crop: int | None = None,
        disturb: float = 0.0,
        start: int = 0,
        stop: int | None = None,
        block: int = 1,
        transform: Callable[[SimulatedPlane], object] = as_sample,
    ) -> None:
        super().__init__()
        self.seed, self.world = seed, world
        self.size, self.crop, self.disturb = size, crop, disturb
        self.start, self.stop, self.block = start, stop, block
        self.transform = transform

    def __iter__(self) -> Iterator[object]:
        worker = get_worker_info()
        turn, turns = (worker.id, worker.num_workers) if worker else (0, 1)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            turn += turns * torch.distributed.get_rank()
            turns *= torch.distributed.get_world_size()
        for first in count(self.start + turn * self.block, turns * self.block):
            for index in range(first, first + self.block):
                if self.stop is not None and index >= self.stop:
                    return
                plane = plane_number(
                    self.seed,
                    index,
                    self.world,
                    size=self.size,
                    crop=self.crop,
                    disturb=self.disturb,
                    dtype=np.complex64,
                )
                yield self.transform(plane)
