"""A new database for tests that are functions."""

from collections.abc import Iterator

import pytest

from tests.queue.postgres.cluster import shared_cluster


@pytest.fixture
def database_url() -> Iterator[str]:
    server = shared_cluster()
    name = server.database()
    yield server.url(name)
    server.drop(name)
