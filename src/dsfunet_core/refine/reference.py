"""Known Warren–Cowley parameters to stand beside refined ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dsfunet_core.errors import FileFormatError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dsfunet_core.symmetry import Orbit

__all__ = ["Reference", "read_reference"]


@dataclass(frozen=True)
class Reference:
    """Known parameters.

    Parameters
    ----------
    alpha : mapping
        Vector (u, v, w) → α; one member of an orbit is enough.
    label : str
        Where they come from, in a word or two.
    note : str
        A sentence or two on what the comparison means.
    """

    alpha: Mapping[tuple[int, int, int], float] = field(default_factory=dict)
    label: str = "published"
    note: str = ""

    def matched(self, orbits: Sequence[Orbit]) -> NDArray[np.float64]:
        """Values in the order of orbits, NaN where there is none.

        Parameters
        ----------
        orbits : sequence of Orbit
            Symmetry-equivalent vectors.

        Returns
        -------
        ndarray, shape (n,)
            α.
        """
        values = np.full(len(orbits), np.nan)
        for i, orbit in enumerate(orbits):
            for member in map(tuple, orbit.members.tolist()):
                if member in self.alpha:
                    values[i] = self.alpha[member]
        return values


def read_reference(path: str | os.PathLike[str]) -> Reference:
    """Read parameters from a table or from a refinement of ours.

    Parameters
    ----------
    path : path-like
        CSV with columns u, v, w and alpha, as :meth:`SroRefinement.to_csv` writes and
        spreadsheets can; or the JSON of :meth:`SroRefinement.to_json`.

    Returns
    -------
    Reference
        Named after the file.

    Raises
    ------
    FileFormatError
        If it is something else; the text says what was expected.
    """
    from dsfunet_core.io.files import existing_file

    found = existing_file(path)
    try:
        text = found.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            content = json.loads(text)
            vectors = [tuple(orbit["representative"]) for orbit in content["orbits"]]
            alpha = dict(zip(vectors, map(float, content["alpha"]), strict=True))
        else:
            alpha = {
                (int(row["u"]), int(row["v"]), int(row["w"])): float(row["alpha"])
                for row in csv.DictReader(text.splitlines())
            }
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{found} holds no parameters that can be read ({type(error).__name__}: {error}). "
            "Expected is a CSV table whose first line names the columns u, v, w and alpha, or "
            "the JSON of a refinement."
        ) from error
    if not alpha:
        raise FileFormatError(f"{found} holds no parameters; a line a vector was expected.")
    return Reference(alpha, label=found.name)
