"""The lines of `smtprelay test-mail` about one message, and the status of its end."""

from dataclasses import replace

import pytest

from mta.cli.doctor.following import end_of, next_attempt, progress
from mta.queue.interface import AttemptRecord, Entry, QueueId, RecipientState, Status

WAITING = RecipientState("bob@b.test", Status.WAITING, 0, 5.0, "", "", None)
ENTRY = Entry(QueueId("0id"), "a@a.test", 100, 1.0, "127.0.0.1", held=False, claimed=False, recipients=(WAITING,))
LATER = AttemptRecord(2.0, "mx.b.test", "451 greylisted", "4.7.1")
REFUSED = AttemptRecord(3.0, "mx.b.test", "550 no", "5.1.1")


def of(**changes):
    return replace(ENTRY, recipients=(replace(WAITING, **changes),))


def test_a_message_that_waits_has_no_line_and_no_end():
    assert list(progress(ENTRY)) == []
    assert end_of(ENTRY) is None
    assert next_attempt(ENTRY) == "1970-01-01T00:00:05Z"


def test_an_attempt_that_failed_for_now_has_a_line():
    entry = of(attempts=1, attempts_made=(LATER,))
    assert list(progress(entry)) == ["0id <bob@b.test> deferred by mx.b.test: 451 greylisted"]
    assert end_of(entry) is None


@pytest.mark.parametrize(
    ("status", "attempts", "end", "words"),
    [
        (Status.DELIVERED, (LATER,), 0, "delivered by mx.b.test: reply"),
        (Status.DELIVERED, (LATER, AttemptRecord(3.0, "mx.b.test", "250 ok", "2.0.0")), 0, "delivered by"),
        (Status.FAILED, (LATER, REFUSED), 1, "failed by mx.b.test: reply"),
        (Status.REMOVED, (LATER,), 1, "removed by mx.b.test: reply"),
    ],
)
def test_an_end_has_a_line_after_those_of_the_attempts_before(status, attempts, end, words):
    entry = of(status=status, due=None, reply="reply", host="mx.b.test", finished=3.0, attempts_made=attempts)
    first, last = progress(entry)
    assert "451 greylisted" in first
    assert words in last
    assert end_of(entry) == end


def test_one_failed_recipient_of_two_is_a_failure():
    done = replace(WAITING, status=Status.DELIVERED, finished=3.0)
    failed = replace(WAITING, status=Status.FAILED, finished=3.0)
    assert end_of(replace(ENTRY, recipients=(done, failed))) == 1
    assert end_of(replace(ENTRY, recipients=(done, WAITING))) is None


def test_a_message_that_is_held_says_how_to_let_it_go():
    (line,) = progress(replace(ENTRY, held=True, held_since=1.0))
    assert "queue release 0id" in line
    assert next_attempt(replace(ENTRY, held=True)) == ""
