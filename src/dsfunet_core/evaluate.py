"""Measure a factorizer on a set of planes whose factors are known."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.factorization import METHODS, check_device
from dsfunet_core.io.files import existing_file, replacing
from dsfunet_core.metrics import mean_squared_error, summary
from dsfunet_core.simulate.sets import iterate_set

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EvaluationSet", "evaluate_set", "read_set", "write_set"]

#: Largest set accepted, in pixels: more is better evaluated in parts.
MAX_PIXELS = 4_000_000_000
_KEYS = ("intensity", "valid", "form_factor", "sro")


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Planes with known factors.

    Parameters
    ----------
    intensity : ndarray, shape (n, H, W)
        Linear intensity.
    valid : ndarray of bool, shape (n, H, W)
        Measured pixels.
    form_factor, sro : ndarray, shape (n, H, W)
        True factors, linear, on whole planes.
    basis : ndarray, shape (n, 2, 2), optional
        Columns: the two in-plane reciprocal-lattice vectors in pixels (row, column);
        the origin is pixel (H // 2, W // 2). Only a network does without.
    notes : list of dict, optional
        How each plane was made: ``coverage``, ``q_max``, ``extent`` [Å] of the molecules,
        ``counts`` per pixel; figures are split by what is there.
    """

    intensity: NDArray[np.floating]
    valid: NDArray[np.bool_]
    form_factor: NDArray[np.floating]
    sro: NDArray[np.floating]
    basis: NDArray[np.float64] | None = None
    notes: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.intensity)


def read_set(path: str | Path) -> EvaluationSet:
    """Read an evaluation set.

    Parameters
    ----------
    path : path-like
        ``.npz`` with ``intensity``, ``valid``, ``form_factor``, ``sro`` (n, H, W) and, if
        known, ``basis`` (n, 2, 2); or a folder that ``dsfunet simulate`` wrote.

    Returns
    -------
    EvaluationSet
        Checked.

    Raises
    ------
    FileFormatError
        If the file is not such a set: the text names what is missing or misshapen.
    """
    if Path(path).is_dir():
        shards = list(iterate_set(path))
        notes = [_note(text) for shard in shards for text in shard.pop("description")]
        joined = {key: np.concatenate([s[key] for s in shards]) for key in shards[0]}
        return replace(_checked(joined, str(path)), notes=notes)
    path = existing_file(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in _KEYS if key not in file.files]
            if missing:
                raise FileFormatError(
                    f"{path} lacks {', '.join(missing)}; an evaluation set holds "
                    f"{', '.join(_KEYS)}. It has: {', '.join(file.files) or 'nothing'}."
                )
            arrays = {key: file[key] for key in (*_KEYS, "basis") if key in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path} cannot be read as an .npz file ({error}). Write it with numpy.savez."
        ) from error
    return _checked(arrays, str(path))


def _note(text: bytes) -> dict[str, Any]:
    content = json.loads(text)
    counts = content.get("realism", {}).get("counts", 0.0)
    return {**content, "counts": counts or float("inf")}


def _floating(array: NDArray) -> NDArray[np.floating]:
    """Single precision stays: a set of thousands of planes would not fit otherwise."""
    return array if array.dtype == np.float32 else array.astype(float)


def _checked(arrays: dict[str, NDArray], path: str) -> EvaluationSet:
    shape = arrays["intensity"].shape
    if len(shape) != 3 or shape[0] == 0 or arrays["intensity"].size > MAX_PIXELS:
        raise FileFormatError(
            f"{path}: intensity has shape {shape}; (n, rows, columns) with at least one "
            f"plane and at most {MAX_PIXELS:.0e} pixels was expected."
        )
    expected = {key: shape for key in ("valid", "form_factor", "sro")}
    if "basis" in arrays:
        expected["basis"] = (shape[0], 2, 2)
    for key, wanted in expected.items():
        if arrays[key].shape != wanted:
            raise FileFormatError(
                f"{path}: {key} has shape {arrays[key].shape}, but {wanted} was expected "
                f"to go with intensity of shape {shape}."
            )
    for key in {*arrays} - {"intensity", "valid"}:
        if not np.isfinite(arrays[key]).all():
            raise FileFormatError(f"{path}: {key} has values that are not finite.")
    basis = arrays["basis"].astype(float) if "basis" in arrays else None
    if basis is not None and np.any(np.abs(np.linalg.det(basis)) < 1e-6):
        raise FileFormatError(
            f"{path}: a basis is singular; its columns must be two independent vectors."
        )
    return EvaluationSet(
        intensity=_floating(arrays["intensity"]),
        valid=arrays["valid"].astype(bool) & np.isfinite(arrays["intensity"]),
        form_factor=_floating(arrays["form_factor"]),
        sro=_floating(arrays["sro"]),
        basis=basis,
    )


