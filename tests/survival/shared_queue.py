"""Relays that share a queue on PostgreSQL, in a world of end-to-end tests, and the rows of their queue."""

import os
import random
import signal
import smtplib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from harness.cutting_proxy import CuttingProxy
from harness.daemon import Daemon
from harness.databases import Databases
from harness.waiting import until
from mta.queue.postgres.errors import LockTimeout
from mta.queue.postgres.membership.node import join
from mta.queue.postgres.membership.takeover import give_up, take_over
from mta.queue.postgres.session import DatabaseSession
from mta.queue.postgres.url import read_server
from tests.endtoend.next_release import CONTRACTED
from tests.endtoend.world import World
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.rows import Rows, end_lives, read_rows
from tests.survival.kills import REFUSED, Lines, Load, assert_the_books_agree


class SharedQueue:
    """A queue on a PostgreSQL server, and the relays that were started on it."""

    def __init__(self, world: World, sink: Any, server: Databases, url: Callable[[str], str], **settings: str) -> None:
        """`url` returns the URL of a database by which the relays find it."""
        #: The primary.
        self.server = server
        self.database = server.database()
        self._url = url(self.database)
        self.relays: list[Daemon] = []
        self.frozen: set[Daemon] = set()
        self._world = world
        self._sink = sink
        self._settings = settings
        self._choices = random.Random(0)

    def relay(self, name: str, url: str | None = None, **settings: str) -> Daemon:
        """Return a running relay with this name, which reaches the database at a URL of its own if one is given."""
        relay = self.stopped_relay(name, url, **settings)
        relay.start()
        return relay

    def stopped_relay(self, name: str, url: str | None = None, **settings: str) -> Daemon:
        """Return such a relay before its start."""
        own = {
            "QUEUE_URL": url or self._url,
            "NODE_NAME": name,
            "QUEUE_DIR": str(self._world.home / name),
        }
        relay = self._world.stopped_relay(self._sink, **{**own, **self._settings, **settings})
        # A log of its own.
        relay.child.output = self._world.home / f"{name}.log"
        self.relays.append(relay)
        return relay

    def client(self) -> smtplib.SMTP:
        """Connect as a mail client to one of the relays, as a load balancer would choose."""
        running = [relay for relay in self.relays if relay.child.running and relay not in self.frozen]
        if not running:
            raise OSError("no relay runs")
        return self._choices.choice(running).client()

    def freeze(self, relay: Daemon) -> None:
        """Stop a relay in whatever it does. Clients that connect are given other ones."""
        self.frozen.add(relay)
        os.kill(relay.child.pid, signal.SIGSTOP)

    def thaw(self, relay: Daemon) -> None:
        """Let a frozen relay go on."""
        self.frozen.discard(relay)
        os.kill(relay.child.pid, signal.SIGCONT)

    def rows(self) -> Rows:
        """Return the rows of the queue."""
        return read_rows(self.server, self.database)

    def wait_for_messages(self, number: int) -> None:
        """Wait until this many messages wait in the queue."""
        until(lambda: self.rows().waiting.total() == number, what=f"{number} messages in the shared queue")

    def versions(self) -> dict[str, int]:
        """Return the newest schema of the tables, and the oldest one whose programs can work with them."""
        return dict(self.server.execute("SELECT name, value FROM smtprelay.meta", database=self.database))

    def contract_soon(self) -> None:
        """Have the relays try now whether the tables can lose what only old relays need."""
        soon = "UPDATE smtprelay.chore SET next = clock_timestamp() WHERE name = 'contract'"
        self.server.execute(soon, database=self.database)

    def claimed_by(self, name: str) -> int:
        """Return the number of messages that the newest relay of this name has claimed."""
        query = f"SELECT count(*) FROM smtprelay.message WHERE node = {self._newest(name)}"
        ((number,),) = self.server.execute(query, database=self.database)
        return number

    def marked_by(self, name: str) -> set[str]:
        """Return the senders of the messages that this relay has marked, of which a host may get a copy from it."""
        query = (
            "SELECT m.sender_local FROM smtprelay.lane AS l, jsonb_object_keys(l.sending::jsonb) AS mark,"
            f" smtprelay.message AS m WHERE m.id = mark::bigint AND m.node = l.node AND l.node = {self._newest(name)}"
        )
        return {sender for (sender,) in self.server.execute(query, database=self.database)}

    def _newest(self, name: str) -> int:
        query = f"SELECT max(id) FROM smtprelay.node WHERE name = '{name}'"
        ((id,),) = self.server.execute(query, database=self.database)
        return id

    def take_over(self, name: str) -> None:
        """Take the newest relay of this name for dead at once, as another one would after half a minute."""
        dead = self._newest(name)
        end_lives(self.server, self.database, dead)
        session = DatabaseSession(read_server(self.server.url(self.database)).connection_parameters())
        peer = join(session, "peer", "1.0", CONTRACTED, 1)

        def fenced() -> bool:
            try:
                take_over(session, dead, by=peer.id)
            except LockTimeout:
                return False
            return True

        until(fenced, what=f"the takeover of {name}")
        give_up(session, peer.id)
        session.close()

    def named_duplicates(self) -> Counter[str]:
        """Return how often the relays said of each address that it may get a copy twice."""
        named: Counter[str] = Counter()
        for relay in self.relays:
            lines = Lines(relay.child.output)
            assert len(lines.cut) < max(lines.read(), 1), lines.cut
            named += lines.reasons
        return named


def assert_nothing_is_lost(queue: SharedQueue, load: Load) -> str:
    """End the load, wait until its mail is out, and compare the books with the mail. Return the counts in words."""
    load.over.set()
    for thread in load.threads:
        thread.join()
    load.sink.rules[:] = [REFUSED]
    queue.wait_for_messages(0)
    load.books.take()
    copies, named = load.books.copies, queue.named_duplicates()
    assert load.sink.faults == []
    assert load.books.spoilt == []
    assert copies <= named
    assert queue.rows().missing == 0
    assert_the_books_agree(queue.relays[0], load.books, set(), load.owed)
    return f"{len(load.accepted)} accepted, {copies.total()} duplicates, {named.total()} named"


@contextmanager
def shared_queue(
    world: World, sink: Any, server: Databases | None = None, url: Callable[[str], str] | None = None, **settings: str
) -> Iterator[SharedQueue]:
    """Make a queue on a primary, or on the server that the tests share. Skips without PostgreSQL.

    `url` returns the URL of a database for the relays, if a primary has more than its own. The relays end with the
    block.
    """
    server = server or shared_cluster()
    queue = SharedQueue(world, sink, server, url or server.url, **settings)
    try:
        yield queue
    finally:
        for relay in queue.relays:
            if relay.child.running:
                relay.kill()
        queue.server.drop(queue.database)


@contextmanager
def proxied() -> Iterator[CuttingProxy]:
    """Run a proxy before the server that the tests share."""
    with CuttingProxy(shared_cluster().socket) as proxy, ExitStack() as stack:
        stack.callback(proxy.let_go)
        yield proxy
