"""Short-range-order parameters from factorized planes, and the classical baselines."""

from dsfunet_core.refine.baselines import divide_by_average, divide_by_contrast
from dsfunet_core.refine.projection import UnitCellMap, project
from dsfunet_core.refine.sro import SroProblem, SroRefinement, refine_sro

__all__ = [
    "SroProblem",
    "SroRefinement",
    "UnitCellMap",
    "divide_by_average",
    "divide_by_contrast",
    "project",
    "refine_sro",
]
