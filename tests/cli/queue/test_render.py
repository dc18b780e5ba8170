"""Messages and summaries as lines and as JSON objects."""

from dataclasses import replace

import pytest

from mta.admin.wire.fields import time_text
from mta.admin.wire.messages import entry_object
from mta.cli.queue.render import closing_lines, list_lines, show_lines, summary_lines
from mta.queue.interface import Entry, Ledger, QueueId, RecipientState, Status, Summary

NOON = 1_795_348_800.0
WAITING = RecipientState(
    "bob@b.test", Status.WAITING, 3, NOON + 900, "450 4.2.0 later", "mx.b.test[192.0.2.1]:25", None
)
FRESH = RecipientState("eve@b.test", Status.WAITING, 0, NOON, "", "", None)
DONE = RecipientState("zoe@c.test", Status.DELIVERED, 1, None, "250 2.0.0 Ok", "mx.c.test[192.0.2.2]:25", NOON + 1)
LOST = RecipientState("alice@a.test", Status.FAILED, 1, None, "550 no", "mx.a.test[192.0.2.3]:25", NOON + 1)
ENTRY = Entry(QueueId("0gqw5z6cn4j0y"), "alice@a.test", 4321, NOON, "127.0.0.1", False, False, (WAITING, FRESH, DONE))
HELD = replace(ENTRY, held=True, held_since=NOON + 60)
REPORT = Entry(QueueId("0gqw5z6cn4j10"), "", 99, NOON, "", False, True, (FRESH,), None, NOON + 2)
UNREPORTED = Entry(QueueId("0gqw5z6cn4j11"), "", 99, NOON, "", False, False, (LOST,))


def test_times_are_iso_8601_in_utc() -> None:
    assert time_text(NOON) == "2026-11-22T12:00:00Z"
    assert time_text(NOON + 0.9) == "2026-11-22T12:00:00Z"
    assert time_text(None) is None


def test_an_object_has_everything_a_program_may_ask_for() -> None:
    assert entry_object(ENTRY) == {
        "id": "0gqw5z6cn4j0y",
        "sender": "alice@a.test",
        "size": 4321,
        "created": "2026-11-22T12:00:00Z",
        "release": None,
        "client": "127.0.0.1",
        "login": None,
        "tls": None,
        "tls_demand": None,
        "message_id": None,
        "subject": None,
        "from": None,
        "report_of": None,
        "reports": [],
        "held": False,
        "held_since": None,
        "in_delivery": False,
        "in_delivery_since": None,
        "unreported": False,
        "recipients": [
            {
                "address": "bob@b.test",
                "status": "waiting",
                "attempts": 3,
                "next_attempt": "2026-11-22T12:15:00Z",
                "last_reply": "450 4.2.0 later",
                "host": "mx.b.test[192.0.2.1]:25",
                "dkim": None,
                "finished": None,
                "attempts_made": [],
                "reroute": None,
            },
            {
                "address": "eve@b.test",
                "status": "waiting",
                "attempts": 0,
                "next_attempt": "2026-11-22T12:00:00Z",
                "last_reply": "",
                "host": "",
                "dkim": None,
                "finished": None,
                "attempts_made": [],
                "reroute": None,
            },
            {
                "address": "zoe@c.test",
                "status": "delivered",
                "attempts": 1,
                "next_attempt": None,
                "last_reply": "250 2.0.0 Ok",
                "host": "mx.c.test[192.0.2.2]:25",
                "dkim": None,
                "finished": "2026-11-22T12:00:01Z",
                "attempts_made": [],
                "reroute": None,
            },
        ],
    }


def test_the_object_of_a_held_or_claimed_message_has_the_time_and_no_next_attempt() -> None:
    held, claimed = entry_object(HELD), entry_object(REPORT)
    assert (held["held"], held["held_since"]) == (True, "2026-11-22T12:01:00Z")
    assert (claimed["in_delivery"], claimed["in_delivery_since"]) == (True, "2026-11-22T12:00:02Z")
    for each in (held, claimed):
        assert isinstance(each["recipients"], list)
        assert {recipient["next_attempt"] for recipient in each["recipients"]} == {None}


BOB = "    <bob@b.test> waiting, 3 attempts, next 2026-11-22T12:15:00Z; mx.b.test[192.0.2.1]:25: 450 4.2.0 later"
EVE = "    <eve@b.test> waiting, next 2026-11-22T12:00:00Z"
ZOE = "    <zoe@c.test> delivered, 1 attempt, on 2026-11-22T12:00:01Z; mx.c.test[192.0.2.2]:25: 250 2.0.0 Ok"


def test_a_list_has_a_line_for_a_message_and_one_for_each_recipient_that_waits() -> None:
    head = "0gqw5z6cn4j0y  2026-11-22T12:00:00Z    4321  <alice@a.test>"
    assert list(list_lines(ENTRY, finished=False)) == [head, BOB, EVE]
    assert list(list_lines(ENTRY, finished=True)) == [head, BOB, EVE, ZOE]


def test_a_held_or_claimed_message_shows_since_when_instead_of_the_next_attempt() -> None:
    head, bob, eve = list_lines(HELD, finished=False)
    assert head.endswith("<alice@a.test> held since 2026-11-22T12:01:00Z")
    assert bob == "    <bob@b.test> waiting, 3 attempts; mx.b.test[192.0.2.1]:25: 450 4.2.0 later"
    assert eve == "    <eve@b.test> waiting"
    assert list(list_lines(REPORT, finished=False)) == [
        "0gqw5z6cn4j10  2026-11-22T12:00:00Z      99  <> in delivery since 2026-11-22T12:00:02Z",
        "    <eve@b.test> waiting",
    ]
    both = replace(HELD, claimed=True, claimed_since=NOON + 2)
    assert next(list_lines(both, finished=False)).endswith(
        "held since 2026-11-22T12:01:00Z, in delivery since 2026-11-22T12:00:02Z"
    )
    assert next(list_lines(replace(HELD, held_since=None), finished=False)).endswith("<alice@a.test> held")


