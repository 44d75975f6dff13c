"""Samples under File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.types import LayerData

__all__ = ["cubic", "hard", "triclinic_volume", "tris_amide", "tris_amide_plane"]


def tris_amide() -> list[LayerData]:
    """Five hk layers around l = 1 of a tricarboxamide, simulated with noise and gaps."""
    from dsfunet_core import read, sample
    from napari_dsfunet.layers import object_layers
    from napari_dsfunet.reader import follow_current

    follow_current()
    return object_layers(
        read(sample("tris-amide-hk1")), 'dsfunet_core.sample("tris-amide-hk1")'
    )


def tris_amide_plane() -> list[LayerData]:
    """Plane hk1 of the same, cut out of the layers."""
    from dsfunet_core import ReciprocalVolume, read, sample
    from napari_dsfunet.forms import SliceForm
    from napari_dsfunet.layers import plane_layer
    from napari_dsfunet.reader import follow_current

    follow_current()
    volume = read(sample("tris-amide-hk1"))
    assert isinstance(volume, ReciprocalVolume)
    form = SliceForm(plane="hk1")
    script = (
        'volume = dsfunet_core.read(dsfunet_core.sample("tris-amide-hk1"))',
        *form.script(),
    )
    return [plane_layer(form.compute(volume), script)]


def cubic() -> list[LayerData]:
    """Plane hk0 of a cubic crystal without noise, and its true factors, hidden."""
    from dsfunet_core.simulate.samples import CUBIC_ALPHA, cubic_plane

    return _known("cubic_plane", cubic_plane(), CUBIC_ALPHA)


def hard() -> list[LayerData]:
    """Plane hk1 with 5 counts a pixel, gaps and leftover Bragg peaks, and its truth."""
    from dsfunet_core.simulate.samples import HARD_ALPHA, hard_plane

    return _known("hard_plane", hard_plane(), HARD_ALPHA)


def triclinic_volume() -> list[LayerData]:
    """Volume of a triclinic crystal with 20 counts a voxel, for Factorize volume."""
    from dsfunet_core.simulate.samples import TRICLINIC_ALPHA
    from dsfunet_core.simulate.samples import triclinic_volume as made
    from napari_dsfunet.layers import KEY, volume_layer
    from napari_dsfunet.reader import follow_current

    follow_current()
    script = (
        "from dsfunet_core.simulate.samples import triclinic_volume",
        "volume = triclinic_volume().volume",
    )
    layer = volume_layer(made().volume.replace(name="triclinic"), script)
    layer[1]["metadata"][KEY]["truth"] = {"order": _words(TRICLINIC_ALPHA)}
    return [layer]


def _known(
    maker: str, simulated: object, alpha: dict[tuple[int, int, int], float]
) -> list[LayerData]:
    from dsfunet_core.simulate import SimulatedPlane
    from napari_dsfunet.reader import follow_current
    from napari_dsfunet.simulated_layers import simulated_layers

    assert isinstance(simulated, SimulatedPlane)
    follow_current()
    script = (
        f"from dsfunet_core.simulate.samples import {maker}",
        f"simulated = {maker}()",
    )
    return simulated_layers(simulated, script, order=_words(alpha))


def _words(alpha: dict[tuple[int, int, int], float]) -> str:
    return ", ".join(
        f"α({' '.join(map(str, v))}) = {value:g}".replace("-", "−")
        for v, value in alpha.items()
    )
