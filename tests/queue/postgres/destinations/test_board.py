"""Relays tell each other which destinations are down, and one alone tries each."""

from collections.abc import Callable

import pytest

from mta.blocking import run_inline
from mta.message.outcome import ErrorKind, TryLater
from mta.queue.postgres.destinations.board import LOOK, PROBE, TURN, DestinationBoard, DownDestination
from mta.queue.postgres.membership.chores import sweep
from mta.queue.postgres.serial_session import SerialSession
from tests.fakes.socket_reactor import SocketReactor
from tests.queue.postgres.shared_queue import SharedQueue

TROUBLE = TryLater("connection refused", "mx.test", "4.4.1", kind=ErrorKind.CONNECT)
FIRST, LONGEST = 30.0, 100.0


class Relay:
    """One relay, and the calls that it got: of a failure the time from it to the next try.

    Its wall clock is that of the database, less 500 s.
    """

    def __init__(
        self, shared: SharedQueue, node: int, now: Callable[[], float], failed: Callable[[str], float]
    ) -> None:
        self.reactor = SocketReactor()
        self.calls: list[tuple[object, ...]] = []
        self.now = now
        self.failed = failed
        self.board = DestinationBoard(
            SerialSession(shared.session(), run_inline),
            self,
            clock=self.reactor,
            wall_clock=self.time,
            offset=lambda: 500.0,
            node=lambda: node,
            steps=(FIRST, LONGEST),
        )
        self.board.start()

    def time(self) -> float:
        return self.now()

    def look(self) -> None:
        self.calls.clear()
        self.reactor.advance(LOOK)

    def on_down(self, name: str, down: DownDestination) -> None:
        self.calls.append(("down", name, round(down.until - self.failed(name)), down.penalty, down.trouble))

    def on_up(self, name: str) -> None:
        self.calls.append(("up", name))

    def on_probe(self, name: str, seconds: float) -> None:
        self.calls.append(("probe", name, seconds))

    def on_others_probe(self, name: str, seconds: float) -> None:
        self.calls.append(("others probe", name, seconds))


