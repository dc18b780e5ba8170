"""What holds for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

_EXAMPLES = DirectoryBasedExampleDatabase(Path(__file__).parent.parent / ".hypothesis" / "examples")
# On a busy machine, and in a fresh clone where Hypothesis first makes its tables of characters, slowness is no fault.
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=_EXAMPLES)
settings.load_profile("relay")


@pytest.fixture(autouse=True, scope="session")
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in a temporary directory: Twisted's TestCase.mktemp makes its directories in the working one."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("work"))
    yield
    os.chdir(before)
