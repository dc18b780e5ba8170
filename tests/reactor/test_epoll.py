"""The relay's reactor: it handles all events as Twisted's own for epoll, which plays the same scenes here."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from mta.reactor.epoll import RelayReactor

REACTORS = (EPollReactor, RelayReactor)
Act = Callable[[], object]


def nothing() -> None:
    """Let a call have no effect."""


def raises(error: BaseException) -> Act:
    def act() -> None:
        raise error

    return act


class Descriptor:
    """One end of a connection in a reactor. Notes its calls, and does what the scene says in each."""

    def __init__(self, stage: "Stage", name: str, end: socket.socket) -> None:
        self.stage, self.name, self.socket = stage, name, end
        self.on_read: Act = nothing
        self.on_write: Act = nothing
        self.on_lost: Act = nothing

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return self.name

    def doRead(self) -> object:
        self.stage.note(f"{self.name} reads")
        return self.on_read()

    def doWrite(self) -> object:
        self.stage.note(f"{self.name} writes")
        return self.on_write()

    def connectionLost(self, reason: Failure) -> None:
        self.stage.note(f"{self.name} lost: {type(reason.value).__name__}")
        self.on_lost()

    def leave(self) -> None:
        self.stage.reactor.removeReader(self)
        self.stage.reactor.removeWriter(self)


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Descriptor):
    def readConnectionLost(self, reason: Failure) -> None:
        self.stage.note(f"{self.name} reads no more: {type(reason.value).__name__}")

    def writeConnectionLost(self, reason: Failure) -> None:
        raise NotImplementedError


def reads(descriptor: Descriptor, *then: Act) -> Act:
    """Return a read that takes some octets and finds no end, with further acts."""

    def act() -> None:
        descriptor.socket.recv(9)
        for each in then:
            each()

    return act


class Stage:
    """A reactor whose turns the test plays, and the notes of all calls and logged failures."""

    def __init__(self, reactor: Any, stack: ExitStack) -> None:
        self.reactor = reactor
        self.notes: list[str] = []
        self._stack = stack

    def note(self, text: str) -> None:
        self.notes.append(text)

    def observe(self, event: dict[str, Any]) -> None:
        if "failure" in event:
            self.note(f"logged: {event['failure'].value!r}")

    def pair(self, name: str, kind: type[Descriptor] = Descriptor) -> tuple[Any, socket.socket]:
        """Return a descriptor that reads from a new connection, and the other end of the connection."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        other = self._stack.enter_context(socket.create_connection(listener.getsockname()))
        end = self._stack.enter_context(listener.accept()[0])
        end.setblocking(False)
        descriptor = kind(self, name, end)
        self.reactor.addReader(descriptor)
        return descriptor, other

    def turns(self, number: int = 1) -> None:
        for _ in range(number):
            self.reactor.doPoll(0.05)


@contextmanager
def stage_of(kind: type[EPollReactor]) -> Iterator[Stage]:
    reactor: Any = kind()
    with ExitStack() as sockets:
        stage = Stage(reactor, sockets)
        log.addObserver(stage.observe)
        try:
            yield stage
        finally:
            log.removeObserver(stage.observe)
            reactor.removeAll()
            reactor.waker.connectionLost(None)
            reactor._poller.close()


def played(kind: type[EPollReactor], scene: Callable[[Stage], None]) -> list[str]:
    with stage_of(kind) as stage:
        scene(stage)
        return stage.notes


def two(stage: Stage) -> tuple[Any, Any]:
    """Let octets arrive at two descriptors before the next turn: first at `a`, then at `b`."""
    (a, to_a), (b, to_b) = stage.pair("a"), stage.pair("b")
    to_a.sendall(b"x")
    to_b.sendall(b"x")
    # Each reads its octets once; a scene that says otherwise takes only one turn.
    a.on_read, b.on_read = reads(a), reads(b)
    return a, b


def input_for_two(stage: Stage) -> None:
    two(stage)
    stage.turns(2)


def no_input(stage: Stage) -> None:
    stage.pair("a")
    stage.turns()


def a_fault_in_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = raises(ValueError("of a read"))
    stage.turns(2)


def an_interrupt_in_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = raises(KeyboardInterrupt())
    stage.turns(2)


