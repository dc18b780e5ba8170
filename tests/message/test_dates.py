"""Dates of header fields and timestamps of the log."""

import email.utils
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.message.dates import mail_date, short_timestamp, timestamp, utc

#: The last second that a signed number of 32 bits can hold: 2038-01-19 03:14:07 UTC.
LAST_OF_32_BITS = 2**31 - 1


@pytest.fixture
def _narrow_c_library(monkeypatch):
    """Let the functions of the C library fail as those of a 32-bit system do."""

    def narrow(function):
        def called(seconds=None):
            if seconds is not None and seconds > LAST_OF_32_BITS:
                raise OverflowError("timestamp out of range for platform time_t")
            return function(seconds)

        return called

    monkeypatch.setattr(time, "gmtime", narrow(time.gmtime))
    monkeypatch.setattr(time, "localtime", narrow(time.localtime))


@given(st.integers(0, 4102444800))
@settings(max_examples=200)
def test_a_mail_date_reads_back_as_its_second(second: int) -> None:
    assert email.utils.parsedate_to_datetime(mail_date(second + 0.9)).timestamp() == second


@pytest.mark.usefixtures("_narrow_c_library")
def test_a_32_bit_system_writes_dates_after_2038() -> None:
    later = LAST_OF_32_BITS + 3600.25
    assert mail_date(later) == "Tue, 19 Jan 2038 04:14:07 +0000"
    assert timestamp(later) == "2038-01-19T04:14:07.250Z"
    assert short_timestamp(later) == "2038-01-19T04:14:07Z"


def test_a_timestamp_has_milliseconds() -> None:
    assert timestamp(0.0625) == "1970-01-01T00:00:00.062Z"


@pytest.mark.parametrize(("seconds", "year"), [(-1.0, 1970), (1e18, 9999), (float("inf"), 9999)])
def test_a_time_beyond_all_calendars_becomes_the_nearest_date(seconds: float, year: int) -> None:
    assert utc(seconds).year == year
