"""Files that napari saves through the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import DsfunetError, ParameterError
from dsfunet_core.factorization.result import Factorization
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from napari_dsfunet.layers import KEY
from napari_dsfunet.volume_layers import VOLUME_ROLES, map_of

if TYPE_CHECKING:
    from napari.types import FullLayerData
    from numpy.typing import NDArray

__all__ = ["WriteError", "write_layer", "write_layers", "write_object"]

#: Suffixes that hold a whole factorization.
RESULT = (".h5", ".hdf5", ".nxs")
#: End of the name of files for Yell; the others with .h5 are NeXus.
YELL = ".yell.h5"


class WriteError(RuntimeError):
    """Why nothing was written.

    napari takes a ValueError, which errors of parameters are, for a writer that is not
    meant, and says so.
    """


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save what one layer shows.

    Parameters
    ----------
    path : str
        Its suffix says how: ``.h5`` or ``.nxs`` (NeXus; a whole factorization with its
        refinement), ``.npz`` (planes and volumes with everything), ``.tif``, ``.npy`` (bare
        numbers), ``.yell.h5`` (Yell 1.0).
    data : array
        The layer's data; what is written is the object it shows.
    meta : dict
        The layer's attributes.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    WriteError
        If the layer is not the plugin's, or the format cannot hold it.
    """
    noted = meta.get("metadata", {}).get(KEY)
    if not isinstance(noted, dict):
        raise WriteError(
            f"layer {meta.get('name', '')!r} does not come from Diffuse Scattering, so its "
            "cell and axes are not known. Save it with napari's own writers."
        )
    # napari has asked whether a file that is there may be replaced.
    _written(Path(path), noted["object"], noted["role"], noted.get("fit"))
    return [path]


def write_layers(path: str, layers: list[FullLayerData]) -> list[str]:
    """Save several layers of one factorization, which are one file.

    Parameters
    ----------
    path : str
        ``.h5`` or ``.nxs``.
    layers : list of tuple
        Data, attributes and type of each.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    WriteError
        If they belong to more than one.
    """
    notes = [meta.get("metadata", {}).get(KEY) for _, meta, _ in layers]
    results = [n for n in notes if n and _is_result(n["object"], n["role"])]
    whole = results[0]["object"] if results else None
    for noted in notes:
        parts = () if whole is None else (whole, getattr(whole, "plane", None))
        if not noted or not any(noted["object"] is part for part in parts):
            raise WriteError(
                "these layers are not the parts of one factorization. Save them one by one, "
                "or all of them with Plugins > Diffuse Scattering > Session."
            )
    fit = next((n["fit"] for n in results if n.get("fit") is not None), None)
    _written(Path(path), whole, results[0]["role"], fit)
    return [path]


def write_object(path: Path, shown: Any, role: str, fit: Any = None) -> None:
    """Write a volume, plane, factorization or map; a file that is there is replaced.

    Parameters
    ----------
    path : Path
        Its suffix says how, see :func:`write_layer`.
    shown : object
        What to write.
    role : str
        Which part of a factorization, for formats that hold one array.
    fit : SroRefinement, optional
        Goes into the file of a factorization.

    Raises
    ------
    ParameterError
        If the format cannot hold it.
    """
    from dsfunet_core import save_result, write
    from dsfunet_core.io.files import replacing

    yell = path.name.lower().endswith(YELL)
    if isinstance(shown, Factorization) and path.suffix.lower() in RESULT and not yell:
        save_result(path, shown, fit, overwrite=True)
        return
    if role in VOLUME_ROLES and path.suffix.lower() in RESULT and not yell:
        from dsfunet_core.volume_factorization import write_volume_factorization

        write_volume_factorization(path, shown, overwrite=True)
        return
    if path.suffix.lower() == ".npy":
        with replacing(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.save(file, _numbers(shown, role))
        return
    if isinstance(shown, Factorization):
        shown = _as_plane(shown, role)
    if role in VOLUME_ROLES:
        shown = _as_volume(shown, role)
    if not isinstance(shown, ReciprocalPlane | ReciprocalVolume):
        raise ParameterError(
            f"{path.name}: a map of one cell is saved as .npy; SRO fit exports it as .json."
        )
    write(path, shown, format="yell" if yell else None, overwrite=True)


def _written(path: Path, shown: Any, role: str, fit: Any) -> None:
    try:
        write_object(path, shown, role, fit)
    except DsfunetError as error:
        raise WriteError(error.told("napari")) from error


def _as_plane(result: Factorization, role: str) -> ReciprocalPlane:
    """One map of a factorization as a plane of its own."""
    values = _numbers(result, role)
    plane = result.plane
    return ReciprocalPlane(
        intensity=values,
        valid=np.isfinite(values),
        cell=plane.cell,
        origin=plane.origin,
        steps=plane.steps,
        laue_class=plane.laue_class,
        name=f"{plane.name} {role}",
        provenance={**plane.provenance, "map": role, "method": result.method},
    )


def _is_result(shown: Any, role: str) -> bool:
    return isinstance(shown, Factorization) or role in VOLUME_ROLES


def _as_volume(result: Any, role: str) -> ReciprocalVolume:
    """One map of a volume's factorization as a volume of its own."""
    volume: ReciprocalVolume = result.volume
    return volume.replace(
        intensity=map_of(result, role),
        counts=None,
        variance=None,
        mask=None,
        masks={},
        name=f"{volume.name} {VOLUME_ROLES[role]}",
        provenance={**volume.provenance, "map": VOLUME_ROLES[role]},
    )


def _numbers(shown: Any, role: str) -> NDArray[np.floating]:
    """The array itself, in the order of the core: first index down."""
    if role in VOLUME_ROLES:
        return map_of(shown, role)
    if isinstance(shown, Factorization):
        return np.asarray(
            getattr(shown, {"form factor": "form_factor", "SRO": "sro"}.get(role, role))
        )
    if isinstance(shown, ReciprocalPlane):
        return np.where(shown.valid, shown.intensity, np.nan)
    if isinstance(shown, ReciprocalVolume):
        block: dict[str, Any] = shown.block((slice(None), slice(None), slice(None)))
        return np.where(block["valid"], block["intensity"], np.nan)
    return np.asarray(shown.values)
