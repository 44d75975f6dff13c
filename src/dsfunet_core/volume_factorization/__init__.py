"""Factorization of whole volumes: I(Q) = F(Q)·S(Q) with α of all vectors from one fit."""

from dsfunet_core.volume_factorization.assessment import assess_volume
from dsfunet_core.volume_factorization.excerpt import excerpt
from dsfunet_core.volume_factorization.explanation import explain_volume, summarize_volume
from dsfunet_core.volume_factorization.factorize import factorize_volume
from dsfunet_core.volume_factorization.files import (
    holds_volume_factorization,
    read_volume_factorization,
    write_volume_factorization,
)
from dsfunet_core.volume_factorization.planning import VolumePlan, plan_volume
from dsfunet_core.volume_factorization.result import VolumeFactorization
from dsfunet_core.volume_factorization.simulated import SimulatedVolume, simulate_volume

__all__ = [
    "SimulatedVolume",
    "VolumeFactorization",
    "VolumePlan",
    "assess_volume",
    "excerpt",
    "explain_volume",
    "factorize_volume",
    "holds_volume_factorization",
    "plan_volume",
    "read_volume_factorization",
    "simulate_volume",
    "summarize_volume",
    "write_volume_factorization",
]
