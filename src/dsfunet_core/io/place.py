"""Say where the pixels of an array lie, where its file does not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np

from dsfunet_core.errors import FileFormatError, ParameterError
from dsfunet_core.io.grid import unit_cell
from dsfunet_core.io.measured import plane_arrays
from dsfunet_core.plane import ReciprocalPlane, ReciprocalVolume
from dsfunet_core.sections import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Unplaced", "numbers_in", "place", "placed"]

_LETTERS = "hkl"


@dataclass(frozen=True, eq=False)
class Unplaced:
    """Array of a file that does not say, or only in part, where its voxels lie.

    Parameters
    ----------
    intensity : array-like, shape (n0, n1, n2) or (n0, n1)
        Anything with ``shape``, ``dtype`` and NumPy slicing.
    lacks : str
        What the file does not say, and what to do, for an error text.
    counts, variance, mask : array-like, optional
        As in :class:`~dsfunet_core.plane.ReciprocalVolume`.
    cell : gemmi.UnitCell, optional
        Direct-space unit cell [Å, °], if the file tells it.
    axes : str, optional
        Which index runs along each array axis, such as ``"lkh"``.
    limits : sequence of float, optional
        First and last coordinate along each array axis, centres of the voxels.
    laue_class : str, optional
        Hermann–Mauguin symbol.
    name : str
        What to call it.
    provenance : dict
        Where it came from.
    masks : dict of str to ndarray of bool
        Mask layers of a plane.
    """

    intensity: Any
    lacks: str
    counts: Any = None
    variance: Any = None
    mask: Any = None
    cell: gemmi.UnitCell | None = None
    axes: str | None = None
    limits: Sequence[float] | None = None
    laue_class: str | None = None
    name: str = "volume"
    provenance: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def place(
    data: Any,
    *,
    cell: gemmi.UnitCell | ArrayLike | None = None,
    section: str | Section | None = None,
    axes: str | None = None,
    limits: ArrayLike | None = None,
) -> ReciprocalPlane | ReciprocalVolume:
    """Give an array its unit cell and the *hkl* of its pixels.

    Parameters
    ----------
    data : ReciprocalPlane, ReciprocalVolume, Unplaced or array-like
        With two axes (a plane) or three (a volume). Volumes are not read.
    cell : gemmi.UnitCell or array_like, shape (6,), optional
        Direct-space unit cell [Å, °]; that of ``data`` when left out.
    section : str or Section, optional
        Which plane a plane is: ``"hk0"``, ``"hhl"``, ``"2kl"``.
    axes : str, optional
        Which index runs along each array axis: ``"kh"`` for an image with k down its rows
        and h along its columns, ``"lkh"`` for a volume. When left out, the free indices
        of the section in the order h, k, l; for a volume ``"hkl"``.
    limits : array_like, shape (4,) or (6,), optional
        Coordinates of the first and the last pixel's centre along each array axis, in
        the order of ``axes``: first, last, first, last, … [r.l.u.]. They may fall. The
        images of most programs have their largest index in row 0.

    Returns
    -------
    ReciprocalPlane or ReciprocalVolume
        With the values, weights and mask of ``data``.

    Raises
    ------
    ParameterError
        If something is missing or does not fit the array.
    FileFormatError
        If ``cell`` is no unit cell.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((5, 9))
    >>> plane = place(image, cell=(5, 6, 7, 90, 90, 90), section="hk1", axes="kh",
    ...               limits=(2, -2, -4, 4))
    >>> plane.hkl(0, 8).tolist()
    [4.0, 2.0, 1.0]
    """
    parts = _parts(data)
    ndim = len(parts["intensity"].shape)
    known = _cell(cell) if cell is not None else parts["cell"]
    if known is None:
        raise ParameterError(
            "the file has no unit cell.",
            python="Give cell=(a, b, c, α, β, γ) in Å and degrees.",
            terminal='Give it in Å and degrees: --cell "a b c α β γ".',
            napari="Fill in 'Unit cell' in Plugins > Diffuse Scattering > Open file.",
        )
    origin, steps = parts.pop("origin"), parts.pop("steps")
    own_axes, own_limits = parts.pop("axes"), parts.pop("limits")
    if origin is None or not (section is axes is limits is None):
        directions, start, letters = _directions(ndim, section, axes or own_axes)
        # Limits of the file belong to its own order of axes, and to no other.
        own = own_limits if axes in (None, own_axes) else None
        values: Any = own if limits is None else limits
        first, step = _spacing(values, parts["intensity"].shape, letters)
        origin, steps = start + directions @ first, directions * step
        if section is not None and parts["name"] in ("plane", "volume"):
            named = Section.parse(section) if isinstance(section, str) else section
            parts["name"] = named.name
        parts["provenance"] = {
            **parts["provenance"],
            "placed": {"axes": letters, "limits": [float(x) for x in np.ravel(values)]},
        }
    parts |= {"cell": known, "origin": origin, "steps": steps}
    if ndim == 3:
        parts.pop("valid", None)
        return ReciprocalVolume(**parts)
    return _as_plane(parts)


def _parts(data: Any) -> dict[str, Any]:
    """Fields of what is to be placed, under the names of planes and volumes."""
    names = ["intensity", "counts", "variance", "laue_class", "name", "cell"]
    extra: dict[str, Any] = {"origin": None, "steps": None, "axes": None, "limits": None}
    if isinstance(data, Unplaced):
        names += ["mask"] + ["masks"] * (len(data.intensity.shape) == 2)
        extra |= {"axes": data.axes, "limits": data.limits}
    elif isinstance(data, ReciprocalPlane | ReciprocalVolume):
        names += ["valid", "masks"] if isinstance(data, ReciprocalPlane) else ["mask"]
        extra |= {"origin": data.origin, "steps": data.steps}
    else:
        shape = np.shape(data)
        if len(shape) not in (2, 3) or 0 in shape:
            raise ParameterError(
                f"data has shape {shape}; an array with two axes (a plane) or three (a volume) "
                "was expected, none of them empty."
            )
        values = data if hasattr(data, "shape") else np.asarray(data)
        name = "plane" if len(shape) == 2 else "volume"
        return {"intensity": values, "name": name, "cell": None, "provenance": {}, **extra}
    parts = {key: getattr(data, key) for key in names}
    return {**parts, "provenance": dict(data.provenance), **extra}


def _cell(cell: gemmi.UnitCell | ArrayLike) -> gemmi.UnitCell:
    return cell if isinstance(cell, gemmi.UnitCell) else unit_cell(cell, "cell")


def _directions(
    ndim: int, section: str | Section | None, axes: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """*hkl* per unit along each array axis, *hkl* where all are 0, and the letters."""
    if ndim == 3:
        if section is not None:
            raise ParameterError(
                f"section={section!r} goes with planes; a volume has three free indices. Say "
                'which runs along each array axis, as axes="hkl".'
            )
        letters, free = axes or _LETTERS, _LETTERS
        columns, start = np.eye(3), np.zeros(3)
    else:
        if section is None:
            raise ParameterError(
                "nothing says which plane the image is.",
                python='Say it, as section="hk0".',
                terminal="Say it, as --section hk0.",
                napari="Say it as Which plane: hk0, h0l, hhl.",
            )
        if isinstance(section, str):
            free = "".join(c for c in _LETTERS if c in section.lower())
            section = Section.parse(section)
        else:
            free = "".join(_LETTERS[i] for i in _leading(section.directions))
        letters = axes or free
        columns, start = section.directions, section.origin
    letters = letters.strip().lower()
    if sorted(letters) != sorted(free):
        raise ParameterError(
            f"axes={letters!r}; every one of {', '.join(free)} was expected once, in the order "
            f"of the array's axes, as {free!r} or {free[::-1]!r}."
        )
    return columns[:, [free.index(c) for c in letters]], start, letters


def _leading(directions: NDArray[np.float64]) -> list[int]:
    first = int(np.argmax(np.abs(directions[:, 0])))
    return [first, next(int(i) for i in np.argsort(-np.abs(directions[:, 1])) if i != first)]


def _spacing(
    limits: ArrayLike | None, shape: tuple[int, ...], letters: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First coordinate and step along each array axis."""
    wanted = ", ".join(f"first and last {c}" for c in letters)
    if limits is None:
        raise ParameterError(f"limits=None; {wanted} were expected (centres of the pixels).")
    values = np.asarray(limits, dtype=np.float64).ravel()
    if values.size != 2 * len(shape) or not np.isfinite(values).all():
        raise ParameterError(f"limits={values.tolist()}; {wanted} were expected.")
    first, last = values.reshape(-1, 2).T
    points = np.asarray(shape)
    if np.any((first == last) & (points > 1)):
        raise ParameterError(
            f"limits={values.tolist()}: first and last are the same along an axis of "
            f"{shape} points."
        )
    # An axis of one point has no step; one index is as good as any other.
    return first, np.where(points > 1, (last - first) / np.maximum(points - 1, 1), 1.0)


