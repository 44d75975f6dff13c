"""Planes cut out of volumes: how they are named, and how their pixels are filled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dsfunet_core.errors import GeometryError, ParameterError
from dsfunet_core.interpolation import average, interpolate
from dsfunet_core.lattice import q_matrix
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.section_notation import describe_plane, parse_indices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dsfunet_core.plane import ReciprocalVolume

__all__ = ["Section", "cut"]

#: Voxels by which a position may be off through rounding.
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Section:
    """A plane through reciprocal space.

    Parameters
    ----------
    origin : array_like, shape (3,)
        *hkl* of a point on the plane: where in-plane coordinates are counted from.
    directions : array_like, shape (3, 2)
        Columns: two *hkl* directions in the plane. Rows of pixels follow the first.
    name : str
        What to call it; made from origin and directions when left out.

    Examples
    --------
    >>> Section.parse("hk1").origin
    array([0., 0., 1.])
    >>> Section.parse("h, -h, l").directions
    array([[ 1.,  0.],
           [-1.,  0.],
           [ 0.,  1.]])
    """

    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    name: str = ""

    def __post_init__(self) -> None:
        origin = np.asarray(self.origin, dtype=np.float64)
        directions = np.asarray(self.directions, dtype=np.float64)
        if origin.shape != (3,) or directions.shape != (3, 2):
            raise GeometryError(
                f"a section has an origin of shape {origin.shape} and directions of shape "
                f"{directions.shape}; (3,) and (3, 2), one direction a column, were expected."
            )
        if not np.isfinite(origin).all() or np.linalg.matrix_rank(directions) < 2:
            raise GeometryError(
                f"origin {origin.tolist()} and directions {directions.T.tolist()} give no "
                "plane: the origin must be finite and the directions not parallel."
            )
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "directions", directions)
        if not self.name:
            object.__setattr__(self, "name", describe_plane(origin, directions))

    @classmethod
    def parse(cls, text: str) -> Section:
        """Read a section in the usual notation.

        Parameters
        ----------
        text : str
            Three indices, each a letter (free) or a number (fixed): ``"hk1"``,
            ``"h0l"``, ``"hhl"``, ``"h-hl"``, ``"2kl"``, ``"hk0.5"``, ``"hk1/2"``. With
            commas or blanks between them, sums too: ``"h, h+1, l"``.

        Returns
        -------
        Section
            With the letters, in the order h, k, l, as directions.

        Raises
        ------
        ParameterError
            If the text does not name a plane.
        """
        constants, directions, name = parse_indices(text)
        return cls(constants, directions, name)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direct-space normal [uvw], primitive integers where it has such, shape (3,)."""
        normal = np.cross(*self.directions.T)
        normal = normal / np.abs(normal).max()
        for factor in range(1, 13):
            if np.allclose(normal * factor, np.rint(normal * factor), atol=1e-4):
                normal = np.rint(normal * factor)
                break
        sign = np.sign(normal[np.flatnonzero(normal)[-1]])
        return normal * sign + 0.0


def cut(
    volume: ReciprocalVolume,
    plane: str | Section,
    grid: str = "native",
    thickness: float = 0.0,
    size: int = 256,
    q_max: float | None = None,
) -> ReciprocalPlane:
    """Cut a plane out of a volume.

    Parameters
    ----------
    volume : ReciprocalVolume
        Read only where the plane runs.
    plane : str or Section
        Which plane; a text goes through :meth:`Section.parse`.
    grid : {"native", "cartesian"}
        ``"native"``: a plane that is a layer of the volume's array keeps its voxels;
        another one is interpolated on a grid of the volume's own steps along the
        section's directions, as far as the volume reaches. ``"cartesian"``: square
        pixels in Å⁻¹, rows along the first direction, columns perpendicular to it, and
        the section's origin on pixel (size // 2, size // 2).
    thickness : float
        Full thickness of the slab averaged over, in r.l.u. of the fixed index (of
        u·h + v·k + w·l for a plane with normal [uvw]). Layers are taken along the
        crystal axis, for oblique planes along the normal.
    size : int
        Pixels along each edge of a Cartesian grid.
    q_max : float, optional
        Half-width of a Cartesian grid [Å⁻¹]; when left out, the largest that the volume
        fills.

    Returns
    -------
    ReciprocalPlane
        Invalid pixels are NaN. Its origin tells where the layers used really are.

    Raises
    ------
    GeometryError
        If the plane does not run through the volume.
    ParameterError
        If a parameter is outside what is allowed.

    Notes
    -----
    Averages are weighted by counts where the volume has them, else by inverse
    variances, else equally. Interpolation is trilinear over the voxels that may be
    used; a pixel is valid if these carry half of the weight. With counts, sums and
    counts are interpolated, and their ratio taken at the end.
    """
    section = Section.parse(plane) if isinstance(plane, str) else plane
    _check(grid, thickness, size, q_max)
    axis = _layer_axis(volume, section)
    if grid == "native" and axis is not None:
        origin, steps, parts, record = _layers(volume, section, axis, thickness)
    else:
        if grid == "native":
            origin, steps, shape = _own_grid(volume, section)
        else:
            origin, steps, shape = _cartesian_grid(volume, section, size, q_max)
        offsets = _offsets(volume, section, thickness)
        parts = interpolate(volume, origin, steps, shape, offsets)
        record = {"interpolation": "trilinear", "sheets": len(offsets)}
    return ReciprocalPlane(
        **parts,
        cell=volume.cell,
        origin=origin,
        steps=steps,
        laue_class=volume.laue_class,
        name=section.name,
        provenance={
            **volume.provenance,
            "section": section.name,
            "grid": grid,
            "thickness": float(thickness),
            **record,
        },
    )


