"""The log of rejected clients."""

from twisted.internet.task import Clock

from mta.event_log.log import EventLog
from mta.inbound.rejection_log import MAX_ADDRESSES, WINDOW, RejectionLog
from mta.smtp.replies import reply

AWAY = reply(421, "4.7.0", "Too many connections")
FULL = reply(421, "4.3.2", "Full")


class Told:
    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.event_log = EventLog(self.lines.append, lambda: 0.0)
        self.tally = RejectionLog(self.event_log, self.clock)


def test_the_first_rejection_of_an_address_is_logged_at_once_and_the_others_are_counted() -> None:
    told = Told()
    for _ in range(3):
        told.tally.turned_away("192.0.2.1", AWAY)
    told.tally.turned_away("192.0.2.1", FULL)
    assert len(told.lines) == 2
    told.clock.advance(WINDOW)
    (line,) = told.lines[2:]
    assert 'client=192.0.2.1 more=2 reply="421 4.7.0 Too many connections"' in line


def test_each_minute_begins_anew_and_a_quiet_one_has_no_timer() -> None:
    told = Told()
    told.tally.turned_away("192.0.2.1", AWAY)
    told.clock.advance(WINDOW)
    assert not told.clock.getDelayedCalls()
    told.tally.turned_away("192.0.2.1", AWAY)
    assert len(told.lines) == 2


def test_a_minute_has_no_more_lines_than_addresses_it_may_name_twice() -> None:
    told = Told()
    for _ in range(3):
        for number in range(1000):
            told.tally.turned_away(f"192.0.2.{number}", AWAY)
    told.clock.advance(WINDOW)
    assert len(told.lines) == 2 * MAX_ADDRESSES + 1
    assert f"{3 * (1000 - MAX_ADDRESSES)} more connections" in told.lines[-1]


def test_a_trouble_is_logged_once_a_minute() -> None:
    told = Told()
    for _ in range(100):
        told.tally.trouble("no room", told.event_log.trouble)
    assert len(told.lines) == 1
    told.clock.advance(WINDOW)
    told.tally.trouble("no room", told.event_log.trouble)
    assert len(told.lines) == 2


def test_counted_rejections_are_logged_at_the_close() -> None:
    told = Told()
    told.tally.turned_away("192.0.2.1", AWAY)
    told.tally.turned_away("192.0.2.1", AWAY)
    told.tally.close()
    assert "more=1" in told.lines[-1]
    assert not told.clock.getDelayedCalls()