def _as_plane(parts: dict[str, Any]) -> ReciprocalPlane:
    """Plane from arrays that may have to be read."""
    valid = parts.pop("valid", None)
    arrays = plane_arrays(
        parts.pop("intensity"),
        variance=parts.pop("variance", None),
        counts=parts.pop("counts", None),
        mask=parts.pop("mask", None) if valid is None else ~np.asarray(valid, dtype=bool),
    )
    return ReciprocalPlane(**arrays, **parts)


def numbers_in(text: str, option: str) -> list[float]:
    """Numbers of an option, with blanks, commas or semicolons between them.

    Parameters
    ----------
    text : str
        Such as ``"-10,10,-8,8"``.
    option : str
        What to call it in an error.

    Raises
    ------
    ParameterError
        If something in it is no number.
    """
    try:
        return [float(word) for word in re.split(r"[\s,;]+", text.strip()) if word]
    except ValueError as error:
        raise ParameterError(
            f"{option} {text!r}: numbers with blanks or commas between them were expected."
        ) from error


def placed(
    data: ReciprocalPlane | ReciprocalVolume | Unplaced, **where: Any
) -> ReciprocalPlane | ReciprocalVolume:
    """Place what a reader found, with what its caller knows, or say what is missing.

    Parameters
    ----------
    data : ReciprocalPlane, ReciprocalVolume or Unplaced
        As read.
    **where
        ``cell``, ``section``, ``axes``, ``limits`` of :func:`place`, None if not known.

    Raises
    ------
    FileFormatError
        If nothing is known and the file does not tell enough.
    """
    if any(value is not None for value in where.values()):
        return place(data, **where)
    if not isinstance(data, Unplaced):
        return data
    if len(data.intensity.shape) == 3:
        raise FileFormatError(
            data.lacks,
            terminal="dsfunet convert IN placed.nxs --cell … --axes … --limits … takes what "
            "the file does not tell.",
            napari="Plugins > Diffuse Scattering > Open file has fields for what it does not "
            "tell.",
        )
    # A plane can be factorized without a lattice; what is missing is kept in writing.
    arrays = plane_arrays(
        data.intensity, variance=data.variance, counts=data.counts, mask=data.mask
    )
    notes = [*data.provenance.get("notes", []), data.lacks]
    provenance = {**data.provenance, "notes": notes}
    return ReciprocalPlane(
        **arrays,
        laue_class=data.laue_class,
        name=data.name,
        provenance=provenance,
        masks=data.masks,
    )