class Relays:
    """Three relays, whose time is the database's; `pass_time` sets all times in the rows back instead."""

    def __init__(self, shared: SharedQueue) -> None:
        self.shared = shared
        self.nodes = [shared.node(f"mx{number}") for number in (1, 2, 3)]
        self.all = [Relay(shared, node.id, self.now, self.failed) for node in self.nodes]

    def now(self) -> float:
        now: float = self.shared.rows("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]
        return now - 500

    def failed(self, name: str) -> float:
        """Return the time of the last failure of a destination by the relays' clock."""
        sql = "SELECT extract(epoch FROM failed)::float8 FROM destination WHERE name = %(name)s"
        failed: float = self.shared.rows(sql, name=name)[0][0]
        return failed - 500

    def pass_time(self, seconds: float) -> None:
        self.shared.rows(
            "UPDATE destination SET blocked_until = blocked_until - %(s)s * interval '1 s',"
            " probe_until = probe_until - %(s)s * interval '1 s', failed = failed - %(s)s * interval '1 s',"
            " changed = changed - %(s)s * interval '1 s'",
            s=seconds,
        )


@pytest.fixture
def relays(shared: SharedQueue) -> Relays:
    return Relays(shared)


def test_a_failure_is_known_to_all_relays_at_their_next_look(relays: Relays):
    first, second, third = relays.all
    first.board.failed("example.com", TROUBLE)
    assert first.calls == [("down", "example.com", 30, FIRST, TROUBLE)]
    for other in (second, third):
        assert other.board.known("example.com") is None
        other.look()
        assert other.calls == first.calls
        down = other.board.known("example.com")
        assert down is not None
        assert (round(down.until - relays.failed("example.com")), down.penalty) == (30, FIRST)
        other.look()
        assert other.calls == [], "no news"


def test_several_relays_that_find_it_dead_begin_one_step(relays: Relays):
    for relay in relays.all:
        relay.board.failed("example.com", TROUBLE)
    assert [relay.calls[-1][3] for relay in relays.all] == [FIRST] * 3


def test_one_relay_tries_it_and_the_others_wait(relays: Relays):
    first, second, third = relays.all
    first.board.failed("example.com", TROUBLE)
    for relay in relays.all:
        relay.look()
        relay.calls.clear()
        relay.board.ask_to_probe("example.com")
        assert [call[:3] for call in relay.calls] == [("down", "example.com", 30)]
    relays.pass_time(FIRST)
    for relay in relays.all:
        relay.calls.clear()
        relay.board.ask_to_probe("example.com")
    assert second.calls == third.calls == [("others probe", "example.com", TURN)]
    assert first.calls == [("probe", "example.com", PROBE)]


def test_the_answer_to_a_probe_counts_although_the_prober_had_not_looked_since_the_last_failure(relays: Relays):
    first, second, _ = relays.all
    first.board.failed("example.com", TROUBLE)
    second.look()
    over = "UPDATE destination SET blocked_until = clock_timestamp()"
    relays.shared.rows(over)
    first.board.failed("example.com", TROUBLE)
    relays.shared.rows(over)
    second.board.ask_to_probe("example.com")
    assert second.calls[-1] == ("probe", "example.com", PROBE)
    second.board.answered("example.com")
    first.look()
    assert first.calls == [("up", "example.com")]
    second.look()
    assert second.calls == []


def test_a_relay_may_repeat_its_own_probe(relays: Relays):
    first = relays.all[0]
    first.board.failed("example.com", TROUBLE)
    relays.pass_time(FIRST)
    for _ in range(2):
        first.board.ask_to_probe("example.com")
        assert first.calls[-1] == ("probe", "example.com", PROBE)


def test_the_probe_of_a_relay_that_was_taken_over_is_not_waited_for(relays: Relays):
    first, second, _ = relays.all
    first.board.failed("example.com", TROUBLE)
    relays.pass_time(FIRST)
    first.board.ask_to_probe("example.com")
    assert first.calls[-1] == ("probe", "example.com", PROBE)
    relays.shared.rows("UPDATE node SET fenced = true WHERE id = %(id)s", id=relays.nodes[0].id)
    second.board.ask_to_probe("example.com")
    assert second.calls[-1] == ("probe", "example.com", PROBE)


def test_each_probe_that_fails_doubles_the_step_for_all(relays: Relays):
    steps = []
    for turn in range(5):
        prober = relays.all[turn % 3]
        prober.board.failed("example.com", TROUBLE)
        steps.append(prober.calls[-1][3])
        relays.all[(turn + 1) % 3].look()
        relays.pass_time(LONGEST)
    assert steps == [30, 60, 100, 100, 100]


def test_a_relay_that_died_over_its_probe_is_followed_by_another(relays: Relays):
    first, second, _ = relays.all
    first.board.failed("example.com", TROUBLE)
    relays.pass_time(FIRST)
    first.board.ask_to_probe("example.com")
    relays.pass_time(PROBE + 1)
    second.board.ask_to_probe("example.com")
    assert second.calls == [("probe", "example.com", PROBE)]


def test_an_answer_ends_the_trouble_for_all(relays: Relays):
    first, second, third = relays.all
    first.board.failed("example.com", TROUBLE)
    second.look()
    second.board.answered("example.com")
    assert second.board.known("example.com") is None
    first.look()
    third.look()
    assert (first.calls, third.calls) == ([("up", "example.com")], [])
    second.look()
    assert second.calls == []
    third.board.ask_to_probe("example.com")
    assert third.calls == [("up", "example.com")]


def test_an_answer_is_less_than_a_failure_that_came_later(relays: Relays):
    first, second, third = relays.all
    first.board.failed("example.com", TROUBLE)
    second.look()
    relays.pass_time(FIRST)
    third.board.failed("example.com", TROUBLE)
    second.board.answered("example.com")
    second.look()
    assert second.calls == [("down", "example.com", 60, 60, TROUBLE)]


def test_after_an_answer_it_fails_anew_from_the_first_step(relays: Relays):
    first = relays.all[0]
    for _ in range(2):
        first.board.failed("example.com", TROUBLE)
        relays.pass_time(LONGEST)
    first.look()
    first.board.answered("example.com")
    first.calls.clear()
    first.board.failed("example.com", TROUBLE)
    assert first.calls == [("down", "example.com", 30, FIRST, TROUBLE)]


def test_an_operator_lets_it_be_tried_at_once(relays: Relays):
    first, second, _ = relays.all
    first.board.failed("example.com", TROUBLE)
    second.board.retry("example.com")
    second.board.ask_to_probe("example.com")
    assert second.calls == [("probe", "example.com", PROBE)]


def test_without_the_database_a_relay_goes_on_by_what_it_knew(relays: Relays):
    first, second, _ = relays.all
    first.board.failed("example.com", TROUBLE)
    relays.pass_time(FIRST)
    second.look()
    relays.shared.refuse()
    second.now = lambda: 0.0
    second.calls.clear()
    second.board.failed("other.test", TROUBLE)
    second.board.answered("other.test")
    second.board.retry("example.com")
    second.reactor.advance(LOOK)
    assert second.calls == []
    second.board.ask_to_probe("other.test")
    assert second.calls == [("probe", "other.test", PROBE)]
    relays.shared.accept()


def test_old_rows_are_swept(relays: Relays):
    first = relays.all[0]
    for name in ("a.test", "b.test"):
        first.board.failed(name, TROUBLE)
    first.board.answered("a.test")
    relays.pass_time(4000)
    first.board.failed("c.test", TROUBLE)
    sweep(relays.shared.session())
    assert relays.shared.rows("SELECT name FROM destination ORDER BY name") == [("b.test",), ("c.test",)]
    relays.pass_time(90000)
    sweep(relays.shared.session())
    assert relays.shared.rows("SELECT name FROM destination") == []
