"""The control socket: its lines, its limits, and a command that notifies the daemon."""

import os
import socket
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorUNIX
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mta.daemon.control import (
    IDLE_TIMEOUT,
    MAX_CONNECTIONS,
    SOCKET_NAME,
    ControlFactory,
    ControlProtocol,
    ControlService,
    ask_wait,
    is_running,
    notify_daemon,
    operator_name,
    read_line,
    to_lines,
)
from mta.queue.ids import to_id
from mta.queue.interface import Action, QueueId

IDS = [to_id(number) for number in (1, 2, 1 << 62)]
HEARD = list[tuple[Action, list[QueueId], str]]


def feed(data: bytes) -> tuple[HEARD, bool]:
    heard: HEARD = []
    protocol = ControlProtocol(lambda change, ids, by: heard.append((change, ids, by)), Clock().callLater, lambda: None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(data)
    return heard, transport.disconnecting


@pytest.mark.parametrize("change", Action)
def test_a_line_tells_the_change_and_the_messages(change: Action) -> None:
    (line,) = to_lines(change, IDS)
    assert line.startswith(change.value.encode() + b" 0000000000001 0000000000002 ")
    assert feed(line) == ([(change, IDS, "")], False)


def test_many_messages_are_sent_in_lines_within_the_limit() -> None:
    many = [to_id(number) for number in range(2500)]
    heard, closed = feed(b"".join(to_lines(Action.RETRY, many)))
    assert [id for _, ids, _ in heard for id in ids] == many
    assert len(heard) == 3
    assert not closed


def test_each_line_names_the_user() -> None:
    many = [to_id(number) for number in range(1001)]
    heard, _ = feed(b"".join(to_lines(Action.HOLD, many, "alice")))
    assert [by for _, _, by in heard] == ["alice", "alice"]


def test_the_operator_is_the_user_who_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert operator_name({"SUDO_USER": "alice"}) == operator_name({"DOAS_USER": "alice"}) == "alice"
    assert operator_name({}) == operator_name({"SUDO_USER": "a b\n"}) == "root"
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_123)
    assert operator_name({"SUDO_USER": "alice"}) == "4000000123"


def test_no_messages_need_no_line() -> None:
    assert list(to_lines(Action.RETRY, [])) == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"retry x",
        b"retry by=a\tb 0000000000001",
        b"explode 0000000000001",
        b"retry  0000000000001",
        b"\xff",
        b"x" * 20000,
    ],
)
def test_a_line_that_makes_no_sense_ends_the_connection(line: bytes) -> None:
    assert feed(line + b"\n") == ([], True)


def test_a_question_is_answered_in_a_line_and_the_next_line_is_heard() -> None:
    heard: HEARD = []
    words = {IDS[0]: "the rate of 30-pace.toml:1"}
    protocol = ControlProtocol(
        lambda *change: heard.append(change), Clock().callLater, lambda: None, lambda each: words.get(each, "")
    )
    transport = StringTransport()
    protocol.makeConnection(transport)
    for id in IDS[:2]:
        protocol.dataReceived(f"waits {id}\n".encode())
    assert transport.value() == b"the rate of 30-pace.toml:1\n\n"
    protocol.dataReceived(b"".join(to_lines(Action.RETRY, IDS)))
    assert len(heard) == 1
    protocol.dataReceived(b"waits x\n")
    assert transport.disconnecting


@given(st.binary(max_size=40))
@settings(max_examples=200)
def test_no_octets_raise_anything_but_a_value_error(line: bytes) -> None:
    try:
        read_line(line)
    except ValueError:
        return