def an_exit_in_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = raises(SystemExit(3))
    stage.turns(2)


def a_fault_in_a_write(stage: Stage) -> None:
    a, _ = two(stage)
    stage.reactor.addWriter(a)
    a.on_write = raises(ValueError("of a write"))
    stage.turns(2)


def a_fault_at_the_end(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = lambda: CONNECTION_LOST
    a.on_lost = raises(ValueError("of the end"))
    stage.turns(2)


def faults_in_a_read_and_at_the_end(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = raises(ValueError("of a read"))
    a.on_lost = raises(ValueError("of the end"))
    stage.turns(2)


def an_end_found_by_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = lambda: CONNECTION_DONE
    stage.turns(2)


def a_loss_found_by_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = lambda: CONNECTION_LOST
    stage.turns(2)


def another_loss_found_by_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = lambda: OSError("no such cable")
    stage.turns(2)


def a_loss_found_by_a_write(stage: Stage) -> None:
    a, _ = stage.pair("a")
    stage.reactor.addWriter(a)
    a.on_write = lambda: CONNECTION_LOST
    stage.turns(2)


def input_and_room_at_once(stage: Stage) -> None:
    a, _ = two(stage)
    stage.reactor.addWriter(a)
    a.on_write = lambda: stage.reactor.removeWriter(a)
    stage.turns(2)


def a_loss_with_input_and_room_at_once(stage: Stage) -> None:
    a, _ = two(stage)
    stage.reactor.addWriter(a)
    a.on_read = lambda: CONNECTION_LOST
    stage.turns(2)


def half_an_end(stage: Stage) -> None:
    a, to_a = stage.pair("a", HalfCloseable)
    to_a.shutdown(socket.SHUT_WR)
    a.on_read = lambda: None if a.socket.recv(9) else CONNECTION_DONE
    stage.turns(2)
    # What is left of the connection can still be written to.
    stage.reactor.addWriter(a)
    a.on_write = lambda: stage.reactor.removeWriter(a)
    stage.turns()


def a_fault_of_one_that_could_end_by_half(stage: Stage) -> None:
    a, to_a = stage.pair("a", HalfCloseable)
    to_a.sendall(b"x")
    a.on_read = raises(ConnectionLost())
    stage.turns(2)


def a_reset(stage: Stage) -> None:
    a, to_a = stage.pair("a")
    a.on_read = lambda: CONNECTION_LOST
    to_a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    to_a.close()
    stage.turns(2)


def a_reset_of_one_that_does_not_read(stage: Stage) -> None:
    a, to_a = stage.pair("a")
    stage.reactor.removeReader(a)
    stage.reactor.addWriter(a)
    a.on_write = nothing
    to_a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    to_a.close()
    stage.turns(2)


def an_end_of_both_directions(stage: Stage) -> None:
    a, to_a = stage.pair("a")
    a.socket.shutdown(socket.SHUT_WR)
    to_a.close()
    a.on_read = lambda: None if a.socket.recv(9) else CONNECTION_DONE
    stage.turns(2)


def octets_before_the_end(stage: Stage) -> None:
    a, to_a = stage.pair("a")
    to_a.sendall(b"last words")
    to_a.close()
    a.on_read = lambda: None if a.socket.recv(4) else CONNECTION_DONE
    stage.turns(5)


def one_removed_by_the_event_before(stage: Stage) -> None:
    a, b = two(stage)
    a.on_read = reads(a, b.leave)
    stage.turns(2)


def one_closed_by_the_event_before(stage: Stage) -> None:
    a, b = two(stage)
    a.on_read = reads(a, b.leave, b.socket.close)
    stage.turns(2)


def one_that_leaves_in_its_own_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = a.leave
    stage.turns(2)


def one_that_leaves_and_ends(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = lambda: (a.leave(), a.socket.close(), CONNECTION_DONE)[-1]
    stage.turns(2)


def a_pause(stage: Stage) -> None:
    a, to_a = stage.pair("a")
    to_a.sendall(b"x")
    stage.reactor.removeReader(a)
    stage.turns(2)
    stage.note("goes on")
    stage.reactor.addReader(a)
    a.on_read = reads(a)
    stage.turns(2)


def a_pause_in_a_read(stage: Stage) -> None:
    a, _ = two(stage)
    a.on_read = lambda: stage.reactor.removeReader(a)
    stage.turns(3)
    stage.note("goes on")
    stage.reactor.addReader(a)
    stage.turns()


def a_pause_by_the_event_before_of_one_that_writes(stage: Stage) -> None:
    a, b = two(stage)
    stage.reactor.addWriter(b)
    b.on_write = lambda: stage.reactor.removeWriter(b)
    a.on_read = reads(a, lambda: stage.reactor.removeReader(b))
    stage.turns(2)


SCENES: dict[Callable[[Stage], None], list[str]] = {
    no_input: [],
    input_for_two: ["a reads", "b reads"],
    a_fault_in_a_read: ["a reads", "logged: ValueError('of a read')", "a lost: ValueError", "b reads"],
    an_interrupt_in_a_read: ["a reads", "logged: KeyboardInterrupt()", "a lost: KeyboardInterrupt", "b reads"],
    an_exit_in_a_read: ["a reads", "logged: SystemExit(3)", "a lost: SystemExit", "b reads"],
    a_fault_in_a_write: ["a reads", "a writes", "logged: ValueError('of a write')", "a lost: ValueError", "b reads"],
    a_fault_at_the_end: ["a reads", "a lost: ConnectionLost", "logged: ValueError('of the end')", "b reads"],
    faults_in_a_read_and_at_the_end: [
        "a reads",
        "logged: ValueError('of a read')",
        "a lost: ValueError",
        "logged: ValueError('of the end')",
        "b reads",
    ],
    an_end_found_by_a_read: ["a reads", "a lost: ConnectionDone", "b reads"],
    a_loss_found_by_a_read: ["a reads", "a lost: ConnectionLost", "b reads"],
    another_loss_found_by_a_read: ["a reads", "a lost: OSError", "b reads"],
    a_loss_found_by_a_write: ["a writes", "a lost: ConnectionLost"],
    input_and_room_at_once: ["a reads", "a writes", "b reads"],
    a_loss_with_input_and_room_at_once: ["a reads", "a lost: ConnectionLost", "b reads"],
    half_an_end: ["a reads", "a reads no more: ConnectionDone", "a writes"],
    a_fault_of_one_that_could_end_by_half: ["a reads", "logged: ConnectionLost()", "a lost: ConnectionLost"],
    a_reset: ["a reads", "a lost: ConnectionLost"],
    a_reset_of_one_that_does_not_read: ["a lost: ConnectionLost"],
    an_end_of_both_directions: ["a reads", "a lost: ConnectionDone"],
    octets_before_the_end: ["a reads", "a reads", "a reads", "a reads", "a lost: ConnectionDone"],
    one_removed_by_the_event_before: ["a reads"],
    one_closed_by_the_event_before: ["a reads"],
    one_that_leaves_in_its_own_read: ["a reads", "b reads"],
    one_that_leaves_and_ends: ["a reads", "a lost: ConnectionDone", "b reads"],
    a_pause: ["goes on", "a reads"],
    a_pause_in_a_read: ["a reads", "b reads", "goes on", "a reads"],
    a_pause_by_the_event_before_of_one_that_writes: ["a reads", "b reads", "b writes"],
}


@pytest.mark.parametrize("kind", REACTORS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_an_event_is_handled_as_by_twisted(kind: type[EPollReactor], scene: Callable[[Stage], None]) -> None:
    assert played(kind, scene) == SCENES[scene]


def test_input_alone_is_read_without_a_logging_context() -> None:
    with stage_of(RelayReactor) as stage:
        a, _ = two(stage)
        a.logPrefix = lambda: stage.note("the prefix is asked")
        stage.turns(2)
        assert stage.notes == ["a reads", "b reads"]


def test_a_fault_is_logged_with_the_prefix_of_its_descriptor() -> None:
    with stage_of(RelayReactor) as stage:
        systems = []
        observer = lambda event: systems.append(event["system"])  # noqa: E731
        log.addObserver(observer)
        a_fault_in_a_read(stage)
        log.removeObserver(observer)
        assert systems == ["a"]
