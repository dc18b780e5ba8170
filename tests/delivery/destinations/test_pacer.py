"""The transactions of a destination begin by its pace, and mail beyond it comes again."""

from itertools import pairwise

import pytest
from twisted.internet.task import Clock

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.pacer import LONGEST_RETURN, MEMORY_SECONDS, Pacer, rate_words
from mta.delivery.destinations.window import ConcurrencyWindow, LimitRefusal, WindowLimits
from mta.delivery.replies.throttle_table import LimitKind
from mta.event_log.log import EventLog
from mta.message.outcome import TryLater

NOW = 1_000_000.0
REPLY = TryLater("454 Throttling failure", "mx.test[192.0.2.1]:25", "4.7.0")


class Paced:
    """The Pacer of a destination after a refusal, and how often it was looked at again."""

    def __init__(self, accepted: int, wait: float | None = None, kind: LimitKind = LimitKind.RATE) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.lines: list[str] = []
        self.looks: list[float] = []
        self.window = ConcurrencyWindow(WindowLimits())
        wall_clock = self.clock.seconds
        event_log = EventLog(self.lines.append, wall_clock)
        self.pacer = Pacer("mx.test", self.window, self.look, DeliveryContext(self.clock, wall_clock, event_log))
        self.pacer.refused(LimitRefusal(kind, wait, NOW, 3, 3, accepted, 1.0), REPLY)

    def look(self) -> None:
        self.looks.append(self.clock.seconds())


def test_a_destination_is_looked_at_again_when_a_transaction_may_begin() -> None:
    paced = Paced(accepted=5)
    assert not paced.pacer.may_start()
    assert paced.pacer.holding
    paced.clock.advance(1.0)
    assert paced.looks == [NOW + 1]
    assert paced.pacer.may_start()


def test_a_minute_of_mail_has_a_place_in_memory() -> None:
    paced = Paced(accepted=5)
    assert paced.pacer.places() == pytest.approx(5 * (MEMORY_SECONDS - 1), abs=1)
    assert Paced(accepted=5, wait=3600.0).pacer.places() == 0


def test_mail_that_waits_longer_comes_back_at_the_pace() -> None:
    pacer = Paced(accepted=5).pacer
    turns = [pacer.next_try(300) for _ in range(100)]
    assert turns[0] == pytest.approx(NOW + 1 + 300 / 5)
    assert [later - sooner for sooner, later in pairwise(turns)] == pytest.approx([0.2] * 99)


def test_later_mail_comes_back_sooner_and_not_together() -> None:
    pacer = Paced(accepted=5, wait=3600.0).pacer
    turns = sorted(pacer.next_try(0) for _ in range(100))
    assert turns[0] >= NOW + LONGEST_RETURN / 2
    assert turns[-1] <= NOW + LONGEST_RETURN
    assert min(later - sooner for sooner, later in pairwise(turns)) > 0.3


def test_the_log_tells_of_a_pace_or_of_connections() -> None:
    (line,) = Paced(accepted=5).lines
    assert 'pace="5 a second" next=' in line
    (line,) = Paced(accepted=5, kind=LimitKind.CONNECTIONS).lines
    assert "connections=3" in line
    assert "pace=" not in line


def test_closing_leaves_no_timer() -> None:
    paced = Paced(accepted=5)
    paced.pacer.may_start()
    paced.pacer.close()
    assert paced.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("rate", "words"), [(5.0, "5 a second"), (1 / 3, "20 a minute"), (1 / 180, "20 an hour"), (1 / 7200, "12 a day")]
)
def test_a_pace_is_told_in_the_unit_of_an_operator(rate: float, words: str) -> None:
    assert rate_words(rate) == words
