"""Averages over symmetry-equivalent voxels and pixels, and the test of the Laue class."""

from dsfunet_core.symmetrize.files import write_symmetrized
from dsfunet_core.symmetrize.planes import SymmetrizedPlane, symmetrize_plane
from dsfunet_core.symmetrize.report import SymmetryReport
from dsfunet_core.symmetrize.volumes import SymmetrizedVolume, symmetrize_volume

__all__ = [
    "SymmetrizedPlane",
    "SymmetrizedVolume",
    "SymmetryReport",
    "symmetrize_plane",
    "symmetrize_volume",
    "write_symmetrized",
]
