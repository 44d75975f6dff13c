"""The library stays free of Qt and napari, and quick to import."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

GUI = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "magicgui"}
HEAVY = {"torch"}

# Reports which of the watched top-level modules each step brought in.
IMPORT_LIBRARY = """
import json, sys, time
start = time.perf_counter()
import dsfunet_core
seconds = time.perf_counter() - start
top_level = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"seconds": seconds, "modules": top_level}))
"""

IMPORT_EVERY_MODULE = """
import importlib, json, pkgutil, sys
import dsfunet_core

def raise_error(name):
    raise

watched = set(sys.argv[1:])
brought = {}
before = set(sys.modules)
names = []
walk = pkgutil.walk_packages(dsfunet_core.__path__, "dsfunet_core.", onerror=raise_error)
for info in walk:
    if info.name.endswith(".__main__"):
        continue
    importlib.import_module(info.name)
    names.append(info.name)
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    before = set(sys.modules)
    if new & watched:
        brought[info.name] = sorted(new & watched)
print(json.dumps({"names": names, "brought": brought}))
"""


def bare_python(code: str, *arguments: str) -> Any:
    """Run `code` in an interpreter without the tests' imports; its last line is JSON."""
    command = [sys.executable, "-I", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_library_imports_no_gui_no_torch_and_quickly() -> None:
    runs = [bare_python(IMPORT_LIBRARY) for _ in range(3)]

    assert not (GUI | HEAVY) & set(runs[0]["modules"])
    assert min(run["seconds"] for run in runs) < 1.0


def test_no_module_of_the_library_imports_a_gui() -> None:
    report = bare_python(IMPORT_EVERY_MODULE, *sorted(GUI))

    assert report["names"], "no submodule of dsfunet_core was found"
    assert report["brought"] == {}, "module of dsfunet_core -> what it imported"
