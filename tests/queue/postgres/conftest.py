"""A database with the tables of the queue, and a relay's queue on it that is reached through a proxy."""

from collections.abc import Iterator

import pytest

from harness.cutting_proxy import CuttingProxy
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import NodeThread, create_schema, running_node


@pytest.fixture
def database() -> Iterator[str]:
    """Yield the name of the database on the server that the tests share."""
    server = shared_cluster()
    with server.temporary() as name:
        create_schema(server.url(name))
        yield name


@pytest.fixture
def proxy() -> Iterator[CuttingProxy]:
    with CuttingProxy(shared_cluster().socket) as proxy:
        yield proxy


@pytest.fixture
def node(proxy: CuttingProxy, database: str) -> Iterator[NodeThread]:
    with running_node(proxy.url(database)) as node:
        yield node
