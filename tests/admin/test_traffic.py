"""The traffic of the last day: differences by minute, over restarts, torn records, and a clock that is set."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.admin.state import TrafficMinute
from mta.admin.traffic import FILE_NAME, MINUTE, MINUTES, Traffic, until_next_reading
from mta.queue.interface import Ledger

NOON = 1_795_348_800.0
RECORD = 64


class Day:
    """A file of traffic and a clock; each reading comes shortly after a minute has ended."""

    def __init__(self, directory: Path) -> None:
        self.now = NOON
        self.file = directory / FILE_NAME
        self.traffic = Traffic(directory, lambda: self.now)
        self.ledger = Ledger()

    def note(self, accepted: int = 0, delivered: int = 0, failed: int = 0, removed: int = 0) -> None:
        """Count this mail in the minute that begins now, and note it after its end."""
        known = self.ledger
        self.ledger = Ledger(
            known.accepted + accepted, known.delivered + delivered, known.failed + failed, known.removed + removed, 7
        )
        self.now += MINUTE
        self.now += 0.5
        self.traffic.note(self.ledger)
        self.now -= 0.5

    def minutes(self) -> list[tuple[int, int]]:
        """Return the minutes since noon and the accepted recipients of each."""
        return [(round((each.time - NOON) / MINUTE), each.accepted) for each in self.traffic.since(0.0)]


@pytest.fixture
def day(tmp_path) -> Day:
    day = Day(tmp_path)
    day.traffic.note(day.ledger)
    return day


def test_minutes_are_the_differences_of_the_counts(day):
    day.note(accepted=3, delivered=1)
    day.note()
    day.note(delivered=1, failed=1, removed=0)
    assert day.traffic.since(0.0) == [
        TrafficMinute(NOON, 3, 1, 0, 0),
        TrafficMinute(NOON + 2 * MINUTE, 0, 1, 1, 0),
    ]
    assert day.traffic.since(NOON + MINUTE) == day.traffic.since(0.0)[1:]


def test_mail_from_before_the_first_reading_does_not_count(tmp_path):
    day = Day(tmp_path)
    day.ledger = Ledger(1000, 900, 50, 0, 50)
    day.traffic.note(day.ledger)
    assert day.minutes() == []
    day.note(accepted=1)
    assert day.minutes() == [(0, 1)]


def test_only_the_last_day_is_kept_in_a_file_of_fixed_size(day):
    day.note(accepted=1)
    size = day.file.stat().st_size
    for _ in range(MINUTES):
        day.note(accepted=2)
    minutes = day.minutes()
    assert len(minutes) == MINUTES - 1, "the minute that has begun is one of them"
    assert minutes[0] == (2, 2)
    assert day.file.stat().st_size == size == MINUTES * RECORD
    assert stat.S_IMODE(day.file.stat().st_mode) == 0o600


def test_a_minute_without_mail_writes_nothing(day):
    before = day.file.stat().st_mtime_ns
    day.note()
    assert day.file.stat().st_mtime_ns == before


def test_another_process_goes_on_and_counts_the_mail_since_the_last_reading(day, tmp_path):
    day.note(accepted=3)
    day.traffic = Traffic(tmp_path, lambda: day.now)
    day.note(accepted=2)
    assert day.minutes() == [(0, 3), (1, 2)]


def test_another_queue_does_not_count_backwards(day):
    day.note(accepted=3)
    day.ledger = Ledger(1, 0, 0, 0, 0)
    day.note()
    day.note(accepted=4)
    assert day.minutes() == [(0, 3), (2, 4)]


def test_a_torn_record_is_missing_and_the_others_stay(day):
    for number in range(1, 4):
        day.note(accepted=number)
    data = bytearray(day.file.read_bytes())
    place = int(NOON // MINUTE + 1) % MINUTES * RECORD
    data[place + 4 : place + 20] = b"\xff" * 16
    day.file.write_bytes(data)
    assert day.minutes() == [(0, 1), (2, 3)]
    day.note(accepted=9)
    assert day.minutes() == [(0, 1), (2, 3), (3, 9)]


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * RECORD * MINUTES, b"\0" * 10 * RECORD * MINUTES])
def test_a_file_of_another_content_is_replaced(day, content):
    day.file.write_bytes(content)
    assert day.minutes() == []
    day.note(accepted=1)
    day.note(accepted=2)
    assert day.minutes() == [(1, 2)]
    assert day.file.stat().st_size == RECORD * MINUTES


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("elsewhere")])
def test_an_entry_that_is_no_file_is_neither_read_nor_followed(tmp_path, make):
    day = Day(tmp_path)
    make(day.file)
    assert day.minutes() == []
    with pytest.raises(OSError, match=r"s a directory|symbolic|No such device"):
        day.note(accepted=1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_clock_that_was_ahead_leaves_no_future_minutes_and_no_gap(day):
    day.note(accepted=1)
    day.now += 365 * 86400
    day.note(accepted=2)
    day.now -= 365 * 86400 + MINUTE
    day.note(accepted=3)
    assert day.minutes() == [(0, 1), (1, 3)]


def test_a_clock_that_was_set_back_adds_to_the_minutes(day):
    day.note(accepted=1)
    day.now -= MINUTE
    day.note(accepted=2)
    assert day.minutes() == [(0, 3)]


def test_a_late_reading_counts_for_the_minute_before(day):
    day.ledger = Ledger(1, 0, 0, 0, 0)
    day.now = NOON + MINUTE + 29
    day.traffic.note(day.ledger)
    assert day.minutes() == [(0, 1)]


@given(now=st.floats(0, 1e11))
def test_the_next_reading_comes_shortly_after_the_end_of_the_minute(now):
    assert 0 < (now + until_next_reading(now)) % MINUTE < 1


@given(steps=st.lists(st.tuples(st.integers(-120, 1700), st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_no_mail_counts_twice_however_the_clock_is_set(steps, tmp_path_factory):
    day = Day(tmp_path_factory.mktemp("day"))
    day.traffic.note(day.ledger)
    for jump, accepted, restarts in steps:
        day.now += jump * MINUTE
        if restarts:
            day.traffic = Traffic(day.file.parent, lambda: day.now)
        day.note(accepted=accepted)
    assert sum(accepted for _, accepted in day.minutes()) <= day.ledger.accepted
    last = [accepted for minute, accepted in day.minutes() if minute == int((day.now - NOON) // MINUTE) - 1]
    assert not steps[-1][1] or (last and last[0] >= steps[-1][1])
