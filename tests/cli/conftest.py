"""A small triclinic volume in Meerkat's layout, and results made from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factorization_planes import TRICLINIC, known_plane
from typer.testing import CliRunner, Result

from dsfunet_core.cli import app
from dsfunet_core.io.meerkat import write_meerkat

STEP, SIZE, LAYERS = 0.085, 129, (0.9, 1.0, 1.1)


@pytest.fixture
def dsfunet() -> Callable[..., Result]:
    """Run the command line as a user would, and check the exit code."""

    def run(*arguments: Any, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def dsfunet_json(dsfunet: Callable[..., Result]) -> Callable[..., Any]:
    """Run a command with ``--json``; standard output must be that and nothing else."""

    def run(*arguments: Any) -> Any:
        return json.loads(dsfunet(*arguments, "--json").stdout, parse_constant=pytest.fail)

    return run


@pytest.fixture(scope="session")
def crystal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hk layers of a triclinic crystal, with a stripe that was never measured."""
    layers = [known_plane(origin_hkl=(0, 0, level), step=STEP, n=SIZE) for level in LAYERS]
    data = np.stack([known.plane.intensity for known in layers], axis=-1)
    counts = np.full(data.shape, 4)
    counts[60:66] = 0
    limit = -STEP * (SIZE // 2)
    path = tmp_path_factory.mktemp("crystal") / "crystal.h5"
    write_meerkat(
        path,
        data,
        TRICLINIC,
        lower_limits=(limit, limit, LAYERS[0]),
        step_sizes=(STEP, STEP, LAYERS[1] - LAYERS[0]),
        counts=counts,
    )
    return path


@pytest.fixture(scope="session")
def _factorized(crystal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("result") / "hk1.h5"
    options = ["--plane", "hk1", "--support", "5", "-o", str(path)]
    result = CliRunner().invoke(app, ["factorize", str(crystal), *options])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def factorized(_factorized: Path, tmp_path: Path) -> Path:
    """Result of ``dsfunet factorize``, a copy for each test."""
    return Path(shutil.copy(_factorized, tmp_path / "hk1.h5"))
