"""Failures by reason: replies that differ in addresses and ids are of one reason, and memory is bounded."""

import pytest

from mta.queue.failures import EXAMPLES, MAX_REASONS, OTHER, FailedRecipient, Failures, reason_of
from mta.queue.interface import QueueId

NOON = 1_795_348_800.0


def failed(number: int, reply: str = "550 5.1.1 no such user", finished: float = NOON) -> FailedRecipient:
    return FailedRecipient(QueueId(f"{number:013}"), finished - 60, "a@b.test", "x@y.test", "mx", reply, finished)


def add(failures: Failures, one: FailedRecipient) -> None:
    failures.add(one.reply, one.created)
    if failures.wants(one.finished):
        failures.keep(one)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("550 5.1.1 <bob@b.test>: no such user", "550 5.1.1 ... no such user"),
        ("550 5.1.1 <eve@c.test>: no such user", "550 5.1.1 ... no such user"),
        ("554 5.7.1 see https://list.test/?ip=192.0.2.1 please", "554 5.7.1 see ... please"),
        ("550-5.7.26 rejected by b4-20020a05 - gsmtp", "550-5.7.26 rejected by ... - gsmtp"),
        ("550 no", "550 no"),
        ("", ""),
        ("not delivered in 96.0 hours, giving up; the last try said: timeout", None),
    ],
)
def test_the_reason_is_the_reply_without_the_words_of_one_message(reply, reason):
    assert reason is None or reason_of(reply) == reason
    assert reason is not None or reason_of(reply).startswith("not delivered in ... hours, giving up;")


def test_a_reason_is_short_however_long_the_reply():
    assert len(reason_of("550 5.1.1 " + "very " * 10_000)) < 120


def test_failures_are_counted_by_reason():
    failures = Failures()
    for number in range(3):
        add(failures, failed(number, f"550 5.1.1 <u{number}@y.test> unknown"))
    add(failures, failed(9, "552 5.2.2 full"))
    assert failures.total == 4
    assert failures.reasons == {"550 5.1.1 ... unknown": 3, "552 5.2.2 full": 1}
    assert failures.oldest == NOON - 60


def test_the_first_failures_are_the_examples_whatever_queue_they_come_from():
    failures = Failures()
    for number in range(EXAMPLES):
        add(failures, failed(number, finished=NOON + 2 * number))
    for number in range(EXAMPLES):
        add(failures, failed(100 + number, finished=NOON + 2 * number + 1))
    assert [each.finished for each in failures.examples] == [NOON + number for number in range(EXAMPLES)]


def test_reasons_beyond_the_bound_are_counted_together():
    failures = Failures()
    words = [f"{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}{'x' * (number // 676)}" for number in range(2000)]
    for number, word in enumerate(words):
        add(failures, failed(number, f"550 {word}"))
    assert len(failures.reasons) == MAX_REASONS + 1
    assert failures.reasons[OTHER] == 2000 - MAX_REASONS
    assert failures.total == 2000
