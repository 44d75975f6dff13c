"""Every Python block of the documentation runs, and every command in it exists."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

import dsfunet_core
import dsfunet_core.factorization

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def factorized_once():
    """``factorize`` that remembers: several pages take the same sample apart."""
    known: dict = {}

    def remembered(plane, *arguments, **options):
        key = (plane.intensity.tobytes(), plane.valid.tobytes(), str(plane.steps))
        key += (str(plane.cell), arguments, tuple(sorted(options.items())))
        if key not in known:
            known[key] = dsfunet_core.factorization.factorize(plane, *arguments, **options)
        return known[key]

    return remembered


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_run_in_order(page, tmp_path, monkeypatch, factorized_once):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dsfunet_core, "factorize", factorized_once)
    namespace: dict = {}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), namespace)


def test_there_are_blocks_to_run():
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 6


def test_commands_and_options_exist():
    from dsfunet_core.cli import app

    command = get_command(app)
    lines = [
        x for page in PAGES for block in blocks(page, "console") for x in block.split("\n")
    ]
    used = [line.split() for line in lines if line.startswith("dsfunet ")]
    assert len(used) >= 4
    for _, name, *arguments in used:
        assert name in command.commands, name
        known = {o for p in command.commands[name].params for o in p.opts}
        for argument in arguments:
            assert not argument.startswith("-") or argument in known, (name, argument)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} → {target}"
