"""A queue that several relays share."""

from collections.abc import Iterator

import pytest

from tests.queue.postgres.membership.shared_queue import SharedQueue


@pytest.fixture
def shared(database_url: str) -> Iterator[SharedQueue]:
    queue = SharedQueue(database_url)
    yield queue
    queue.close()
