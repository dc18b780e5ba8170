"""The daily digest: when it is due, however the clock is set, its text, and the file with the last one."""

import email.policy
import stat
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.admin.digest import DAY, FILE_NAME, HOUR, MOST_DAYS, Period, digest, due, read_last, until_next, write_last
from mta.message.body import MemoryBody
from mta.message.dsn import is_copy
from mta.queue.failures import FailedRecipient, Failures
from mta.queue.interface import QueueId
from mta.smtp.address import parse_address

#: 2026-11-22T06:00:00Z.
SIX = 1_795_348_800.0 - 6 * HOUR
PERIOD = Period(SIX - DAY, SIX)


@pytest.mark.parametrize(
    ("now", "last", "period"),
    [
        (SIX, None, PERIOD),
        (SIX + DAY - 1, None, PERIOD),
        (SIX - 1, None, Period(SIX - 2 * DAY, SIX - DAY)),
        (SIX, SIX - DAY, PERIOD),
        (SIX, SIX, None),
        (SIX + DAY - 1, SIX, None),
        # The relay was stopped for two days, or for a month.
        (SIX, SIX - 3 * DAY, Period(SIX - 3 * DAY, SIX)),
        (SIX, SIX - 30 * DAY, Period(SIX - MOST_DAYS * DAY, SIX)),
        # The clock was set back by an hour, or by a day, or was a year ahead.
        (SIX - HOUR, SIX, None),
        (SIX, SIX + DAY, None),
        (SIX, SIX + 365 * DAY, PERIOD),
    ],
)
def test_a_digest_is_due_once_for_each_day(now, last, period):
    assert due(now, last) == period


@given(steps=st.lists(st.integers(0, 3 * DAY), max_size=30))
def test_periods_follow_each_other_without_a_gap_and_never_overlap(steps):
    now, last, periods = SIX, None, []
    for step in steps:
        now += step
        period = due(now, last)
        if period is not None:
            periods.append(period)
            last = period.until
    assert all(one.until == other.since for one, other in pairwise(periods))
    assert last is None or now - last < DAY


@given(now=st.floats(0, 1e11))
def test_the_wait_ends_when_the_next_period_does(now):
    assert 0 < until_next(now) <= DAY
    assert due(now + until_next(now) + 0.5, due(now, None).until) is not None


def test_the_last_period_is_noted_in_a_file_of_the_relay_alone(tmp_path):
    assert read_last(tmp_path) is None
    (tmp_path / "digest.json.new").write_text("left behind by a kill")
    write_last(tmp_path, PERIOD)
    assert read_last(tmp_path) == SIX
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_the_name_of_the_file_is_durable_too(tmp_path, synced):
    write_last(tmp_path, PERIOD)
    assert synced == [tmp_path / "digest.json.new", tmp_path]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"until": "x"}', b'{"until": null}', b"\xff" * 2000])
def test_a_damaged_file_counts_as_missing(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert read_last(tmp_path) is None


def failures(number: int, reply: str = "550 5.1.1 <x@y.test> no such user") -> Failures:
    counted = Failures()
    for place in range(number):
        id = QueueId(f"{place:013}")
        counted.add(reply, SIX - 3 * DAY)
        if counted.wants(SIX - HOUR + place):
            each = FailedRecipient(id, SIX - 3 * DAY, "", f"u{place}@y.test", "mx.test", reply, SIX - HOUR + place)
            counted.keep(each)
    return counted


def read(counted: Failures) -> email.message.EmailMessage:
    postmaster = parse_address("root@ops.test")
    envelope, message = digest(counted, PERIOD, name="relay.test", postmaster=postmaster, now=SIX + 1)
    assert envelope.sender is None
    assert [str(each.address) for each in envelope.recipients] == ["root@ops.test"]
    assert is_copy(MemoryBody(message)), "if it fails, no copy is made"
    assert max(map(len, message.split(b"\r\n"))) < 998
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert parsed["Message-ID"] == "<digest-2026-11-22@relay.test>" == f"<{PERIOD.message_id('relay.test')}>"
    return parsed


def test_the_digest_of_a_few_failures():
    mail = read(failures(2))
    assert mail["Subject"] == "2 recipients failed until 2026-11-22"
    assert mail.get_content().replace("\r\n", "\n") == (
        """\
This digest was written by the mail relay relay.test.

2 recipients failed from 2026-11-21T06:00:00Z to 2026-11-22T06:00:00Z.

By reason:

       2  550 5.1.1 ... no such user

The recipients:

  0000000000000  2026-11-22T05:00:00Z
    from <> to <u0@y.test>
    mx.test said: 550 5.1.1 <x@y.test> no such user

  0000000000001  2026-11-22T05:00:01Z
    from <> to <u1@y.test>
    mx.test said: 550 5.1.1 <x@y.test> no such user

All of them, and one of them with its attempts:

  smtprelay queue find --status failed --since 2026-11-19T06:00:00Z
  smtprelay explain 0000000000000
"""
    )


def test_the_digest_of_many_failures_has_twenty_examples_and_asks_for_all():
    text = read(failures(500)).get_content()
    assert text.count("mx.test said") == 20
    assert "--since 2026-11-19T06:00:00Z --limit 500\n" in text.replace("\r\n", "\n")


def test_a_reply_cannot_forge_lines_or_hide_text():
    mail = read(failures(1, "550 no\r\n\r\nAll is well\x1b[8m ü " + "x" * 5000))
    lines = mail.get_content().splitlines()
    assert not any(line.startswith("All is well") for line in lines)
    assert "\x1b" not in mail.get_content()
