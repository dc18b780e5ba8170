"""Failovers under load: a synchronous standby that is promoted has all that was acknowledged.

RELAY_ROUNDS sets the number of rounds, RELAY_SEED the moments. `make database-faults` is the long form.
"""

import os
import random
from collections import Counter
from contextlib import contextmanager

from harness.postgres import Cluster
from harness.waiting import until
from mta.queue.ids import to_number
from tests.length import choose
from tests.queue.postgres.cluster import shared_cluster
from tests.queue.postgres.nodes import create_schema, running_node
from tests.queue.postgres.rows import parts_without_a_message, read_rows

ROUNDS = int(os.environ.get("RELAY_ROUNDS", choose("1", "10")))
SEED = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)


@contextmanager
def two_servers(*, synchronous):
    """Run a primary, its standby, and a node; give them, and the name of the database."""
    shared_cluster()
    with Cluster("first") as primary, Cluster("second", copy_of=primary) as standby:
        database = primary.database()
        create_schema(primary.url(database))
        primary.wait_for_standby(standby, synchronous=synchronous)
        with running_node(primary.url(database, standby)) as node:
            yield primary, standby, database, node


def accepted_more(node, number):
    """Wait until the node has accepted so many messages more."""
    before = len(node.busy.books.accepted)
    until(lambda: len(node.busy.books.accepted) >= before + number)


def test_a_synchronous_standby_takes_over_without_a_loss(capsys):
    moments = random.Random(SEED)
    with two_servers(synchronous=True) as (primary, standby, database, node):
        begun = [
            node.start(lambda: node.busy.clients(20)),
            node.start(lambda: node.busy.clients(5, leased=False)),
            node.start(lambda: node.busy.deliveries(lambda: False)),
        ]
        serving, spare = primary, standby
        for _ in range(ROUNDS):
            accepted_more(node, moments.randrange(50, 300))
            serving.kill()
            spare.promote()
            accepted_more(node, 20)
            serving.follow(spare)
            serving, spare = spare, serving
            serving.wait_for_standby(spare)
        node.busy.stop()
        for each in begun:
            node.wait(each)
        node.deliver_all()
        books, rows = node.busy.books, read_rows(serving, database)
        with capsys.disabled():
            print(f"\nRELAY_SEED={SEED}: {len(books.accepted)} messages, {ROUNDS} failovers", end=" ")
        once = Counter(books.accepted)
        assert books.sent == once
        assert books.settled == once
        assert not books.lost
        assert rows.waiting == Counter()
        assert rows.finished == Counter(map(to_number, once))
        assert rows.ledger["delivered"] == len(once)
        assert rows.missing == 0
        assert set(parts_without_a_message(serving, database).values()) == {0}


def test_an_asynchronous_standby_that_lags_loses_some():
    """The control: without it, the test above might pass because no commit was on its way."""
    with two_servers(synchronous=False) as (primary, standby, database, node):
        begun = node.start(lambda: node.busy.clients(20, leased=False))
        accepted_more(node, 20)
        primary.freeze("walsender")
        accepted_more(node, 20)
        primary.kill()
        standby.promote()
        node.busy.stop()
        node.wait(begun)
        kept = read_rows(standby, database).waiting
        assert {to_number(id) for id in node.busy.books.accepted} - set(kept)


def test_a_commit_that_the_standby_never_got_is_not_acknowledged():
    """An administrator ends the wait for the standby: the statement succeeds, with a warning."""
    with two_servers(synchronous=True) as (primary, standby, database, node):
        accepted = node.busy.books.accepted
        begun = node.start(lambda: node.busy.clients(1, 1, leased=False))
        node.wait(begun)
        standby.freeze()
        begun = node.start(lambda: node.busy.clients(1, 1, leased=False))
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query !~ 'alive_until'"
        for _ in range(2):
            ((pid,), *_) = until(lambda: primary.execute(waiting))
            primary.execute(f"SELECT pg_cancel_backend({pid})")
            until(lambda pid=pid: (pid,) not in primary.execute(waiting))
            assert len(accepted) == 1
        primary.kill()
        standby.thaw()
        standby.promote()
        node.wait(begun)
        assert read_rows(standby, database).waiting == Counter(map(to_number, accepted))
        assert len(accepted) == 2
