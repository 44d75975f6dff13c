"""What the dock for whole volumes asks for, free of Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_dsfunet.forms import LAUE_CHOICES, Form, _entry, support_entry

if TYPE_CHECKING:
    from dsfunet_core.factorization import CancelToken
    from dsfunet_core.plane import ReciprocalVolume
    from dsfunet_core.volume_factorization import VolumeFactorization, VolumePlan

__all__ = ["VolumeForm"]


@dataclass(frozen=True)
class VolumeForm(Form):
    """How to take a whole volume apart."""

    order: int = _entry(
        5,
        "Order",
        "Correlations up to so many cells apart along each axis. Order n needs 2n + 1 voxels "
        "a reciprocal cell.",
        low=1,
        high=8,
    )
    laue_class: str = _entry(
        "",
        "Laue class",
        "Equivalent vectors share one α. The form factor is not averaged: average the volume "
        "for that.",
        choices=LAUE_CHOICES,
    )
    support: float = support_entry()
    limit: float = _entry(
        0.0,
        "|h|, |k|, |l| up to",
        "Leave out voxels farther out, where the volume is too large or holds little.",
        high=1000.0,
        step=0.5,
        special="all there are",
    )
    every: int = _entry(
        1,
        "One voxel in",
        "Use one voxel in so many along each axis, where they are finer than the order needs.",
        low=1,
        high=50,
    )
    robust: bool = _entry(
        True, "Reject outliers", "Give voxels far off the model no weight, such as Bragg tails."
    )
    max_unknowns: int = _entry(
        8000,
        "Unknowns, at most",
        "Of the form factor. Memory grows with their square and time with their cube; fewer "
        "allow a smaller support only.",
        low=50,
        high=30_000,
        step=500,
        advanced=True,
    )

    def excerpt_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`~dsfunet_core.volume_factorization.excerpt`.

        Returns
        -------
        dict
            Empty where all voxels are used.
        """
        arguments: dict[str, Any] = {}
        if self.limit > 0:
            arguments["limit"] = self.limit
        if self.every > 1:
            arguments["every"] = self.every
        return arguments

    def as_core_arguments(self) -> dict[str, Any]:
        """Keyword arguments of :func:`~dsfunet_core.volume_factorization.factorize_volume`."""
        return {
            "order": self.order,
            "support": self.support if self.support > 0 else "auto",
            "laue_class": self.laue_class or None,
            "robust": self.robust,
            "max_unknowns": self.max_unknowns,
        }

    def plan(self, volume: ReciprocalVolume) -> VolumePlan:
        """Say what will be done and what it needs; no voxel is read.

        Parameters
        ----------
        volume : ReciprocalVolume
            The volume.

        Raises
        ------
        DsfunetError
            If it cannot be done; the text says how to mend it.
        """
        from dsfunet_core.volume_factorization import plan_volume

        arguments = self.as_core_arguments()
        del arguments["robust"]
        return plan_volume(volume, **arguments, **self.excerpt_arguments())

    def compute(
        self,
        volume: ReciprocalVolume,
        callback: Any = None,
        cancel: CancelToken | None = None,
    ) -> VolumeFactorization:
        """Cut or thin the volume, and factorize it."""
        from dsfunet_core.volume_factorization import excerpt, factorize_volume

        cut = self.excerpt_arguments()
        if cut:
            volume = excerpt(volume, **cut)
        return factorize_volume(
            volume, **self.as_core_arguments(), callback=callback, cancel=cancel
        )

    def script(self) -> tuple[str, ...]:
        """``result`` from ``volume``."""
        names = ["factorize_volume"]
        lines = []
        cut = self.excerpt_arguments()
        if cut:
            names.insert(0, "excerpt")
            given = ", ".join(f"{name}={value!r}" for name, value in cut.items())
            lines.append(f"volume = excerpt(volume, {given})")
        return (
            f"from dsfunet_core.volume_factorization import {', '.join(names)}",
            *lines,
            f"result = factorize_volume({self._call('volume')})",
            "print(result.table(20))",
        )