def test_an_idle_connection_is_closed_and_frees_its_place() -> None:
    clock = Clock()
    factory = ControlFactory(lambda *_: None, clock.callLater)
    crowd = [factory.buildProtocol(None) for _ in range(MAX_CONNECTIONS)]
    assert factory.buildProtocol(None) is None
    transports = []
    for protocol in crowd:
        assert protocol is not None
        transports.append(StringTransport())
        protocol.makeConnection(transports[-1])
        protocol.dataReceived(b"retry 000")
    assert crowd[0] is not None
    clock.advance(IDLE_TIMEOUT - 1)
    crowd[0].dataReceived(b"0000000001\n")
    clock.advance(1)
    assert [transport.disconnecting for transport in transports] == [False] + [True] * (MAX_CONNECTIONS - 1)
    for protocol in crowd[1:]:
        assert protocol is not None
        protocol.connectionLost()
    assert factory.buildProtocol(None) is not None
    clock.advance(IDLE_TIMEOUT)
    assert transports[0].disconnecting
    crowd[0].connectionLost()
    assert clock.getDelayedCalls() == []


def test_without_a_daemon_the_notification_returns_false(tmp_path: Path) -> None:
    assert not notify_daemon(tmp_path, Action.RETRY, IDS)


def test_a_dead_daemons_socket_is_no_daemon(tmp_path: Path) -> None:
    leave_a_dead_socket(tmp_path)
    assert not notify_daemon(tmp_path, Action.RETRY, IDS)


def test_a_socket_that_cannot_be_reached_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        notify_daemon(tmp_path / "file", Action.RETRY, IDS)


def leave_a_dead_socket(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(directory / SOCKET_NAME))


class ControlServiceTests(TestCase):
    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        self.heard: Deferred[tuple[Action, list[QueueId], str]] = Deferred()
        assert IReactorUNIX.providedBy(reactor)
        self.troubles: list[str] = []
        told = self.heard.callback
        self.service = ControlService(
            reactor, self.directory, lambda *change: told(change), self.troubles.append, "a rate, {}".format
        )

    def start(self) -> None:
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def test_the_daemon_gets_the_action_of_a_command(self) -> None:
        self.start()
        self.assertTrue(notify_daemon(self.directory, Action.HOLD, IDS, "alice"))
        self.assertEqual(await self.heard, (Action.HOLD, IDS, "alice"))

    async def test_a_command_asks_for_what_a_message_waits(self) -> None:
        self.start()
        self.assertEqual(await deferToThread(ask_wait, self.directory, IDS[0]), f"a rate, {IDS[0]}")
        self.assertTrue(await deferToThread(is_running, self.directory))
        await self.service.stopService()
        self.assertEqual(ask_wait(self.directory, IDS[0]), "")
        self.assertFalse(is_running(self.directory))

    async def test_a_queue_directory_may_have_a_long_path(self) -> None:
        self.directory /= "x" * 200
        self.directory.mkdir()
        self.service = ControlService(
            reactor, self.directory, lambda *told: self.heard.callback(told), self.troubles.append
        )
        self.service.startService()
        self.assertTrue(notify_daemon(self.directory, Action.HOLD, IDS, "alice"))
        self.assertEqual(await self.heard, (Action.HOLD, IDS, "alice"))
        self.assertEqual(stat.S_IMODE((self.directory / SOCKET_NAME).stat().st_mode), 0o600)
        await self.service.stopService()
        self.assertFalse((self.directory / SOCKET_NAME).exists())
        self.assertFalse(notify_daemon(self.directory, Action.HOLD, IDS))
        self.assertEqual(self.troubles, [])

    async def test_a_dead_daemons_socket_is_replaced(self) -> None:
        leave_a_dead_socket(self.directory)
        self.start()
        self.assertTrue(notify_daemon(self.directory, Action.RETRY, IDS))
        await self.heard

    def test_other_users_cannot_open_the_socket(self) -> None:
        self.start()
        self.assertEqual(stat.S_IMODE((self.directory / SOCKET_NAME).stat().st_mode), 0o600)

    async def test_the_socket_is_removed_at_the_end(self) -> None:
        self.service.startService()
        await self.service.stopService()
        self.assertFalse((self.directory / SOCKET_NAME).exists())
        await self.service.stopService()

    async def test_a_socket_that_cannot_be_opened_is_logged_and_stops_nothing(self) -> None:
        (self.directory / SOCKET_NAME).mkdir()
        self.start()
        assert self.service.running
        assert len(self.troubles) == 1
        assert "changes by `smtprelay queue` are noticed late" in self.troubles[0]
