"""A new database, or a queue that several relays share, for tests that are functions."""

from collections.abc import Iterator

import pytest

from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.shared_queue import SharedQueue


@pytest.fixture
def database_url() -> Iterator[str]:
    server = shared_cluster()
    with server.temporary() as name:
        yield server.url(name)


@pytest.fixture
def shared(database_url: str) -> Iterator[SharedQueue]:
    queue = SharedQueue(database_url)
    yield queue
    queue.close()
