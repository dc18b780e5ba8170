"""Whole relays that share a queue on PostgreSQL: one is killed, frozen, or cut off from the database.

RELAY_ROUNDS sets the number of kills, RELAY_SEED the moments. `make database-faults` is the long form.
"""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from harness.sink_rules import Rule
from harness.waiting import until
from mta.queue.postgres.membership.node import MARKS_LAST
from tests.endtoend.mails import mail
from tests.length import FULL, choose
from tests.survival.kills import REFUSED, Load, put_off
from tests.survival.shared_queue import assert_nothing_is_lost, proxied, shared_queue

CYCLES = int(os.environ.get("RELAY_ROUNDS", choose("2", "6")))
SEED = int(os.environ.get("RELAY_SEED", "0")) or random.randrange(1, 1 << 32)
TO = "someone@example.test"


def submit(relay, number, first=0):
    """Send messages, each from a sender of its own."""
    with relay.client() as client:
        for each in range(first, first + number):
            client.sendmail(f"{each}@sender.test", [TO], mail(str(each)))


def senders(sink):
    """Return how often the message of each sender arrived."""
    return Counter(int(message.sender.partition("@")[0]) for message in list(sink.messages))


def test_no_accepted_message_is_lost_though_relays_are_killed_again_and_again(world, capsys):
    moments = random.Random(SEED)
    sink = world.sink(REFUSED)
    with shared_queue(world, sink) as queue, Load(queue, sink) as load:
        names = ["one", "two"]
        relays = [queue.relay(name) for name in names]
        load.up.set()
        for cycle in range(CYCLES):
            sink.rules.append(put_off(5))
            begun = len(load.accepted)
            until(lambda begun=begun: len(load.accepted) > begun + 100, what="accepted messages")
            load.over.wait(moments.uniform(0, 0.5))
            victim = relays[cycle % 2]
            victim.kill()
            queue.take_over(names[cycle % 2])
            victim.start()
        counts = assert_nothing_is_lost(queue, load)
        with capsys.disabled():
            print(f"\nRELAY_SEED={SEED}: {counts}", end=" ")


#: Where the host lets a relay wait that is to stop: before the claims are marked, and after.
WAITS = [
    pytest.param(Rule("CONNECT", "220 at last"), id="claims"),
    pytest.param(Rule("DATA", "354 at last"), id="marks"),
]


@pytest.mark.parametrize("held", WAITS)
def test_a_frozen_relay_sends_and_settles_nothing_that_a_peer_took_over(world, held):
    number = choose(20, 100)
    go_on = threading.Event()
    sink = world.sink(extensions=("PIPELINING",))
    with shared_queue(world, sink) as queue:
        frozen = queue.relay("frozen")
        sink.rules.append(replace(held, hold=go_on))
        submit(frozen, number)
        # A relay has fifty messages for one destination in work at most.
        until(lambda: queue.claimed_by("frozen") >= min(number, 50), what="the claims of the relay")
        until(lambda: sink.waiting, what="a copy on its way")
        queue.freeze(frozen)
        stale = time.monotonic() + MARKS_LAST
        sink.rules.clear()
        peer = queue.relay("peer")
        marked = queue.marked_by("frozen")
        assert bool(marked) == (held.verb == "DATA")
        if not FULL:
            queue.take_over("frozen")
        queue.wait_for_messages(0)
        until(lambda: held.verb == "CONNECT" or time.monotonic() > stale, what="marks that are stale")
        go_on.set()
        queue.thaw(frozen)
        frozen.wait_for_events("trouble")
        # It takes mail again, as a new node.
        submit(frozen, 1, first=number)
        queue.wait_for_messages(0)
        assert senders(sink) == Counter(range(number + 1))
        assert len(peer.events("possible-duplicate")) == len(marked)
        assert len(frozen.events("trouble")) == 1
        assert queue.rows().missing == 0


@pytest.mark.parametrize("held", WAITS)
def test_a_relay_that_is_cut_off_from_the_database_sends_no_unmarked_copy(world, held):
    number = 20
    go_on = threading.Event()
    sink = world.sink(extensions=("PIPELINING",))
    with shared_queue(world, sink) as queue, proxied() as proxy:
        cut_off = queue.relay("cut-off", proxy.url(queue.database))
        sink.rules.append(replace(held, hold=go_on))
        submit(cut_off, number)
        until(lambda: queue.claimed_by("cut-off") == number and sink.waiting, what="copies on their way")
        proxy.hold()
        stale = time.monotonic() + MARKS_LAST
        sink.rules.clear()
        until(lambda: held.verb == "CONNECT" or time.monotonic() > stale, what="marks that are stale")
        go_on.set()
        peer = queue.relay("peer")
        marked = queue.marked_by("cut-off")
        assert bool(marked) == (held.verb == "DATA")
        queue.take_over("cut-off")
        queue.wait_for_messages(0)
        assert senders(sink) == Counter(range(number))
        proxy.let_go()
        cut_off.wait_for_events("trouble")
        submit(cut_off, 1, first=number)
        queue.wait_for_messages(0)
        assert senders(sink) == Counter(range(number + 1))
        assert len(peer.events("possible-duplicate")) == len(marked)
        assert queue.rows().missing == 0
