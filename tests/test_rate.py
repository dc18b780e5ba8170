"""Rates: their text, and windows in which there is never more than they say."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rate import MAX_COUNT, Rate, RateUnit, RateWindow, read_rate

MESSAGES, RECIPIENTS = RateUnit.MESSAGES, RateUnit.RECIPIENTS
# Room for the error of floating point.
EPSILON = 1e-6


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("30 messages/minute", Rate(30, 60, MESSAGES), "30 messages/minute"),
        ("1 message / 5 seconds", Rate(1, 5, MESSAGES), "1 message / 5 seconds"),
        ("2000 recipients/day", Rate(2000, 86400, RECIPIENTS), "2000 recipients/day"),
        ("10 Messages/Hour", Rate(10, 3600, MESSAGES), "10 messages/hour"),
        ("5messages/2hours", Rate(5, 7200, MESSAGES), "5 messages / 2 hours"),
        (" 1 recipient / 90 second ", Rate(1, 90, RECIPIENTS), "1 recipient / 90 seconds"),
        ("7 messages / 60 seconds", Rate(7, 60, MESSAGES), "7 messages/minute"),
        ("1000000 recipients / 31 days", Rate(MAX_COUNT, 31 * 86400, RECIPIENTS), "1000000 recipients / 31 days"),
    ],
)
def test_a_rate_is_read_and_shown(text: str, rate: Rate, shown: str):
    assert read_rate(text) == rate
    assert str(rate) == shown
    assert read_rate(shown) == rate


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "30 messages/minute"),
        ("30", "30 messages/minute"),
        ("many messages/minute", "30 messages/minute"),
        ("30/minute", "a number alone is neither"),
        ("30 mails/minute", "mails is neither"),
        ("30 messages/fortnight", "fortnight is no unit of time"),
        ("0 messages/minute", "is 1 to 1000000"),
        ("1000001 messages/minute", "is 1 to 1000000"),
        ("1 message / 0 seconds", "1 second to 31 days"),
        ("1 message / 32 days", "1 second to 31 days"),
        ("-1 messages/minute", "30 messages/minute"),
        ("1.5 messages/minute", "30 messages/minute"),
        ("30 messages/minute/hour", "30 messages/minute"),
    ],
)
def test_other_texts_are_mistakes(text: str, words: str):
    with pytest.raises(ValueError, match=words):
        read_rate(text)


def test_a_window_slides():
    window = RateWindow(Rate(2, 60))
    window.count(0.0)
    window.count(50.0)
    assert window.room(59.9) == 0
    assert window.next_start(59.9) == 60.0
    assert window.next_start(60.0) == 60.0
    window.count(60.0)
    assert window.next_start(60.0) == 110.0
    assert window.next_start(60.0, 2) == 120.0


def test_more_than_a_rate_allows_at_once_has_no_time():
    with pytest.raises(ValueError, match="never within 2 messages/minute"):
        RateWindow(Rate(2, 60)).next_start(0.0, 3)


def test_what_is_counted_without_room_must_leave_the_span_too():
    window = RateWindow(Rate(2, 60))
    window.count(0.0, 1)
    window.count(10.0, 5)
    assert window.room(10.0) == 0
    assert window.next_start(10.0) == 70.0


def test_a_clock_that_is_set_back_stops_nothing_for_that_span():
    window = RateWindow(Rate(1, 60))
    window.count(10_000.0)
    assert window.next_start(5000.0) == 5060.0


def test_a_clock_that_was_set_back_before_a_restart_stops_nothing_for_that_span():
    window = RateWindow(Rate(1, 60))
    window.load([(9000.0, 1), (10_000.0, 1)], 5000.0)
    assert window.next_start(5000.0) == 5060.0


def test_a_clock_that_is_a_little_behind_stands_still():
    window = RateWindow(Rate(1, 60))
    window.count(100.0)
    assert window.next_start(99.5) == 160.0
    assert window.dump() == [(100.0, 1)]


def test_the_memory_of_a_large_rate_is_bounded():
    window = RateWindow(Rate(100_000, 3600), most_entries=100)
    for second in range(10_000):
        window.count(float(second), 10)
        assert window.entries <= 102
    # The last hour holds 36,000, and the window may remember those of 36 seconds before.
    assert 100_000 - 36_000 - 360 <= window.room(9999.0) <= 100_000 - 36_000


def test_a_small_rate_is_exact():
    window = RateWindow(Rate(100, 3600), most_entries=100)
    for second in range(100):
        window.count(float(second))
    assert [window.next_start(100.0, number) for number in (1, 2, 100)] == [3600.0, 3601.0, 3699.0]


@dataclass
class Step:
    """A moment in the life of a relay: real seconds that pass, and the event at their end."""

    seconds: float
    number: int = 1
    set_back: float = 0.0
    restart: bool = False


@dataclass
class Life:
    """A window in real time, with a clock of its own; what it lets through, with the real time of each."""

    rate: Rate
    most_entries: int
    real: float = 0.0
    ahead: float = 1e9
    sent: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.window = RateWindow(self.rate, self.most_entries)

    @property
    def now(self) -> float:
        return self.real + self.ahead

    def go_on(self, step: Step) -> None:
        state = self.window.dump()
        self.real += step.seconds
        self.ahead -= step.set_back
        if step.restart:
            self.window = RateWindow(self.rate, self.most_entries)
            self.window.load(state, self.now)
        number = min(step.number, self.rate.count)
        at = self.window.next_start(self.now, number)
        assert at >= self.now
        if at > self.now and step.number % 2:
            # A client that waits as long as it must.
            self.real += at - self.now
        if self.window.next_start(self.now, number) <= self.now:
            self.window.count(self.now, number)
            self.sent += [self.real] * number


STEPS = st.builds(
    Step,
    seconds=st.floats(0.0, 30.0) | st.sampled_from([0.0, 0.001, 1.0, 10.0]),
    number=st.integers(1, 12),
    set_back=st.just(0.0) | st.floats(0.0, 3.0) | st.sampled_from([0.5, 3600.0]),
    restart=st.booleans(),
)


@given(
    rate=st.builds(Rate, st.integers(1, 12), st.integers(1, 60)),
    most_entries=st.integers(1, 12),
    steps=st.lists(STEPS, max_size=60),
)
def test_no_span_has_more_than_the_rate(rate: Rate, most_entries: int, steps: list[Step]):
    life = Life(rate, most_entries)
    for step in steps:
        life.go_on(step)
    pairs = zip(life.sent, life.sent[rate.count :], strict=False)
    assert all(later - earlier >= rate.seconds - EPSILON for earlier, later in pairs)
    assert life.window.entries <= most_entries + 2


@given(
    rate=st.builds(Rate, st.integers(1, 12), st.integers(1, 60)),
    waits=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=60),
)
def test_a_start_is_never_later_than_it_must_be(rate: Rate, waits: list[float]):
    window = RateWindow(rate)
    now, sent = 0.0, []
    for wait in waits:
        now += wait
        earliest = sent[-rate.count] + rate.seconds if len(sent) >= rate.count else now
        assert window.next_start(now) == max(now, earliest)
        now = max(now, earliest)
        window.count(now)
        sent.append(now)
