"""Notifications to the service manager."""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from mta.daemon.systemd import Manager, ManagerService, find_manager

PID = 4711


class Listener:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(address)

    def heard(self) -> list[bytes]:
        """Return the datagrams that came since the last call."""
        news = []
        while True:
            try:
                news.append(self.socket.recv(4096))
            except BlockingIOError:
                return news


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"\0smtprelay-test/{secrets.token_hex(8)}"
    opened = Listener(address)
    with opened.socket:
        yield opened


class Relay:
    """The service in a relay, with a clock of its own."""

    def __init__(self, manager: Manager) -> None:
        self.clock = Clock()
        self.troubles: list[str] = []
        self.service = ManagerService(manager, self.clock, self.troubles.append)


def test_the_start_says_ready_and_the_stop_says_stopping(listener: Listener) -> None:
    relay = Relay(Manager(listener.address))
    assert listener.heard() == []
    relay.service.startService()
    assert listener.heard() == [b"READY=1"]
    relay.service.stopService()
    assert listener.heard() == [b"STOPPING=1"]
    assert relay.troubles == []


def test_a_sign_of_life_comes_at_the_start_and_in_half_the_time_allowed_until_the_stop(listener: Listener) -> None:
    relay = Relay(Manager(listener.address, watchdog=30.0))
    relay.service.startService()
    assert listener.heard() == [b"READY=1", b"WATCHDOG=1"]
    relay.clock.advance(14.9)
    assert listener.heard() == []
    relay.clock.pump([0.1, 15, 15])
    assert listener.heard() == [b"WATCHDOG=1"] * 3
    relay.service.stopService()
    assert listener.heard() == [b"STOPPING=1"]
    assert relay.clock.getDelayedCalls() == []


def test_without_a_watchdog_no_watchdog_messages_are_sent(listener: Listener) -> None:
    relay = Relay(Manager(listener.address))
    relay.service.startService()
    assert relay.clock.getDelayedCalls() == []


def test_a_status_is_always_one_line(listener: Listener) -> None:
    Relay(Manager(listener.address)).service.status("two\nREADY=1\r\u2028lines of ä")
    assert listener.heard() == ["STATUS=two READY=1  lines of ä".encode()]


def test_without_a_manager_no_message_is_sent_and_no_error_logged() -> None:
    relay = Relay(Manager("", watchdog=1.0))
    relay.service.startService()
    relay.service.status("words")
    relay.service.stopService()
    assert relay.troubles == []
    assert relay.clock.getDelayedCalls() == []


def test_an_unreachable_manager_is_logged_once_and_again_after_it_came_back(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    relay = Relay(Manager(address, watchdog=2.0))
    relay.service.startService()
    relay.clock.pump([1.0, 1.0])
    assert len(relay.troubles) == 1
    assert "READY=1" in relay.troubles[0]
    assert "NOTIFY_SOCKET" in relay.troubles[0]
    back = Listener(address)
    with back.socket:
        relay.clock.advance(1.0)
        assert back.heard() == [b"WATCHDOG=1"]
    relay.clock.pump([1.0, 1.0])
    assert len(relay.troubles) == 2


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Listener]:
    """Return a manager that has not read so many datagrams that the next one must wait."""
    listener = Listener(str(tmp_path / "notify"))
    with listener.socket, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                other.sendto(b"fill", listener.address)
        yield listener


def test_a_manager_that_does_not_read_blocks_for_a_bounded_time(full: Listener) -> None:
    relay = Relay(Manager(full.address))
    relay.service.status("words")
    assert len(relay.troubles) == 1


def test_a_manager_that_listens_in_a_moment_is_waited_for(full: Listener) -> None:
    relay = Relay(Manager(full.address))
    moment = threading.Timer(0.1, full.heard)
    moment.start()
    relay.service.status("words")
    moment.join()
    assert relay.troubles == []


def test_a_path_that_no_socket_can_have_is_a_trouble_and_no_fault() -> None:
    relay = Relay(find_manager({"NOTIFY_SOCKET": "/" + "x" * 200}, PID))
    relay.service.startService()
    assert len(relay.troubles) == 1


def test_no_sign_of_life_is_given_while_not_all_is_healthy(listener: Listener) -> None:
    clock, healthy = Clock(), [True]
    service = ManagerService(Manager(listener.address, 20), clock, print, healthy=lambda: healthy[0])
    service.startService()
    assert listener.heard() == [b"READY=1", b"WATCHDOG=1"]
    healthy[0] = False
    clock.advance(10)
    assert listener.heard() == []
    healthy[0] = True
    clock.advance(10)
    assert listener.heard() == [b"WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "manager"),
    [
        ({}, Manager("")),
        ({"NOTIFY_SOCKET": ""}, Manager("")),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, Manager("/run/systemd/notify")),
        ({"NOTIFY_SOCKET": "@/org/notify"}, Manager("\0/org/notify")),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, Manager("")),
        ({"NOTIFY_SOCKET": "run/notify"}, Manager("")),
        ({"WATCHDOG_USEC": "1000000"}, Manager("")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000"}, Manager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "4711"}, Manager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "4712"}, Manager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, Manager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "-1"}, Manager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, Manager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "\u0661"}, Manager("/n")),
    ],
)
def test_the_environment_names_the_manager_and_its_watchdog(environ: dict[str, str], manager: Manager) -> None:
    assert find_manager(environ, PID) == manager


@given(st.dictionaries(st.sampled_from(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]), st.text(max_size=30)))
@settings(max_examples=200)
def test_no_environment_raises_anything(environ: dict[str, str]) -> None:
    watchdog = find_manager(environ, PID).watchdog
    assert watchdog is None or watchdog > 0