def _check(grid: str, thickness: float, size: int, q_max: float | None) -> None:
    if grid not in ("native", "cartesian"):
        raise ParameterError(f'grid={grid!r}; "native" or "cartesian" was expected.')
    if not (math.isfinite(thickness) and thickness >= 0):
        raise ParameterError(f"thickness={thickness}; 0 or more r.l.u. were expected.")
    if not 2 <= size <= 16384:
        raise ParameterError(f"size={size}; 2 to 16384 pixels were expected.")
    if q_max is not None and not (math.isfinite(q_max) and q_max > 0):
        raise ParameterError(f"q_max={q_max}; more than 0 Å⁻¹, or None, was expected.")


def _layer_axis(volume: ReciprocalVolume, section: Section) -> int | None:
    """Array axis that stands on the plane, if the plane is a layer of the array."""
    directions = np.linalg.solve(volume.steps, section.directions)
    directions /= np.abs(directions).max(axis=0)
    flat = np.flatnonzero(np.abs(directions).max(axis=1) < _TOLERANCE)
    return int(flat[0]) if len(flat) else None


def _layers(
    volume: ReciprocalVolume, section: Section, axis: int, thickness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, Any], dict[str, Any]]:
    """Voxels of one layer as they are, or the average of several."""
    at = float(volume.index(section.origin)[axis])
    n = volume.shape[axis]
    if not -0.5 - _TOLERANCE <= at <= n - 0.5 + _TOLERANCE:
        raise _outside(volume, section)
    nearest = int(np.clip(np.rint(at), 0, n - 1))
    half = thickness / 2 / abs(float(section.normal @ volume.steps[:, axis])) + _TOLERANCE
    first = min(nearest, max(0, math.ceil(at - half)))
    last = max(nearest, min(n - 1, math.floor(at + half)))
    if thickness == 0:
        first = last = nearest
    start, stop = [slice(None)] * 3, slice(first, last + 1)
    start[axis] = stop
    block = volume.block((start[0], start[1], start[2]))
    averaged = average(
        {k: None if v is None else np.moveaxis(v, axis, 0) for k, v in block.items()}
    )
    parts: dict[str, Any] = dict(averaged)
    corner = np.zeros(3)
    corner[axis] = (first + last) / 2
    rows, columns = (i for i in range(3) if i != axis)
    if first == last and volume.masks:
        at_layer = (*(slice(None),) * axis, first)
        parts["masks"] = {
            name: np.asarray(layer[at_layer], dtype=bool) & ~parts["valid"]
            for name, layer in volume.masks.items()
        }
    record = {"array_axis": axis, "layers": [first, last]}
    return volume.hkl(corner), volume.steps[:, [rows, columns]], parts, record


