"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of measured data and files of other programs, kept beside the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the repository, where data of others is kept")
    return folder


@pytest.fixture(scope="session")
def foreign(shared_data: Path) -> Path:
    """Folder of files that other programs wrote."""
    folder = shared_data / "foreign"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/foreign: files written by other programs are not there")
    return folder
