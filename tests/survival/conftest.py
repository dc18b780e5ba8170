"""The same world as that of the end-to-end tests, around daemons to which worse is done."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endtoend.conftest import dns, dns_process, world
from tests.programs.power_disk import PowerDisk
from tests.programs.small_disk import NoDiskError

__all__ = ["dns", "dns_process", "world"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerDisk]:
    """A disk whose power can be cut, and which fails on command."""
    try:
        with PowerDisk(tmp_path / "power") as mounted:
            yield mounted
    except NoDiskError as error:
        pytest.skip(str(error))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that may start the real daemon."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.endtoend)
