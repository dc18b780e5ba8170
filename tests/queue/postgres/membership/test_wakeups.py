"""Relays wake each other by notifications, and look by themselves where these do not arrive."""

import os
import select
from collections.abc import Iterator

import pytest

from harness.crowd import descriptors_used_up
from mta.blocking import run_inline
from mta.queue.postgres.membership.wakeups import LOOK, LOOK_ALONE, PAUSE, RECONNECT, Wakeups
from mta.queue.postgres.serial_session import SerialSession
from tests.fakes.socket_reactor import SocketReactor
from tests.queue.postgres.shared_queue import SharedQueue


class Relay:
    """The wake-ups of one relay."""

    def __init__(self, shared: SharedQueue) -> None:
        self.reactor = SocketReactor()
        self.woken: list[bool] = []
        self.wakeups = Wakeups(
            self.reactor,
            self.reactor,
            listening=SerialSession(shared.session(), run_inline),
            sending=SerialSession(shared.session(), run_inline),
            woken=self.woken.append,
        )

    def started(self) -> "Relay":
        """Start, and hear its own notification."""
        self.wakeups.start()
        self.reactor.read()
        assert self.wakeups.works
        return self

    def hears(self) -> bool:
        """Whether something has arrived and was not read yet."""
        return bool(select.select(self.reactor.readers, (), (), 0)[0])


@pytest.fixture
def relay(shared: SharedQueue) -> Relay:
    return Relay(shared)


@pytest.fixture
def peer(shared: SharedQueue) -> Iterator[Relay]:
    other = Relay(shared).started()
    yield other
    other.wakeups.stop()


def test_a_relay_that_hears_its_own_notification_looks_less_often(relay: Relay):
    relay.wakeups.start()
    assert not relay.wakeups.works
    relay.reactor.read()
    assert relay.wakeups.works
    assert relay.woken == []
    relay.reactor.advance(LOOK_ALONE)
    assert relay.woken == [False]
    relay.reactor.advance(LOOK - 0.01)
    assert relay.woken == [False]
    relay.reactor.advance(0.01)
    assert relay.woken == [False, False]


def test_without_notifications_it_looks_every_second(relay: Relay):
    relay.wakeups.start()
    for _ in range(5):
        relay.reactor.advance(LOOK_ALONE)
    assert relay.woken == [True] * 5


def test_a_peer_wakes_it_and_not_itself(relay: Relay, peer: Relay):
    relay.started()
    peer.reactor.read()
    assert peer.woken == [True], "the self-test of the new relay"
    relay.wakeups.wake_peers()
    relay.reactor.advance(0)
    peer.reactor.read()
    relay.reactor.read()
    assert (relay.woken, peer.woken) == ([], [True, True])


def test_it_wakes_peers_at_most_once_a_second(relay: Relay, peer: Relay):
    relay.started()
    peer.reactor.read()
    peer.woken.clear()
    for _ in range(3):
        relay.wakeups.wake_peers()
    relay.reactor.advance(0)
    peer.reactor.read()
    assert peer.woken == [True]
    relay.wakeups.wake_peers()
    relay.wakeups.wake_peers()
    relay.reactor.advance(PAUSE - 0.01)
    assert not peer.hears()
    relay.reactor.advance(0.01)
    peer.reactor.read()
    assert peer.woken == [True, True]


def test_a_lost_connection_is_made_anew(relay: Relay, shared: SharedQueue):
    relay.started()
    shared.end_listening()
    while relay.reactor.readers:
        relay.reactor.read()
    assert not relay.wakeups.works
    relay.reactor.advance(RECONNECT)
    relay.reactor.read()
    assert relay.wakeups.works
    assert len(relay.reactor.readers) == 1


def test_while_no_connection_can_be_made_it_tries_again(relay: Relay, shared: SharedQueue):
    shared.refuse()
    relay.wakeups.start()
    for _ in range(2 * int(RECONNECT)):
        relay.reactor.advance(LOOK_ALONE)
    assert relay.reactor.readers == []
    assert relay.woken == [True] * 10
    shared.accept()
    relay.reactor.advance(RECONNECT)
    relay.reactor.read()
    assert relay.wakeups.works


def test_without_a_descriptor_for_the_reactor_it_tries_again(relay: Relay):
    last = os.dup(0)
    with descriptors_used_up(os.getpid()):
        # The connection takes it.
        os.close(last)
        relay.wakeups.start()
    assert relay.reactor.readers == []
    relay.reactor.advance(RECONNECT)
    relay.reactor.read()
    assert relay.wakeups.works


def test_stopped_it_neither_reads_nor_looks(relay: Relay):
    relay.started().wakeups.stop()
    assert relay.reactor.readers == []
    assert relay.reactor.getDelayedCalls() == []
