"""How far a network's factors are from the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["factor_loss", "joint_loss", "linear"]


def linear(root: Tensor) -> Tensor:
    """Intensity between 0 and 1 from a root scaled to [−1, 1]."""
    return ((root + 1) / 2).square()


def joint_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1 between the products of the factors, eqs (11) and (12).

    Parameters
    ----------
    found, truth : Tensor, shape (n, 2, rows, columns)
        √I_FF and √I_SRO on [−1, 1]. Two is added to each before they are multiplied, lest
        two negative values become a maximum.

    Returns
    -------
    Tensor
        A number.
    """

    def product(pair: Tensor) -> Tensor:
        return (pair[:, 0] + 2) * (pair[:, 1] + 2) - 2

    return functional.smooth_l1_loss(product(found), product(truth))


def factor_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Loss of one stage of the compact network.

    The mean absolute difference on √I, the mean square difference on I (what the
    evaluation counts), and the joint term. Each image counts in units of its own range, as
    the evaluation scales it.

    Parameters
    ----------
    found, truth : Tensor, shape (n, 2, rows, columns)
        √I_FF and √I_SRO on [−1, 1].

    Returns
    -------
    Tensor
        A number.
    """
    span = truth.amax(dim=(2, 3), keepdim=True) - truth.amin(dim=(2, 3), keepdim=True)
    root = ((found - truth).abs() / span.clamp(min=0.2)).mean()
    true_intensity = linear(truth)
    intensity = linear(found.clamp(-1.5, 1.5))
    high = true_intensity.amax(dim=(2, 3), keepdim=True)
    low = true_intensity.amin(dim=(2, 3), keepdim=True)
    square = ((intensity - true_intensity) / (high - low).clamp(min=0.1)).square().mean()
    return 2 * root + 4 * square + joint_loss(found, truth)