def test_a_failed_report_is_shown_as_such() -> None:
    assert next(list_lines(UNREPORTED, finished=True)).endswith("<> its failure was not reported")
    assert "report: its failure was not reported" in list(show_lines(UNREPORTED))
    assert entry_object(UNREPORTED)["unreported"] is True


def test_a_message_that_waits_for_no_attempt_shows_for_what() -> None:
    rate = "the rate of 30-pace.toml:1"
    assert "state: waits for the rate of 30-pace.toml:1" in list(show_lines(ENTRY, rate))
    assert not any(line.startswith("state:") for line in show_lines(ENTRY))
    assert entry_object(ENTRY, rate)["waits_for"] == rate
    assert entry_object(ENTRY, "")["waits_for"] is None
    assert "waits_for" not in entry_object(ENTRY)


EMPTY = Summary(0, 0, 0, None)


@pytest.mark.parametrize(
    ("summary", "days", "line"),
    [
        (EMPTY, 7.0, "Nothing is waiting. 0 messages finished in the last 7 days."),
        (EMPTY, 0.0, "Nothing is waiting. Finished messages are not kept (HISTORY_DAYS=0)."),
        (
            replace(EMPTY, finished=2, failed=1),
            7.0,
            "Nothing is waiting. 2 messages finished in the last 7 days (1 failed): smtprelay queue list --all",
        ),
        (
            replace(EMPTY, finished=1),
            1.0,
            "Nothing is waiting. 1 message finished in the last 1 day (0 failed): smtprelay queue list --all",
        ),
    ],
)
def test_an_empty_list_says_how_much_finished_and_where_to_see_it(summary: Summary, days: float, line: str) -> None:
    assert list(closing_lines(summary, days, listed=False, all=False)) == [line]
    assert list(closing_lines(replace(summary, messages=1), days, listed=True, all=False)) == []
    assert list(closing_lines(summary, days, listed=True, all=True)) == []


def test_reports_that_failed_are_counted_below_the_list() -> None:
    summary = replace(EMPTY, messages=1, unreported=1)
    told = "1 report could not be delivered, so the sender of a failed message was not told"
    assert list(closing_lines(summary, 7.0, listed=True, all=False)) == [f"{told}: smtprelay queue list --all"]
    assert list(closing_lines(summary, 7.0, listed=True, all=True)) == [told]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (10239, "10239"), (10240, "10K"), (52428800, "50M"), (52428801, "50M"), (2**34, "16G")]
)
def test_a_size_fits_its_column(size: int, text: str) -> None:
    entry = Entry(QueueId("x"), "", size, NOON, "", False, False, ())
    assert next(list_lines(entry, finished=False)).split()[2] == text


def test_all_facts_about_one_message_are_shown() -> None:
    assert list(show_lines(ENTRY)) == [
        "id: 0gqw5z6cn4j0y",
        "sender: <alice@a.test>",
        "client: 127.0.0.1",
        "size: 4321",
        "created: 2026-11-22T12:00:00Z",
        "held: no",
        "in delivery: no",
        *(f"recipient: {line.strip()}" for line in (BOB, EVE, ZOE)),
    ]
    assert "client: this relay" in list(show_lines(REPORT))
    assert "in delivery: yes, since 2026-11-22T12:00:02Z" in list(show_lines(REPORT))
    assert "held: yes, since 2026-11-22T12:01:00Z" in list(show_lines(HELD))


def test_a_summary_counts() -> None:
    counts = Summary(3, 1, 2, NOON, {Status.WAITING: 4, Status.FAILED: 1}, Ledger(9, 2, 2, 1, 4))
    assert list(summary_lines(counts)) == [
        "messages: 3 (1 held, 2 in delivery)",
        "oldest: 2026-11-22T12:00:00Z",
        "recipients waiting: 4",
        "recipients delivered: 0",
        "recipients failed: 1",
        "recipients removed: 0",
        "ledger: 9 accepted = 2 delivered + 2 failed + 1 removed + 4 waiting",
    ]
    assert "oldest: none" in list(summary_lines(Summary(0, 0, 0, None)))


@pytest.mark.parametrize(("accepted", "missing"), [(9, "+2"), (6, "-1")])
def test_a_ledger_that_does_not_add_up_says_by_how_much(accepted: int, missing: str) -> None:
    (line,) = (
        line
        for line in summary_lines(Summary(0, 0, 0, None, {}, Ledger(accepted, 1, 2, 3, 1)))
        if line.startswith("ledger")
    )
    assert line.endswith(f", but {missing} are not accounted for")


def test_the_signing_domain_is_shown_with_the_recipient() -> None:
    signed = replace(ENTRY, recipients=(replace(DONE, signed_by="a.test/s1"),))
    assert list(show_lines(signed))[-1] == (
        "recipient: <zoe@c.test> delivered, 1 attempt, on 2026-11-22T12:00:01Z, dkim=a.test/s1;"
        " mx.c.test[192.0.2.2]:25: 250 2.0.0 Ok"
    )
