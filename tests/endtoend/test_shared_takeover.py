"""A relay that is lost or stopped: those that share its queue go on with its mail.

In each test the database is asked for first, so that it outlives the relays.
"""

import os
import signal
import threading
import time

import pytest

from harness.cutting_proxy import CuttingProxy, Moment
from harness.postgres import Cluster
from harness.sink_rules import Rule
from harness.waiting import until
from tests.endtoend.shared_relays import SharedRelays, copies, submit, tokens
from tests.endtoend.world import World
from tests.length import choose
from tests.queue.postgres.cluster import shared_cluster


def possible_duplicates(*relays) -> int:
    return sum(len(relay.events("possible-duplicate")) for relay in relays)


def troubles(*relays) -> list[str]:
    return [event["text"] for relay in relays for event in relay.events("trouble")]


@pytest.mark.long
def test_q2_a_machine_that_is_lost_costs_no_mail(url: str, world: World):
    arriving, waiting = tokens("arrived", 800), tokens("waits", 200)
    hold = threading.Event()
    sink = world.sink()
    relays = SharedRelays(world, sink, url)
    first = relays.relay("mx1")
    submit(first, arriving)
    relays.wait_until_empty()
    sink.rules.append(Rule(".", "250 2.0.0 Ok", hold=hold))
    submit(first, waiting)
    relays.throw_away(first)
    lost = time.monotonic()
    second = relays.relay("mx2")
    hold.set()
    relays.wait_until_empty()
    print(f"the peer had all within {time.monotonic() - lost:.0f} s")
    found = copies(sink)
    assert set(found) == {*arriving, *waiting}
    assert found.total() - len(found) <= possible_duplicates(second)
    relays.assert_ledger_adds_up(1000)
    assert relays.rows("SELECT count(*) FROM node WHERE fenced AND name = 'mx1'") == [(1,)]


def test_a_relay_whose_mail_was_taken_over_drops_all_that_it_has_not_begun(url: str, world: World):
    mails = tokens("m", 60)
    hold = threading.Event()
    sink = world.sink()
    relays = SharedRelays(world, sink, url)
    first = relays.relay("mx1")
    submit(first, ["before"])
    relays.wait_until_empty()
    sink.rules.append(Rule(".", "250 2.0.0 Ok", hold=hold))
    submit(first, mails)
    relays.wait_for_claims("mx1", len(mails))
    relays.take_over("mx1")
    until(lambda: len(relays.rows("SELECT 1 FROM node WHERE name = 'mx1'")) == 2, what="a new node")
    on_their_way = sink.waiting
    hold.set()
    relays.wait_until_empty()
    assert set(copies(sink)) == {"before", *mails}
    assert len(first.events("lease-lost")) <= on_their_way < len(mails) / 2
    assert len(first.wait_for_events("delivered", len(mails) + 1)) == len(mails) + 1
    relays.assert_ledger_adds_up(len(mails) + 1)


def test_q9_a_relay_that_is_stopped_hands_its_mail_over_at_once(url: str, world: World):
    mails = tokens("m", choose(200, 1000))
    hold = threading.Event()
    sink = world.sink(Rule(".", "250 2.0.0 Ok", hold=hold))
    relays = SharedRelays(world, sink, url)
    first, second = relays.relay("mx1"), relays.relay("mx2")
    submit(first, mails)
    relays.wait_for_claims("mx1", 100)
    assert relays.claimed_by("mx2") == 0
    with relays.notifications() as come:
        os.kill(first.child.pid, signal.SIGTERM)
        relays.wait_for_claims("mx2", 1)
        # By which the second one looks sooner than by itself.
        until(come, what="a notification")
    hold.set()
    relays.wait_until_empty()
    until(lambda: not first.child.running, what="the end of the first relay")
    assert copies(sink) == dict.fromkeys(mails, 1)
    assert possible_duplicates(first, second) == 0
    assert troubles(first, second) == []
    relays.assert_ledger_adds_up(len(mails))


def test_a_relay_stops_although_the_database_is_away(url: str, world: World):
    hold = threading.Event()
    sink = world.sink(Rule(".", "250 2.0.0 Ok", hold=hold))
    relays = SharedRelays(world, sink, url)
    first = relays.relay("mx1")
    submit(first, tokens("m", 20))
    relays.wait_for_claims("mx1", 20)
    until(lambda: sink.waiting, what="a transaction")
    name = url.partition("?")[0].rpartition("/")[2]
    end = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
    shared_cluster().execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", end)
    hold.set()
    began = time.monotonic()
    os.kill(first.child.pid, signal.SIGTERM)
    until(lambda: not first.child.running, what="its end")
    assert time.monotonic() - began < 30
    shared_cluster().execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_relay_stops_although_the_database_is_silent(world: World):
    with Cluster(tcp=True) as server:
        sink = world.sink(Rule("RCPT", "451 4.3.0 later"))
        relay = SharedRelays(world, sink, server.url(server.database())).relay("mx1")
        submit(relay, tokens("m", 5))
        relay.wait_for_events("deferred", 5)
        server.freeze()
        began = time.monotonic()
        os.kill(relay.child.pid, signal.SIGTERM)
        until(lambda: not relay.child.running, what="its end")
        assert time.monotonic() - began < 60
        server.thaw()


def test_q16_without_notifications_mail_that_a_peer_gives_back_goes_out_soon(url: str, world: World):
    hold = threading.Event()
    sink = world.sink(Rule("CONNECT", "220 sink ESMTP", hold=hold))
    relays = SharedRelays(world, sink, url)
    cluster = shared_cluster()
    name = url.partition("?")[0].rpartition("/")[2]

    def deaf(statement: str) -> Moment | None:
        return Moment.BEFORE if statement.startswith("LISTEN") else None

    with CuttingProxy(("127.0.0.1", cluster.port), deaf) as proxy:
        first = relays.relay("mx1")
        second = relays.relay("mx2", QUEUE_URL=proxy.url(name))
        until(lambda: proxy.cuts, what="an attempt to listen")
        submit(first, ["m"])
        relays.wait_for_claims("mx1", 1)
        sink.rules.clear()
        first.stop()
        until(lambda: copies(sink), what="the message")
        assert len(second.wait_for_events("delivered")) == 1
        hold.set()
        second.stop()
