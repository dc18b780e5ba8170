"""Relays that share one queue on PostgreSQL, and the rows of that queue."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from harness.daemon import Daemon
from harness.sink import Sink
from harness.waiting import PATIENCE, until
from mta.queue.postgres.membership.takeover import give_up
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.endtoend.mails import mail
from tests.endtoend.world import TO, World

_LEDGER = """
SELECT sum(accepted)::bigint, sum(delivered)::bigint, sum(failed)::bigint, sum(removed)::bigint,
       (SELECT count(*) FROM recipient WHERE status = 'waiting')
FROM lane
"""


class SharedRelays:
    """Makes relays with one queue, which send all mail through a sink. They end with the test."""

    def __init__(self, world: World, sink: Sink, url: str) -> None:
        self.world = world
        self.sink = sink
        self.url = url

    def stopped_relay(self, name: str, **settings: str) -> Daemon:
        """Return a relay before its start."""
        common = {
            "QUEUE_URL": self.url,
            "NODE_NAME": name,
            "QUEUE_DIR": str(self.world.home / name / "queue"),
            "MAIL_DIR": str(self.world.home / name / "mail"),
            "SMARTHOST_ADDRESS": "127.0.0.1",
            "SMARTHOST_TLS": "none",
            "SMARTHOST_PORT": str(self.sink.port),
        }
        return self.world.stopped_relay(self.sink, name, **{**common, **settings})

    def relay(self, name: str, **settings: str) -> Daemon:
        """Return a running relay."""
        relay = self.stopped_relay(name, **settings)
        relay.start()
        return relay

    def throw_away(self, relay: Daemon) -> None:
        """Kill a relay and delete its files, as if its machine were lost."""
        relay.kill()
        shutil.rmtree(relay.queue_dir)

    def take_over(self, name: str) -> None:
        """Take the mail of a relay that runs, as if it had stood still."""
        session = DatabaseSession(read_server(self.url).connection_parameters(), changes=False)
        ((node,),) = session.rows("SELECT max(id) FROM node WHERE name = %(name)s", {"name": name})
        give_up(session, node)
        session.close()

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Execute a statement on the queue's tables."""
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=smtprelay") as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def notifications(self) -> Iterator[Callable[[], bool]]:
        """Listen as a relay does; the result tells whether a notification has come since the last call."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("LISTEN smtprelay")
            yield lambda: bool(list(connection.notifies(timeout=0)))

    def claimed_by(self, name: str) -> int:
        """Return how many messages the newest node of a name has."""
        newest = "SELECT max(id) FROM node WHERE name = %s"
        ((number,),) = self.rows(f"SELECT count(*) FROM message WHERE node = ({newest})", name)
        return int(number)

    def wait_for_claims(self, name: str, number: int, seconds: float = PATIENCE) -> None:
        """Wait until a relay has at least so many messages."""
        until(lambda: self.claimed_by(name) >= number, seconds, what=f"{number} messages at {name}")

    def wait_until_empty(self, seconds: float = PATIENCE) -> None:
        """Wait until no message waits."""
        until(lambda: self.rows("SELECT count(*) FROM message") == [(0,)], seconds, what="an empty queue")

    def assert_ledger_adds_up(self, accepted: int) -> None:
        """Check the counts of all relays, and that no recipient waits."""
        ((total, delivered, failed, removed, waiting),) = self.rows(_LEDGER)
        assert (total, waiting) == (accepted, 0)
        assert delivered + failed + removed == accepted


def submit(relay: Daemon, tokens: Iterable[str]) -> None:
    """Send a message for each token in one session."""
    with relay.client() as client:
        for token in tokens:
            client.sendmail("sender@sender.test", TO, mail(token))


def copies(sink: Sink) -> Counter[str]:
    """Return how many copies of each message a sink has, by token."""
    found = (message.content.partition(b"Message-ID: <")[2].partition(b"@")[0] for message in list(sink.messages))
    return Counter(token.decode() for token in found)


def tokens(name: str, number: int) -> list[str]:
    """Return so many tokens."""
    return [f"{name}{each}" for each in range(number)]
