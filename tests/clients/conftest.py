"""The same world as that of the end-to-end tests; its clients are programs of others."""

from pathlib import Path

import pytest

from tests.endtoend.conftest import dns, dns_process, world

__all__ = ["dns", "dns_process", "world"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that starts the real daemon."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.endtoend)
