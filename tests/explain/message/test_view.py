"""The page about one message, made of facts: submission, hold, next attempt, reports and choices."""

from dataclasses import replace

import pytest

from mta.cli.explain.message.render import as_lines
from mta.explain.message.facts import MessageFacts, Neighbours, PresentDecisions
from mta.explain.message.page import NextAttempt
from mta.explain.message.view import page_of
from mta.explain.values import MailVerdict, Moment, RetryVerdict
from mta.queue.interface import AttemptRecord, Entry, QueueId, RecipientState, Status
from mta.smtp.replies import reply

ID, REPORT = QueueId("0gqw5z6cn4j0y"), QueueId("0gqw5z6cn4j10")
CREATED = 1_800_000_000.0
NOW = CREATED + 3600
BUSY = RecipientState("bob@b.test", Status.WAITING, 2, NOW + 900, "451 4.3.0 busy", "mx.b.test[192.0.2.1]:25", None)
NEW = RecipientState("bob@b.test", Status.WAITING, 0, NOW + 900, "", "", None)
GONE = RecipientState("bob@b.test", Status.FAILED, 1, None, "550 5.1.1 no such user", "mx.b.test", NOW)
DONE = RecipientState("bob@b.test", Status.DELIVERED, 1, None, "250 2.0.0 Ok", "mx.b.test", NOW)
TERMS = RetryVerdict("bob@b.test", "", "F,2h,15m", "1d")


def entry(*states: RecipientState, held_since: float | None = None, sender: str = "app@a.test") -> Entry:
    held = held_since is not None
    return Entry(ID, sender, 900, CREATED, "10.0.3.7", held, False, states, held_since)


def facts(*states: RecipientState, held_since: float | None = None, sender: str = "app@a.test") -> MessageFacts:
    stages = PresentDecisions((), (), (), (TERMS,))
    return MessageFacts(entry(*states, held_since=held_since, sender=sender), NOW, stages, running=True)


def coming(of: MessageFacts) -> NextAttempt:
    found = page_of(of).recipients[0].next
    assert found is not None
    return found


def commands(of: MessageFacts) -> list[str]:
    return [each.command.removeprefix("smtprelay ") for each in page_of(of).choices]


def test_the_next_attempt_of_a_deferred_message_is_that_of_the_schedule() -> None:
    told = coming(facts(BUSY))
    assert told.time == NOW + 900
    assert told.words.startswith("by RETRY_SCHEDULE, after 2 attempts")
    (part,) = page_of(facts(BUSY)).recipients
    assert part.gives_up == CREATED + 7200


def test_a_retry_rule_is_named_in_place_of_the_setting() -> None:
    by_rule = replace(TERMS, rule='40-retry.toml:1 "slow"', has_schedule=True)
    of = replace(facts(BUSY), stages=PresentDecisions((), (), (), (by_rule,)))
    assert coming(of).words.startswith('by 40-retry.toml:1 "slow", after')


def test_terms_that_depend_on_the_error_leave_the_end_open() -> None:
    other = replace(TERMS, errors="dns", schedule="F,1d,1h")
    (part,) = page_of(replace(facts(BUSY), stages=PresentDecisions((), (), (), (other, TERMS)))).recipients
    assert (part.gives_up, len(part.retry)) == (None, 2)


def test_a_held_message_has_no_next_attempt_and_can_be_released() -> None:
    of = facts(BUSY, held_since=CREATED + 600)
    assert coming(of) == NextAttempt(None, "none while the message is held")
    assert page_of(of).held.endswith(", by an operator (the log event amended names the user)")
    assert commands(of) == [
        f"queue release {ID}",
        f"queue bounce {ID}",
        f"queue remove {ID}",
        f"queue show {ID} --header",
    ]


def test_a_message_held_at_its_arrival_names_the_rule() -> None:
    rule = '10-acl.toml:3 "newsletters"'
    verdict = MailVerdict(Moment.RCPT, "bob@b.test", None, "", rule, held=True)
    of = replace(facts(NEW, held_since=CREATED), stages=PresentDecisions((verdict,), (), (), ()))
    assert page_of(of).held == f"since 2027-01-15T08:00:00Z, by {rule}"
    of = replace(of, stages=PresentDecisions((), (), (), ()))
    assert page_of(of).held.endswith("by a rule that the present rules do not have any more")


def test_a_message_in_delivery_says_since_when() -> None:
    of = facts(BUSY)
    of = replace(of, entry=replace(of.entry, claimed=True, claimed_since=NOW - 5))
    assert coming(of).words == "an attempt is running since 2027-01-15T08:59:55Z"


def test_the_words_of_the_running_relay_come_before_the_schedule() -> None:
    assert coming(replace(facts(BUSY), waits_for="the rate of 30-pace.toml:1")).words == (
        "waits for the rate of 30-pace.toml:1"
    )
    paced = replace(BUSY, reply="waits for the pace of b.test, which said: 421 4.7.0 slow down")
    assert coming(facts(paced)).words.startswith("the destination takes only so much mail")


