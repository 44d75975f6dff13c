"""What a network finds, to look at while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

__all__ = ["samples_figure"]


@torch.inference_mode()
def samples_figure(
    model: torch.nn.Module, samples: list[dict[str, Tensor]], device: torch.device
) -> Figure:
    """Planes, what a network finds in them, and the truth, all as roots.

    Parameters
    ----------
    model, samples, device
        As for `dsfunet_core.network.training.validate`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each sample.
    """
    names = ("√I", "√I_FF found", "true", "√I_SRO found", "true")
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(2.2 * len(names), 2.3 * max(len(samples), 1)), layout="constrained"
    )
    was_training = model.training
    model.eval()
    for row, sample in enumerate(samples):
        inputs = (sample[name][None].to(device) for name in ("scattering", "valid"))
        form_factor, sro = model(*inputs)[-1][0].float().cpu()
        plane = sample["scattering"][0].masked_fill(sample["valid"][0] == 0, float("nan"))
        images = (plane, form_factor, sample["form_factor"][0], sro, sample["sro"][0])
        for column, (name, image) in enumerate(zip(names, images, strict=True)):
            axes = figure.add_subplot(len(samples), len(names), row * len(names) + column + 1)
            axes.imshow(image.numpy(), origin="lower", vmin=-1, vmax=1)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name)
    model.train(was_training)
    return figure