def _own_grid(
    volume: ReciprocalVolume, section: Section
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Grid with the volume's steps along the directions, through voxels where it can."""
    directions = np.linalg.solve(volume.steps, section.directions)
    scale = 1 / np.abs(directions).max(axis=0)
    directions = directions * scale
    start = volume.index(section.origin)
    # Shift within the plane until the two best-resolved array axes meet voxel centres.
    pairs = [[0, 1], [0, 2], [1, 2]]
    pair = max(pairs, key=lambda p: abs(np.linalg.det(directions[p])))
    shift = np.linalg.solve(directions[pair], np.rint(start[pair]) - start[pair])
    start = start + directions @ shift
    corners = _corners(volume, start, directions)
    if not len(corners):
        raise _outside(volume, section)
    low = np.ceil(corners.min(axis=0) - _TOLERANCE)
    high = np.floor(corners.max(axis=0) + _TOLERANCE)
    if np.any(high < low):
        raise _outside(volume, section)
    steps = section.directions * scale
    rows, columns = (int(n) for n in high - low + 1)
    return volume.hkl(start + directions @ low), steps, (rows, columns)


def _cartesian_grid(
    volume: ReciprocalVolume, section: Section, size: int, q_max: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Square pixels in Å⁻¹ around the section's origin."""
    to_q = q_matrix(volume.cell)
    # QR gives the first direction and the in-plane perpendicular to it, up to signs.
    basis, triangle = np.linalg.qr(to_q @ section.directions)
    per_angstrom = np.linalg.solve(to_q, basis * np.sign(np.diag(triangle)))
    index = np.linalg.solve(volume.steps, per_angstrom)
    start = volume.index(section.origin)
    if not len(_corners(volume, start, index)):
        raise _outside(volume, section)
    if q_max is None:
        slopes, bounds = _faces(volume, start, index)
        reach = np.abs(slopes).sum(axis=1)
        met = reach > _TOLERANCE * np.abs(index).max()
        q_max = float((bounds[met] / reach[met]).min())
        if q_max <= 0:
            raise GeometryError(
                f"the origin {section.origin.tolist()} of section {section.name!r} is not "
                "inside the volume, so no square around it is filled. Give q_max, or a "
                "Section with an origin inside."
            )
    steps = per_angstrom * (2 * q_max / size)
    return section.origin - (size // 2) * steps.sum(axis=1), steps, (size, size)


def _faces(
    volume: ReciprocalVolume, start: NDArray[np.floating], steps: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Box of the voxel centres, seen from the plane: slopes @ t <= bounds, (6, 2), (6,)."""
    last = np.asarray(volume.shape) - 1.0
    # A volume of one layer reaches half a voxel to each side of it.
    margin = np.where(last == 0, 0.5, 0.0)
    bounds = np.concatenate([last + margin - start, start + margin])
    return np.concatenate([steps, -steps]), bounds


def _corners(
    volume: ReciprocalVolume, start: NDArray[np.floating], steps: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Corners of the polygon that the volume cuts out of the plane, shape (n, 2)."""
    slopes, bounds = _faces(volume, start, steps)
    found = []
    for i in range(6):
        for j in range(i):
            pair = slopes[[i, j]]
            if abs(np.linalg.det(pair)) > 1e-12 * np.abs(slopes).max() ** 2:
                corner = np.linalg.solve(pair, bounds[[i, j]])
                if np.all(slopes @ corner <= bounds + _TOLERANCE):
                    found.append(corner)
    return np.array(found).reshape(-1, 2)


def _offsets(
    volume: ReciprocalVolume, section: Section, thickness: float
) -> NDArray[np.float64]:
    """*hkl* offsets of the sheets that make up the slab, one a voxel, shape (n, 3)."""
    normal = section.normal
    if np.count_nonzero(normal) == 1:
        across = normal / (normal @ normal)
    else:
        metric = np.linalg.inv(q_matrix(volume.cell).T @ q_matrix(volume.cell))
        across = metric @ normal / (normal @ metric @ normal)
    voxels = np.abs(np.linalg.solve(volume.steps, across)).max()
    reach = math.floor(thickness / 2 * voxels + _TOLERANCE)
    return np.arange(-reach, reach + 1)[:, None] / voxels * across


def _outside(volume: ReciprocalVolume, section: Section) -> GeometryError:
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1).T
    levels = volume.hkl(ends) @ section.normal
    terms = [
        ("" if c == 1 else f"{c:g}·") + name
        for c, name in zip(section.normal, "hkl", strict=True)
        if c
    ]
    return GeometryError(
        f"plane {section.name!r} misses volume {volume.name!r}: it lies at "
        f"{' + '.join(terms)} = {section.normal @ section.origin:g}, but the volume "
        f"runs from {levels.min():g} to {levels.max():g}. Choose a plane between."
    )
