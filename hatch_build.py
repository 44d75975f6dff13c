"""Build hook: manifest and manual stand at the repository root and are served from the package.

npe2 looks for ``napari.yaml`` in the folder of the module that the ``napari.manifest``
entry point names, and the docks show pages of ``docs``. A wheel gets copies there. An
editable install reads the source tree, so there the package gets links to what stands at
the root, ignored by git; a plain ``force-include`` in ``pyproject.toml`` would be left out
of editable installs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: At the root of the repository; the manual may be left out.
MANIFEST, MANUAL = "napari.yaml", "docs"
PACKAGE = "napari_dsfunet"


class PackageHook(BuildHookInterface):
    """Put manifest and manual into the package, for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to a wheel, or link them into the package of an editable install.

        Parameters
        ----------
        version : str
            ``"standard"`` for a wheel, ``"editable"`` for an editable install.
        build_data : dict
            hatchling's build data; ``force_include`` is extended for a wheel.
        """
        for name in (MANIFEST, MANUAL):
            source = Path(self.root, name)
            if not source.exists():
                continue
            if version == "editable":
                link_into_package(source, Path(self.root, "src", PACKAGE, name))
            elif source.is_file():
                build_data["force_include"][str(source)] = f"{PACKAGE}/{name}"
            else:
                for page in (*source.glob("*.md"), *source.glob("images/*.png")):
                    inside = page.relative_to(source.parent).as_posix()
                    build_data["force_include"][str(page)] = f"{PACKAGE}/{inside}"


def link_into_package(source: Path, link: Path) -> None:
    """Make `link` point to `source`, or copy it where links are not allowed.

    Parameters
    ----------
    source : Path
        File or folder at the root of the repository.
    link : Path
        Its place in the package; what stands there is replaced.
    """
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    try:
        link.symlink_to(Path("..", "..", source.name), target_is_directory=source.is_dir())
    except OSError:  # Windows without the right to make links
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, link)