def write_set(path: str | Path, planes: EvaluationSet) -> None:
    """Write an evaluation set as compressed ``.npz`` (single precision).

    Parameters
    ----------
    path : path-like
        Must not exist yet.
    planes : EvaluationSet
        What to write.

    Raises
    ------
    ParameterError
        If the file exists.
    """
    optional: dict[str, Any] = {} if planes.basis is None else {"basis": planes.basis}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            intensity=planes.intensity.astype(np.float32),
            valid=planes.valid,
            form_factor=planes.form_factor.astype(np.float32),
            sro=planes.sro.astype(np.float32),
            **optional,
        )


def evaluate_set(
    path_or_set: str | Path | EvaluationSet,
    *,
    method: str = "lattice",
    blind: bool = False,
    batch_size: int = 1,
    weights: str | Path | None = None,
    inception: str | Path | None = None,
    device: str | None = None,
    callback: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Factorize every plane of a set and compare with the truth.

    Parameters
    ----------
    path_or_set : path-like or EvaluationSet
        The planes.
    method : {"lattice", "network", "hybrid"}
        Which factorizer.
    blind : bool
        Keep the lattice from "hybrid": it has to find it.
    batch_size : int
        Planes solved at once: 1 suits a CPU, 16 or more a GPU.
    weights : str or path-like, optional
        Of the network, see `dsfunet_core.network.weights.find`.
    inception : path-like, optional
        File for FID and KID, see `InceptionDistances`; they are None without.
    device : str, optional
        Torch device; the CPU when left out.
    callback : callable, optional
        Called with (planes done, planes, message).

    Returns
    -------
    dict
        ``n``, ``method``, ``mse`` with mean, median and p90 of ``sro``,
        ``form_factor`` (whole image), ``form_factor_measured`` (valid pixels) and of the
        same on √I (``sro_sqrt`` …), ``noise`` with the means of uniform noise in place of
        both factors, ``inception`` with FID and KID of ``sro`` and ``form_factor``,
        ``splits`` with means by coverage, Q_max, size and counts where the set tells
        them, ``lattices`` found blind (a basis each, or None), ``seconds_per_plane``,
        and under ``planes`` the figures of every plane.

    Raises
    ------
    ParameterError
        If the method is not known, or needs a lattice that the set does not tell.
    """
    if method not in METHODS:
        raise ParameterError(
            f"method = {method!r} is not known; choose one of: {', '.join(METHODS)}."
        )
    if batch_size < 1:
        raise ParameterError(f"batch_size = {batch_size}; give at least 1.")
    if blind and method != "hybrid":
        raise ParameterError(f'blind = True with method = {method!r}; it is for "hybrid" only.')
    check_device(device)
    planes = path_or_set if isinstance(path_or_set, EvaluationSet) else read_set(path_or_set)
    solve, card = _solver(method, planes, weights, device, blind)
    n = len(planes)
    distances: dict[str, Any] = {}
    if inception is not None:
        from dsfunet_core.inception import InceptionDistances

        for name in ("sro", "form_factor"):
            distances[name] = InceptionDistances(inception, device=device or "cpu")
    figures: dict[str, list[float]] = {}
    noise: dict[str, list[float]] = {}
    seconds = []
    for first in range(0, n, batch_size):
        members = list(range(first, min(first + batch_size, n)))
        started = time.perf_counter()
        factors = solve(members)
        seconds.append(time.perf_counter() - started)
        for i, (form_factor, sro) in zip(members, factors, strict=True):
            for name, value in _figures(form_factor, sro, planes, i).items():
                figures.setdefault(name, []).append(value)
            if distances:
                distances["sro"].add(sro, planes.sro[i])
                distances["form_factor"].add(form_factor, planes.form_factor[i])
            first_noise, second_noise = np.random.default_rng(i).random((2, *sro.shape))
            for name, value in _figures(first_noise, second_noise, planes, i).items():
                noise.setdefault(name, []).append(value)
        if callback is not None:
            callback(members[-1] + 1, n, "factorizing")
    return {
        "n": n,
        "method": method,
        **card,
        "mse": {quantity: summary(values) for quantity, values in figures.items()},
        "noise": {quantity: float(np.mean(values)) for quantity, values in noise.items()},
        "inception": {name: d.result() for name, d in distances.items()} or None,
        "splits": _splits(planes.notes, figures),
        "seconds_per_plane": float(np.sum(seconds) / n),
        "planes": figures,
    }


#: Edges of the classes that figures are split by.
_CLASSES = {
    "coverage": (0.4, 0.55, 0.7, 0.85, 1.0),
    "q_max": (6.0, 6.5, 7.0, 7.5, 8.0),
    "extent": (0.0, 3.0, 6.0, 9.0, 30.0),
    "counts": (0.0, 2.0, 10.0, 50.0, float("inf")),
}


def _splits(
    notes: list[dict[str, Any]] | None, figures: dict[str, list[float]]
) -> dict[str, list[dict[str, Any]]]:
    """Means of both factors by class of what the set tells about its planes."""
    splits: dict[str, list[dict[str, Any]]] = {}
    for name, edges in _CLASSES.items():
        values = np.array([note.get(name, np.nan) for note in notes or []], float)
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            below = values <= high if high == edges[-1] else values < high
            inside = (values >= low) & below
            if inside.any() and not np.all(values == values[0]):
                means = {
                    key: float(np.mean(np.array(figures[key])[inside]))
                    for key in ("sro", "form_factor")
                }
                entry = {"from": low, "to": high, "n": int(inside.sum()), **means}
                splits.setdefault(name, []).append(entry)
    return splits


_Solver = Callable[[list[int]], list[tuple["NDArray", "NDArray"]]]


def _solver(
    method: str,
    planes: EvaluationSet,
    weights: str | Path | None,
    device: str | None,
    blind: bool,
) -> tuple[_Solver, dict[str, Any]]:
    """What turns numbers of planes into factors, and what to say about it."""
    card: dict[str, Any] = {}
    if method in ("network", "hybrid"):
        from dsfunet_core.network.inference import factorize_images
        from dsfunet_core.network.weights import load

        loaded = load(weights, device=device or "cpu")

        def by_network(members: list[int]) -> list[tuple[NDArray, NDArray]]:
            return factorize_images(
                loaded.network,
                [planes.intensity[i] for i in members],
                [planes.valid[i] for i in members],
                device=device or "cpu",
                batch_size=len(members),
            )

        card = {"weights": loaded.name, "weights_sha256": loaded.checksum}
        if method == "network":
            return by_network, card
    if blind:
        from dsfunet_core.factorization.hybrid import blind_solution

        found: list[list[list[float]] | None] = []
        card |= {"blind": True, "lattices": found}

        def by_search(members: list[int]) -> list[tuple[NDArray, NDArray]]:
            factors = by_network(members)
            for k, i in enumerate(members):
                lattice, solution = blind_solution(
                    planes.intensity[i].astype(float),
                    planes.valid[i],
                    factors[k],
                    errors=False,
                    device=device,
                )
                found.append(None)
                if solution is not None and lattice.basis is not None:
                    found[-1] = lattice.basis.tolist()
                    factors[k] = (solution.form_factor, solution.sro)
            return factors

        return by_search, card
    if planes.basis is None:
        raise ParameterError(
            f'method = {method!r} needs the lattice, but the set has no "basis"; add it, or '
            'use method = "network", or "hybrid" with blind = True.'
        )
    from dsfunet_core.factorization.lattice import factorize_arrays
    from dsfunet_core.factorization.plane_data import PlaneData

    basis = planes.basis
    _, rows, columns = planes.intensity.shape
    origin = np.array([rows // 2, columns // 2], float)

    def by_lattice(members: list[int]) -> list[tuple[NDArray, NDArray]]:
        data = [
            PlaneData(planes.intensity[i].astype(float), planes.valid[i], basis[i], origin)
            for i in members
        ]
        guesses = None
        if method == "hybrid":
            guesses = [form_factor for form_factor, _ in by_network(members)]
        solutions = factorize_arrays(data, errors=False, guesses=guesses, device=device)
        return [(s.form_factor, s.sro) for s in solutions]

    return by_lattice, card


def _figures(
    form_factor: NDArray, sro: NDArray, planes: EvaluationSet, i: int
) -> dict[str, float]:
    """All errors of one plane, linear and on √I."""
    pairs = {
        "sro": (sro, planes.sro[i], None),
        "form_factor": (form_factor, planes.form_factor[i], None),
        "form_factor_measured": (form_factor, planes.form_factor[i], planes.valid[i]),
    }
    result = {}
    for name, (estimate, truth, where) in pairs.items():
        result[name] = mean_squared_error(estimate, truth, where)
        result[name + "_sqrt"] = mean_squared_error(
            np.sqrt(np.maximum(estimate, 0)), np.sqrt(np.maximum(truth, 0)), where
        )
    return result
