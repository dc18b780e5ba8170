"""The shared queue of one relay that nobody shares it with, for the tests that every queue passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from mta.blocking import RunBlocking, run_inline
from mta.queue.postgres.membership.node import join
from mta.queue.postgres.queue import LANES, PostgresQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.fakes.fixed_nodes import FixedNodes

T = TypeVar("T")


class HearingQueue(PostgresQueue):
    """Hears of an order at once, as a relay does by a notification."""

    def _wake_relays(self, result: T) -> "Deferred[T]":
        self.woken(True)
        return super()._wake_relays(result)


def open_alone(
    url: str,
    directory: Path,
    wall_clock: Callable[[], float],
    seconds: Callable[[], float] = lambda: 0.0,
    run: RunBlocking = run_inline,
    **options: Any,
) -> PostgresQueue:
    """Return the queue in a database with tables. All of its requests are done at once, unless `run` has them wait.

    `options` are those of PostgresQueue.
    """
    server = read_server(url)
    session = DatabaseSession(server.connection_parameters())
    node = join(session, "one", "0.2.0", 1, LANES)
    session.close()
    return HearingQueue(
        server,
        FixedNodes(node),
        run=run,
        seconds=seconds,
        wall_clock=wall_clock,
        directory=directory,
        **options,
    )
