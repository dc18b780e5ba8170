"""Ports that are served once a client connects: with real sockets, and with a reactor in memory for their timers."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.trial.unittest import TestCase

from harness.waiting import PATIENCE, eventually
from mta.reactor.late_ports import AGAIN_SECONDS, LatePorts

HELLO = b"hello"


class Hello(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(HELLO)
        self.transport.loseConnection()


def listening(number: int = 1) -> list[socket.socket]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    for each in sockets:
        each.setblocking(False)
    return sockets


def ask(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, timeout=PATIENCE) as client:
        return client.recv(len(HELLO))


class LatePortsTests(TestCase):
    def setUp(self) -> None:
        self.made = 0
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def make(self) -> Factory:
        self.made += 1
        return Factory.forProtocol(Hello)

    def in_thread(self, work: Callable[[], Any]) -> "Deferred[Any]":
        pool: Any = reactor
        return deferToThreadPool(pool, pool.getThreadPool(), work)

    def later(self, work: Callable[[], Any]) -> "Deferred[Any]":
        """Hold work until the test does it."""
        done: Deferred[Any] = Deferred()
        self.held.append((done, work))
        return done

    async def test_the_factory_is_made_once_for_the_first_client_of_any_socket(self) -> None:
        sockets = listening(2)
        addresses = [each.getsockname() for each in sockets]
        ports = LatePorts(sockets, self.make, reactor, self.in_thread)
        ports.open()
        await deferToThread(lambda: None)
        self.assertEqual(self.made, 0)
        for address in reversed(addresses):
            self.assertEqual(await deferToThread(ask, address), HELLO)
        self.assertEqual(self.made, 1)
        await ports.close()
        for address in addresses:
            with self.assertRaises(ConnectionRefusedError):
                await deferToThread(ask, address)

    async def test_clients_that_connect_while_the_factory_is_made_are_served_too(self) -> None:
        sockets = listening()
        address = sockets[0].getsockname()
        ports = LatePorts(sockets, self.make, reactor, self.later)
        ports.open()
        with ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in range(3)]
            await eventually(reactor, lambda: self.held)
            self.assertEqual(len(self.held), 1)
            for done, work in self.held:
                done.callback(work())
            for client in clients:
                self.assertEqual(await deferToThread(client.recv, len(HELLO)), HELLO)
        await ports.close()

    async def test_ports_that_were_closed_before_a_client_or_while_the_factory_is_made_serve_none(self) -> None:
        sockets = listening()
        address = sockets[0].getsockname()
        ports = LatePorts(sockets, self.make, reactor, self.later)
        ports.open()
        await ports.close()
        with self.assertRaises(ConnectionRefusedError):
            await deferToThread(ask, address)
        self.assertEqual(self.held, [])

        sockets = listening()
        address = sockets[0].getsockname()
        ports = LatePorts(sockets, self.make, reactor, self.later)
        ports.open()
        with socket.create_connection(address, timeout=PATIENCE):
            await eventually(reactor, lambda: self.held)
            await ports.close()
            for done, work in self.held:
                done.callback(work())
        with self.assertRaises(ConnectionRefusedError):
            await deferToThread(ask, address)

    def test_an_idle_port_needs_no_timer_and_a_failure_is_logged_and_tried_again(self) -> None:
        memory = MemoryReactorClock()
        sockets = listening()
        ports = LatePorts(sockets, self.make, memory, self.later)
        ports.open()
        self.assertEqual(memory.getDelayedCalls(), [])
        for attempt in (1, 2):
            (reader,) = memory.readers
            reader.doRead()
            # The client is still to be seen, but it is known.
            self.assertEqual(memory.getReaders(), [])
            self.held[-1][0].errback(OSError("too many open files"))
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
            self.assertEqual(len(self.held), attempt)
            memory.advance(AGAIN_SECONDS)
        self.successResultOf(ports.close())
        self.assertEqual((memory.getReaders(), sockets[0].fileno()), ([], -1))

    def test_ports_that_are_closed_after_a_failure_are_not_tried_again(self) -> None:
        memory = MemoryReactorClock()
        ports = LatePorts(listening(), self.make, memory, self.later)
        ports.open()
        (reader,) = memory.readers
        reader.doRead()
        self.held[0][0].errback(OSError("too many open files"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.successResultOf(ports.close())
        self.assertEqual((memory.getReaders(), memory.getDelayedCalls()), ([], []))
