"""Volumes masked from file to file, a slab at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from dsfunet_core.errors import ParameterError
from dsfunet_core.io.files import replacing
from dsfunet_core.io.nexus import read as read_nexus
from dsfunet_core.io.nexus_masks import LayerGroup
from dsfunet_core.io.nexus_output import write_nexus
from dsfunet_core.io.writing import format_of
from dsfunet_core.masking import volume_layers
from dsfunet_core.masking.outliers import check_positive
from dsfunet_core.masking.rings import Ring, checked_ring
from dsfunet_core.masking.volume_gaps import gaps as gap_regions
from dsfunet_core.masking.volume_slabs import Callback, MaskedVolume
from dsfunet_core.plane import ReciprocalVolume

if TYPE_CHECKING:
    import os


__all__ = ["mask_volume"]


@dataclass(frozen=True)
class _Step:
    """One method: its record, and how its layers are found on what is left so far."""

    record: dict[str, Any]
    find: Callable[[dict[str, Any]], tuple[dict[str, volume_layers.Judge], list[slice]]]


def mask_volume(
    path: str | os.PathLike[str],
    volume: ReciprocalVolume,
    *,
    unseen: float | None = None,
    gaps: bool | Sequence[float] = False,
    beam_stop: float | None = None,
    bragg: Any = None,
    centring: str = "P",
    space_group: str | None = None,
    satellites: Sequence[Any] = (),
    satellite_order: int = 1,
    stray_peaks: bool | float = False,
    hot_pixels: bool | float = False,
    rings: str | Sequence[Ring | tuple[float, float]] | None = None,
    max_memory: float = 1.0,
    overwrite: bool = False,
    callback: Callback | None = None,
) -> ReciprocalVolume:
    """Mask a volume into a NeXus file, each reason in a layer of its own.

    Nothing is masked but what is asked for, in the order of the parameters; every method
    looks only at what those before have left.

    Parameters
    ----------
    path : path-like
        File to write, ``.nxs`` or ``.h5``. It appears under this name when it is complete.
    volume : ReciprocalVolume
        As :func:`dsfunet_core.read` gives it; never read as a whole. Its own layers are kept.
    unseen : float, optional
        Fewest observations of a voxel, for volumes with counts; layer ``"unseen"``.
    gaps : bool or sequence of float
        Layer ``"gaps"``: voxels of these values, (−1, −2) if True, and regions of exactly 0,
        three voxels wide or more, that chance does not explain.
    beam_stop : float, optional
        Largest |Q| of the layer ``"beam stop"`` [Å⁻¹], 2π included.
    bragg : float, array_like of shape (3,) or (3, 3), optional
        Ellipsoids around all lattice points, layer ``"bragg"``: radius [Å⁻¹], semi-axes
        along x ∥ a, y, z ∥ c* [Å⁻¹], or the tensor [Å²].
    centring, space_group, satellites, satellite_order
        As in :func:`dsfunet_core.masking.mask_bragg`.
    stray_peaks : bool or float
        Layer ``"stray peaks"``: what stands out of voxels five away by so many standard
        deviations (6 if True) and is three voxels or more across in every section.
    hot_pixels : bool or float
        Layer ``"hot pixels"``: what stands out of its 26 neighbours, and of the 8 in each
        section along two axes, by so many standard deviations (6 if True), two touching
        voxels at most in one such section.
        The trace of a hot pixel of the detector is long, but as thin.
    rings : "auto" or sequence of Ring or of (q, half-width), optional
        Shells of |Q| [Å⁻¹], layer ``"powder rings"``; looked for with ``"auto"``.
    max_memory : float
        What the arrays worked on may take [GiB].
    overwrite : bool
        Whether a file that is there may be replaced.
    callback : callable, optional
        Called with (step, total, message).

    Returns
    -------
    ReciprocalVolume
        What was written, read where it is sliced.

    Raises
    ------
    ParameterError
        If nothing is asked for, a parameter is out of range, or the file exists.
    GeometryError
        If nothing was measured.

    Notes
    -----
    Peaks grown from the data, the beam stop's outline, polygons, painted labels, filling and
    backgrounds are for planes; cut one out of the volume for these.
    """
    if format_of(path) != "nexus":
        raise ParameterError(
            f"path={str(path)!r}: masked volumes are written as NeXus, which keeps the layers "
            "of the mask; use the suffix .nxs or .h5."
        )
    source = MaskedVolume.within(volume, max_memory)
    steps = _steps(
        source,
        unseen=unseen,
        gaps=gaps,
        beam_stop=beam_stop,
        bragg=bragg,
        lattice={
            "centring": centring,
            "space_group": space_group,
            "satellites": [[float(x) for x in np.ravel(q)] for q in satellites],
            "satellite_order": satellite_order,
        },
        stray_peaks=stray_peaks,
        hot_pixels=hot_pixels,
        rings=rings,
        callback=callback,
    )
    if not steps:
        raise ParameterError(
            "nothing to mask was asked for; give bragg=0.06 (a radius in Å⁻¹), "
            'hot_pixels=True, rings="auto" or another.'
        )
    processing = list(volume.provenance.get("processing", []))
    with replacing(path, overwrite=overwrite) as temporary:
        if callback is not None:
            callback(0, 0, "copying the volume")
        write_nexus(temporary, volume)
        with h5py.File(temporary, "r+") as h5:
            group = LayerGroup(h5, volume.masks)
            for step in steps:
                record = dict(step.record)
                judges, slabs = step.find(record)
                processing.append(record)
                _write(source, group, judges, slabs, callback)
                source.layers = dict(group.layers)
            mask = volume.mask
            group.finish(
                None if mask is None else lambda part: np.asarray(mask[part], dtype=bool),
                {**volume.provenance, "processing": processing},
            )
    done = read_nexus(Path(path).expanduser())
    assert isinstance(done, ReciprocalVolume)
    return done


def _write(
    source: MaskedVolume,
    group: LayerGroup,
    judges: dict[str, volume_layers.Judge],
    slabs: list[slice],
    callback: Callback | None,
) -> None:
    """Fill the layers of one method; what was never measured is in none."""
    before = {name: name in group.layers for name in judges}
    layers = {name: group.layer(name) for name in judges}
    for number, part in enumerate(slabs):
        if callback is not None:
            callback(number, len(slabs), f"masking {', '.join(judges)}")
        measured = source.measured(part)
        found = {name: judge(part) & measured for name, judge in judges.items()}
        for name, out in found.items():
            layers[name][part] = out | layers[name][part] if before[name] else out


def _steps(
    source: MaskedVolume,
    *,
    unseen: float | None,
    gaps: bool | Sequence[float],
    beam_stop: float | None,
    bragg: Any,
    lattice: dict[str, Any],
    stray_peaks: bool | float,
    hot_pixels: bool | float,
    rings: str | Sequence[Ring | tuple[float, float]] | None,
    callback: Callback | None,
) -> list[_Step]:
    """Methods asked for, in the order in which they are done, parameters checked."""
    steps = []
    if unseen is not None:
        check_positive(unseen=unseen)
        judge = volume_layers.unseen(source, unseen)
        record = {"step": "mask_unseen", "observations": float(unseen)}
        steps.append(_known(source, record, {"unseen": judge}))
    if gaps is not False:
        values = (-1.0, -2.0) if gaps is True else tuple(float(v) for v in gaps)
        steps.append(_gaps(source, values, callback))
    if beam_stop is not None:
        check_positive(beam_stop=beam_stop)
        disc = volume_layers.shells(source, [Ring(0.0, float(beam_stop))])
        record = {"step": "mask_beam_stop", "radius": float(beam_stop)}
        steps.append(_known(source, record, {"beam stop": disc}))
    if bragg is not None:
        steps.append(_bragg(source, bragg, lattice))
    for name, given, finder in (
        ("stray peaks", stray_peaks, volume_layers.stray_peaks),
        ("hot pixels", hot_pixels, volume_layers.hot_voxels),
    ):
        if given is not False:
            threshold = 6.0 if given is True else float(given)
            check_positive(threshold=threshold)
            steps.append(_outliers(source, name, threshold, finder))
    if rings is not None:
        steps.append(_rings(source, rings))
    return steps


def _known(
    source: MaskedVolume, record: dict[str, Any], judges: dict[str, volume_layers.Judge]
) -> _Step:
    """Step whose layers need no look at what the others have left."""
    return _Step(record, lambda _: (judges, source.slabs()))


def _gaps(source: MaskedVolume, values: tuple[float, ...], callback: Callback | None) -> _Step:
    def find(record: dict[str, Any]) -> tuple[dict[str, volume_layers.Judge], list[slice]]:
        del record
        noise, typical = source.noise(without=values)

        def passed(step: int, total: int) -> None:
            if callback is not None:
                callback(step, total, "looking for gaps")

        judge, slabs = gap_regions(source, values, noise, typical, passed)
        return {"gaps": judge}, slabs

    return _Step({"step": "mask_gaps", "values": list(values)}, find)


def _bragg(source: MaskedVolume, size: Any, lattice: dict[str, Any]) -> _Step:
    if isinstance(size, str):
        raise ParameterError(
            f"bragg={size!r}: peaks are grown from the data on planes only. Mask one plane "
            'with mask_bragg(volume.section("hk0")), and give the radius that its provenance '
            "tells [Å⁻¹] here."
        )
    judges = volume_layers.bragg(source, size, **lattice)
    given = np.asarray(size, dtype=float)
    record = {
        "step": "mask_bragg",
        "radius": float(given) if given.ndim == 0 else given.tolist(),
        **{key: value for key, value in lattice.items() if value not in (None, [])},
    }
    if not lattice["satellites"]:
        del record["satellite_order"]
    return _known(source, record, judges)


def _outliers(
    source: MaskedVolume, name: str, threshold: float, finder: Callable[..., Any]
) -> _Step:
    hot = name == "hot pixels"
    step = "mask_hot_pixels" if hot else "mask_stray_peaks"

    def find(record: dict[str, Any]) -> tuple[dict[str, volume_layers.Judge], list[slice]]:
        noise, _ = source.noise()
        record["noise"] = {"constant": noise.constant, "gain": noise.gain}
        more = (2,) if hot else ()
        judge, margin = finder(source, noise, threshold, *more)
        return {name: judge}, source.slabs(margin)

    return _Step({"step": step, "threshold": threshold}, find)


def _rings(source: MaskedVolume, rings: str | Sequence[Ring | tuple[float, float]]) -> _Step:
    if isinstance(rings, str) and rings != "auto":
        raise ParameterError(f'rings={rings!r}; "auto" or pairs of |Q| and half-width.')
    given = None if isinstance(rings, str) else [checked_ring(ring) for ring in rings]

    def find(record: dict[str, Any]) -> tuple[dict[str, volume_layers.Judge], list[slice]]:
        found = given
        if found is None:
            found = volume_layers.find_shells(source, source.noise()[0])
        record["rings"] = [[ring.q, ring.half_width] for ring in found]
        return {"powder rings": volume_layers.shells(source, found)}, source.slabs()

    return _Step({"step": "mask_rings", "found": given is None}, find)
