"""A pair of molecules in general positions."""

import pytest
from structure_samples import ethanol_and_more


@pytest.fixture(scope="session")
def ethanol():
    return ethanol_and_more()
