"""Sets of simulated planes on disk: sharded HDF5 with the whole truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.simulate.crystals import TRAINING, VALIDATION
from dsfunet_core.simulate.paper import PAPER_TRAINING, PAPER_VALIDATION, PairSet
from dsfunet_core.simulate.stream import plane_number
from dsfunet_core.simulate.uniqueness import CUTOFF, distribution, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dsfunet_core.simulate.planes import SimulatedPlane

__all__ = ["PRESETS", "SetPlan", "iterate_set", "write_set_shards"]

_PAIR_SETS: dict[str, PairSet] = {
    "paper": PAPER_TRAINING,
    "paper-validation": PAPER_VALIDATION,
}
_WORLDS = {"training": TRAINING, "validation": VALIDATION}
#: What ``dsfunet simulate`` can write.
PRESETS = (*_PAIR_SETS, *_WORLDS)
#: Planes of a shard of the sets that are not made of pairs.
SHARD = 200
MANIFEST = "set.json"
#: Raised when the same plan would give other bytes.
LAYOUT = 1


@dataclass(frozen=True)
class SetPlan:
    """What a set holds; two sets of one plan are the same byte for byte.

    Parameters
    ----------
    preset : {"paper", "paper-validation", "training", "validation"}
        The paper's sets (one shard a pair of molecules), or planes drawn from our wider
        world and from what is kept for validation (200 planes a shard).
    planes : int, optional
        How many, counted before redundant ones are left out; all of the paper's when left
        out (209,800 and 14,112), else 1000.
    seed : int
        Of the random numbers.
    size : int
        Pixels along each edge; the paper's sets have 256.
    disturb : float
        Chance that a plane gets noise, background and so on.
    unique : bool
        Leave out planes that tell nothing new, as the paper does: compared within a shard.
    """

    preset: str = "training"
    planes: int | None = None
    seed: int = 0
    size: int = 256
    disturb: float = 0.0
    unique: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ParameterError(
                f"preset = {self.preset!r} is not known; choose one of: {', '.join(PRESETS)}."
            )
        if self.planes is not None and self.planes < 1:
            raise ParameterError(f"planes = {self.planes}; give at least 1.")
        if not 0 <= self.disturb <= 1:
            raise ParameterError(f"disturb = {self.disturb}: a chance between 0 and 1.")
        pairs = _PAIR_SETS.get(self.preset)
        if pairs is not None and (self.size != 256 or self.disturb):
            raise ParameterError(
                f"preset = {self.preset!r} is 256 pixels wide and undisturbed; take "
                "'training' or 'validation' for anything else."
            )
        if self.size < 32:
            raise ParameterError(f"size = {self.size}; give at least 32 pixels.")
        if pairs is not None and self.planes is not None:
            most = pairs.pairs * len(pairs.planes)
            if self.planes > most:
                raise ParameterError(
                    f"planes = {self.planes}: preset {self.preset!r} has {most} planes."
                )

    @property
    def total(self) -> int:
        """Planes before redundant ones are left out."""
        if self.planes is not None:
            return self.planes
        pairs = _PAIR_SETS.get(self.preset)
        return 1000 if pairs is None else pairs.pairs * len(pairs.planes)

    @property
    def shard(self) -> int:
        """Planes of a shard."""
        pairs = _PAIR_SETS.get(self.preset)
        return SHARD if pairs is None else len(pairs.planes)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.total // self.shard)

    def plane(self, index: int) -> SimulatedPlane:
        """Plane of a number."""
        pairs = _PAIR_SETS.get(self.preset)
        if pairs is not None:
            pair, number = divmod(index, self.shard)
            return pairs.plane(self.seed, pair, number, dtype=np.complex64)
        world = _WORLDS[self.preset]
        return plane_number(
            self.seed, index, world, size=self.size, disturb=self.disturb, dtype=np.complex64
        )


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.h5"


def _write_shard(plan: SetPlan, folder: Path, number: int) -> int:
    """Write one shard unless it is there; the number of planes in it."""
    import h5py

    path = _shard_path(folder, number)
    if path.exists():
        with h5py.File(path) as file:
            return int(file["intensity"].shape[0])
    first = number * plan.shard
    planes = [plan.plane(i) for i in range(first, min(first + plan.shard, plan.total))]
    if plan.unique:
        keep = unique([distribution(p.form_factor * p.sro) for p in planes], CUTOFF)
        planes = [p for p, kept in zip(planes, keep, strict=True) if kept]
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        file.attrs["plan"] = json.dumps(asdict(plan), sort_keys=True)
        file.attrs["shard"] = number
        images = {
            "intensity": [p.plane.intensity for p in planes],
            "form_factor": [p.form_factor for p in planes],
            "sro": [p.sro for p in planes],
        }
        for name, stack in images.items():
            _images(file, name, np.array(stack, np.float32))
        _images(file, "valid", np.array([p.plane.valid for p in planes], np.uint8))
        # The affine map hkl = origin + steps · (row, column), and the lattice in pixels.
        truth = {
            "alpha": np.array([p.crystal.alpha for p in planes], np.float32),
            "concentration": np.array([p.crystal.concentration for p in planes]),
            "cell": np.array([p.crystal.cell.parameters for p in planes]),
            "origin": np.array([p.plane.origin for p in planes]),
            "steps": np.array([p.plane.steps for p in planes]),
            "basis": np.array([p.plane.lattice.basis for p in planes]),
        }
        for name, array in truth.items():
            file.create_dataset(name, data=array, compression="gzip", track_times=False)
        notes = [json.dumps(_plain(p.description), sort_keys=True) for p in planes]
        file.create_dataset("description", data=notes, track_times=False)
    return len(planes)


def _images(file: Any, name: str, stack: NDArray) -> None:
    file.create_dataset(
        name,
        data=stack,
        chunks=(1, *stack.shape[1:]),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        track_times=False,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def write_set_shards(
    plan: SetPlan,
    folder: str | Path,
    *,
    processes: int = 1,
    callback: Callable[[int, int, str], None] | None = None,
) -> int:
    """Write a set, or go on writing one.

    Every shard is written under a temporary name and renamed, and holds planes that
    depend on nothing but the plan: a run that was killed goes on with the shards that are
    missing and ends with the same bytes.

    Parameters
    ----------
    plan : SetPlan
        What to write.
    folder : path-like
        New, empty, or with a part of the same set.
    processes : int
        Shards made at once.
    callback : callable, optional
        Called with (shards done, shards, message).

    Returns
    -------
    int
        Planes in the set.

    Raises
    ------
    ParameterError
        If the folder holds another set, or other files.
    """
    folder = Path(folder)
    if processes < 1:
        raise ParameterError(f"processes = {processes}; give at least 1.")
    content = {"layout": LAYOUT, **asdict(plan), "planes": plan.total}
    _claim(folder, content)
    done, planes = 0, 0
    for count in _counts(partial(_write_shard, plan, folder), plan.shards, processes):
        done, planes = done + 1, planes + count
        if callback is not None:
            callback(done, plan.shards, f"{planes} planes")
    return planes


def _counts(work: Callable[[int], int], shards: int, processes: int) -> Iterator[int]:
    if processes == 1:
        yield from map(work, range(shards))
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(work, range(shards))


def _claim(folder: Path, content: dict[str, Any]) -> None:
    """Make the folder ours, or see that it is."""
    manifest = folder / MANIFEST
    if manifest.exists():
        found = json.loads(manifest.read_text(encoding="utf-8"))
        differing = sorted(k for k in {*found, *content} if found.get(k) != content.get(k))
        if differing:
            raise ParameterError(
                f"{folder} holds a set with "
                + ", ".join(
                    f"{k} = {found.get(k)!r} (not {content.get(k)!r})" for k in differing
                )
                + "; choose another folder, or the same values to go on with it."
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ParameterError(f"{folder} is not an empty folder; choose a new one.")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(manifest) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def iterate_set(folder: str | Path) -> Iterator[dict[str, NDArray]]:
    """Shards of a set, in order.

    Parameters
    ----------
    folder : path-like
        Written by `write_set_shards`.

    Yields
    ------
    dict
        ``intensity``, ``valid``, ``form_factor``, ``sro`` (n, rows, columns), ``basis``
        (n, 2, 2) and ``description`` (n JSON texts) of one shard.

    Raises
    ------
    FileFormatError
        If the folder holds no set, or a shard is missing.
    """
    import h5py

    folder = Path(folder)
    if not (folder / MANIFEST).exists():
        raise FileFormatError(f"{folder} holds no set of planes: it has no {MANIFEST}.")
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    content.pop("layout")
    plan = SetPlan(**content)
    for number in range(plan.shards):
        path = _shard_path(folder, number)
        if not path.exists():
            raise FileFormatError(
                f"{folder} is not complete: {path.name} is missing. `dsfunet simulate` with "
                "the same values goes on with it."
            )
        with h5py.File(path) as file:
            names = ("intensity", "valid", "form_factor", "sro", "basis", "description")
            shard = {name: file[name][()] for name in names}
        shard["valid"] = shard["valid"].astype(bool)
        yield shard
