"""The package that `make dist-test` has built; the tests that install it run by that command only."""

import os
from pathlib import Path

import pytest

from tests.packages.python.building import Built, found_in

FOLDER = os.environ.get("RELAY_DIST_TEST")
if FOLDER is None:
    collect_ignore = ["test_installed.py"]


@pytest.fixture(scope="session")
def built() -> Built:
    """Return the package in the folder that RELAY_DIST_TEST names."""
    assert FOLDER is not None
    return found_in(Path(FOLDER))
