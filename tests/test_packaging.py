"""The plugin's manifest and all files arrive by every way of installing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest

import dsfunet_core

ROOT = Path(__file__).resolve().parents[1]
NAME = "napari-dsfunet"
SOURCES = [
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints-cpu.txt",
    "docs",
    "hatch_build.py",
    "napari.yaml",
    "pyproject.toml",
    "src",
]

ASK_NPE2 = f"""
import json
from importlib import metadata, util
from npe2 import PluginManifest
manifest = PluginManifest.from_distribution({NAME!r})
print(json.dumps({{
    "manifest": manifest.model_dump(mode="json", exclude={{"package_metadata"}}),
    "version": metadata.version({NAME!r}),
    "package": util.find_spec("napari_dsfunet").origin,
}}))
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    # An environment of the caller's must not lead the fresh one back to this tree.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip_install(python: Path, *what: str | Path) -> None:
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "-q"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources as a fresh clone has them: without the manifest's link."""
    root = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "napari.yaml", "docs")
            shutil.copytree(ROOT / name, root / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def wheels(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels built straight from the tree and by way of the sdist."""
    build = (sys.executable, "-m", "build", "--no-isolation")
    built = {}
    for way, options in {"tree": ["--wheel"], "sdist": []}.items():
        folder = tmp_path_factory.mktemp(way)
        run(*build, *options, "--outdir", folder, tree)
        (built[way],) = folder.glob("*.whl")
    return built


@pytest.fixture
def fresh_python(tmp_path: Path) -> Path:
    """An interpreter of a new environment that sees this one's packages behind its own."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    variables = {"base": str(environment), "platbase": str(environment)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", vars=variables))
    # Last in the alphabet, so that an editable install's own .pth file comes first.
    (site_packages / "zz-behind.pth").write_text(sysconfig.get_path("purelib"))
    return Path(sysconfig.get_path("scripts", "venv", vars=variables), "python")


def ask_npe2(python: Path, cwd: Path) -> dict[str, Any]:
    return json.loads(run(python, "-c", ASK_NPE2, cwd=cwd))


def expected_manifest() -> dict[str, Any]:
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    return manifest.model_dump(mode="json", exclude={"package_metadata"})


@pytest.mark.parametrize("way", ["tree", "sdist"])
def test_wheel_serves_the_manifest(
    way: str, wheels: dict[str, Path], fresh_python: Path, tmp_path: Path
) -> None:
    pip_install(fresh_python, wheels[way])

    answer = ask_npe2(fresh_python, tmp_path)
    assert answer["manifest"] == expected_manifest()
    assert answer["version"] == dsfunet_core.__version__
    assert Path(answer["package"]).is_relative_to(tmp_path / "environment")


def test_editable_install_serves_the_manifest_of_the_tree(
    tree: Path, fresh_python: Path, tmp_path: Path
) -> None:
    pip_install(fresh_python, "-e", tree)

    answer = ask_npe2(fresh_python, tmp_path)
    assert answer["manifest"] == expected_manifest()
    assert Path(answer["package"]).is_relative_to(tree)

    # An edit at the root shows at once, without another installation.
    manifest = tree / "napari.yaml"
    text = manifest.read_text()
    try:
        manifest.write_text(text.replace("display_name: ", "display_name: Edited ", 1))
        edited = ask_npe2(fresh_python, tmp_path)["manifest"]["display_name"]
    finally:
        manifest.write_text(text)
    assert edited == f"Edited {answer['manifest']['display_name']}"


@pytest.mark.parametrize("way", ["tree", "sdist"])
def test_wheel_holds_every_file_of_the_packages(
    way: str, wheels: dict[str, Path], tree: Path
) -> None:
    source = tree / "src"
    link = source / "napari_dsfunet" / "napari.yaml"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file()
        and not {"__pycache__", "docs"} & set(path.parts[len(source.parts) :])
        and path != link
    }
    with zipfile.ZipFile(wheels[way]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}

    manual = {
        f"napari_dsfunet/{path.relative_to(tree).as_posix()}"
        for pattern in ("docs/*.md", "docs/images/*.png")
        for path in tree.glob(pattern)
    }
    assert manual
    assert held == expected | manual | {"napari_dsfunet/napari.yaml"}
