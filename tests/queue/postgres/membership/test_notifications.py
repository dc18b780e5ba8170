"""The reader of notifications: the reactor can forget its socket after the driver has closed it."""

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from twisted.python.failure import Failure

from harness.waiting import until
from mta.queue.postgres.membership.notifications import NotificationReader


class Readers:
    """A reactor that looks at the socket of each reader that it forgets."""

    def __init__(self) -> None:
        self.present: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.present.append(reader)

    def removeReader(self, reader: Any) -> None:
        os.fstat(reader.fileno())
        self.present.remove(reader)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_lost_connection_is_told_once_and_forgotten_by_the_reactor(
    database_url: str, connection: psycopg.Connection
) -> None:
    reactor: Any = Readers()
    lost: list[bool] = []
    before = open_files()
    reader = NotificationReader(reactor, connection, print, lambda: lost.append(True))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])

    def read() -> bool:
        reader.doRead()
        return bool(lost)

    until(read, what="the end of the connection")
    assert reactor.present == []
    reader.connectionLost(Failure(ConnectionError()))
    assert lost == [True]
    reader.stop()
    connection.close()
    assert open_files() < before


def test_a_reader_that_is_stopped_leaves_the_connection_open(connection: psycopg.Connection) -> None:
    reactor: Any = Readers()
    before = open_files()
    NotificationReader(reactor, connection, print, print).stop()
    assert reactor.present == []
    assert open_files() == before
    assert connection.execute("SELECT 1").fetchone() == (1,)