def test_a_message_that_was_not_tried_is_explained_by_the_others_for_its_domain() -> None:
    of = replace(
        facts(NEW),
        neighbours=(Neighbours("b.test", 4999, "connection timed out", "mx.b.test[192.0.2.1]:25", NOW + 60),),
    )
    assert coming(of).words == (
        "not tried yet: 4999 other messages wait for b.test, where the last attempt got: mx.b.test[192.0.2.1]:25:"
        " connection timed out; one of them probes it at 2027-01-15T09:01:00Z"
    )
    assert "queue find --domain b.test --status waiting" in commands(of)
    assert coming(facts(NEW)).words == "not tried yet: its destination is down or takes only so much mail"
    assert coming(facts(replace(NEW, due=CREATED))).words == "due now"


def test_without_a_relay_nothing_is_tried_and_the_page_says_so() -> None:
    of = replace(facts(replace(NEW, due=CREATED)), running=False)
    assert coming(of).words == "as soon as a relay runs"
    assert page_of(of).notes[0].startswith("no relay is running")


def test_present_settings_that_would_refuse_the_message_are_told() -> None:
    refusal = MailVerdict(Moment.RCPT, "bob@b.test", reply(550, "5.7.1", "relay not permitted"), "", "10-acl.toml:1")
    of = replace(facts(BUSY), stages=PresentDecisions((refusal,), (), (), ()))
    assert page_of(of).allowed == "they would refuse it: 550 5.7.1 relay not permitted, by 10-acl.toml:1"


def test_the_report_to_the_sender_is_told_with_its_own_state() -> None:
    report = Entry(REPORT, "", 2000, NOW, "", False, False, (replace(GONE, address="app@a.test"),))
    page = page_of(replace(facts(GONE), reports=(report,)))
    assert page.reports == (f"message {REPORT} to <app@a.test>: failed; 550 5.1.1 no such user",)
    assert [each.command for each in page.choices] == [f"smtprelay explain {REPORT}"]
    assert page_of(facts(GONE)).reports[0].startswith("the log event reported names the report")


def test_the_copy_of_a_failed_report_is_told_with_its_own_recipient() -> None:
    copy = Entry(REPORT, "", 2000, NOW, "", False, False, (replace(GONE, address="root@ops.test"),))
    page = page_of(replace(facts(GONE, sender=""), reports=(copy,)))
    assert page.reports == (f"message {REPORT} to <root@ops.test>: failed; 550 5.1.1 no such user",)


def test_a_failed_report_is_never_answered() -> None:
    of = facts(GONE, sender="")
    of = replace(of, entry=replace(of.entry, client="", report_of=REPORT))
    page = page_of(of)
    assert page.submitted == f"by this relay, as a report on message {REPORT}"
    assert page.reports == ("none, because the message has the null sender: a report is never answered with a report",)
    assert [each.command for each in page.choices] == [f"smtprelay explain {REPORT}"]


def test_a_delivered_message_names_the_host_that_is_responsible_now() -> None:
    page = page_of(facts(DONE))
    assert page.state == "finished: 1 delivered"
    assert page.recipients[0].advice.startswith("mx.b.test has taken it and is responsible now")
    assert page.choices == ()


def test_a_reply_about_dkim_offers_the_check_of_the_keys() -> None:
    assert "dkim check" in commands(facts(replace(GONE, reply="550 5.7.20 No passing DKIM signature found")))


def test_recipients_that_wait_come_first_and_many_are_cut() -> None:
    many = [replace(DONE, address=f"r{number}@b.test") for number in range(30)]
    lines = list(as_lines(page_of(facts(*many, BUSY))))
    assert next(line for line in lines if line.startswith("recipient")).split()[1] == "<bob@b.test>"
    assert "and 11 more recipients (--json lists them)" in lines


def test_the_attempts_that_are_kept_are_listed_with_their_replies() -> None:
    made = tuple(AttemptRecord(CREATED + number, "mx.b.test", "451 4.3.0 busy", "4.3.0") for number in range(13))
    lines = list(as_lines(page_of(facts(replace(BUSY, attempts_made=made)))))
    start = lines.index("earlier    2 more before (--json lists them)")
    assert lines[start + 1] == "           2027-01-15T08:00:02Z mx.b.test: 451 4.3.0 busy"
    assert lines[start + 11] == "reply      2027-01-15T08:00:12Z mx.b.test[192.0.2.1]:25: 451 4.3.0 busy"
    given_up = replace(GONE, reply="not delivered in 2.0 hours, giving up", attempts_made=made[:1])
    lines = list(as_lines(page_of(facts(given_up))))
    assert "earlier    2027-01-15T08:00:00Z mx.b.test: 451 4.3.0 busy" in lines
    assert "reply      mx.b.test: not delivered in 2.0 hours, giving up" in lines


@pytest.mark.parametrize(
    ("age", "text"), [(40, "40s"), (3900, "1h5m"), (90_000, "1d1h"), (86_400 + 60, "1d"), (7200, "2h")]
)
def test_the_age_is_told_in_two_units(age: float, text: str) -> None:
    of = replace(facts(BUSY), now=CREATED + age)
    assert f"accepted   2027-01-15T08:00:00Z, {text} ago" in list(as_lines(page_of(of)))
