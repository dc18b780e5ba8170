"""Times and durations in an operator's words."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mta.queue.search.times import read_duration, read_time

BERLIN = ZoneInfo("Europe/Berlin")
#: 12:30 in Berlin on a Sunday.
NOW = datetime(2026, 11, 22, 11, 30, tzinfo=UTC).timestamp()


def text_of(word: str, now: float = NOW) -> str:
    return datetime.fromtimestamp(read_time(word, now, BERLIN), UTC).isoformat()[:19]


@pytest.mark.parametrize(
    ("word", "when"),
    [
        ("2h", "2026-11-22T09:30:00"),
        ("90S", "2026-11-22T11:28:30"),
        ("1w", "2026-11-15T11:30:00"),
        ("10:00", "2026-11-22T09:00:00"),
        ("12:30", "2026-11-22T11:30:00"),
        ("12:30:01", "2026-11-21T11:30:01"),
        ("18:00", "2026-11-21T17:00:00"),
        ("today", "2026-11-21T23:00:00"),
        ("Yesterday", "2026-11-20T23:00:00"),
        ("2026-11-20", "2026-11-19T23:00:00"),
        ("2026-11-20T08:00", "2026-11-20T07:00:00"),
        ("2026-11-20T08:00:00Z", "2026-11-20T08:00:00"),
        ("2026-11-20 08:00:00+05:00", "2026-11-20T03:00:00"),
        ("2026-07-01T08:00", "2026-07-01T06:00:00"),
    ],
)
def test_a_time_is_read_in_the_operators_zone(word, when):
    assert text_of(word) == when


def test_a_day_with_a_change_of_the_clock_begins_at_its_midnight():
    noon = datetime(2026, 10, 25, 11, 0, tzinfo=UTC).timestamp()
    assert text_of("today", noon) == "2026-10-24T22:00:00"
    assert text_of("02:00", noon) == "2026-10-25T00:00:00"


@pytest.mark.parametrize(
    "word", ["", "noon", "25:00", "10:60", "2 h", "1y", "2026-13-01", "9" * 5000, "-1h", "10:00Z?"]
)
def test_other_words_are_refused_with_the_forms_that_are_known(word):
    with pytest.raises(ValueError, match=r"is not a time: write 10:00, today, yesterday, 2h"):
        read_time(word, NOW, BERLIN)


def test_a_duration_before_1970_is_1970():
    assert read_time("999999999w", NOW, BERLIN) == 0.0


@pytest.mark.parametrize(("word", "seconds"), [("0s", 0), ("30m", 1800), ("2H", 7200), ("1d", 86400)])
def test_a_duration_is_read(word, seconds):
    assert read_duration(word) == seconds
    with pytest.raises(ValueError, match="is not a duration such as 30m"):
        read_duration(f"{word} ")
