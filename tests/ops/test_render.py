import pytest

from mta.ops.render import entry_object, list_lines, show_lines, summary_lines, time_text
from mta.queue.interface import Entry, Ledger, QueueId, RecipientState, Status, Summary

NOON = 1_795_348_800.0
WAITING = RecipientState(
    "bob@b.test", Status.WAITING, 3, NOON + 900, "450 4.2.0 later", "mx.b.test[192.0.2.1]:25", None
)
FRESH = RecipientState("eve@b.test", Status.WAITING, 0, NOON, "", "", None)
DONE = RecipientState("zoe@c.test", Status.DELIVERED, 1, None, "250 2.0.0 Ok", "mx.c.test[192.0.2.2]:25", NOON + 1)
ENTRY = Entry(QueueId("0gqw5z6cn4j0y"), "alice@a.test", 4321, NOON, "127.0.0.1", True, False, (WAITING, FRESH, DONE))
REPORT = Entry(QueueId("0gqw5z6cn4j10"), "", 99, NOON, "", False, True, (FRESH,))


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
        "client": "127.0.0.1",
        "held": True,
        "in_delivery": False,
        "recipients": [
            {
                "address": "bob@b.test",
                "status": "waiting",
                "attempts": 3,
                "next_attempt": "2026-11-22T12:15:00Z",
                "last_reply": "450 4.2.0 later",
                "host": "mx.b.test[192.0.2.1]:25",
                "finished": None,
            },
            {
                "address": "eve@b.test",
                "status": "waiting",
                "attempts": 0,
                "next_attempt": "2026-11-22T12:00:00Z",
                "last_reply": "",
                "host": "",
                "finished": None,
            },
            {
                "address": "zoe@c.test",
                "status": "delivered",
                "attempts": 1,
                "next_attempt": None,
                "last_reply": "250 2.0.0 Ok",
                "host": "mx.c.test[192.0.2.2]:25",
                "finished": "2026-11-22T12:00:01Z",
            },
        ],
    }


BOB = "    <bob@b.test> waiting, 3 attempts, next 2026-11-22T12:15:00Z; mx.b.test[192.0.2.1]:25: 450 4.2.0 later"
EVE = "    <eve@b.test> waiting, next 2026-11-22T12:00:00Z"
ZOE = "    <zoe@c.test> delivered, 1 attempt, on 2026-11-22T12:00:01Z; mx.c.test[192.0.2.2]:25: 250 2.0.0 Ok"


def test_a_list_has_a_line_for_a_message_and_one_for_each_recipient_that_waits() -> None:
    head = "0gqw5z6cn4j0y  2026-11-22T12:00:00Z    4321  <alice@a.test> held"
    assert list(list_lines(ENTRY, finished=False)) == [head, BOB, EVE]
    assert list(list_lines(ENTRY, finished=True)) == [head, BOB, EVE, ZOE]


def test_a_report_in_delivery_is_told_as_such() -> None:
    assert next(list_lines(REPORT, finished=False)) == ("0gqw5z6cn4j10  2026-11-22T12:00:00Z      99  <> in delivery")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (10239, "10239"), (10240, "10K"), (52428800, "50M"), (52428801, "50M"), (2**34, "16G")]
)
def test_a_size_fits_its_column(size: int, text: str) -> None:
    entry = Entry(QueueId("x"), "", size, NOON, "", False, False, ())
    assert next(list_lines(entry, finished=False)).split()[2] == text


def test_one_message_is_shown_whole() -> None:
    assert list(show_lines(ENTRY)) == [
        "id: 0gqw5z6cn4j0y",
        "sender: <alice@a.test>",
        "client: 127.0.0.1",
        "size: 4321",
        "created: 2026-11-22T12:00:00Z",
        "held: yes",
        "in delivery: no",
        *(f"recipient: {line.strip()}" for line in (BOB, EVE, ZOE)),
    ]
    assert "client: this relay" in list(show_lines(REPORT))


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
