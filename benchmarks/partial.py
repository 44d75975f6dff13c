"""Figures kept plane by plane, so that a long run can stop and go on."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Partial"]


class Partial:
    """Lines of JSON, one a plane.

    Parameters
    ----------
    path : Path or None
        Where they are kept; nothing is kept for None.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.done: dict[int, dict[str, Any]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self.done[entry["plane"]] = entry

    def add(self, plane: int, figures: dict[str, Any]) -> None:
        """Keep the figures of one plane."""
        self.done[plane] = {"plane": plane, "commit": commit(), **figures}
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.done[plane]) + "\n")

    def first(self, n: int) -> list[dict[str, Any]]:
        """Figures of the first ``n`` planes, in order."""
        return [self.done[i] for i in sorted(self.done) if i < n]


@cache
def commit() -> str:
    """Short name of the commit that is measured; a "+" says that files were changed since."""
    here = Path(__file__).parent
    try:
        name, changed = (
            subprocess.run(
                ["git", *words], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", "--", "../src"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+" if changed else name
