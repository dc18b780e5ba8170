"""The channel between parent and worker."""

import json
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase

from mta.workers.channel import MAX_UNREAD, PATIENCE, Channel, open_channel

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


class End:
    """One end of a channel, in memory."""

    def __init__(self) -> None:
        self.heard = []
        self.troubles = []
        self.ends = 0
        handlers = {"grant": lambda *arguments: self.heard.append(arguments)}
        self.clock = Clock()
        self.channel = Channel(handlers, ended=self.ended, trouble=self.troubles.append, seconds=self.clock.seconds)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    def ended(self) -> None:
        self.ends += 1


def test_a_line_calls_the_handler_of_its_verb():
    end = End()
    end.channel.dataReceived(b'["grant","example.org",3]\n["gr')
    end.channel.dataReceived(b'ant"]\n')
    assert end.heard == [("example.org", 3), ()]


def test_a_handler_may_be_added_later():
    end = End()
    later = []
    end.channel.handlers["down"] = later.append
    end.channel.dataReceived(b'["down","example.org"]\n')
    assert later == ["example.org"]


@given(arguments=st.lists(VALUES, max_size=4))
@settings(max_examples=50)
def test_lines_of_one_end_arrive_at_the_other(arguments):
    here, there = End(), End()
    here.channel.send("grant", *arguments)
    there.channel.dataReceived(here.transport.value())
    assert there.heard == [tuple(arguments)]


@pytest.mark.parametrize(
    "line",
    [b"", b"grant", b"{}", b"[]", b"3", b'"grant"', b"[[]]", b'["nonsense"]', b"\xff", b"[" * 5000, b"x" * 70_000],
    ids=lambda line: repr(line[:12]),
)
def test_a_line_that_makes_no_sense_ends_the_channel_with_one_line_of_trouble(line):
    end = End()
    end.channel.dataReceived(line + b'\n["grant"]\n')
    assert end.transport.disconnected or end.transport.aborting or end.transport.disconnecting
    assert end.heard == []
    (trouble,) = end.troubles
    assert len(trouble) < 400
    assert "\n" not in trouble


def test_a_line_that_never_ends_ends_the_channel():
    end = End()
    end.channel.dataReceived(b"x" * 70_000)
    assert len(end.troubles) == 1


LINE = "x" * 60_000
LINES_UNREAD = MAX_UNREAD // len(LINE) + 1


def test_a_peer_that_stops_reading_ends_the_channel():
    end = End()
    end.channel.pauseProducing()
    end.clock.advance(PATIENCE + 1)
    for _ in range(LINES_UNREAD):
        end.channel.send("grant", LINE)
    assert end.troubles == ["the channel between the parent and a worker is cut: the peer does not read"]
    assert end.transport.value() == b""


def test_any_number_of_lines_in_one_turn_does_not_end_the_channel():
    end, there = End(), End()
    end.channel.pauseProducing()
    for number in range(3 * LINES_UNREAD):
        end.channel.send("grant", number, LINE)
    end.channel.resumeProducing()
    there.channel.dataReceived(end.transport.value())
    assert end.troubles == []
    assert there.heard == [(number, LINE) for number in range(3 * LINES_UNREAD)]


def test_a_peer_that_reads_slowly_is_waited_for():
    end = End()
    end.channel.pauseProducing()
    for _ in range(LINES_UNREAD - 1):
        end.channel.send("grant", LINE)
    write = end.transport.write

    def fills(data: bytes) -> None:
        write(data)
        end.channel.pauseProducing()

    end.transport.write = fills
    for _ in range(LINES_UNREAD):
        end.clock.advance(PATIENCE - 1)
        end.channel.resumeProducing()
        end.channel.send("grant", LINE)
    assert end.troubles == []


def test_waiting_lines_are_sent_before_the_channel_closes():
    end = End()
    end.channel.pauseProducing()
    end.channel.send("grant", 1)
    end.channel.close()
    end.channel.close()
    end.channel.send("grant", 2)
    assert end.transport.value() == b'["grant",1]\n'


def test_a_channel_that_has_ended_sends_no_line():
    end = End()
    end.channel.connectionLost()
    end.channel.send("grant")
    end.channel.close()
    assert end.transport.value() == b""
    assert end.ends == 1


class OverSockets(TestCase):
    def test_the_end_of_one_side_is_heard_at_the_other_after_all_that_it_said(self) -> "Deferred[None]":
        from twisted.internet import reactor

        heard, over = [], Deferred()
        here, there = socket.socketpair()
        one = Channel({}, ended=lambda: None, trouble=heard.append)
        other = Channel({"grant": heard.append}, ended=lambda: over.callback(None), trouble=heard.append)
        open_channel(reactor, here, one)
        open_channel(reactor, there, other)
        for number in range(5):
            one.send("grant", number)
        one.close()
        return over.addCallback(lambda _: self.assertEqual(heard, [0, 1, 2, 3, 4]))

    def test_all_that_is_said_in_one_turn_is_heard_in_order(self) -> "Deferred[None]":
        from twisted.internet import reactor

        heard, troubles, over = [], [], Deferred()
        here, there = socket.socketpair()
        one = Channel({}, ended=lambda: None, trouble=troubles.append)
        other = Channel(
            {"grant": lambda number, _: heard.append(number)},
            ended=lambda: over.callback(None),
            trouble=troubles.append,
        )
        open_channel(reactor, here, one)
        open_channel(reactor, there, other)
        for number in range(2 * LINES_UNREAD):
            one.send("grant", number, LINE)
        reactor.callLater(0, one.send, "grant", -1, "")
        reactor.callLater(0, one.close)
        expected = [*range(2 * LINES_UNREAD), -1]
        return over.addCallback(lambda _: self.assertEqual((heard, troubles), (expected, [])))


def test_a_line_is_a_json_array():
    end = End()
    end.channel.send("grant", "exämple.org", 1.5, None)
    assert json.loads(end.transport.value()) == ["grant", "exämple.org", 1.5, None]
    assert end.transport.value().endswith(b"]\n")
