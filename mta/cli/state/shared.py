"""The queue that relays share at QUEUE_URL, for commands on a machine where none of these relays runs."""

import time
from collections.abc import Callable, Mapping

from mta.blocking import run_inline
from mta.cli.results import result
from mta.cli.state.stopped import QueueState
from mta.config.readers.shared_queue import SharedQueue, read_shared_queue
from mta.config.setting import MASK, SettingsError, SettingsReader
from mta.config.settings import own_host_name
from mta.config.table import QUEUE_PASSWORD, QUEUE_URL
from mta.queue.postgres.operators_queue import OperatorsQueue
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import Server


class SharedState(QueueState):
    """The RelayState of the relays at a database, which are not asked themselves."""

    told = "smtprelay: the order is done in the shared queue, and no log has it"

    def __init__(self, server: Server, mailname: Callable[[], str], wall_clock: Callable[[], float] = time.time):
        """`mailname` returns the name of the relay in reports. Raises QueueError if the database has no such queue."""
        queue = OperatorsQueue(server, run_inline)
        result(queue.check())
        super().__init__(queue, str(server), mailname, wall_clock)


def shared_server(environ: Mapping[str, str]) -> Server:
    """Return the database of an environment that has QUEUE_URL. Raises SettingsError."""
    reader = SettingsReader(environ)
    shared: SharedQueue | None = read_shared_queue(reader, own_host_name)
    reader.check()
    assert shared is not None
    if shared.server.password == MASK:
        words = f"set {QUEUE_PASSWORD.name}, or let the relay have it from {QUEUE_PASSWORD.name}_FILE"
        raise SettingsError([f"{QUEUE_URL.name}: the relay does not pass its password on to commands: {words}"])
    return shared.server


def check_database(environ: Mapping[str, str], patience: float) -> None:
    """Check that the database of the shared queue has the queue and takes writes. Raises QueueError, SettingsError.

    `patience` is seconds for each of its hosts.
    """
    parameters = shared_server(environ).connection_parameters()
    session = DatabaseSession(parameters | {"connect_timeout": str(max(2, round(patience)))}, changes=False)
    try:
        session.rows("SELECT FROM meta LIMIT 1")
    finally:
        session.close()
