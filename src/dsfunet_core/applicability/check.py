"""One thing that is looked at: a figure, its limit and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    what : str
        Its name.
    value : float
        The figure.
    limit : float
        What it is held against.
    passed : bool
        Whether it is on the right side of the limit.
    shown : str
        Figure and limit as text, with units.
    sentence : str
        What that means.
    assumption : bool
        Whether a failure says that the product does not describe the plane. Otherwise it
        says that the plane could not tell.
    """

    what: str
    value: float
    limit: float
    passed: bool
    shown: str
    sentence: str
    assumption: bool = True
