"""Write src/dsfunet_core/data/sro-table.npz: `python scripts/build_sro_table.py`.

12,500 Monte Carlo sets, about 20 minutes of one core. Set i comes from its own seed, so that
the file is the same however many processes drew it.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from dsfunet_core.simulate.sro_table import UNIT, draw_set

SEED = 20241101
TARGET = Path(__file__).parents[1] / "src" / "dsfunet_core" / "data" / "sro-table.npz"


def one(index):
    m_a, targets, alpha = draw_set(np.random.default_rng([SEED, index]))
    return m_a, targets, np.rint(alpha[5:, 5:, 5:] / UNIT).astype(np.int16)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=12_500)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        sets = []
        for found in pool.map(one, range(options.sets), chunksize=25):
            sets.append(found)
            if len(sets) % 500 == 0:
                print(f"{len(sets)} of {options.sets}", flush=True)
    octants = np.stack([octant for *_, octant in sets])
    temporary = options.output.with_suffix(".partial")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            concentration=np.array([m_a for m_a, *_ in sets], np.float32),
            targets=np.array([targets for _, targets, _ in sets], np.float32),
            differences=np.diff(octants, axis=1, prepend=np.int16(0)),
        )
    temporary.replace(options.output)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
