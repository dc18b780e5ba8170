"""Processes that accept from the same socket."""

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import TestCase

from harness.waiting import eventually
from mta.inbound.sockets.balance import SLACK, Balance, shared_memory
from mta.inbound.sockets.ports import bind, listen
from tests.fakes.greeter import GreeterFactory


@pytest.fixture
def memory():
    descriptor = shared_memory(3)
    yield descriptor
    os.close(descriptor)


def test_the_only_process_takes_all(memory):
    balance = Balance(memory, 2)
    balance.begin()
    for _ in range(100):
        assert balance.may_accept()
        balance.opened()


def test_a_process_that_is_ahead_leaves_the_next_to_the_others(memory):
    first, second = Balance(memory, 1), Balance(memory, 2)
    first.begin()
    second.begin()
    for _ in range(SLACK + 1):
        assert first.may_accept()
        first.opened()
    assert not first.may_accept()
    assert second.may_accept()
    first.closed()
    assert first.may_accept()


def test_a_process_that_has_ended_delays_no_other(memory):
    first, second, parent = Balance(memory, 1), Balance(memory, 2), Balance(memory)
    first.begin()
    second.begin()
    for _ in range(SLACK + 1):
        first.opened()
    assert not first.may_accept()
    parent.leave(2)
    assert first.may_accept()


def test_a_process_that_starts_again_counts_from_zero(memory):
    for _ in range(2):
        first = Balance(memory, 1)
        first.begin()
        first.opened()
    second = Balance(memory, 2)
    second.begin()
    assert first.may_accept()


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=200))
@settings(max_examples=50)
def test_some_process_may_always_accept_the_next_connection_at_once(events):
    descriptor = shared_memory(3)
    processes = [Balance(descriptor, number) for number in (1, 2, 3)]
    os.close(descriptor)
    opened = [0, 0, 0]
    for process in processes:
        process.begin()
    for which, comes in events:
        if comes and processes[which].may_accept():
            processes[which].opened()
            opened[which] += 1
        elif not comes and opened[which]:
            processes[which].closed()
            opened[which] -= 1
        assert any(process.may_accept() for process in processes)


class Listening(TestCase):
    def setUp(self):
        listening = bind("127.0.0.1", 0, "BIND_IP")
        self.address = listening.getsockname()
        descriptor = shared_memory(2)
        self.other = Balance(descriptor, 2)
        self.balance = Balance(descriptor, 1)
        os.close(descriptor)
        self.balance.begin()
        from twisted.internet import reactor

        self.reactor = reactor
        self.factory = GreeterFactory()
        self.port = listen(reactor, listening, self.factory, self.balance)
        self.clients = [socket.create_connection(self.address) for _ in range(3 + SLACK)]

    async def tearDown(self):
        await maybeDeferred(self.port.stopListening)
        for protocol in self.factory.open:
            protocol.transport.abortConnection()
        await eventually(self.reactor, lambda: not self.factory.open)
        for client in self.clients:
            client.close()

    async def test_all_connections_of_a_burst_are_accepted_if_the_other_process_accepts_none(self):
        self.other.begin()
        await eventually(self.reactor, lambda: len(self.factory.open) == len(self.clients))
        assert not self.balance.may_accept()

    async def test_a_connection_that_ends_is_counted_out(self):
        await eventually(self.reactor, lambda: len(self.factory.open) == len(self.clients))
        self.other.begin()
        assert not self.balance.may_accept()
        for protocol in self.factory.open:
            protocol.transport.loseConnection()
        await eventually(self.reactor, self.balance.may_accept)

    async def test_a_port_that_is_closed_while_it_waits_stays_closed(self):
        self.other.begin()
        await eventually(self.reactor, lambda: not self.balance.may_accept())
        await self.port.stopListening()
        assert not self.port.connected
