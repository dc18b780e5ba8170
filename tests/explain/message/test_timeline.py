"""The time line of a message: each attempt with its reply and meaning, each end, and the steps that are expected."""

from dataclasses import replace

from mta.explain.message.page import MessagePage, Step, StepKind
from mta.explain.message.view import page_of
from mta.queue.interface import AttemptRecord, Entry, QueueId, RecipientState, Status
from tests.explain.message.test_view import BUSY, CREATED, DONE, GONE, NOW, REPORT, entry, facts

FIRST = AttemptRecord(CREATED + 1, "mx.b.test", "451 4.3.0 busy", "4.3.0", "TLSv1.3", 0.5, 1.5)
SECOND = AttemptRecord(CREATED + 900, "mx.b.test", "550 5.1.1 no such user", "5.1.1")


def page(*states: RecipientState, held_since: float | None = None) -> MessagePage:
    return page_of(facts(*states, held_since=held_since))


def kinds(of: MessagePage) -> list[StepKind]:
    return [step.kind for step in of.timeline]


def test_a_waiting_message_was_accepted_and_tried_and_is_tried_again() -> None:
    told = page(replace(BUSY, attempts=1, attempts_made=(FIRST,)))
    assert kinds(told) == [StepKind.ACCEPTED, StepKind.ATTEMPT, StepKind.NEXT, StepKind.GIVES_UP]
    accepted, attempt, coming, end = told.timeline
    assert (accepted.time, accepted.text) == (CREATED, "accepted, submitted by the client 10.0.3.7")
    assert (attempt.time, attempt.host, attempt.reply) == (CREATED + 1, "mx.b.test", "451 4.3.0 busy")
    assert (attempt.tls, attempt.waited, attempt.transfer) == ("TLSv1.3", 0.5, 1.5)
    assert attempt.meaning is not None
    assert (coming.time, coming.expected, coming.recipients) == (NOW + 900, True, ("bob@b.test",))
    assert end.time == CREATED + 7200


def test_a_message_that_was_delivered_at_once_has_its_end_without_a_record() -> None:
    told = page(replace(DONE, signed_by="signed b.test/s1"))
    assert kinds(told) == [StepKind.ACCEPTED, StepKind.DELIVERED]
    end = told.timeline[-1]
    assert (end.time, end.host, end.reply) == (NOW, "mx.b.test", "250 2.0.0 Ok")
    assert (end.text, end.meaning) == ("delivered, signed b.test/s1", None)


def test_the_last_attempt_is_the_end_and_is_told_once() -> None:
    told = page(replace(GONE, attempts=2, attempts_made=(FIRST, SECOND)))
    assert kinds(told) == [StepKind.ACCEPTED, StepKind.ATTEMPT, StepKind.FAILED]
    assert told.timeline[-1].meaning is not None
    given_up = replace(GONE, attempts=2, attempts_made=(FIRST, SECOND), reply="not delivered in 2.0 hours, giving up")
    assert kinds(page(given_up)) == [StepKind.ACCEPTED, StepKind.ATTEMPT, StepKind.ATTEMPT, StepKind.FAILED]


def test_recipients_with_the_same_attempt_share_a_step() -> None:
    states = [replace(BUSY, address=f"r{number}@b.test", attempts_made=(FIRST,), attempts=1) for number in range(3)]
    (attempt,) = (step for step in page(*states).timeline if step.kind is StepKind.ATTEMPT)
    assert attempt.recipients == ("r0@b.test", "r1@b.test", "r2@b.test")


def test_attempts_without_a_record_are_counted_at_their_place() -> None:
    made = tuple(replace(FIRST, time=CREATED + number) for number in range(50))
    told = page(replace(BUSY, attempts=57, attempts_made=made))
    at = kinds(told).index(StepKind.NOT_RECORDED)
    assert (at, told.timeline[at].text, told.timeline[at].time) == (11, "7 more attempts", CREATED + 9)
    assert kinds(told).count(StepKind.ATTEMPT) == 50


def test_a_hold_and_a_report_are_steps_and_the_report_is_named() -> None:
    assert kinds(page(BUSY, held_since=CREATED + 600))[:2] == [StepKind.ACCEPTED, StepKind.HELD]
    report = Entry(REPORT, "", 2000, NOW, "", False, False, (replace(DONE, address="app@a.test"),))
    told = page_of(replace(facts(GONE), reports=(report,)))
    last: Step = told.timeline[-1]
    assert (last.kind, last.message) == (StepKind.REPORTED, REPORT)
    assert last.text == "report to the sender added to the queue; it is delivered"


def test_a_report_names_the_message_that_it_is_about() -> None:
    of = facts(DONE)
    about = QueueId("0gqw5z6cn4j0z")
    told = page_of(replace(of, entry=replace(entry(DONE), client="", report_of=about)))
    assert told.timeline[0].message == about


def test_the_meaning_of_a_bounded_number_of_replies_is_looked_for() -> None:
    made = tuple(replace(FIRST, reply=f"451 4.3.0 busy {number}") for number in range(50))
    states = [
        replace(BUSY, address=f"r{number}@b.test", attempts=50, attempts_made=tuple(
            replace(each, reply=f"{each.reply}-{number}") for each in made
        ))
        for number in range(3)
    ]  # fmt: skip
    with_meaning = [step for step in page(*states).timeline if step.meaning is not None]
    assert len(with_meaning) == 100


def test_a_recipient_that_was_removed_ends_so() -> None:
    removed = replace(DONE, status=Status.REMOVED, reply="", host="", attempts=0)
    assert kinds(page(removed)) == [StepKind.ACCEPTED, StepKind.REMOVED]
