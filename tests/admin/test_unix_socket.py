"""The Unix socket of the API: permissions, long paths, bounds, and the names of its users."""

import os
import socket
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mta.admin.client.client_state import client_of
from mta.admin.operators import operator_name, user_name
from mta.admin.state import Order, RelayState
from mta.admin.unix_socket import IDLE_TIMEOUT, MAX_CONNECTIONS, AdminSocket, SocketFactory
from mta.blocking import run_inline
from mta.cli.results import answer
from mta.queue.entries import Action
from tests.daemon.parts.test_admin import OwnStateTests as Relay


def state() -> tuple[Relay, RelayState]:
    relay = Relay()
    relay.make()
    return relay, relay.state


class SocketTests(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="smtprelay-test-")
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        self.relay, self.state = state()
        self.addCleanup(self.relay.doCleanups)
        self.troubles: list[str] = []

    def start(self) -> AdminSocket:
        factory = SocketFactory(self.state, reactor, lambda: 1.0, run_inline)  # type: ignore[arg-type]
        service = AdminSocket(reactor, self.directory, factory, self.troubles.append)  # type: ignore[arg-type]
        service.startService()
        return service

    async def test_a_client_asks_and_orders(self) -> None:
        new = self.relay.added()
        service = self.start()
        path = self.directory / "control"
        self.assertEqual(stat.S_IMODE(path.lstat().st_mode), 0o600)
        client = client_of(self.directory)
        summary = await deferToThread(lambda: answer(client.summary()))
        self.assertEqual(summary.messages, 1)
        order = Order(Action.HOLD, (new.id,), "eve")
        self.assertEqual((await deferToThread(lambda: answer(client.order(order)))).ids, (new.id,))
        # Only root may name another user, who called sudo.
        self.assertEqual(self.relay.actions[0][2], "eve" if os.geteuid() == 0 else user_name(os.geteuid()))
        await service.stopService()
        self.assertFalse(path.exists())
        self.assertEqual(self.troubles, [])

    async def test_a_directory_with_a_long_path_and_a_dead_socket_is_no_obstacle(self) -> None:
        self.directory = self.directory / ("x" * 120)
        self.directory.mkdir()
        for _ in range(2):
            service = self.start()
            summary = await deferToThread(lambda: answer(client_of(self.directory).summary()))
            self.assertEqual(summary.messages, 0)
            assert service._port is not None
            os.link(self.directory / "control", self.directory / "kept")
            await service.stopService()
            os.rename(self.directory / "kept", self.directory / "control")
        self.assertEqual(self.troubles, [])

    async def test_a_socket_that_cannot_be_opened_is_told_and_stops_nothing(self) -> None:
        (self.directory / "control").write_text("a file")
        service = self.start()
        (trouble,) = self.troubles
        self.assertIn(f"cannot open {self.directory / 'control'}", trouble)
        await service.stopService()

    async def test_a_stop_ends_connections_that_follow_events(self) -> None:
        service = self.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.directory / "control"))
            client.sendall(b"GET /api/v1/summary HTTP/1.1\r\nHost: x\r\n\r\n")
            received = await deferToThread(client.recv, 100)
            self.assertTrue(received.startswith(b"HTTP/1.1 200 OK"))
            await service.stopService()
            rest = await deferToThread(_rest, client)
            self.assertNotIn(b"HTTP", rest)


def _rest(client: socket.socket) -> bytes:
    rest = b""
    try:
        while octets := client.recv(4096):
            rest += octets
    except ConnectionResetError:
        pass
    return rest


def test_idle_and_surplus_connections_are_closed() -> None:
    clock = Clock()
    factory = SocketFactory(state()[1], clock, lambda: 1.0, run_inline)
    crowd = [factory.buildProtocol(None) for _ in range(MAX_CONNECTIONS)]
    assert factory.buildProtocol(None) is None
    transports = []
    for number, protocol in enumerate(crowd):
        assert protocol is not None
        transports.append(StringTransport())
        protocol.makeConnection(transports[-1])
        if number % 2:
            protocol.dataReceived(b"GET /api/v1/ab")
    clock.advance(IDLE_TIMEOUT)
    assert all(transport.disconnecting for transport in transports)
    for protocol in crowd:
        assert protocol is not None
        protocol.connectionLost()
    assert factory.buildProtocol(None) is not None
    assert clock.getDelayedCalls() == []


def test_requests_wait_while_the_api_is_imported_in_a_thread() -> None:
    works: list[tuple[Any, Deferred[Any]]] = []

    def run(work: Any) -> "Deferred[Any]":
        works.append((work, Deferred()))
        return works[-1][1]

    factory = SocketFactory(state()[1], Clock(), lambda: 1.0, run)
    transports = []
    for _ in range(3):
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        transports.append(StringTransport())
        protocol.makeConnection(transports[-1])
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert transports[-1].producerState == "paused"
    protocol.connectionLost()
    ((work, imported),) = works
    imported.callback(work())
    for transport in transports[:2]:
        assert transport.value().startswith(b"HTTP/1.1 404 Not Found")
        assert transport.producerState == "producing"
    assert transports[2].value() == b""


def test_octets_that_are_no_request_end_the_connection() -> None:
    factory = SocketFactory(state()[1], Clock(), lambda: 1.0, run_inline)
    for octets in (b"\xff\xfe\r\n\r\n", b"RETRY all\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 20_000, b"\n" * 20_000):
        protocol = factory.buildProtocol(None)
        transport: Any = StringTransport()
        transport.abortConnection = transport.loseConnection
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(octets)
        assert transport.disconnecting, octets[:20]


def test_the_operator_is_the_user_who_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert operator_name({"SUDO_USER": "alice"}) == operator_name({"DOAS_USER": "alice"}) == "alice"
    assert operator_name({}) == operator_name({"SUDO_USER": "a b\n"}) == "root"
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_123)
    assert operator_name({"SUDO_USER": "alice"}) == "4000000123"


def test_a_user_without_a_name_has_a_number() -> None:
    assert user_name(4_000_000_123) == "4000000123"
    assert user_name(0) == "root"
