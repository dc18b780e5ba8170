"""The judgement of a soak on the log and on samples of memory."""

import os

import pytest

from harness.waiting import until
from tests.survival.soak_books import Books
from tests.survival.soak_plan import Plan
from tests.survival.soak_watch import Log, judge

MIB = 1 << 20


def life(*resident, descriptors=50):
    return [
        {"at": 60.0 * minute, "resident": octets, "descriptors": descriptors, "wal": 16 * MIB, "file": minute * MIB}
        for minute, octets in enumerate(resident)
    ]


def test_memory_that_settles_is_flat_and_memory_that_grows_is_not():
    settled = [40 * MIB, 60 * MIB, 70 * MIB, 75 * MIB, *[76 * MIB] * 8]
    assert judge([life(*settled)], warm=180, least=60)[1] == []
    (fault,) = judge([life(*(minute * 6 * MIB + 60 * MIB for minute in range(12)))], warm=180, least=60)[1]
    assert fault.startswith("not flat: resident")


def test_the_longest_life_is_judged_and_no_life_if_all_are_short():
    short, long = life(*[MIB] * 3), life(*[70 * MIB] * 12)
    findings, faults = judge([short, long, short], warm=180, least=60)
    assert (len(findings), faults) == (4, [])
    assert judge([short], warm=180, least=60) == (["memory: no life of the daemon was long enough for a trend"], [])


@pytest.fixture
def log(tmp_path):
    log = Log(Books(tmp_path, 1000))
    yield log
    log.close()


def say(log, *lines):
    before = log.lines
    os.write(log.pipe, "".join(f"{line}\n" for line in lines).encode())
    until(lambda: log.lines >= before + len(lines), what="the lines")


def event(name, **fields):
    more = "".join(f', "{key}": "{value}"' for key, value in fields.items())
    return f'{{"time": "2026-11-22T12:00:00.123Z", "event": "{name}"{more}}}'


def test_the_log_names_failed_recipients_and_possible_duplicates(log):
    say(
        log,
        event("failed", to="<r7@d0.test>", reply="550 no"),
        event(
            "deferred", to="<r8@d0.test>", reply="connection lost after end of data; the message may have been taken"
        ),
        event("deferred", to="<r9@d0.test>", reply="451 later"),
        event("possible-duplicate", to="<r10@d0.test>"),
    )
    books = log._books
    assert books.failed[7] == 1
    assert [books.excused[number] for number in (7, 8, 9, 10)] == [0, 1, 0, 1]
    assert log.unexpected == []


def test_findings_of_a_start_are_told_apart_from_later_events(log):
    told = event("possible-duplicate", to="<r10@d0.test>")
    say(log, event("recovered"), told, told, event("setting"), told)
    assert log.found == 2


def test_lines_that_kills_have_cut_hide_no_line_that_follows_on_them(log):
    told = event("possible-duplicate", to="<r10@d0.test>")
    before = log.lines
    os.write(log.pipe, f"{event('accepted')}\n{told[:-5]}{told[:30]}{event('trouble', text='no')}\n".encode())
    until(lambda: log.lines >= before + 4, what="the lines")
    assert log.counts == {"accepted": 1, "possible-duplicate": 1, "cut": 1, "trouble": 1, "unexpected": 1}
    assert log._books.excused[10] == 1


def test_a_traceback_and_an_unexpected_event_are_kept(log):
    say(log, "Traceback (most recent call last):", event("trouble", text="the disk is full"))
    assert log.counts["unexpected"] == 2
    assert log.unexpected[0].startswith("Traceback")


def test_one_message_in_a_hundred_meets_a_fault_and_each_kind_comes_up():
    plan = Plan(5)
    fates = [plan.fate(number) for number in range(60_000)]
    faulty = [fate for fate in fates if fate.client or fate.remote]
    assert 500 < len(faulty) < 700
    assert len({(fate.client, fate.remote) for fate in faulty}) == 35
    assert fates == [Plan(5).fate(number) for number in range(60_000)]
