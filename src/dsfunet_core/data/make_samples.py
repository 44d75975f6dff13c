"""Build the bundled samples again: ``python -m dsfunet_core.data.make_samples``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsfunet_core.data import SAMPLES
from dsfunet_core.io.meerkat import write_meerkat
from dsfunet_core.plane import ReciprocalPlane
from dsfunet_core.simulate import Detector, measured_mask, tris_amide

__all__ = ["tris_amide_hk1"]

#: Grid of the sample: ±12 in h and k by 0.08, five layers around l = 1.
H_MAX, STEP, LAYERS = 12.0, 0.08, (0.8, 0.9, 1.0, 1.1, 1.2)
#: Largest |Q| recorded [Å⁻¹] and width (σ) of the diffuse layer along l [r.l.u.].
Q_MAX, LAYER_WIDTH = 6.2, 0.06
#: Mean counts in a measured voxel of the layer l = 1.
COUNTS = 20.0
#: Fewest and most observations merged into a voxel.
PASSES = (3, 9)


def tris_amide_hk1(path: Path) -> None:
    """Write the tris-amide sample.

    Parameters
    ----------
    path : pathlib.Path
        Where to; an existing file is replaced.
    """
    rng = np.random.default_rng(20240101)
    n = round(2 * H_MAX / STEP) + 1
    detector = Detector(wavelength=0.75, distance=150, beam=(20, 8), beam_stop=3)
    intensity = np.zeros((n, n, len(LAYERS)), np.float32)
    observations = np.zeros_like(intensity)
    truth = None
    for k, level in enumerate(LAYERS):
        plane = ReciprocalPlane(
            intensity=np.zeros((n, n)),
            valid=np.ones((n, n), bool),
            cell=tris_amide.CELL,
            origin=np.array([-H_MAX, -H_MAX, level]),
            steps=np.array([[STEP, 0], [0, STEP], [0, 0]]),
        )
        if truth is None:
            # The layer is a rod's section: its pattern is that of l = 1 throughout.
            at_one = plane.replace(origin=np.array([-H_MAX, -H_MAX, 1.0]))
            form_factor, sro = tris_amide.simulate(at_one)
            truth = form_factor * sro
            inside = at_one.q_norm() <= Q_MAX
            scale = COUNTS / (truth[inside].mean() * np.mean(PASSES))
        seen = measured_mask(
            plane.q(), detector, rotation=(0, 200), axis=np.array([0.3, 0.2, 1.0])
        )
        seen &= plane.q_norm() <= Q_MAX
        passes = np.where(seen, rng.integers(PASSES[0], PASSES[1] + 1, size=seen.shape), 0)
        profile = np.exp(-0.5 * ((level - 1) / LAYER_WIDTH) ** 2)
        counted = rng.poisson(truth * profile * scale * passes)
        intensity[:, :, k] = np.divide(counted, passes, where=seen, out=np.full((n, n), np.nan))
        observations[:, :, k] = passes
    write_meerkat(
        path,
        intensity,
        tris_amide.CELL,
        lower_limits=(-H_MAX, -H_MAX, LAYERS[0]),
        step_sizes=(STEP, STEP, LAYERS[1] - LAYERS[0]),
        counts=observations,
        space_group_nr=176,
        overwrite=True,
    )


if __name__ == "__main__":
    tris_amide_hk1(Path(__file__).parent / SAMPLES["tris-amide-hk1"])
