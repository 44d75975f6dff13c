"""Weights on disk: what comes with the package, what a user trained or imported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.files import existing_file, replacing
from dsfunet_core.network.compact import CompactNet
from dsfunet_core.network.paper import PaperNet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = [
    "DEFAULT",
    "Weights",
    "available",
    "build",
    "find",
    "import_published",
    "load",
    "save",
    "user_folder",
]

#: Weights used when none are named.
DEFAULT = "compact"
_NETWORKS: dict[str, type[nn.Module]] = {"compact": CompactNet, "paper": PaperNet}


@dataclass(frozen=True, eq=False)
class Weights:
    """A network ready to use.

    Parameters
    ----------
    network : Module
        Takes (scattering, valid), gives a list whose last entry holds both factors;
        in evaluation mode.
    name : str
        Of the file.
    checksum : str
        SHA-256 of the file: results record it.
    card : dict
        Preset, options, and what its makers wrote about it: figures, data, hours.
    """

    network: nn.Module
    name: str
    checksum: str
    card: dict[str, Any] = field(default_factory=dict)


def user_folder() -> Path:
    """Folder of the weights that a user imported or trained."""
    from platformdirs import user_data_path

    return user_data_path("dsfunet") / "weights"


def _bundled() -> Path:
    return Path(str(files("dsfunet_core") / "network" / "bundled"))


def available() -> dict[str, Path]:
    """Weights that can be named.

    Returns
    -------
    dict of str to Path
        The user's own take the place of bundled ones of the same name.
    """
    found = {}
    for folder in (_bundled(), user_folder()):
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
            found[path.stem] = path
    return found


def find(name: str | Path | None = None) -> Path:
    """File of some weights.

    Parameters
    ----------
    name : str or path-like, optional
        A name that `available` lists, or a file; the compact network's when left out.

    Returns
    -------
    Path
        It exists.

    Raises
    ------
    ParameterError
        If there are no such weights.
    """
    known = available()
    text = str(name or DEFAULT)
    if text in known:
        return known[text]
    if text.endswith(".safetensors"):
        return existing_file(text)
    raise ParameterError(
        f"weights {text!r} are not known; there are: {', '.join(known) or 'none'}. Name one of "
        "them or a .safetensors file; `dsfunet weights import` takes the published ones in."
    )


def build(preset: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Network of a preset with random weights.

    Parameters
    ----------
    preset : {"compact", "paper"}
        Ours or the published one.
    options : mapping, optional
        Its size, see `CompactNet`.

    Returns
    -------
    Module
        On the CPU.
    """
    if preset not in _NETWORKS:
        raise ParameterError(
            f"preset = {preset!r} is not known; choose one of: {', '.join(_NETWORKS)}."
        )
    return _NETWORKS[preset](**(options or {}))


def save(
    path: str | Path,
    network: nn.Module,
    preset: str,
    card: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write weights in half precision, with their card.

    Parameters
    ----------
    path : path-like
        ``.safetensors``.
    network : Module
        Made by `build`.
    preset : {"compact", "paper"}
        Which.
    card : mapping
        What to know about it; JSON.
    overwrite : bool
        Whether a file may be replaced.
    """
    from safetensors.torch import save_file

    state = {k: v.detach().cpu().half().contiguous() for k, v in network.state_dict().items()}
    content = {"preset": preset, "options": getattr(network, "options", {}), **card}
    with replacing(path, overwrite=overwrite) as temporary:
        save_file(state, str(temporary), metadata={"card": json.dumps(content, sort_keys=True)})


def load(name: str | Path | None = None, *, device: str | torch.device = "cpu") -> Weights:
    """Network with its weights.

    Parameters
    ----------
    name : str or path-like, optional
        See `find`.
    device : str or torch.device
        Where to put it.

    Returns
    -------
    Weights
        Read once, then remembered.
    """
    path = find(name)
    stat = path.stat()
    return _load(path, stat.st_mtime_ns, str(device))


@lru_cache(maxsize=4)
def _load(path: Path, _changed: int, device: str) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            card = json.loads((file.metadata() or {})["card"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise FileFormatError(
            f"{path} does not hold weights written by this package ({error}). Published "
            "weights are taken in with `dsfunet weights import`."
        ) from error
    network = build(card["preset"], card["options"])
    _fill(network, state, str(path))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Weights(network.to(device).eval(), path.stem, checksum, card)


def _fill(network: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    expected = {name: tuple(x.shape) for name, x in network.state_dict().items()}
    found = {name: tuple(x.shape) for name, x in state.items()}
    if expected != found:
        differing = sorted(k for k in {*expected, *found} if expected.get(k) != found.get(k))
        first = differing[0]
        raise FileFormatError(
            f"{where} does not fit the network: {len(differing)} of {len(expected)} tensors "
            f"differ, the first is {first}: {found.get(first, 'missing')}, expected "
            f"{expected.get(first, 'nothing')}."
        )
    network.load_state_dict(dict(state))


def import_published(
    form_factor: str | Path, sro: str | Path, path: str | Path, *, overwrite: bool = False
) -> None:
    """Convert the published generators (``.pth``) to one file that is safe to load.

    Parameters
    ----------
    form_factor, sro : path-like
        ``generator_dFF_200.pth`` and ``generator_SRO_200.pth``, downloaded from the
        authors' repository. They are read with ``weights_only=True``: nothing in them is
        executed.
    path : path-like
        Where to write, ``.safetensors``.
    overwrite : bool
        Whether a file may be replaced.

    Raises
    ------
    FileFormatError
        If a file is no state_dict of the published generator.
    """
    import pickle

    network = PaperNet()
    sources = {}
    for part, source in (("form_factor", form_factor), ("sro", sro)):
        file = existing_file(source)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (
            pickle.UnpicklingError,
            RuntimeError,
            EOFError,
            LookupError,
            ValueError,
        ) as error:
            raise FileFormatError(
                f"{file} is not a file of torch weights ({error})."
            ) from error
        if not isinstance(state, dict) or not all(
            isinstance(x, torch.Tensor) for x in state.values()
        ):
            raise FileFormatError(f"{file} holds no state_dict of tensors.")
        # Saved from a data-parallel model, every name begins with "module.".
        state = {name.removeprefix("module."): x for name, x in state.items()}
        _fill(network.get_submodule(part), state, str(file))
        sources[part] = {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save(path, network, "paper", {"sources": sources}, overwrite=overwrite)
