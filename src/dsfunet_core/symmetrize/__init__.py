"""Averages over symmetry-equivalent voxels and pixels, and the test of the Laue class."""

from dsfunet_core.symmetrize.files import write_symmetrized
from dsfunet_core.symmetrize.laue_test import (
    LaueRanking,
    LaueTest,
    allowed_laue_classes,
    rank_laue_classes,
)
from dsfunet_core.symmetrize.planes import SymmetrizedPlane, symmetrize_plane
from dsfunet_core.symmetrize.report import SymmetryReport
from dsfunet_core.symmetrize.volumes import SymmetrizedVolume, symmetrize_volume

__all__ = [
    "LaueRanking",
    "LaueTest",
    "SymmetrizedPlane",
    "SymmetrizedVolume",
    "SymmetryReport",
    "allowed_laue_classes",
    "rank_laue_classes",
    "symmetrize_plane",
    "symmetrize_volume",
    "write_symmetrized",
]
