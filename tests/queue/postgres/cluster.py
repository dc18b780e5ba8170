"""The PostgreSQL server of this test process, and a new database for a test.

The server starts with the first test that needs it and ends with the process. Tests that kill or freeze a server start
one of their own (`harness.postgres.Cluster`).
"""

from functools import cache
from typing import Any
from unittest import SkipTest

from harness.postgres import Cluster, NoPostgresError


@cache
def cluster() -> Cluster:
    """Return the server that the tests of this process share. Raises NoPostgresError."""
    # It is never left: its files and processes go when this process ends.
    return Cluster(tcp=True).__enter__()


def shared_cluster() -> Cluster:
    """Return the server that the tests of this process share, or skip the test where PostgreSQL is missing."""
    try:
        return cluster()
    except NoPostgresError as error:
        raise SkipTest(str(error)) from error


def database(case: Any, **options: str) -> str:
    """Return the URL of a new and empty database, which is dropped by `case.addCleanup`. Skips without PostgreSQL.

    `options` are parameters of the connection.
    """
    server = shared_cluster()
    name = server.database()
    case.addCleanup(server.drop, name)
    return server.url(name, **options)
