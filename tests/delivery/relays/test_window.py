"""The window of a destination in one of several relays: its share, its probes, and the news of the others."""

from dataclasses import dataclass, field

from mta.delivery.destinations.window import LimitRefusal, WindowLimits
from mta.delivery.relays.shares import SETTLE, TURN
from mta.delivery.relays.window import RelayWindow, RelayWindows
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import TryLater

LIMITS = WindowLimits(start=4, most=20, first_penalty=30, longest_penalty=900)
TROUBLE = TryLater("connection refused", "mx.test")
ELSEWHERE = TryLater("no route to host", "mx.test")


@dataclass
class NewsOfTheOthers:
    until: float
    penalty: float
    trouble: TryLater = ELSEWHERE


@dataclass
class RecordingBoard:
    """Plays the other relays: keeps the calls, and the test calls the window."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    down: NewsOfTheOthers | None = None

    def known(self, name: str) -> NewsOfTheOthers | None:
        return self.down

    def failed(self, name: str, trouble: TryLater) -> None:
        self.calls.append(("failed", trouble.text))

    def answered(self, name: str) -> None:
        self.calls.append(("answered", name))

    def ask_to_probe(self, name: str) -> None:
        self.calls.append(("ask", name))

    def retry(self, name: str) -> None:
        self.calls.append(("retry", name))


class Relays:
    """Relay 1 among those that live, and its windows."""

    def __init__(self, *living: int, down: NewsOfTheOthers | None = None) -> None:
        self.living = living or (1,)
        self.relay = 1
        self.now = 1000.0
        self.changes = 0
        self.windows = RelayWindows(
            LIMITS, wall_clock=lambda: self.now, living=lambda: self.living, relay=lambda: self.relay
        )
        self.board = self.windows.board = RecordingBoard(down=down)
        self.window: RelayWindow = self.windows.new("example.com", self._change)
        self.now += SETTLE

    def _change(self) -> None:
        self.changes += 1

    def may_open(self, connections: int) -> bool:
        return self.window.may_open(self.now, connections, 1)

    def opens(self) -> int:
        """Return how many connections it would open, one after the other."""
        connections = 0
        while connections < 100 and self.may_open(connections):
            connections += 1
        return connections

    def fail_alone(self) -> None:
        self.window.failed(self.now, 0, TROUBLE)


def test_a_relay_alone_has_the_whole_window():
    relays = Relays()
    assert relays.opens() == LIMITS.start
    for _ in range(1000):
        relays.window.succeeded(relays.now)
    assert relays.opens() == relays.window.size == LIMITS.most


def test_several_relays_share_it_at_its_start_and_at_its_most():
    relays = Relays(1, 2, 3, 4)
    assert relays.opens() == 1
    for _ in range(1000):
        relays.window.succeeded(relays.now)
    assert relays.opens() == 5
    relays.living = (1, 2)
    relays.opens()
    for _ in range(1000):
        relays.window.succeeded(relays.now)
    assert relays.opens() == 10


def test_a_rule_bounds_the_connections_of_all_relays():
    relays = Relays(1, 2)
    for _ in range(1000):
        relays.window.succeeded(relays.now)
    relays.window.limit(8)
    assert relays.opens() == 4


def test_connections_beyond_the_share_end_when_a_relay_has_joined():
    relays = Relays()
    relays.window.set_open(20)
    assert not relays.window.should_release(1)
    relays.living = (1, 2)
    assert relays.window.should_release(1)
    relays.window.set_open(10)
    assert not relays.window.should_release(1)


def test_connections_that_are_refused_or_lost_narrow_the_share_and_not_the_whole():
    relays = Relays(1, 2)
    for _ in range(1000):
        relays.window.succeeded(relays.now)
    assert relays.opens() == 10
    relays.window.refused(relays.now, LimitRefusal(LimitKind.CONNECTIONS, None, relays.now, 8, 8, 100, 60.0))
    assert relays.opens() == 8
    relays = Relays(1, 2)
    for _ in range(1000):
        relays.window.succeeded(relays.now)
    relays.window.failed(relays.now, 9, TROUBLE)
    assert relays.opens() == 5


def test_a_relay_that_has_just_started_opens_one_connection_until_the_others_know_it():
    relays = Relays(1, 2)
    relays.now -= SETTLE
    assert relays.opens() == relays.window.size == 1
    relays.window.limit(8)
    assert relays.opens() == 0, "a rule of the operator is not exceeded"
    assert relays.window.elsewhere(relays.now) == relays.now + SETTLE
    relays.window.limit(None)
    relays.now += SETTLE
    assert relays.opens() == LIMITS.start / 2


def test_a_wall_clock_that_is_set_back_while_a_relay_is_new_costs_that_time_again_at_most():
    relays = Relays(1, 2)
    relays.now -= SETTLE
    relays.now -= 3600
    assert relays.opens() == 1
    relays.now += SETTLE
    assert relays.opens() == LIMITS.start / 2


def test_a_relay_that_does_not_know_the_others_yet_soon_does():
    relays = Relays(1)
    relays.living = ()
    assert relays.opens() == 1
    relays.window.limit(8)
    assert relays.window.elsewhere(relays.now) == relays.now + 1
    relays.living = (1,)
    relays.window.limit(None)
    assert relays.opens() == LIMITS.start


def test_a_relay_that_goes_on_as_another_node_is_new_to_the_others():
    relays = Relays(1, 2)
    relays.opens()
    relays.relay = 3
    relays.living = (2, 3)
    assert relays.opens() == 1
    relays.now += SETTLE
    assert relays.opens() == 2


def test_a_relay_without_a_share_leaves_the_mail_for_a_turn():
    relays = Relays(*range(1, 60))
    names = [f"d{number}.test" for number in range(60)]
    without = next(window for name in names if not (window := relays.windows.new(name, lambda: None)).size)
    assert not without.may_open(relays.now, 0, 1)
    assert without.blocked(relays.now) == without.elsewhere(relays.now) == relays.now + TURN
    relays.living = (1,)
    assert without.blocked(relays.now) is without.elsewhere(relays.now) is None


def test_a_failure_that_leaves_no_connection_is_told_once():
    relays = Relays()
    relays.window.failed(relays.now, 1, TROUBLE)
    assert relays.board.calls == []
    relays.fail_alone()
    relays.fail_alone()
    assert relays.board.calls == [("failed", "connection refused")]
    assert relays.window.blocked(relays.now) == relays.now + LIMITS.first_penalty


def test_before_a_probe_the_others_are_asked_once():
    relays = Relays()
    relays.fail_alone()
    relays.now += LIMITS.first_penalty
    relays.board.calls.clear()
    assert relays.opens() == 0
    assert relays.opens() == 0
    assert relays.board.calls == [("ask", "example.com")]
    assert relays.window.request_pending
    relays.windows.on_probe("example.com", 60)
    assert not relays.window.request_pending
    assert relays.changes == 1
    assert relays.opens() == 1
    relays.now += 61
    assert relays.opens() == 0, "its time is over"


def test_a_probe_that_another_relay_makes_is_waited_for():
    relays = Relays()
    relays.fail_alone()
    assert relays.window.elsewhere(relays.now) is None
    relays.now += LIMITS.first_penalty
    relays.opens()
    relays.windows.on_others_probe("example.com", 10)
    assert relays.opens() == 0
    assert relays.window.blocked(relays.now) == relays.window.elsewhere(relays.now) == relays.now + 10
    relays.windows.on_down("example.com", NewsOfTheOthers(relays.now + 60, 60))
    assert relays.window.elsewhere(relays.now) is None
    assert (relays.window.blocked(relays.now), relays.window.trouble) == (relays.now + 60, ELSEWHERE)
    relays.windows.on_up("example.com")
    assert relays.opens() == LIMITS.start
    assert relays.window.trouble is None


def test_after_the_turn_of_another_relay_it_asks_again():
    relays = Relays()
    relays.fail_alone()
    relays.now += LIMITS.first_penalty
    relays.opens()
    relays.windows.on_others_probe("example.com", 10)
    relays.now += 10
    relays.board.calls.clear()
    assert relays.opens() == 0
    assert relays.board.calls == [("ask", "example.com")]


def test_a_relay_with_connections_does_not_believe_that_the_destination_is_down():
    relays = Relays()
    relays.window.set_open(2)
    relays.windows.on_down("example.com", NewsOfTheOthers(relays.now + 30, 30))
    assert relays.opens() == LIMITS.start
    for _ in range(2):
        relays.window.succeeded(relays.now)
    assert relays.board.calls == []
    relays.window.succeeded(relays.now)
    relays.window.succeeded(relays.now)
    assert relays.board.calls == [("answered", "example.com")]


def test_it_believes_it_once_its_last_connection_ends_without_an_answer():
    relays = Relays()
    relays.window.set_open(2)
    relays.board.down = NewsOfTheOthers(relays.now + 30, 30)
    relays.windows.on_down("example.com", relays.board.down)
    relays.window.set_open(1)
    assert relays.opens() == LIMITS.start
    relays.window.set_open(0)
    assert relays.window.blocked(relays.now) == relays.now + 30


def test_a_probe_that_succeeds_is_told_and_opens_the_window():
    relays = Relays()
    relays.fail_alone()
    relays.now += LIMITS.first_penalty
    relays.opens()
    relays.windows.on_probe("example.com", 60)
    relays.board.calls.clear()
    relays.window.succeeded(relays.now)
    relays.window.succeeded(relays.now)
    assert relays.board.calls == [("answered", "example.com")]
    assert relays.opens() >= LIMITS.start


def test_the_next_step_of_the_back_off_follows_that_of_the_others():
    relays = Relays()
    relays.windows.on_down("example.com", NewsOfTheOthers(relays.now, 120))
    relays.opens()
    relays.windows.on_probe("example.com", 60)
    relays.fail_alone()
    assert relays.window.blocked(relays.now) == relays.now + 240


def test_a_destination_that_is_new_here_is_down_if_the_others_say_so():
    relays = Relays(down=NewsOfTheOthers(1500.0, 600))
    assert relays.window.blocked(relays.now) == 1500
    assert relays.changes == 0
    relays.now = 1500
    assert relays.opens() == 0
    assert relays.board.calls == [("ask", "example.com")]


def test_an_operator_lets_any_relay_try_it_at_once():
    relays = Relays()
    relays.window.unblock()
    assert relays.board.calls == []
    relays.fail_alone()
    relays.window.unblock()
    assert relays.board.calls[1:] == [("retry", "example.com")]
    relays.opens()
    assert relays.board.calls[2:] == [("ask", "example.com")]


def test_news_of_a_destination_that_is_not_known_are_ignored():
    relays = Relays()
    relays.windows.on_down("other.test", NewsOfTheOthers(2000, 30))
    relays.windows.on_up("other.test")
    relays.windows.on_probe("other.test", 60)
    assert relays.changes == 0
