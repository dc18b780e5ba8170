"""Relays under load on a queue of which Patroni agrees on the primary: one hands over, and the next one is killed."""

import pytest

from harness.patroni import PatroniPair
from harness.postgres import NoPostgresError
from harness.waiting import until
from tests.survival.kills import REFUSED, Load, put_off
from tests.survival.shared_queue import assert_nothing_is_lost, shared_queue

#: Messages that must be accepted between two events.
MESSAGES = 500


@pytest.fixture
def pair():
    try:
        with PatroniPair() as pair:
            yield pair
    except NoPostgresError as error:
        pytest.skip(str(error))


@pytest.mark.long
def test_relays_go_on_with_each_primary_that_patroni_names(world, pair, capsys):
    sink = world.sink(REFUSED)
    with shared_queue(world, sink, pair) as queue, Load(queue, sink) as load:
        relays = [queue.relay(name) for name in ("one", "two")]
        processes = [relay.child.pid for relay in relays]

        def go_on():
            sink.rules.append(put_off(5))
            begun = len(load.accepted)
            until(lambda: len(load.accepted) > begun + MESSAGES, what="accepted messages")

        load.up.set()
        go_on()
        for take_over in pair.switch_over, pair.fail_over:
            old = pair.primary()
            take_over()
            assert pair.primary() is not old
            go_on()
        counts = assert_nothing_is_lost(queue, load)
        with capsys.disabled():
            print(f"\n{counts}", end=" ")
        assert [relay.child.pid for relay in relays] == processes
        for relay in relays:
            told = [event["text"] for event in relay.events("trouble")]
            assert all(text.startswith("the queue's database gives no answer: ") for text in told)
            # A change of the primary may take less time than passes between two signs of life.
            assert 1 <= len(told) <= 2
            back = [event for event in relay.events("notice") if event["text"] == "the queue's database answers again"]
            assert len(back) == len(told)
