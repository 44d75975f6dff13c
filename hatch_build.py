"""Build hook: the manifest stands at the repository root and is served from the package.

npe2 looks for ``napari.yaml`` in the folder of the module that the ``napari.manifest``
entry point names. A wheel gets a copy there. An editable install reads the source tree,
so there the package gets a link to the file at the root, ignored by git; a plain
``force-include`` in ``pyproject.toml`` would be left out of editable installs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MANIFEST = "napari.yaml"
PACKAGE = "napari_dsfunet"


class ManifestHook(BuildHookInterface):
    """Put the manifest where npe2 finds it, for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the manifest to a wheel, or link it into the package of an editable install.

        Parameters
        ----------
        version : str
            ``"standard"`` for a wheel, ``"editable"`` for an editable install.
        build_data : dict
            hatchling's build data; ``force_include`` is extended for a wheel.
        """
        manifest = Path(self.root, MANIFEST)
        if version == "editable":
            link_into_package(manifest, Path(self.root, "src", PACKAGE, MANIFEST))
        else:
            build_data["force_include"][str(manifest)] = f"{PACKAGE}/{MANIFEST}"


def link_into_package(manifest: Path, link: Path) -> None:
    """Make `link` point to `manifest`, or copy it where links are not allowed.

    Parameters
    ----------
    manifest : Path
        The file at the root of the repository.
    link : Path
        Its place in the package; what stands there is replaced.
    """
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(Path("..", "..", manifest.name))
    except OSError:  # Windows without the right to make links
        shutil.copyfile(manifest, link)
