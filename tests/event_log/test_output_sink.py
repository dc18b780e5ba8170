"""Descriptors of every kind, whose reader has stopped."""

import fcntl
import os
import socket
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mta.event_log.output import OutputSink, write_out

DATA = memoryview(b"x" * 65536)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def make(kind: str, opened: ExitStack) -> tuple[int, int]:
    """Return two ends of a kind of connection, the reader's first."""
    if kind == "socket":
        one, other = socket.socketpair()
        opened.enter_context(one)
        opened.enter_context(other)
        return one.fileno(), other.fileno()
    reading, writing = os.pipe() if kind == "pipe" else os.openpty()
    if kind == "terminal":
        tty.setraw(writing)
    opened.callback(os.close, reading)
    opened.callback(os.close, writing)
    return reading, writing


def sink_of(writing: int, opened: ExitStack, *, anew: bool) -> OutputSink:
    sink = OutputSink(writing)
    if anew:
        sink.reopen()
    opened.callback(sink.close)
    return sink


def fill(sink: OutputSink) -> int:
    """Write until no more is taken; return how many octets were."""
    total = 0
    while taken := sink.write(DATA):
        total += taken
        assert total < 1 << 24
    return total


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_has_stopped_is_not_waited_for(kind: str, anew: bool, opened: ExitStack) -> None:
    reading, writing = make(kind, opened)
    sink = sink_of(writing, opened, anew=anew)
    written = fill(sink)
    assert sink.write(DATA) == 0
    assert not sink.wait(0.0)
    while written:
        written -= len(os.read(reading, 65536))
    assert sink.wait(0.0)
    assert sink.write(DATA) > 0


def test_a_terminal_that_has_stopped_is_not_waited_for(opened: ExitStack) -> None:
    # How much a terminal holds changes while the kernel moves it along.
    _, writing = make("terminal", opened)
    assert fill(sink_of(writing, opened, anew=True))


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_other_processes_that_share_the_descriptor_are_not_affected(kind: str, opened: ExitStack) -> None:
    _, writing = make(kind, opened)
    sink_of(writing, opened, anew=True)
    assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_descriptor_that_another_process_made_non_blocking_is_an_ordinary_one(opened: ExitStack) -> None:
    _, writing = make("pipe", opened)
    os.set_blocking(writing, False)
    assert fill(sink_of(writing, opened, anew=False))


def test_a_reader_that_is_gone_is_an_error(opened: ExitStack) -> None:
    reading, writing = os.pipe()
    opened.callback(os.close, writing)
    sink = sink_of(writing, opened, anew=True)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        sink.write(DATA)


def test_a_descriptor_that_is_closed_is_an_error(opened: ExitStack) -> None:
    _, writing = os.pipe()
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sink_of(writing, opened, anew=True).write(DATA)


def test_the_last_lines_are_dropped_if_the_reader_has_stopped(opened: ExitStack) -> None:
    _, writing = make("pipe", opened)
    fill(sink_of(writing, opened, anew=True))
    write_out(writing, b"unheard\n", 0.01)


def test_last_lines_longer_than_a_pipe_reach_a_slow_reader(opened: ExitStack) -> None:
    reading, writing = os.pipe()
    opened.callback(os.close, reading)
    heard: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 4096):
            heard.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    write_out(writing, b"x" * 300_000, 20.0)
    os.close(writing)
    reader.join()
    assert sum(map(len, heard)) == 300_000
