"""Small triclinic volumes and their factorizations, made once."""

from __future__ import annotations

import pytest
from volume_samples import SUPPORT, triclinic

from dsfunet_core.volume_factorization import factorize_volume


@pytest.fixture(scope="package")
def clean():
    return triclinic()


@pytest.fixture(scope="package")
def noisy():
    return triclinic(5.0)


@pytest.fixture(scope="package")
def clean_result(clean):
    return factorize_volume(clean.volume, order=2, support=SUPPORT)


@pytest.fixture(scope="package")
def noisy_result(noisy):
    return factorize_volume(noisy.volume, order=2)
