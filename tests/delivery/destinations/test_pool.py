"""Idle connections are used again, and ended after a while."""

import itertools

from twisted.internet.task import Clock

from mta.delivery.destinations.pool import IDLE_SECONDS, IdlePool, PooledConnection
from mta.delivery.remote.interface import Connection
from tests.fakes.connector import FakeConnection, FakeConnector


def end(session: Connection) -> None:
    session.quit()


def kept(lines: IdlePool) -> FakeConnection:
    connection = FakeConnection(FakeConnector())
    lines.keep(PooledConnection(connection, 0.0))
    return connection


def test_the_connection_idle_for_the_shortest_time_is_taken_and_lost_ones_are_dropped() -> None:
    lines = IdlePool(Clock(), end, lambda: None)
    first, second, third = (kept(lines) for _ in range(3))
    third.usable = False
    taken = [lines.take(), lines.take()]
    assert [each and each.session for each in taken] == [second, first]
    assert lines.take() is None


def test_each_connection_is_ended_after_its_idle_time_and_a_callback_tells_so() -> None:
    clock, ended = Clock(), list[float]()
    lines = IdlePool(clock, end, lambda: ended.append(clock.seconds()))
    first = kept(lines)
    clock.advance(1)
    second = kept(lines)
    clock.advance(IDLE_SECONDS - 1)
    assert (first.ended, second.ended, len(lines)) == ("quit", "", 1)
    clock.advance(1)
    assert (second.ended, len(lines)) == ("quit", 0)
    assert ended == [IDLE_SECONDS, IDLE_SECONDS + 1]
    assert not clock.getDelayedCalls()


def test_a_connection_is_ended_in_time_in_spite_of_rounding() -> None:
    tenths = (number / 10 for number in itertools.count(1))
    odd = next(since for since in tenths if since + IDLE_SECONDS - since < IDLE_SECONDS)
    clock, rounds = Clock(), list[None]()
    clock.rightNow = odd
    lines = IdlePool(clock, end, lambda: rounds.append(None))
    connection = kept(lines)
    clock.advance(IDLE_SECONDS)
    assert connection.ended == "quit"
    assert len(rounds) == 1


def test_closing_ends_all_connections_and_the_timer() -> None:
    clock = Clock()
    lines = IdlePool(clock, end, lambda: None)
    connections = [kept(lines) for _ in range(2)]
    lines.close()
    assert [each.ended for each in connections] == ["quit", "quit"]
    assert not clock.getDelayedCalls()


def test_the_oldest_connection_can_be_ended_before_its_time() -> None:
    lines = IdlePool(Clock(), end, lambda: None)
    first, second = kept(lines), kept(lines)
    lines.end_oldest()
    assert (first.ended, second.ended) == ("quit", "")
