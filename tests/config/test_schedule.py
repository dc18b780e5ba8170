"""RETRY_SCHEDULE: reading and writing of retry schedules and times."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.schedule import read_schedule, read_time, write_schedule, write_time
from mta.retry_schedule import RetrySchedule, RetryStep, Shape

DEFAULT = RetrySchedule(
    (
        RetryStep(Shape.FIXED, 7200, 900),
        RetryStep(Shape.GROWING, 57600, 3600, 1.5),
        RetryStep(Shape.FIXED, 345600, 21600),
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "F,2h,15m; G,16h,1h,1.5; F,4d,6h",
        "f,2h,15m;g,16h,1h,1.5;f,4d,6h;",
        "F, 2h, 15m;\n G, 16h , 1h, 1.50; F 4d 6h",
        "F,120m,900s; G,57600s,60m,1.5; F,3d24h,6h",
    ],
)
def test_a_schedule_is_read_in_exims_grammar(text: str) -> None:
    assert read_schedule(text) == DEFAULT


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("15m", 900), ("2h", 7200), ("1d12h", 129600), ("1w", 604800), ("1w2d", 777600)]
)
def test_times_add_up_their_units(text: str, seconds: float) -> None:
    assert read_time(text) == seconds
    assert write_time(seconds) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("F,2h", "'F,2h' is neither F,until,interval nor G,until,interval,factor"),
        ("F,2h,15m,2", "is neither"),
        ("G,16h,1h", "is neither"),
        ("G,16h,1h,x", "is neither"),
        ("H,16h,1h,1.5", "is neither"),
        ("F,2h,15", "'15' is not a time such as 15m or 1d12h"),
        ("F,2y,15m", "'2y' is not a time"),
        ("F,2h,0s", "must wait longer than 0 seconds"),
        ("F,0s,5m", "must last longer than 0 seconds"),
        ("G,16h,1h,0.5", "must be 1 or more"),
        ("F,4h,15m; F,2h,5m", "must end later than the one before it"),
        (" ; ", "at least one step"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read_schedule(text)
    assert words in str(refused.value)


@given(st.integers(1, 10**9))
@settings(max_examples=50)
def test_a_time_is_read_as_it_was_written(seconds: int) -> None:
    assert read_time(write_time(seconds)) == seconds


def test_a_schedule_is_read_as_it_was_written() -> None:
    assert write_schedule(DEFAULT) == "F,2h,15m; G,16h,1h,1.5; F,4d,6h"
    assert read_schedule(write_schedule(DEFAULT)) == DEFAULT
